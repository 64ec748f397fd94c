/**
 * A server whose disk takes a minute to make a write durable: what it still answers. The delay is real, in the system
 * calls of the process, and ends when the test has seen enough.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { picture } from './sample.ts';
import { ACCOUNT, basic, KEY, uploadForm } from './server.ts';

const strace = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
const skip = strace || process.env.CI === 'true' ? false : 'strace is absent or not permitted here';

/** Starts a server as a process of its own, and waits until it says where it listens. */
async function start(t: TestContext): Promise<{ pid: number; url: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-slow-'));
  const child = spawn(
    process.execPath,
    ['--conditions=vitrine-source', join(import.meta.dirname, '../start.mjs')],
    {
      env: {
        VITRINE_PORT: '0',
        VITRINE_DATA: folder,
        VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
        VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = once(child, 'exit');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true });
  });
  let said = '';
  for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += chunk;
    const url = /"msg":"listening on (http[^"]+)"/.exec(said)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    return { pid: child.pid ?? 0, url };
  }
  throw new Error(`ended: ${said}`);
}

/** Delays what makes writes durable, in all threads of a process, until the function that it resolves to is called. */
async function slowDisk(pid: number): Promise<() => Promise<void>> {
  const calls = 'fsync,fdatasync';
  const options = ['-f', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${calls}:delay_enter=60s`];
  const child = spawn('strace', [...options, '-p', `${pid}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  let said = '';
  for await (const chunk of child.stderr.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += chunk;
    if (said.includes('attached')) break;
  }
  assert.match(said, /attached/);
  child.stderr.resume();
  return async () => {
    child.kill('SIGINT');
    await ended;
  };
}

test('a write that waits for the disk holds up no probe, no picture and nothing else that is read', {
  skip,
}, async (t) => {
  const { pid, url } = await start(t);
  const headers = { authorization: basic(KEY.publicKey, KEY.secretKey) };
  const images = `${url}/accounts/${ACCOUNT}/images`;
  const upload = async (seed: number) => {
    const response = await fetch(images, { method: 'POST', headers, body: uploadForm(await picture(seed)) });
    assert.equal(response.status, 201);
    return (await response.json()) as { imageID: string; link: string };
  };
  const [warm, cold] = [await upload(1), await upload(2)];
  assert.equal((await fetch(warm.link)).status, 200);

  const heal = await slowDisk(pid);
  let answered = false;
  const write = fetch(`${images}/${warm.imageID}/metadata`, {
    method: 'PUT',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ altText: 'a bottle' }),
  }).finally(() => {
    answered = true;
  });
  for (let round = 0; round < 3; round += 1) {
    for (const path of [`${url}/livez`, warm.link, `${cold.link}?size=40x40`, images]) {
      const response = await fetch(path, { headers });
      assert.equal(response.status, 200, path);
      await response.arrayBuffer();
    }
  }
  assert.equal(answered, false);
  await heal();
  assert.equal((await write).status, 200);
  const { altText } = (await (await fetch(`${images}/${warm.imageID}`, { headers })).json()) as {
    altText: string;
  };
  assert.equal(altText, 'a bottle');
});
