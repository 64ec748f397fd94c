/**
 * The packages as users get them: built, packed, installed into an empty folder, and run there by Node alone. Takes a
 * registry for what they depend on; without one the tests say so and are skipped, or fail where CI=true.
 */
import assert from 'node:assert/strict';
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { picture } from '../../support/sample.ts';

const run = promisify(execFile);
const PACKAGES = join(import.meta.dirname, '../../../..');
const TSC = join(PACKAGES, '../node_modules/.bin/tsc');
/** What is compiled is built; the others are packed as they are. */
const BUILT = { client: true, dashboard: false, server: true };

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
const app = join(folder, 'app');
await mkdir(join(folder, 'home'));
after(() => rm(folder, { recursive: true, force: true }));

/** A user's, who has this Node, and none of what npm tells the scripts that it runs. */
const env = {
  PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
  HOME: join(folder, 'home'),
  SCARF_ANALYTICS: 'false',
  npm_config_cache: process.env.npm_config_cache ?? join(process.env.HOME ?? folder, '.npm'),
  ...(process.env.npm_config_registry && { npm_config_registry: process.env.npm_config_registry }),
};

/** A copy, so that nothing is built where it is developed. @returns the path of the packed package. */
async function pack(name: keyof typeof BUILT): Promise<string> {
  const [from, to] = [join(PACKAGES, name), join(folder, name)];
  await cp(from, to, {
    recursive: true,
    filter: (path) => !/\/(node_modules|dist|\.compiled|test)$/.test(path),
  });
  if (BUILT[name]) {
    await run(TSC, ['-p', join(from, 'tsconfig.build.json'), '--outDir', join(to, 'dist')]);
  }
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: to, env });
  const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
  return join(folder, filename);
}

/** Why it cannot be tried here. Asked once and for one small package, as npm itself would try for minutes. */
async function withoutRegistry(): Promise<string | false> {
  try {
    await run('npm', ['view', 'commander', 'version', '--fetch-retries=0'], { cwd: folder, env });
    return false;
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return 'no package registry can be reached';
  }
}

async function install(): Promise<void> {
  await mkdir(app);
  await writeFile(join(app, 'package.json'), '{ "type": "module", "private": true }');
  const tarballs = [await pack('client'), await pack('dashboard'), await pack('server')];
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs], {
    cwd: app,
    env,
  });
}

const skip = await withoutRegistry();
if (!skip) await install();

describe('the packages, installed', { skip }, () => {
  let server: ChildProcessByStdio<null, Readable, null>;
  let greeting = '';
  let [url, accountID, publicKey, secretKey] = ['', '', '', ''];
  before(async () => {
    server = spawn('npx', ['vitrine', 'serve'], {
      cwd: app,
      env: { ...env, VITRINE_PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
      // npx has children: a signal is to reach them all.
      detached: true,
    });
    for await (const chunk of server.stdout.iterator({ destroyOnReturn: false })) {
      greeting += chunk;
      if (greeting.includes('API reference')) break;
    }
    server.stdout.resume();
    const said = (pattern: RegExp) => pattern.exec(greeting)?.[1] ?? assert.fail(greeting);
    url = said(/listening on (http[^"]+)/);
    accountID = said(/^ {2}account {5}(\S+)$/m);
    publicKey = said(/^ {2}public key {2}(\S+)$/m);
    secretKey = said(/^ {2}secret key {2}(\S+)$/m);
  });
  after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    const closed = once(server, 'close');
    process.kill(-(server.pid ?? Number.NaN), 'SIGKILL');
    await closed;
  });

  const vitrine = async (...words: string[]) =>
    (await run('npx', ['vitrine', ...words], { cwd: app, env })).stdout;

  test('hold what is run, and neither sources nor tests', async () => {
    const server = join(app, 'node_modules/@vitrine/server');
    assert.deepEqual((await readdir(server)).filter((name) => name !== '.compiled').sort(), [
      'LICENSE',
      'README.md',
      'dist',
      'package.json',
      'quick-start.mjs',
      'start.mjs',
      'vitrine.mjs',
    ]);
    const files = await readdir(join(server, 'dist'), { recursive: true, withFileTypes: true });
    const kinds = files.filter((file) => file.isFile()).map(({ name }) => name.replace(/^.*?\./, ''));
    assert.deepEqual([...new Set(kinds)].sort(), ['d.ts', 'js']);
    // Nothing of a developer's: what is installed is all that is needed.
    const manifest = JSON.parse(await readFile(join(server, 'package.json'), 'utf8')) as object;
    assert.equal('devDependencies' in manifest, false);
  });

  test('serve, take an upload of the installed client, and show the picture', async () => {
    await writeFile(join(app, 'lamp.jpg'), await picture(1));
    await writeFile(join(app, 'upload.mjs'), PROGRAM);
    const words = ['upload.mjs', url, accountID, publicKey, secretKey];
    const { stdout } = await run(process.execPath, words, { cwd: app, env });
    const { link, altText } = JSON.parse(stdout) as { link: string; altText: string };
    assert.equal(altText, 'A lamp');
    const shown = await fetch(`${link}?size=64x64`, { headers: { accept: 'image/webp' } });
    assert.deepEqual([shown.status, shown.headers.get('content-type')], [200, 'image/webp']);
    assert.equal(Buffer.from(await shown.arrayBuffer()).toString('latin1', 8, 12), 'WEBP');
    for (const path of ['/', '/style.css', '/docs/api', '/docs/assets/swagger-ui-bundle.js', '/openapi.json'])
      assert.equal((await fetch(new URL(path, url))).status, 200, path);
  });

  test('have a command that logs in, uploads, and brings the originals back', async () => {
    const bytes = await picture(2);
    await writeFile(join(app, 'chair.jpg'), bytes);
    const key = ['--key', publicKey, '--secret', secretKey];
    await vitrine('login', '--server', url, '--account', accountID, ...key);
    assert.match(await vitrine('upload', 'chair.jpg'), /^1 uploaded, 0 uploaded before/m);
    assert.match(await vitrine('upload', '*.jpg'), /^0 uploaded, 1 uploaded before, 1 duplicate/m);
    await vitrine('export', 'copy');
    const digest = createHash('sha256').update(bytes).digest('hex');
    assert.deepEqual(await readFile(join(app, 'copy/originals', `${digest}.jpg`)), bytes);
    // Beside the server, on its data.
    assert.match(await vitrine('accounts', 'list'), new RegExp(accountID));
  });

  test('stop when they are told to', async () => {
    const closed = once(server, 'close');
    process.kill(-(server.pid ?? Number.NaN), 'SIGTERM');
    await closed;
    await assert.rejects(fetch(new URL('/livez', url)));
  });
});
