import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Check, Readiness } from '../../src/telemetry/readiness.ts';

test('however many ask, a dependency is tried once, and once more when its answer has aged', async () => {
  let now = 0;
  let tries = 0;
  const readiness = new Readiness({
    checks: {
      database: async () => {
        tries += 1;
      },
    },
    now: () => now,
  });
  await Promise.all(Array.from({ length: 100 }, () => readiness.report()));
  now = 999;
  await readiness.report();
  assert.equal(tries, 1);
  now = 1_000;
  await readiness.report();
  assert.equal(tries, 2);
});

test('one that fails, at once or later, fails alone, and is logged with its reason under its name', async () => {
  const lines: unknown[] = [];
  const checks: Record<string, Check> = {
    well: async () => undefined,
    later: async () => Promise.reject(new Error('refused')),
    atOnce: () => {
      throw new Error('no socket');
    },
  };
  const readiness = new Readiness({
    checks,
    log: { warn: ({ err, dependency }) => lines.push([dependency, (err as Error).message]) },
    now: () => 0,
  });
  assert.deepEqual(await readiness.report(), {
    status: 'failed',
    dependencies: {
      well: { status: 'ok', latencyMs: 0 },
      later: { status: 'failed', latencyMs: 0 },
      atOnce: { status: 'failed', latencyMs: 0 },
    },
  });
  assert.deepEqual(lines.toSorted(), [
    ['atOnce', 'no socket'],
    ['later', 'refused'],
  ]);
});

test('one that hangs fails at its deadline, is told to stop, and is not tried again before it has ended', async () => {
  let now = 0;
  let tries = 0;
  let told: AbortSignal | undefined;
  const { promise: hanging, resolve: wake } = Promise.withResolvers<void>();
  const readiness = new Readiness({
    checks: {
      blobs: (signal) => {
        tries += 1;
        told = signal;
        return tries === 1 ? hanging : Promise.resolve();
      },
    },
    deadlineMs: 1,
    now: () => now,
  });
  assert.equal((await readiness.report()).status, 'failed');
  assert.equal(told?.aborted, true);
  now = 60_000;
  assert.equal((await readiness.report()).status, 'failed');
  assert.equal(tries, 1, 'nothing is piled up');
  wake();
  await hanging;
  await Promise.resolve();
  assert.equal((await readiness.report()).status, 'ok');
});

test('a server that stops is not ready, however well its dependencies are', async () => {
  const readiness = new Readiness({ checks: { database: async () => undefined } });
  readiness.stop();
  const report = await readiness.report();
  assert.equal(report.status, 'stopping');
  assert.equal(report.dependencies.database?.status, 'ok');
});
