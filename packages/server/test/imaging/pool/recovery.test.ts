/**
 * How the pool recovers when workers end: the results of waiting tasks, and the time until all workers run
 * again.
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
import { cpuTimeOf } from '../../support/processes.ts';
import { until } from '../../support/waiting.ts';

/** As expensive as a task may be that every worker takes. */
const LONG: Plan = {
  ...{ width: 400, height: 400, fit: 'cover', position: 'center' },
  ...{ format: 'avif', quality: 80, animated: false, flatten: false, content: 'photo' },
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

/** Kills this number of workers before they are ready. Stops earlier when no task waits. */
async function killStarting(pool: Pool, count: number): Promise<void> {
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
  test('runs all tasks although 8 workers are killed while they start', async () => {
    const warnings: string[] = [];
    await withPool({ log: { warn: (_, message) => warnings.push(message) } }, async (pool) => {
      const tasks = Promise.all([pool.ingest(small), pool.ingest(small), pool.render(small, LONG)]);
      tasks.catch(() => undefined);
      await killStarting(pool, 8);
      await tasks;
    });
    assert.ok(warnings.length >= 8);
    assert.deepEqual(new Set(warnings), new Set(['imaging worker killed before it was ready']));
  });

  test('rejects waiting tasks after three failed starts in a row, and starts again for the next task', async () => {
    const warnings: string[] = [];
    const log = { warn: (_: object, message: string) => warnings.push(message) };
    await withPool({ size: 1, startDeadlineMs: 1, log }, async (pool) => {
      for (const starts of [3, 6]) {
        const waiting = [pool.ingest(small), pool.ingest(small)].map((task) =>
          assert.rejects(task, { code: 'unavailable', rejection: 'no-workers', retryAfter: 1 }),
        );
        await Promise.all(waiting);
        assert.deepEqual(warnings, Array(starts).fill('imaging worker failed to start'));
      }
    });
  });

  test('rejects tasks when the queue holds two minutes of work for each worker', async () => {
    await withPool({ size: 1 }, async (pool) => {
      // The estimate is one second for each. No task runs before the worker is ready.
      const waiting = Array.from({ length: 120 }, () => pool.ingest(small, undefined, 16_000_000));
      const rejections = waiting.map((task) => assert.rejects(task, { rejection: 'stopping' }));
      await assert.rejects(pool.ingest(small, undefined, 16_000_000), { rejection: 'queue-full' });
      await pool.close();
      await Promise.all(rejections);
    });
  });

  test('replaces workers that were killed while busy', async (t) => {
    const durations: number[] = [];
    const cpuTimes: number[] = [];
    await withPool({}, async (pool) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const controller = new AbortController();
        const work = Array.from({ length: 12 }, () =>
          pool.render(small, LONG, { signal: controller.signal }),
        );
        await until(() => pool.running() === 2);
        const before = pool.workerPids();
        const start = performance.now();
        for (const pid of before) process.kill(pid, 'SIGKILL');
        await until(() => pool.running() === 2 && !pool.workerPids().some((pid) => before.includes(pid)));
        durations.push(performance.now() - start);
        cpuTimes.push(...pool.workerPids().map((pid) => cpuTimeOf(pid) ?? 0));
        controller.abort();
        const outcomes = await Promise.allSettled(work);
        for (const outcome of outcomes)
          if (outcome.status === 'rejected')
            assert.ok(isAppError(outcome.reason, 'cancelled'), outcome.reason);
      }
    });
    const median = durations.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)];
    t.diagnostic(
      `all workers busy again after ${Math.round(median ?? 0)} ms (median of ${ROUNDS}; at most ${Math.round(Math.max(...durations))}); ` +
        `new workers had used ${Math.min(...cpuTimes)} to ${Math.max(...cpuTimes)} ms of CPU time by then`,
    );
  });
});
