/**
 * The packages as users get them: packed in a clean checkout, installed into an empty folder, and run there.
 * The installation needs a package registry. Without one, the tests are skipped with a message, or fail where
 * CI=true.
 */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { findLockfileProblems } from '../../../../../tools/audit/lockfile.ts';
import { picture } from '../../support/sample.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../../../..');
const NAMES = ['client', 'dashboard', 'server'] as const;
const WORKSPACES = NAMES.flatMap((name) => ['-w', `packages/${name}`]);

const PROGRAM = `
import { readFileSync } from 'node:fs';
import { Vitrine } from '@vitrine/client';

const [serverURL, accountID, username, password] = process.argv.slice(2);
const vitrine = new Vitrine({ serverURL, security: { username, password } });
const image = { fileName: 'lamp.jpg', content: readFileSync('lamp.jpg') };
const { result } = await vitrine.images.upload({ accountID, image, metadata: { altText: 'A lamp' } });
console.log(JSON.stringify(result));
`;

const folder = await mkdtemp(join(tmpdir(), 'vitrine-packed-'));
/** A copy of this checkout without ignored files, so without any `dist`. */
const clone = join(folder, 'clone');
const app = join(folder, 'app');
await mkdir(join(folder, 'home'));
after(() => rm(folder, { recursive: true, force: true }));

/** The settings of the machine that npm needs to reach the registry. */
const NETWORK_VARIABLES = [
  'NODE_EXTRA_CA_CERTS',
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].flatMap((name) => [name, name.toLowerCase()]),
  'npm_config_registry',
];

/** The environment of a user with this Node. It has no variables that npm sets for the scripts it runs. */
const env = {
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  HOME: join(folder, 'home'),
  npm_config_cache: process.env.npm_config_cache ?? join(process.env.HOME ?? folder, '.npm'),
  ...Object.fromEntries(
    NETWORK_VARIABLES.flatMap((name) => {
      const value = process.env[name];
      return value ? [[name, value]] : [];
    }),
  ),
};

/** A file of `npm pack --json`. */
interface Tarball {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** Copies the files of Git, with their changes. The clone uses the installed packages of this checkout. */
async function makeClone(): Promise<void> {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { stdout } = await run('git', list, { cwd: ROOT, maxBuffer: 16 * 1024 * 1024 });
  for (const path of stdout.split('\0').filter((path) => path !== '' && existsSync(join(ROOT, path))))
    await cp(join(ROOT, path), join(clone, path));
  await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
}

/** Runs `npm pack` or `npm publish --dry-run` in the clone. */
async function pack(words: readonly string[]): Promise<Tarball[]> {
  const { stdout } = await run('npm', [...words, '--json'], { cwd: clone, env, maxBuffer: 16 * 1024 * 1024 });
  const output = JSON.parse(stdout) as Tarball[] | Record<string, Tarball>;
  return Object.values(output);
}

/**
 * The reason to skip the tests. Makes one request without retries, because the retries of npm take minutes.
 */
async function registrySkipReason(): Promise<string | false> {
  try {
    await run('npm', ['view', 'commander', 'version', '--fetch-retries=0'], { cwd: folder, env });
    return false;
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return 'the package registry cannot be reached';
  }
}

async function install(): Promise<void> {
  await mkdir(app);
  await writeFile(join(app, 'package.json'), '{ "type": "module", "private": true }');
  const tarballs = packed.map(({ filename }) => join(folder, filename));
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs], {
    cwd: app,
    env,
  });
}

await makeClone();
const packed = await pack(['pack', ...WORKSPACES, '--pack-destination', folder]);
const skip = await registrySkipReason();
if (!skip) await install();

describe('npm pack in a clean checkout', () => {
  const paths = (tarball: Tarball | undefined) => tarball?.files.map(({ path }) => path).sort() ?? [];
  const [client, dashboard, server] = packed.map(paths);

  test('builds what the packages need', () => {
    assert.ok(client?.includes('dist/index.js') && client.includes('dist/index.d.ts'), String(client));
    assert.ok(dashboard?.includes('src/index.html'), String(dashboard));
    for (const path of ['dist/main.js', 'dist/cli/main.js', 'dist/swagger-ui/swagger-ui-bundle.js'])
      assert.ok(server?.includes(path), path);
  });

  test('promises no types and no modules of the server, which is a program', async () => {
    const text = await readFile(join(clone, 'packages/server/package.json'), 'utf8');
    const { types, main, exports } = JSON.parse(text) as Record<string, unknown>;
    assert.deepEqual(
      { types, main, exports },
      {
        types: undefined,
        main: undefined,
        exports: { './package.json': './package.json' },
      },
    );
    assert.deepEqual(
      server?.filter((path) => path.endsWith('.d.ts')),
      [],
    );
  });

  test('packs no file of an earlier build, and neither does npm publish', async () => {
    for (const name of ['client', 'server'])
      await writeFile(join(clone, `packages/${name}/dist/stale.js`), 'stale');
    const again = await pack(['pack', '--dry-run', ...WORKSPACES]);
    assert.deepEqual(again.map(paths), [client, dashboard, server]);
    await rm(join(clone, 'packages/client/dist'), { recursive: true });
    const [published] = await pack(['publish', '--dry-run', '-w', 'packages/client']);
    assert.deepEqual(paths(published), client);
  });

  test('fails if a promised file is missing', async () => {
    await rm(join(clone, 'packages/dashboard/src/style.css'));
    await assert.rejects(
      pack(['pack', '--dry-run', '-w', 'packages/dashboard']),
      /src\/style\.css is missing/,
    );
    await cp(join(ROOT, 'packages/dashboard/src/style.css'), join(clone, 'packages/dashboard/src/style.css'));
  });
});

