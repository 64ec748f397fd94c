/**
 * The server as a process: its first start, start failures, its stop by a signal, and the end of its worker
 * processes.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { childrenOf, isAlive } from '../../support/processes.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic } from '../../support/server.ts';
import { spawnServer } from '../../support/server-process.ts';

const START = join(import.meta.dirname, '../../../start.mjs');

let folder: string;
let running: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-process-'));
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  running = [];
  await rm(folder, { recursive: true, force: true });
});

/** Starts the server in the folder of the test, and waits until it listens. */
async function start(env: Record<string, string> = {}) {
  const { child, pid, listening, output } = spawnServer({ cwd: folder, env });
  running.push(child);
  return { child, pid, url: await listening, output };
}

/** Sends a signal and waits for the end. @returns the exit code. */
async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<unknown> {
  const exit = once(child, 'exit');
  child.kill(signal);
  return (await exit)[0];
}

describe('the first start', () => {
  test('needs no configuration, and prints an account, a key, and a curl command that uploads a picture', async () => {
    const first = await start();
    while (!first.output().includes('/docs/api')) await once(first.child.stdout ?? first.child, 'data');
    const text = first.output();
    const command = /^\s+(curl .*)$/m.exec(text)?.[1] ?? '';
    const [, publicKey = '', secretKey = ''] = /-u '([^:]+):([^']+)'/.exec(command) ?? [];
    assert.match(secretKey, /^vitrine_sk_[A-Za-z0-9_-]{43}$/);
    await writeFile(join(folder, 'photo.jpg'), await picture(1));
    const { stdout } = await promisify(execFile)('sh', ['-c', `${command} -sS -w ' %{http_code}'`], {
      cwd: folder,
    });
    assert.match(stdout, / 201$/);
    const { link } = JSON.parse(stdout.slice(0, -4)) as { link: string };
    const response = await fetch(link);
    assert.equal(response.status, 200);
    assert.equal((await sharp(Buffer.from(await response.arrayBuffer())).metadata()).width, 400);
    assert.equal(await stop(first.child, 'SIGTERM'), 0);
    assert.equal(first.output().match(/listening/gi)?.length, 1, 'logged once');
    assert.match(first.output(), /"path":"\/accounts\/[^"]+","status":201.*"msg":"answered"/);

    const second = await start();
    assert.equal(
      (await fetch(`${second.url}/ping`, { headers: { authorization: basic(publicKey, secretKey) } })).status,
      200,
    );
    assert.equal((await fetch(`${second.url}${new URL(link).pathname}`)).status, 200);
    assert.equal(await stop(second.child, 'SIGINT'), 0);
    assert.equal(second.output().includes('secret key'), false, 'the secret is shown only once');
  });

  test('fails on an occupied port, and prints the key at the next successful start', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    await assert.rejects(start({ VITRINE_PORT: String(port) }), /another program uses this port/);
    other.close();
    const next = await start();
    while (!next.output().includes('/docs/api')) await once(next.child.stdout ?? next.child, 'data');
    assert.match(next.output(), /secret key {2}vitrine_sk_/);
  });

  test('fails on an old Node, and prints the required version and the remedy', async () => {
    const oldNode = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'20.20.2'})";
    const run = promisify(execFile)(process.execPath, ['--import', oldNode, START], { cwd: folder });
    await assert.rejects(run, ({ code, stderr }: Error & { code: number; stderr: string }) => {
      assert.equal(code, 1);
      assert.match(stderr, /needs Node 24 or newer, and this is Node 20\.20\.2.*npm ci/s);
      return true;
    });
  });

  test('fails with one line without secrets if the database or a folder cannot be used', async () => {
    const file = join(folder, 'a file');
    await writeFile(file, '');
    const newerPath = join(folder, 'newer.db');
    const store = await openSqlite({ path: newerPath });
    await store.migrate();
    await store.close();
    const newer = new DatabaseSync(newerPath);
    newer.exec(`insert into kysely_migration values ('9999-from-the-future', '2099-01-01T00:00:00.000Z')`);
    newer.close();
    const cases: [Record<string, string>, RegExp][] = [
      [
        // A start waits for a database for some seconds, with a warning.
        { VITRINE_DATABASE: 'postgres://me:hunter2@127.0.0.1:1/library', VITRINE_LOG_LEVEL: 'error' },
        /The PostgreSQL database library at 127\.0\.0\.1:1 cannot be used: .*ECONNREFUSED.*VITRINE_DATABASE/,
      ],
      [{ VITRINE_DATA: join(file, 'data') }, /The database .*a file.* cannot be used: ENOTDIR.*VITRINE_DATA/],
      [{ VITRINE_BLOBS: `file:${file}` }, /The blob folder .*a file cannot be used: .*VITRINE_BLOBS/],
      [{ VITRINE_DATABASE: `sqlite:${newerPath}` }, /newer version of Vitrine/],
    ];
    for (const [env, expected] of cases) {
      await assert.rejects(start(env), ({ message }: Error) => {
        const [status = '', text = ''] = message.split(/: (.*)/s);
        assert.equal(status, 'the server ended with 1');
        assert.match(text, expected);
        assert.equal(text.trimEnd().split('\n').length, 1, text);
        assert.equal(text.includes('hunter2'), false);
        return true;
      });
    }
  });

  test('fails with the names of all wrong variables, and without secrets', async () => {
    const env = { VITRINE_PORT: 'x', VITRINE_HOTS: 'a', VITRINE_BOOTSTRAP_KEY: 'only-hunter2' };
    await assert.rejects(start(env), ({ message }: Error) => {
      for (const name of ['VITRINE_PORT', 'VITRINE_HOTS', 'VITRINE_HOST', 'VITRINE_BOOTSTRAP_KEY']) {
        assert.ok(message.includes(name), `${name} in ${message}`);
      }
      assert.equal(message.includes('hunter2'), false);
      assert.equal(message.includes('    at '), false, 'no stack');
      return true;
    });
  });
});

