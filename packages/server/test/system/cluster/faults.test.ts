import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../crash/random.ts';
import { FAULTS, type Fault, scheduleFaults } from './faults.ts';

function listRounds(seed: number, count: number): Fault[][] {
  const schedule = scheduleFaults(createRandom(seed));
  return Array.from({ length: count }, () => schedule.next().value ?? []);
}

test('every kind of fault comes once before any kind comes again, also in pairs', () => {
  const kinds = listRounds(3, 60).flatMap((round) => round.map(({ kind }) => kind));
  const all = FAULTS.map(({ kind }) => kind).sort();
  for (let from = 0; from + all.length <= kinds.length; from += all.length) {
    assert.deepEqual(kinds.slice(from, from + all.length).sort(), all);
  }
});

test('two faults at the same time harm different parts, and a seed repeats its schedule', () => {
  const rounds = listRounds(5, 60);
  const pairs = rounds.filter(({ length }) => length > 1);
  assert.ok(pairs.length > 5 && pairs.length < 30, `${pairs.length} pairs`);
  for (const [first, second] of pairs) assert.notEqual(first?.part, second?.part);
  assert.deepEqual(listRounds(5, 60), rounds);
  assert.notDeepEqual(listRounds(6, 60), rounds);
});
