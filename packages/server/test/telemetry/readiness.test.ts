import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Check, Readiness } from '../../src/telemetry/readiness.ts';

test('a dependency is checked once for 100 concurrent reports, and again when the result is a second old', async () => {
  let now = 0;
  let checkCount = 0;
  const readiness = new Readiness({
    checks: {
      database: async () => {
        checkCount += 1;
      },
    },
    now: () => now,
  });
  await Promise.all(Array.from({ length: 100 }, () => readiness.report()));
  now = 999;
  await readiness.report();
  assert.equal(checkCount, 1);
  now = 1_000;
  await readiness.report();
  assert.equal(checkCount, 2);
});

test('a failed check affects no other dependency, and is logged with its dependency and reason', async () => {
  const lines: unknown[] = [];
  const checks: Record<string, Check> = {
    healthy: async () => undefined,
    later: async () => Promise.reject(new Error('refused')),
    synchronous: () => {
      throw new Error('no socket');
    },
  };
  const readiness = new Readiness({
    checks,
    reads: ['healthy'],
    log: { warn: ({ err, dependency }) => lines.push([dependency, (err as Error).message]) },
    now: () => 0,
  });
  assert.deepEqual(await readiness.report(), {
    status: 'failed',
    reads: 'ok',
    writes: 'failed',
    dependencies: {
      healthy: { status: 'ok', latencyMs: 0 },
      later: { status: 'failed', latencyMs: 0 },
      synchronous: { status: 'failed', latencyMs: 0 },
    },
  });
  assert.deepEqual(lines.toSorted(), [
    ['later', 'refused'],
    ['synchronous', 'no socket'],
  ]);
});

test('a hanging check fails and is cancelled at its deadline, and is not repeated before it ends', async () => {
  let now = 0;
  let checkCount = 0;
  let checkSignal: AbortSignal | undefined;
  const { promise: hanging, resolve: finish } = Promise.withResolvers<void>();
  const readiness = new Readiness({
    checks: {
      blobs: (signal) => {
        checkCount += 1;
        checkSignal = signal;
        return checkCount === 1 ? hanging : Promise.resolve();
      },
    },
    deadlineMs: 1,
    now: () => now,
  });
  assert.equal((await readiness.report()).status, 'failed');
  assert.equal(checkSignal?.aborted, true);
  now = 60_000;
  assert.equal((await readiness.report()).status, 'failed');
  assert.equal(checkCount, 1, 'checks do not pile up');
  finish();
  await hanging;
  await Promise.resolve();
  assert.equal((await readiness.report()).status, 'ok');
});

test('a stopping server is not ready, even if its dependencies are ok', async () => {
  const readiness = new Readiness({ checks: { database: async () => undefined } });
  readiness.stop();
  const report = await readiness.report();
  assert.equal(report.status, 'stopping');
  assert.equal(report.dependencies.database?.status, 'ok');
});

test('readiness for reads waits only for what reads need', async () => {
  let isDiskOk = true;
  const { promise: hanging, resolve: finish } = Promise.withResolvers<void>();
  let now = 0;
  const readiness = new Readiness({
    checks: {
      database: () => hanging,
      disk: async () => {
        if (!isDiskOk) throw new Error('gone');
      },
    },
    reads: ['disk'],
    // Longer than the test may take: a report that waits for the database never comes.
    deadlineMs: 3_600_000,
    now: () => now,
  });
  const ok = { status: 'ok', latencyMs: 0 };
  assert.equal(readiness.wasReady('reads'), true, 'before the first probe');
  assert.deepEqual(await readiness.report('reads'), { status: 'ok', dependencies: { disk: ok } });
  isDiskOk = false;
  now = 1_000;
  assert.equal((await readiness.report('reads')).status, 'failed');
  assert.equal(readiness.wasReady('reads'), false);
  isDiskOk = true;
  now = 2_000;
  assert.equal((await readiness.report('reads')).status, 'ok');
  assert.equal(readiness.wasReady('reads'), true);
  finish();
  assert.deepEqual(await readiness.report('writes'), {
    status: 'ok',
    dependencies: { database: ok, disk: ok },
  });
  readiness.stop();
  assert.equal((await readiness.report('reads')).status, 'stopping');
  assert.equal((await readiness.report('writes')).status, 'stopping');
  assert.deepEqual([readiness.wasReady('reads'), readiness.wasReady('writes')], [false, false]);
});
