/**
 * Workers that crash, hang or use too much memory in a server in a separate process. Only the requests of
 * these workers may fail, and the server must stay available.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import * as pictures from '../../support/pictures.ts';
import { cpuTimeOf, stateOf } from '../../support/processes.ts';
import { picture } from '../../support/sample.ts';
import { until } from '../../support/waiting.ts';
import { plainAnimation, plainWebp } from './bombs.ts';
import { type Answer, type HostileServer, startProcess } from './server-process.ts';

const WORKERS = 2;

const OVERLOADED = 'Too many pictures are waiting';

let server: HostileServer;
let links: string[];
let numbers = 0;

before(async () => {
  server = await startProcess({ VITRINE_RENDER_CONCURRENCY: String(WORKERS) });
  links = await Promise.all(
    [1, 2, 3].map(async (seed) =>
      linkOf(await server.upload(await pictures.jpeg({ width: 1_500, height: 1_000, seed }))),
    ),
  );
});
after(() => server.close());

function linkOf({ status, body }: Answer): string {
  assert.equal(status, 201, body.toString());
  return `/images/${(JSON.parse(body.toString()) as { publicID: string }).publicID}`;
}

/** Requests a rendition that was not requested before. */
function render(): Promise<Answer> {
  numbers += 1;
  return server.request('GET', `${links[numbers % links.length]}?size=${300 + numbers}x600&format=png`);
}

/** Uploads a picture that was not uploaded before. */
async function upload(): Promise<Answer> {
  numbers += 1;
  return server.upload(await pictures.jpeg({ width: 600, height: 400, seed: 1_000 + numbers }));
}

/** Sends this number of requests at once, alternating uploads and renditions. */
function sendMixed(count: number): Promise<Answer>[] {
  return Array.from({ length: count }, (_, i) => (i % 2 === 0 ? upload() : render()));
}

/**
 * The process IDs of both workers, when both are ready for tasks. The pool starts workers only for tasks, so
 * this sends requests. A worker that still starts would use CPU time without a task.
 */
async function startBothWorkers(): Promise<number[]> {
  for (let bothRan = false; !bothRan; ) {
    let answered = false;
    const requests = Promise.all(sendMixed(4 * WORKERS)).finally(() => {
      answered = true;
    });
    while (!answered && !bothRan) bothRan = (await runningTasks()) === WORKERS;
    await requests;
  }
  return server.workerPids();
}

async function runningTasks(): Promise<number> {
  const { body } = await server.request('GET', '/metrics');
  return Number(/^vitrine_tasks_running (\d+)$/m.exec(body.toString())?.[1]);
}

/** Waits until one of these workers has used 50 ms of CPU time, and stops it with SIGSTOP. */
async function stopBusy(pids: readonly number[]): Promise<number[]> {
  const before = new Map(pids.map((pid) => [pid, cpuTimeOf(pid) ?? 0]));
  const busy = () => pids.filter((pid) => (cpuTimeOf(pid) ?? 0) - (before.get(pid) ?? 0) >= 50);
  await until(() => busy().length > 0);
  const stopped = busy().slice(0, 1);
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  return stopped;
}

function assertUnavailable({ status, headers, body }: Answer): void {
  assert.equal(status, 503, body.toString());
  assert.match(String(headers['retry-after']), /^[1-9]\d*$/);
  assert.equal(headers['cache-control'], 'no-store');
}

/**
 * Fails unless new uploads succeed and all workers run. Uploads have a long wait limit, for slow machines.
 */
async function assertRecovered(): Promise<void> {
  const answers = await Promise.all(Array.from({ length: 3 * WORKERS }, upload));
  assert.deepEqual(
    answers.map(({ status }) => status),
    answers.map(() => 201),
  );
  assert.equal((await startBothWorkers()).length, WORKERS);
}

/**
 * The failed requests. On a slow machine a rendition may wait too long in the queue, which does not count.
 */
function failures(answers: readonly Answer[]): Answer[] {
  return answers.filter(
    ({ status, body }) => status !== 200 && status !== 201 && !(status === 503 && body.includes(OVERLOADED)),
  );
}

async function assertAlive(): Promise<void> {
  assert.equal(server.exitStatus(), undefined);
  assert.equal((await server.request('GET', '/livez')).status, 200);
}

