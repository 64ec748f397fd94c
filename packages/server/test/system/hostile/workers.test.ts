/**
 * Workers that die, hang or swell while a server in a process of its own has work for them: at most the requests that
 * they held fail, and the server goes on.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import * as pictures from '../../support/pictures.ts';
import { stateOf, workOf } from '../../support/processes.ts';
import { picture } from '../../support/sample.ts';
import { until } from '../../support/waiting.ts';
import { plainAnimation, plainWebp } from './bombs.ts';
import { type Answer, type HostileServer, startProcess } from './process.ts';

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

/** A rendition that nobody asked for before. */
function render(): Promise<Answer> {
  numbers += 1;
  return server.request('GET', `${links[numbers % links.length]}?size=${300 + numbers}x600&format=png`);
}

/** A picture that was not uploaded before. */
async function upload(): Promise<Answer> {
  numbers += 1;
  return server.upload(await pictures.jpeg({ width: 600, height: 400, seed: 1_000 + numbers }));
}

/** As many requests as it says, uploads and renditions in turn, all at once. */
function mixed(count: number): Promise<Answer>[] {
  return Array.from({ length: count }, (_, i) => (i % 2 === 0 ? upload() : render()));
}

/** Both workers, alive and idle. Whoever starts one again only when it is needed is given the need. */
async function bothWorkers(): Promise<number[]> {
  while (server.workerPids().length < WORKERS) await Promise.all(mixed(2 * WORKERS));
  return server.workerPids();
}

