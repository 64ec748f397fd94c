/**
 * Ten rounds of `kill -9` in the middle of writing, on SQLite, and some on PostgreSQL. By hand, for many more rounds:
 * `npm run crash -- --rounds 200 --seed 1`.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startPostgres } from '../../support/postgres.ts';
import { postgresLibrary } from './postgres-library.ts';
import { crashRounds, type RoundsReport } from './rounds.ts';

const skip = process.platform === 'linux' ? false : 'process groups are looked up in /proc';
/** Ten rounds take half a minute, and many times that on a machine that does other things. */
const TIMEOUT = 900_000;

const { postgres, skip: absent } = await startPostgres();
after(async () => {
  await postgres?.stop();
});

function hold(t: { diagnostic(message: string): void }, report: RoundsReport, rounds: number): void {
  const { complaints, startCPU, ...figures } = report;
  t.diagnostic(JSON.stringify(figures));
  assert.deepEqual(complaints.slice(0, 10), []);
  assert.equal(report.rounds, rounds);
  assert.ok(report.acknowledged > rounds, 'something was acknowledged');
  // A busy machine does not stretch what is computed as it stretches time, and seldom half of all starts.
  const median = startCPU.toSorted((one, other) => one - other)[startCPU.length >> 1] ?? Infinity;
  assert.ok(median < 3_000, `a start computed ${median} ms`);
}

describe('a server killed with everything it started, at any moment, again and again', { skip }, () => {
  test('has all that it acknowledged, whole, and nothing half-written', { timeout: TIMEOUT }, async (t) => {
    hold(t, await crashRounds({ rounds: 10, seed: 1 }), 10);
  });

  test('the same with its records in PostgreSQL', { timeout: TIMEOUT, skip: absent }, async (t) => {
    assert.ok(postgres);
    hold(t, await crashRounds({ rounds: 3, seed: 2, postgres: await postgresLibrary(postgres) }), 3);
  });
});
