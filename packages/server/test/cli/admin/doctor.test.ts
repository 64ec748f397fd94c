/**
 * `vitrine doctor` as operators run it. doctor-checks.test.ts has the checks that need a special machine.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Check } from '../../../src/cli/admin/doctor-checks.ts';
import { User } from '../../support/command.ts';
import { ACCOUNT, startServer } from '../../support/server.ts';

let user: User;
before(async () => {
  user = await User.create();
});
after(() => user.remove());

describe('vitrine doctor', () => {
  /** The checks by name. @param code the expected exit code. */
  async function runDoctor(env: Record<string, string>, code = 0): Promise<Map<string, Check>> {
    const checks = await user.json<Check[]>(['doctor'], { env: { VITRINE_PORT: '0', ...env }, code });
    return new Map(checks.map((check) => [check.name, check]));
  }

  test('finds no failure on a good machine without a library, and creates no library', async () => {
    const data = join(user.home, 'before');
    const checks = await runDoctor({ VITRINE_DATA: data });
    for (const [name, { outcome, text }] of checks) assert.notEqual(outcome, 'fail', `${name}: ${text}`);
    assert.match(checks.get('database')?.text ?? '', /does not exist; the first start creates it/);
    assert.match(checks.get('decoder')?.text ?? '', /decoded and encoded test pictures/);
    assert.match(checks.get('sharp')?.text ?? '', /libvips .*WebP, JPEG, PNG, AVIF/);
    await assert.rejects(stat(data));
  });

  test('finds a running server, and prints a line for each check', async () => {
    const server = await startServer();
    try {
      const env = { VITRINE_DATA: server.folder, VITRINE_PORT: new URL(server.url).port };
      const { code, out } = await user.run(['doctor'], { env });
      assert.equal(code, 0, out);
      assert.match(out, /^ok {4}database +\S+vitrine\.db answers; its schema is \d{4}-/m);
      const starts = out
        .trimEnd()
        .split('\n')
        .map((line) => /^\w+ +.+? {2,}/.exec(line)?.[0].length);
      assert.deepEqual(new Set(starts).size, 1, out);
      assert.match(out, /^ok {4}port +a server answers at http:\/\/127\.0\.0\.1:\d+ and is ready$/m);
    } finally {
      await server.close();
    }
  });

  test('reports every problem of the configuration', async () => {
    const { code, out } = await user.run(['doctor'], { env: { VITRINE_PORT: 'x', VITRINE_DTA: 'y' } });
    assert.equal(code, 1);
    assert.match(out, /^FAIL {2}configuration +VITRINE_PORT is "x"/m);
    assert.match(out, /^FAIL {2}configuration +VITRINE_DTA .*did you mean VITRINE_DATA/m);
  });

  test('fails for problems that stop the server, warns about risks, and prints no secret', async () => {
    const data = join(user.home, 'broken');
    await mkdir(data);
    await chmod(data, 0o755);
    await writeFile(join(data, 'vitrine.db'), 'no database, but some other file of more than a few bytes');
    await writeFile(join(data, 'blobs'), 'a file');
    // Another program on the port, which does not speak HTTP.
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    other.on('connection', (socket) => socket.destroy());
    const { port } = other.address() as { port: number };
    try {
      const checks = await runDoctor(
        {
          VITRINE_DATA: data,
          VITRINE_PORT: `${port}`,
          VITRINE_PUBLIC_URL: 'http://images.example',
          VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
          VITRINE_BOOTSTRAP_KEY: 'ci:hunter2',
        },
        1,
      );
      const outcome = (name: string) => checks.get(name)?.outcome;
      assert.deepEqual(
        ['data folder', 'blobs', 'database', 'port', 'public URL', 'bootstrap key', 'decoder'].map(outcome),
        ['warn', 'fail', 'fail', 'fail', 'warn', 'warn', 'ok'],
      );
      assert.match(checks.get('port')?.text ?? '', /another program listens on port/);
      assert.equal(JSON.stringify([...checks]).includes('hunter2'), false);
      assert.match(await readFile(join(data, 'vitrine.db'), 'utf8'), /^no database/);
    } finally {
      other.close();
    }
    const checks = await runDoctor(
      { VITRINE_DATABASE: 'postgres://a:hunter2@127.0.0.1:1/x', VITRINE_DATA: user.home },
      1,
    );
    assert.equal(checks.get('database')?.outcome, 'fail');
    assert.match(checks.get('database')?.text ?? '', /ECONNREFUSED/);
    assert.equal(JSON.stringify([...checks]).includes('hunter2'), false);
  });
});
