/**
 * Six kinds of faults on a whole cluster. Run more by hand: `npm run test:cluster -- --faults 60 --seed 1`.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findTools } from './cluster.ts';
import { runHarness } from './harness.ts';
import { formatReport, formatRound } from './report.ts';

const skip = await findTools();
/** Milliseconds. The run takes two minutes, and many times that on a busy machine. */
const TIMEOUT = 1_200_000;
const KINDS = [
  'node killed',
  'rolling restart',
  'failover',
  'S3 killed',
  'network to PostgreSQL refused',
  'proxy reloaded',
];

test('three nodes lose no acknowledged write and show no stale or truncated picture in six faults', {
  skip,
  timeout: TIMEOUT,
}, async (t) => {
  const report = await runHarness({
    faults: KINDS.length,
    seed: 1,
    kinds: KINDS,
    onRound: (round) => t.diagnostic(formatRound(round)),
  });
  t.diagnostic(formatReport(report));
  assert.deepEqual(report.problems.slice(0, 10), []);
  const seen = new Set(report.rounds.flatMap(({ kinds }) => kinds));
  assert.deepEqual([...seen].sort(), KINDS.toSorted());
  assert.ok(report.acknowledged > 100, 'writes were acknowledged');
  assert.ok(report.reads.pictures > 50, 'pictures were decoded');
  assert.ok(report.refused > 0, 'the quota was reached');
});
