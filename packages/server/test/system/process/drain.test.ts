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
import { picture } from '../../support/sample.ts';
import { startServerProcess } from '../../support/server-process.ts';

/** The connections of the client. */
const CONNECTIONS = 8;
/** Longer than the time that the framework gives to its hooks, which is 10 s. */
const DRAIN_SECONDS = 12;

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
  server.signal('SIGTERM');
  while (!server.output().includes('"stopping: ')) await once(server.child.stdout, 'data');
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
  server.signal('SIGTERM');
  while (!server.output().includes('"stopping: ')) await once(server.child.stdout, 'data');
  server.signal('SIGTERM');
  assert.equal(await server.exited, 1);
});
