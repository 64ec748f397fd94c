/**
 * Tests the package as users get it: built, packed, installed into an empty folder, compiled and run there.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { picture } from '../../server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer } from '../../server/test/support/server.ts';

const run = promisify(execFile);
const PACKAGE = join(import.meta.dirname, '..');
const SOURCES = join(PACKAGE, 'src');
const TSC = join(PACKAGE, '../../node_modules/.bin/tsc');
/** The most bytes of the packed package. */
const MAX_PACKED = 60_000;

/** The other runtimes that the package supports, besides the Node of this test. */
const RUNTIMES = {
  'Node 20 to 23': { command: 'node', words: [], version: /^v2[0-3]\./ },
  Deno: { command: 'deno', words: ['run', '-A'], version: /^deno / },
  Bun: { command: 'bun', words: [], version: /^\d/ },
} satisfies Record<string, { command: string; words: string[]; version: RegExp }>;

/** A plain JavaScript program with most operations, a stream, progress, an abort and a timeout. */
const PROGRAM = `
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { DuplicateImageError, Vitrine } from '@vitrine/client';

const [serverURL, accountID, username, password] = process.argv.slice(2);
const vitrine = new Vitrine({ serverURL, security: { username, password } });
const image = new Blob([readFileSync('picture.jpg')]);
const steps = [];
const { result } = await vitrine.images.upload(
  { accountID, image, metadata: { altText: 'A lamp' } },
  { onProgress: ({ sent }) => steps.push(sent) },
);
assert.equal(steps.at(-1), image.size);
const { imageID, publicID } = result;
await assert.rejects(
  vitrine.images.upload({ accountID, image: image.stream() }),
  (error) => error instanceof DuplicateImageError && error.existing.imageID === imageID,
);
for await (const one of vitrine.images.list({ accountID })) assert.deepEqual(one, result);
await vitrine.images.update({ accountID, imageID, image });
await vitrine.images.updateMetadata({ accountID, imageID, altText: 'Two' });
const rendition = await vitrine.images.getPublic({ publicID, size: '20x20' });
assert.ok((await new Response(rendition.result).arrayBuffer()).byteLength > 100);
const basePrice = { currency: 'USD', valueDecimal: '4.99' };
const product = { title: 'Lamp', basePrice, images: [{ imageID }] };
const { productID } = (await vitrine.products.create({ accountID, ...product })).result;
await vitrine.lineItems.create({ accountID, items: [{ name: 'Lamp', basePrice, quantity: 1, productID }] });
const { totals } = (await vitrine.images.usage({ accountID, imageID })).result;
assert.deepEqual([totals.products, totals.lineItems], [1, 1]);
await vitrine.products.disable({ accountID, productID });
const { result: key } = await vitrine.keys.create({ accountID, name: 'Page' });
const credentials = { clientId: key.publicKey, clientSecret: key.secretKey };
const grant = { grantType: 'client_credentials', ...credentials };
const { result: token } = await new Vitrine({ serverURL }).authentication.createAccessToken(grant);
await new Vitrine({ serverURL, security: token }).images.list({ accountID });
await vitrine.accounts.update({ accountID, displayName: 'Shop' });
await vitrine.images.delete({ accountID, imageID });
const controller = new AbortController();
const endless = new ReadableStream({ pull: (one) => one.enqueue(new Uint8Array(65536)) });
const onProgress = ({ sent }) => sent > 200000 && controller.abort(new Error('enough'));
await assert.rejects(
  vitrine.images.upload({ accountID, image: endless }, { onProgress, signal: controller.signal }),
  /enough/,
);
await assert.rejects(vitrine.ping.ping({ timeoutMs: 0.01 }), { name: 'TimeoutError' });
console.log('done');
`;

let folder: string;
let packed: { filename: string; size: number; files: { path: string }[] };
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-package-'));
  await rm(join(PACKAGE, 'dist'), { recursive: true, force: true });
  await run(TSC, ['-p', join(PACKAGE, 'tsconfig.build.json')]);
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: PACKAGE });
  [packed] = JSON.parse(stdout) as [typeof packed];
  await writeFile(join(folder, 'package.json'), '{ "type": "module", "private": true }');
  await run('npm', ['install', '--offline', '--no-audit', `./${packed.filename}`], { cwd: folder });
});
after(() => rm(folder, { recursive: true, force: true }));

