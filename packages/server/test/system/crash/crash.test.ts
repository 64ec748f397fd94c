/**
 * Crash rounds: ten on SQLite and three on PostgreSQL. Run more by hand with
 * `npm run crash -- --rounds 200 --seed 1`.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startPostgres } from '../../support/postgres.ts';
import { createPostgresLibrary } from './postgres-library.ts';
import { type RoundsReport, runCrashRounds } from './rounds.ts';

const skip = process.platform === 'linux' ? false : 'process groups are read from /proc';
/** Milliseconds. Ten rounds take half a minute, and many times that on a busy machine. */
const TIMEOUT = 900_000;
/** The longest CPU time of the median start, in milliseconds. */
const MAX_START_CPU = 3_000;

const { postgres, skip: noPostgres } = await startPostgres();
after(async () => {
  await postgres?.stop();
});

function checkReport(t: { diagnostic(message: string): void }, report: RoundsReport, rounds: number): void {
  const { problems, startCPU, ...figures } = report;
  t.diagnostic(JSON.stringify(figures));
  assert.deepEqual(problems.slice(0, 10), []);
  assert.equal(report.rounds, rounds);
  assert.ok(report.acknowledged > rounds, 'writes were acknowledged');
  // CPU time instead of wall time, and the median, because the machine may be busy.
  const median = startCPU.toSorted((one, other) => one - other)[startCPU.length >> 1] ?? Infinity;
  assert.ok(median < MAX_START_CPU, `the median start took ${median} ms of CPU time`);
}

describe('a library whose server is killed repeatedly', { skip }, () => {
  test('keeps all acknowledged writes and has no partial ones on SQLite', { timeout: TIMEOUT }, async (t) => {
    checkReport(t, await runCrashRounds({ rounds: 10, seed: 1 }), 10);
  });

  test('keeps all acknowledged writes and has no partial ones on PostgreSQL', {
    timeout: TIMEOUT,
    skip: noPostgres,
  }, async (t) => {
    assert.ok(postgres);
    const report = await runCrashRounds({
      rounds: 3,
      seed: 2,
      postgres: await createPostgresLibrary(postgres),
    });
    checkReport(t, report, 3);
  });
});
