/**
 * How the pool comes back: what those who wait are told while workers end, and how long it takes until it is whole.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isAppError } from '../../../src/errors.ts';
import type { Plan } from '../../../src/imaging/plan.ts';
import { createPool, type Pool, type PoolOptions } from '../../../src/imaging/pool/pool.ts';
import * as pictures from '../../support/pictures.ts';
import { workOf } from '../../support/processes.ts';
import { until } from '../../support/waiting.ts';

/** Takes as long as a task may that any worker is given. */
const LONG: Plan = {
  ...{ width: 400, height: 400, fit: 'cover', position: 'center' },
  ...{ format: 'avif', quality: 80, animated: false, flatten: false },
};

const ROUNDS = 3;

let folder: string;
let small: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-recovery-'));
  small = join(folder, 'small');
  await writeFile(small, await pictures.jpeg());
});
after(() => rm(folder, { recursive: true }));

async function withPool(options: PoolOptions, use: (pool: Pool) => Promise<void>): Promise<void> {
  const pool = createPool({ size: 2, deadlineMs: 60_000, maxWaitMs: { render: 60_000 }, ...options });
  try {
    await use(pool);
  } finally {
    await pool.close();
  }
}

/** Ends workers before they have started, so many of them, as long as somebody waits for one. */
async function endStarting(pool: Pool, count: number): Promise<void> {
  const ended = new Set<number>();
  while (ended.size < count) {
    const living = () => pool.workerPids().find((pid) => !ended.has(pid));
    await until(() => living() !== undefined || pool.waiting() === 0);
    const pid = living();
    if (pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    ended.add(pid);
  }
}

describe('the pool', () => {
  test('lets nobody’s task fail for workers that are killed while they start, however many', async () => {
    const warnings: string[] = [];
    await withPool({ log: { warn: (_, message) => warnings.push(message) } }, async (pool) => {
      const tasks = Promise.all([pool.ingest(small), pool.ingest(small), pool.render(small, LONG)]);
      tasks.catch(() => undefined);
      await endStarting(pool, 8);
      await tasks;
    });
    assert.ok(warnings.length >= 8);
    assert.deepEqual(new Set(warnings), new Set(['an imaging worker was killed before it had started']));
  });

  test('tells those who wait when three in a row did not start in time, and tries anew for the next', async () => {
    const warnings: string[] = [];
    const log = { warn: (_: object, message: string) => warnings.push(message) };
    await withPool({ size: 1, startDeadlineMs: 1, log }, async (pool) => {
      for (const starts of [3, 6]) {
        const waiting = [pool.ingest(small), pool.ingest(small)].map((task) =>
          assert.rejects(task, { code: 'unavailable', rejection: 'no-workers', retryAfter: 1 }),
        );
        await Promise.all(waiting);
        assert.deepEqual(warnings, Array(starts).fill('an imaging worker did not start'));
      }
    });
  });

  test('lets no more work wait than its workers do in two minutes each', async () => {
    await withPool({ size: 1 }, async (pool) => {
      // A second each, by estimate. None runs before the worker has started.
      const waiting = Array.from({ length: 120 }, () => pool.ingest(small, undefined, 16_000_000));
      const told = waiting.map((task) => assert.rejects(task, { rejection: 'stopping' }));
      await assert.rejects(pool.ingest(small, undefined, 16_000_000), { rejection: 'queue-full' });
      await pool.close();
      await Promise.all(told);
    });
  });

  test('is whole again once those that were killed at work are replaced', async (t) => {
    const took: number[] = [];
    const computed: number[] = [];
    await withPool({}, async (pool) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const wanted = new AbortController();
        const work = Array.from({ length: 12 }, () => pool.render(small, LONG, { signal: wanted.signal }));
        await until(() => pool.running() === 2);
        const before = pool.workerPids();
        const began = performance.now();
        for (const pid of before) process.kill(pid, 'SIGKILL');
        await until(() => pool.running() === 2 && !pool.workerPids().some((pid) => before.includes(pid)));
        took.push(performance.now() - began);
        computed.push(...pool.workerPids().map((pid) => workOf(pid) ?? 0));
        wanted.abort();
        const outcomes = await Promise.allSettled(work);
        for (const outcome of outcomes)
          if (outcome.status === 'rejected')
            assert.ok(isAppError(outcome.reason, 'cancelled'), outcome.reason);
      }
    });
    const median = took.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)];
    t.diagnostic(
      `whole again after ${Math.round(median ?? 0)} ms (median of ${ROUNDS}; at most ${Math.round(Math.max(...took))}); ` +
        `a new worker had computed ${Math.min(...computed)} to ${Math.max(...computed)} ms by then`,
    );
  });
});
