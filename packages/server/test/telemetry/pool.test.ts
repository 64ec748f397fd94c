/**
 * The metrics of the worker pool, and its readiness check.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Plan } from '../../src/imaging/plan.ts';
import { createPool, type Pool, type PoolOptions } from '../../src/imaging/pool/pool.ts';
import { openTelemetry } from '../../src/telemetry/observer.ts';
import { type MetricValues, parseMetrics } from '../support/metrics.ts';
import * as pictures from '../support/pictures.ts';
import { until } from '../support/waiting.ts';

const PLAN: Plan = {
  ...{ width: 100, height: 100, fit: 'cover', position: 'center' },
  ...{ format: 'webp', quality: 80, animated: false, flatten: false, content: 'photo' },
};
/** An AVIF of the largest size. On any machine it takes long enough to be interrupted. */
const SLOW: Plan = { ...PLAN, width: 2_048, height: 2_048, format: 'avif', quality: 100 };

let folder: string;
let small: string;
let large: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-pool-metrics-'));
  small = join(folder, 'small');
  large = join(folder, 'large');
  await writeFile(small, await pictures.jpeg());
  await writeFile(large, await pictures.jpeg({ width: 3_000, height: 3_000 }));
});
after(() => rm(folder, { recursive: true }));

async function withPool(
  options: PoolOptions,
  use: (pool: Pool, read: () => Promise<MetricValues>) => Promise<void>,
) {
  const telemetry = await openTelemetry('0.0.0');
  const pool = createPool({
    ...{ size: 1, deadlineMs: 60_000, maxWaitMs: { render: 60_000 }, telemetry },
    ...options,
  });
  try {
    await use(pool, async () => parseMetrics((await telemetry.metrics()).text));
  } finally {
    await pool.close();
  }
}

const workerEnds = (metrics: MetricValues) => metrics.all('vitrine_worker_ends_total');
const expectedEnds = (reason: string, times: number) => [
  `vitrine_worker_ends_total{reason="${reason}"} ${times}`,
];

test('the pool counts each worker that a task ended, once and with its reason', async () => {
  await withPool({ deadlineMs: 100 }, async (pool, read) => {
    await assert.rejects(pool.render(large, SLOW), { code: 'unavailable', rejection: 'worker-deadline' });
    await pool.check();
    assert.deepEqual(workerEnds(await read()), expectedEnds('deadline', 1));
  });
  await withPool({ memoryLimitBytes: 150 * 1024 * 1024 }, async (pool, read) => {
    await assert.rejects(pool.render(large, SLOW), { code: 'unavailable', rejection: 'worker-memory' });
    await pool.check();
    assert.deepEqual(workerEnds(await read()), expectedEnds('memory', 1));
  });
});

test('the pool counts a worker that ended while it was idle, and no worker when the pool closes', async () => {
  await withPool({}, async (pool, read) => {
    await pool.check();
    const [pid = 0] = pool.workerPids();
    process.kill(pid, 'SIGKILL');
    await until(() => pool.workerPids()[0] !== undefined && pool.workerPids()[0] !== pid);
    await pool.check();
    assert.deepEqual(workerEnds(await read()), expectedEnds('crash', 1));
    await pool.close();
    assert.deepEqual(workerEnds(await read()), expectedEnds('crash', 1));
  });
});

test('the pool reports how long each task waited and ran, and the number and cost of waiting tasks', async () => {
  await withPool({}, async (pool, read) => {
    const results = Promise.all([pool.render(small, PLAN), pool.render(small, PLAN)]);
    assert.equal(pool.waiting(), 2);
    assert.ok(pool.waitingCost() > 0);
    const [first, second] = await results;
    assert.ok((first.times?.workMs ?? 0) > 0);
    assert.ok((second.times?.waitMs ?? 0) >= (first.times?.workMs ?? 0));
    assert.equal(pool.waitingCost(), 0);
    assert.equal((await read()).value('vitrine_task_wait_duration_seconds_count', { task: 'render' }), 2);
  });
});

test('the pool gives the reason for rejecting a task', async () => {
  await withPool({ maxWaiting: 1, maxWaitMs: { render: 1 } }, async (pool) => {
    const outcomes = await Promise.allSettled([pool.render(small, PLAN), pool.render(small, PLAN)]);
    const reasons = outcomes.map((outcome) => outcome.status === 'rejected' && outcome.reason.rejection);
    assert.deepEqual(reasons, ['queue-wait', 'queue-full']);
    await pool.close();
    await assert.rejects(pool.render(small, PLAN), { code: 'unavailable', rejection: 'stopping' });
  });
});

test('the pool is ready when a worker is idle, and also when a worker is busy and tasks wait', async () => {
  await withPool({}, async (pool) => {
    await pool.check();
    assert.equal(pool.workerPids().length, 1);
    const slow = pool.render(large, SLOW);
    const waiting = pool.render(small, PLAN);
    slow.catch(() => undefined);
    waiting.catch(() => undefined);
    assert.equal(pool.waiting(), 1);
    await pool.check();
    assert.equal(pool.running(), 1, 'the check did not wait for the task');
  });
});

test('the pool is not ready after it closed, and ends a check that is cancelled', async () => {
  await withPool({}, async (pool) => {
    const controller = new AbortController();
    const checking = pool.check(controller.signal);
    controller.abort();
    await assert.rejects(checking, { code: 'cancelled' });
    await assert.rejects(pool.check(AbortSignal.abort()), { code: 'cancelled' });
    await pool.close();
    await assert.rejects(pool.check(), { code: 'unavailable', rejection: 'stopping' });
  });
});