describe('the stop', () => {
  const env = { VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT, VITRINE_BOOTSTRAP_KEY: 'a:b' };

  test('by SIGTERM finishes a running upload, accepts no new one, and exits with 0', async () => {
    const { child, url, output } = await start(env);
    const bytes = await picture(2);
    const boundary = 'b';
    const head = Buffer.from(`--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n`);
    const body = Buffer.concat([head, bytes, Buffer.from('\r\n--b--\r\n')]);
    const upload = request(`${url}/accounts/${ACCOUNT}/images`, {
      method: 'POST',
      headers: {
        authorization: basic('a', 'b'),
        'content-type': `multipart/form-data; boundary=${boundary}`,
        'content-length': body.length,
      },
    });
    const status = new Promise((resolve, reject) => {
      upload.once('response', (response) => {
        // A kept-alive connection would delay the stop.
        assert.equal(response.headers.connection, 'close');
        resolve(response.resume().statusCode);
      });
      upload.once('error', reject);
    });
    await new Promise<void>((resolve) => upload.write(body.subarray(0, 200), () => resolve()));
    // The server has read the headers of the upload once it answers a later request.
    await fetch(`${url}/livez`);
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    while (!output().includes('stopping')) await once(child.stdout ?? child, 'data');
    await assert.rejects(async () => {
      for (;;) await fetch(`${url}/livez`, { headers: { connection: 'close' } });
    }, 'the port is closed');
    upload.end(body.subarray(200));
    assert.equal(await status, 201);
    assert.equal((await exit)[0], 0);

    const again = await start({ ...env, VITRINE_DATA: join(folder, 'data') });
    const list = await fetch(`${again.url}/accounts/${ACCOUNT}/images`, {
      headers: { authorization: basic('a', 'b') },
    });
    assert.equal(((await list.json()) as unknown[]).length, 1);
  });
});

describe('the worker processes', () => {
  const env = {
    VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
    VITRINE_BOOTSTRAP_KEY: 'a:b',
    VITRINE_RENDER_CONCURRENCY: '1',
  };

  test('die of SIGKILL during an upload, and that upload and the next one succeed', {
    skip: process.platform !== 'linux',
  }, async () => {
    const { pid, url } = await start(env);
    const upload = async (bytes: Uint8Array) => {
      const form = new FormData();
      form.append('image', new Blob([Uint8Array.from(bytes)]), 'a');
      const headers = { authorization: basic('a', 'b') };
      return (await fetch(`${url}/accounts/${ACCOUNT}/images`, { method: 'POST', body: form, headers }))
        .status;
    };
    assert.equal(await upload(await picture(3)), 201);
    // Large enough that the worker still decodes it when it is killed. Both outcomes of the race must
    // succeed.
    const large = await sharp({ create: { width: 9_000, height: 9_000, channels: 3, background: 'teal' } })
      .png()
      .toBuffer();
    const before = childrenOf(pid);
    assert.ok(before.length > 0, 'child processes decode the pictures');
    const status = upload(large);
    let isSettled = false;
    status.finally(() => {
      isSettled = true;
    });
    // Killed once: the server retries. It rejects a picture that ends its worker again and again.
    for (const worker of before) process.kill(worker, 'SIGKILL');
    assert.equal(await status, 201);
    assert.equal(isSettled, true);
    assert.equal(await upload(await picture(4)), 201);
    const after = childrenOf(pid);
    assert.equal(
      after.some((worker) => before.includes(worker)),
      false,
      'new workers replaced the killed ones',
    );
    assert.equal((await fetch(`${url}/livez`)).status, 200);
  });

  test('end when SIGKILL ends the server', { skip: process.platform !== 'linux' }, async () => {
    const { child, pid, url } = await start(env);
    await fetch(url);
    const form = new FormData();
    form.append('image', new Blob([Uint8Array.from(await picture(5))]), 'a');
    await fetch(`${url}/accounts/${ACCOUNT}/images`, {
      method: 'POST',
      body: form,
      headers: { authorization: basic('a', 'b') },
    });
    const workers = childrenOf(pid);
    assert.ok(workers.length > 0);
    await stop(child, 'SIGKILL');
    while (workers.some(isAlive)) await new Promise(setImmediate);
  });
});