describe('the package', () => {
  test('is small and has no dependencies', async () => {
    assert.ok(packed.size < MAX_PACKED, `${packed.size} bytes packed`);
    assert.deepEqual(await readdir(join(folder, 'node_modules', '@vitrine')), ['client']);
    const scopes = (await readdir(join(folder, 'node_modules'))).filter((name) => !name.startsWith('.'));
    assert.deepEqual(scopes, ['@vitrine']);
    const kinds = packed.files.map(({ path }) => path.replace(/^dist\/[\w-]+(\.d\.ts|\.js)$/, 'dist/*$1'));
    assert.deepEqual([...new Set(kinds)].sort(), [
      'LICENSE',
      'README.md',
      'dist/*.d.ts',
      'dist/*.js',
      'package.json',
    ]);
  });

  test('compiles in user code with the types of a browser or of Node', async () => {
    await writeFile(
      join(folder, 'use.ts'),
      `import { imageURL, isVitrineError, Vitrine, type Image } from '@vitrine/client';
      const vitrine = new Vitrine({ serverURL: 'http://localhost', security: async () => 'token' });
      export async function use(content: Uint8Array): Promise<string> {
        const { result } = await vitrine.images.upload({ accountID: 'a', image: { fileName: 'x', content } });
        const all: Image[] = [];
        for await (const image of vitrine.images.list({ accountID: 'a' })) all.push(image);
        try { await vitrine.ping.ping(); } catch (error) {
          if (isVitrineError(error) && error.name === 'DuplicateImageError') return error.existing?.imageID ?? '';
        }
        // @ts-expect-error: it is a Date.
        const time: string = result.createdOn;
        return imageURL(result.link, { size: { width: 40 } }) + time;
      }`,
    );
    const node = join(PACKAGE, '../../node_modules/@types');
    for (const [lib, types, resolution] of [
      ['es2022,dom,dom.iterable,dom.asynciterable', '', 'nodenext'],
      ['es2022,dom', '', 'bundler'],
      ['es2022', 'node', 'nodenext'],
    ] as const) {
      const options = [
        ...['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'],
        ...['--target', 'es2022', '--lib', lib, '--moduleResolution', resolution],
        ...['--module', resolution === 'bundler' ? 'esnext' : resolution],
        // The declarations of the package are checked. Those of Node are not, because they are not ours.
        ...(types === '' ? ['--types', ''] : ['--types', types, '--typeRoots', node, '--skipLibCheck']),
      ];
      await run(TSC, [...options, 'use.ts'], { cwd: folder }).catch(({ stdout, message }) =>
        assert.fail(`${lib} ${types} ${resolution}: ${stdout || message}`),
      );
    }
  });

  test('compiles every example of its README', async () => {
    const readme = await readFile(join(PACKAGE, 'README.md'), 'utf8');
    const blocks = [...readme.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block);
    assert.ok(blocks.length >= 7);
    const files = blocks.map((block, index) => {
      // Variables of earlier blocks, and variables that only the reader has.
      const variables = Object.entries({
        vitrine: "import('@vitrine/client').Vitrine",
        accountID: 'string',
        image: 'Blob',
        bytes: 'Uint8Array',
      }).filter(([name]) => !new RegExp(`const ${name} =|const \\{ result: ${name} \\} =`).test(block));
      const declarations = variables.map(([name, type]) => `declare const ${name}: ${type};\n`).join('');
      return { name: `readme-${index}.ts`, text: `${block}\n${declarations}export {};\n` };
    });
    for (const { name, text } of files) await writeFile(join(folder, name), text);
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck'];
    const types = ['--types', 'node', '--typeRoots', join(PACKAGE, '../../node_modules/@types')];
    await run(TSC, [...options, ...types, ...files.map(({ name }) => name)], { cwd: folder }).catch(
      ({ stdout, message }) => assert.fail(stdout || message),
    );
  });

  for (const [runtime, { command, words, version }] of Object.entries(RUNTIMES)) {
    // Missing runtimes are skipped, in CI too: Debian has no packages for them.
    test(`works on ${runtime}`, async (t) => {
      const program = await findOnPath(command, version);
      if (!program) return t.skip(`${runtime} is not on the path`);
      const server = await startServer();
      try {
        await writeFile(join(folder, 'picture.jpg'), await picture(1));
        await writeFile(join(folder, 'use.js'), PROGRAM);
        const args = [...words, 'use.js', server.url, ACCOUNT, KEY.publicKey, KEY.secretKey];
        const { stdout } = await run(program, args, { cwd: folder, timeout: 60_000 });
        assert.equal(stdout.trim(), 'done');
      } finally {
        await server.close();
      }
    });
  }
});

describe('the sources', () => {
  test('use no other package and no API of a single platform', async () => {
    for (const [name, text] of await readSources()) {
      const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      const imports = [...code.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
        ([, target = '']) => target,
      );
      assert.deepEqual(
        imports.filter((target) => !/^\.\/[\w-]+\.ts$/.test(target)),
        [],
        name,
      );
      assert.doesNotMatch(code, /\b(process|Buffer|window|document|require|XMLHttpRequest)\b/, name);
    }
  });

  test('have a header and a docstring for every export', async () => {
    const undocumented: string[] = [];
    for (const [name, text] of await readSources()) {
      const lines = text.split('\n');
      lines.forEach((line, index) => {
        const [, symbol] =
          /^export (?:async )?(?:class|interface|type|function|const) (\w+)/.exec(line) ?? [];
        if (symbol !== undefined && !lines[index - 1]?.endsWith('*/'))
          undocumented.push(`${name}: ${symbol}`);
      });
      assert.ok(text.startsWith('/**'), `${name} has no header`);
    }
    assert.deepEqual(undocumented, []);
  });
});

async function readSources(): Promise<[name: string, text: string][]> {
  const names = (await readdir(SOURCES)).filter((name) => name !== 'contract.ts');
  return Promise.all(
    names.map(async (name): Promise<[string, string]> => [name, await readFile(join(SOURCES, name), 'utf8')]),
  );
}

/** The first program on the path whose `--version` output matches. */
async function findOnPath(command: string, version: RegExp): Promise<string | undefined> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const candidate = join(directory, command);
    const exists = await access(candidate).then(
      () => true,
      () => false,
    );
    if (exists && version.test((await run(candidate, ['--version'])).stdout)) return candidate;
  }
  return undefined;
}