describe('the installed packages', { skip }, () => {
  let server: ChildProcessByStdio<null, Readable, null>;
  let output = '';
  let [url, accountID, publicKey, secretKey] = ['', '', '', ''];
  before(async () => {
    server = spawn('npx', ['vitrine', 'serve'], {
      cwd: app,
      env: { ...env, VITRINE_PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
      // npx starts child processes. In a process group, a signal reaches all of them.
      detached: true,
    });
    for await (const chunk of server.stdout.iterator({ destroyOnReturn: false })) {
      output += chunk;
      if (output.includes('API reference')) break;
    }
    server.stdout.resume();
    const find = (pattern: RegExp) => pattern.exec(output)?.[1] ?? assert.fail(output);
    url = find(/listening on (http[^"]+)/);
    accountID = find(/^ {2}account {5}(\S+)$/m);
    publicKey = find(/^ {2}public key {2}(\S+)$/m);
    secretKey = find(/^ {2}secret key {2}(\S+)$/m);
  });
  after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const close = once(server, 'close');
    process.kill(-(server.pid ?? Number.NaN), 'SIGKILL');
    await close;
  });

  const vitrine = async (...words: string[]) =>
    (await run('npx', ['vitrine', ...words], { cwd: app, env })).stdout;

  test('contain the compiled files, and no sources or tests', async () => {
    const server = join(app, 'node_modules/@vitrine/server');
    assert.deepEqual((await readdir(server)).filter((name) => name !== '.compiled').sort(), [
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
      'start.mjs',
      'vitrine.mjs',
    ]);
    const files = await readdir(join(server, 'dist'), { recursive: true, withFileTypes: true });
    const kinds = files.filter((file) => file.isFile()).map(({ name }) => name.replace(/^.*?\./, ''));
    assert.deepEqual([...new Set(kinds)].sort(), ['css', 'js', 'txt']);
    // The dependencies of the package must be enough, without development dependencies.
    const manifest = JSON.parse(await readFile(join(server, 'package.json'), 'utf8')) as object;
    assert.equal('devDependencies' in manifest, false);
    const licenses = await readFile(join(server, 'dist/LICENSES.txt'), 'utf8');
    assert.match(licenses, /^swagger-ui\n\n.*SmartBear/m);
  });

  test('bring no package with an install script or telemetry', async () => {
    const lockfile = await readFile(join(app, 'package-lock.json'), 'utf8');
    assert.deepEqual(findLockfileProblems(JSON.parse(lockfile), {}), []);
  });

  test('run a server that accepts an upload of the installed client and shows the picture', async () => {
    await writeFile(join(app, 'lamp.jpg'), await picture(1));
    await writeFile(join(app, 'upload.mjs'), PROGRAM);
    const words = ['upload.mjs', url, accountID, publicKey, secretKey];
    const { stdout } = await run(process.execPath, words, { cwd: app, env });
    const { link, altText } = JSON.parse(stdout) as { link: string; altText: string };
    assert.equal(altText, 'A lamp');
    const response = await fetch(`${link}?size=64x64`, { headers: { accept: 'image/webp' } });
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'image/webp']);
    assert.equal(Buffer.from(await response.arrayBuffer()).toString('latin1', 8, 12), 'WEBP');
    for (const path of ['/', '/style.css', '/docs/api', '/docs/api/swagger-ui-bundle.js', '/openapi.json']) {
      assert.equal((await fetch(new URL(path, url))).status, 200, path);
    }
  });

  test('have a command that logs in, uploads, and exports the originals', async () => {
    const bytes = await picture(2);
    await writeFile(join(app, 'chair.jpg'), bytes);
    const key = ['--key', publicKey, '--secret', secretKey];
    await vitrine('login', '--server', url, '--account', accountID, ...key);
    assert.match(await vitrine('upload', 'chair.jpg'), /^1 uploaded, 0 uploaded before/m);
    assert.match(await vitrine('upload', '*.jpg'), /^0 uploaded, 1 uploaded before, 1 duplicate/m);
    await vitrine('export', 'copy');
    const digest = createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(await readFile(join(app, 'copy/originals', `${digest}.jpg`)), bytes);
    // An admin command on the data of the running server.
    assert.match(await vitrine('accounts', 'list'), new RegExp(accountID));
  });

  test('end after SIGTERM', async () => {
    const close = once(server, 'close');
    process.kill(-(server.pid ?? Number.NaN), 'SIGTERM');
    await close;
    await assert.rejects(fetch(new URL('/livez', url)));
  });
});