describe('the server', () => {
  for (const signal of ['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const) {
    test(`retries the tasks of 20 requests once when ${signal} ends the workers`, async () => {
      const before = await startBothWorkers();
      const requests = sendMixed(20);
      // 19 requests are open now, so both workers are busy.
      await Promise.race(requests);
      for (const pid of before) process.kill(pid, signal);
      const answers = await Promise.all(requests);
      assert.deepEqual(failures(answers), []);
      await until(() => before.every((pid) => stateOf(pid) === undefined));
      await assertAlive();
    });
  }

  test('fails only the requests whose workers are killed twice, with a Retry-After header', async () => {
    await startBothWorkers();
    const killed = new Set<number>();
    // Each answer kills the oldest worker, which is busy again by then, until eight workers are killed.
    const killOldest = () => {
      const pid = server.workerPids().find((pid) => !killed.has(pid));
      if (killed.size === 8 || pid === undefined) return;
      process.kill(pid, 'SIGKILL');
      killed.add(pid);
    };
    const answers = await Promise.all(
      sendMixed(20).map(async (request) => {
        const answer = await request;
        killOldest();
        return answer;
      }),
    );
    assert.ok(killed.size > 2, `${killed.size} killed`);
    const failed = failures(answers);
    for (const answer of failed) assertUnavailable(answer);
    // A task fails only after two killed workers.
    assert.ok(failed.length <= killed.size / 2, `${failed.length} failed of ${killed.size} workers killed`);
    await assertAlive();
    await assertRecovered();
  });

  test('kills hanging workers at the deadline, and answers other requests meanwhile', async () => {
    const warm = `${links[0]}?size=400x400`;
    const cached = await server.request('GET', warm);
    assert.equal(cached.status, 200);
    const workers = await startBothWorkers();
    // A small file that takes long enough to stop its worker, on every machine.
    const upload = server.upload(pictures.blackPng(9_000, 5_000));
    const [first] = await stopBusy(workers);
    const rendering = server.request('GET', `${links[1]}?size=2048x2048&format=avif&quality=100`);
    await stopBusy(workers.filter((pid) => pid !== first));

    assertUnavailable(await render());
    await assertAlive();
    assert.equal((await server.request('GET', warm)).status, 200);
    const etag = String(cached.headers.etag);
    const again = await server.request('GET', warm, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);

    const refused = await upload;
    assert.equal(refused.status, 422, refused.body.toString());
    assert.match(refused.body.toString(), /takes longer than 15 s to decode/);
    assertUnavailable(await rendering);
    await until(() => workers.every((pid) => stateOf(pid) === undefined));
    await assertRecovered();
    await assertAlive();
  });

  test('replaces idle workers that were killed', async () => {
    const pids = await startBothWorkers();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    // The server must notice first: a task that meets two dead workers is rejected.
    await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    numbers += 1;
    assert.equal((await server.upload(await picture(numbers))).status, 201);
    await assertAlive();
  });

  test('logs only warnings about workers', async () => {
    // Other levels are only for failed requests and for task outcomes.
    const unexpected = server.warnings.filter(
      ({ level, msg, outcome }) =>
        level !== 'warn' && !(level === 'error' && msg === 'request failed') && outcome === undefined,
    );
    assert.deepEqual(unexpected, []);
  });
});

describe('the server with a low memory limit for workers', () => {
  /** Twice the memory of a worker for an ordinary picture, and half of the memory for these pictures. */
  const MEMORY_LIMIT = 200 * 1024 * 1024;

  let narrow: HostileServer;
  let warm: string;
  let animation: string;
  before(async () => {
    const env = { VITRINE_RENDER_CONCURRENCY: String(WORKERS) };
    narrow = await startProcess(env, { memoryLimitBytes: MEMORY_LIMIT });
    warm = linkOf(await narrow.upload(await pictures.jpeg()));
    // Ingest decodes its frames one by one. An animated rendition needs all of them at once.
    animation = linkOf(await narrow.upload(await plainAnimation(60, 1_000)));
  });
  after(() => narrow.close());

  const ends = () => narrow.warnings.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome.kind]));

  /** Sends other requests, which must succeed, until this one is answered and its worker has ended. */
  async function whileOthersSucceed(request: Promise<Answer>): Promise<Answer> {
    const before = new Set(narrow.workerPids());
    let answered = false;
    void request.finally(() => {
      answered = true;
    });
    while (!answered) {
      numbers += 1;
      const [added, seen, alive] = await Promise.all([
        narrow.upload(await picture(5_000 + numbers)),
        narrow.request('GET', `${warm}?size=400x400`),
        narrow.request('GET', '/livez'),
      ]);
      assert.deepEqual([added.status, seen.status, alive.status], [201, 200, 200], added.body.toString());
    }
    assert.ok(narrow.workerPids().filter((pid) => before.has(pid)).length < before.size);
    return request;
  }

  test('answers an upload that needs more memory with 422, without a retry, and serves other requests', async () => {
    const refused = await whileOthersSucceed(narrow.upload(await plainWebp(6_000, 6_000)));
    assert.equal(refused.status, 422, refused.body.toString());
    assert.match(refused.body.toString(), /takes too much memory to decode/);
    assert.deepEqual(ends(), ['memory']);
  });

  test('answers a rendition that needs more memory with 503, without a retry, and serves other requests', async () => {
    const failed = await whileOthersSucceed(narrow.request('GET', `${animation}?size=1000x1000&format=webp`));
    assert.match(failed.body.toString(), /too much memory/);
    assertUnavailable(failed);
    assert.deepEqual(ends(), ['memory', 'memory']);
  });

  test('replaces the workers, and makes a cheaper rendition of the same animation', async () => {
    const answers = await Promise.all(
      Array.from({ length: 3 * WORKERS }, async (_, i) => narrow.upload(await picture(9_000 + i))),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      answers.map(() => 201),
    );
    assert.equal(narrow.workerPids().length, WORKERS);
    assert.equal((await narrow.request('GET', `${animation}?size=100x100&format=jpeg`)).status, 200);
    assert.equal(narrow.exitStatus(), undefined);
    assert.equal(ends().length, 2);
  });
});
