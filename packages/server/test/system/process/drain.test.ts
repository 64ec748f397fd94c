/**
 * The drain after SIGTERM. A client with open connections follows `/readyz`, as a balancer does. None of its
 * requests fails, although the server ends.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';
import { waitFor } from '../../support/waiting.ts';

/** The connections of the client. */
const CONNECTIONS = 8;
/** The time that the framework gives to its hooks by default, in milliseconds. */
const FRAMEWORK_LIMIT = 10_000;
const DRAIN_SECONDS = FRAMEWORK_LIMIT / 1_000 + 2;

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
}

/** A GET over the open connections of an agent. Rejects like a request that a balancer loses. */
function request(url: string, agent: Agent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = get(url, { agent }, (response) => {
      response.resume();
      response.once('end', () => {
        resolve({ status: response.statusCode, connection: response.headers.connection });
      });
      response.once('error', reject);
    });
    outgoing.once('error', reject);
  });
}

/** Sends SIGTERM, and waits until the server says that it stops. */
async function stop(server: ServerProcess): Promise<void> {
  server.signal('SIGTERM');
  await waitFor('the stop', () => server.output().includes('"stopping: '));
}

test('a drain loses no request of a client that follows the readiness, and then ends', async (t) => {
  const server = await startServerProcess({ env: { VITRINE_DRAIN_SECONDS: String(DRAIN_SECONDS) } });
  t.after(() => server.close());
  const { link } = await server.addImage(await picture(1));
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const probes = new Agent({ keepAlive: true });
  t.after(() => {
    agent.destroy();
    probes.destroy();
  });

  let isReady = true;
  let isStopping = false;
  let answersBefore = 0;
  const drained: Answer[] = [];
  const statuses = new Set<number | undefined>();
  const client = async () => {
    while (isReady) {
      const wasStopping = isStopping;
      const answer = await request(link, agent);
      statuses.add(answer.status);
      if (wasStopping) drained.push(answer);
      else answersBefore += 1;
    }
  };
  const balancer = async () => {
    while (isReady) {
      const { status } = await request(`${server.url}/readyz?for=reads`, probes);
      // As a balancer with two failures: the requests after the first one must succeed too.
      if (isStopping && status === 503 && drained.length > 2 * CONNECTIONS) isReady = false;
      await sleep(10);
    }
  };
  const running = [balancer(), ...Array.from({ length: CONNECTIONS }, client)];
  while (answersBefore < 100) await sleep(10);
  await stop(server);
  isStopping = true;

  // A new connection is accepted, and gets an answer.
  const late = connect(Number(new URL(server.url).port), '127.0.0.1');
  late.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
  const [head] = (await once(late, 'data')) as [Buffer];
  assert.match(String(head), /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is);
  for (const purpose of ['reads', 'writes']) {
    const response = await fetch(`${server.url}/readyz?for=${purpose}`);
    assert.equal(response.status, 503);
    assert.equal(((await response.json()) as { status: string }).status, 'stopping');
  }

  await Promise.all(running);
  assert.deepEqual([...statuses], [200], 'no request failed');
  assert.deepEqual(
    new Set(drained.slice(CONNECTIONS).map(({ connection }) => connection)),
    new Set(['close']),
  );
  assert.equal(await server.exited, 0);
  await assert.rejects(request(`${server.url}/livez`, probes), { code: 'ECONNREFUSED' });
});

test('a second signal ends a drain at once', async (t) => {
  const server = await startServerProcess({ env: { VITRINE_DRAIN_SECONDS: '3600' } });
  t.after(() => server.close());
  await stop(server);
  server.signal('SIGTERM');
  assert.equal(await server.exited, 1);
});

test('a stop waits for a slow reader for longer than the framework gives to its hooks', async (t) => {
  const server = await startServerProcess();
  t.after(() => server.close());
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const original = await sharp({
    create: { width: 2048, height: 2048, channels: 3, background: 'white', noise },
  })
    .jpeg()
    .toBuffer();
  const { link } = await server.addImage(original);
  // More bytes than the buffers between server and client hold.
  const url = new URL(`${link}?size=2048x2048&format=png`);
  const { length } = await (await fetch(url)).bytes();
  const reader = connect(Number(url.port), '127.0.0.1');
  reader.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(reader, 'readable');
  await stop(server);
  await sleep(FRAMEWORK_LIMIT + 1_000);
  const parts: Buffer[] = [];
  for await (const part of reader) parts.push(part as Buffer);
  const answer = Buffer.concat(parts);
  assert.equal(answer.length - answer.indexOf('\r\n\r\n') - 4, length, 'the answer is complete');
  assert.equal(await server.exited, 0);
});