/** Waits until one of them has worked for a while, stops it there, and says which it was. */
async function stopBusy(pids: readonly number[]): Promise<number[]> {
  const before = new Map(pids.map((pid) => [pid, workOf(pid) ?? 0]));
  const busy = () => pids.filter((pid) => (workOf(pid) ?? 0) - (before.get(pid) ?? 0) >= 50);
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

/** All who come now are served, by as many workers as before. Uploads, as these have the patience for any machine. */
async function assertWhole(): Promise<void> {
  const answers = await Promise.all(Array.from({ length: 3 * WORKERS }, upload));
  assert.deepEqual(
    answers.map(({ status }) => status),
    answers.map(() => 201),
  );
  assert.equal((await bothWorkers()).length, WORKERS);
}

/** Those that were not served, but for renditions that a slow machine had no time for within their wait. */
function failures(answers: readonly Answer[]): Answer[] {
  return answers.filter(
    ({ status, body }) => status !== 200 && status !== 201 && !(status === 503 && body.includes(OVERLOADED)),
  );
}

async function assertAlive(): Promise<void> {
  assert.equal(server.exitStatus(), undefined);
  assert.equal((await server.request('GET', '/livez')).status, 200);
}

describe('workers', () => {
  for (const signal of ['SIGSEGV', 'SIGKILL', 'SIGABRT'] as const) {
    test(`that die of ${signal} under 20 requests at once cost none of them: each is tried once more`, async () => {
      const before = await bothWorkers();
      const requests = mixed(20);
      // Nineteen are left, so both are at work.
      await Promise.race(requests);
      for (const pid of before) process.kill(pid, signal);
      const answers = await Promise.all(requests);
      assert.deepEqual(failures(answers), []);
      await until(() => before.every((pid) => stateOf(pid) === undefined));
      await assertAlive();
    });
  }

  test('that die again and again cost at most the requests that they held, and those are told when to come back', async () => {
    await bothWorkers();
    const killed = new Set<number>();
    // With each answer the worker that has lived longest, which has the next task by then, until eight are gone.
    const killOldest = () => {
      const pid = server.workerPids().find((pid) => !killed.has(pid));
      if (killed.size === 8 || pid === undefined) return;
      process.kill(pid, 'SIGKILL');
      killed.add(pid);
    };
    const answers = await Promise.all(
      mixed(20).map(async (request) => {
        const answer = await request;
        killOldest();
        return answer;
      }),
    );
    assert.ok(killed.size > 2, `${killed.size} killed`);
    const failed = failures(answers);
    for (const answer of failed) assertUnavailable(answer);
    // One task is lost for two workers.
    assert.ok(failed.length <= killed.size / 2, `${failed.length} failed of ${killed.size} workers killed`);
    await assertAlive();
    await assertWhole();
  });

  test('that hang are killed at the deadline; others are served or told to come back, and the server never waits', async () => {
    const warm = `${links[0]}?size=400x400`;
    const known = await server.request('GET', warm);
    assert.equal(known.status, 200);
    const workers = await bothWorkers();
    // Long enough to be caught in the middle, on any machine, though the upload's few bytes do not show it.
    const held = server.upload(pictures.blackPng(9_000, 5_000));
    const [first] = await stopBusy(workers);
    const rendering = server.request('GET', `${links[1]}?size=2048x2048&format=avif&quality=100`);
    await stopBusy(workers.filter((pid) => pid !== first));

    assertUnavailable(await render());
    await assertAlive();
    assert.equal((await server.request('GET', warm)).status, 200);
    const etag = String(known.headers.etag);
    const again = await server.request('GET', warm, { headers: { 'if-none-match': etag } });
    assert.equal(again.status, 304);

    const refused = await held;
    assert.equal(refused.status, 422, refused.body.toString());
    assert.match(refused.body.toString(), /takes longer than 15 s to decode/);
    assertUnavailable(await rendering);
    await until(() => workers.every((pid) => stateOf(pid) === undefined));
    await assertWhole();
    await assertAlive();
  });

  test('that die while they have nothing to do are not missed', async () => {
    const pids = await bothWorkers();
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    // Until the server knows of it: a request that meets two dead workers is told so.
    await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    numbers += 1;
    assert.equal((await server.upload(await picture(numbers))).status, 201);
    await assertAlive();
  });

  test('leave nothing behind of what they held', async () => {
    // Each of the log's words about a worker is a warning; nothing was the server's own mistake.
    const own = server.warnings.filter(
      ({ level, msg, outcome }) =>
        level !== 'warn' && !(level === 'error' && msg === 'request failed') && outcome === undefined,
    );
    assert.deepEqual(own, []);
  });
});

describe('workers that swell', () => {
  /** Twice what a worker holds for an ordinary picture, and half of what it takes for these. */
  const MEMORY_LIMIT = 200 * 1024 * 1024;

  let narrow: HostileServer;
  let warm: string;
  let animation: string;
  before(async () => {
    const env = { VITRINE_RENDER_CONCURRENCY: String(WORKERS) };
    narrow = await startProcess(env, { memoryLimitBytes: MEMORY_LIMIT });
    warm = linkOf(await narrow.upload(await pictures.jpeg()));
    // Its frames are looked at one by one when it comes, and held all at once when they are to move.
    animation = linkOf(await narrow.upload(await plainAnimation(60, 1_000)));
  });
  after(() => narrow.close());

  const ends = () => narrow.warnings.flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome.kind]));

  /** Has others served for as long as it lasts, and until the worker that it takes is gone. */
  async function beside(swelling: Promise<Answer>): Promise<Answer> {
    const before = new Set(narrow.workerPids());
    let answered = false;
    void swelling.finally(() => {
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
    return swelling;
  }

  test('beyond their limit with an upload end with a 422, tried only once; others are served meanwhile', async () => {
    const refused = await beside(narrow.upload(await plainWebp(6_000, 6_000)));
    assert.equal(refused.status, 422, refused.body.toString());
    assert.match(refused.body.toString(), /takes too much memory to decode/);
    assert.deepEqual(ends(), ['memory']);
  });

  test('beyond it with a rendition end with a 503, tried only once; others are served meanwhile', async () => {
    const failed = await beside(narrow.request('GET', `${animation}?size=1000x1000&format=webp`));
    assert.match(failed.body.toString(), /too much memory/);
    assertUnavailable(failed);
    assert.deepEqual(ends(), ['memory', 'memory']);
  });

  test('are replaced, and what they choked on can be had in another way', async () => {
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
