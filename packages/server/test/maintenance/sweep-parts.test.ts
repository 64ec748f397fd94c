import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SweepPosition } from '../../src/maintenance/records.ts';
import { defaultShare, partDigits, partsOf, roundsAt } from '../../src/maintenance/sweep-parts.ts';

/** The parts of one run. */
function partsFrom(from: SweepPosition, share: number, digits: number): string[] {
  const partAt = partsOf(from, share, digits);
  const starts: string[] = [];
  for (let part = partAt(from); part !== undefined; part = partAt(part.next)) starts.push(part.start);
  return starts;
}

describe('the parts of a sweep', () => {
  test('are the whole store up to 10 000 images, and then at most 10 000 images each', () => {
    const digits = [0, 1, 10_000, 10_001, 160_000, 160_001, 1e6, 1e9, 1e12].map(partDigits);
    assert.deepEqual(digits, [0, 0, 0, 1, 1, 2, 2, 5, 6]);
  });

  test('are by default all up to 100 000 images, then as many images, and at least 1/30', () => {
    assert.deepEqual([0, 300, 100_000, 200_000, 1e6].map(defaultShare), [1, 1, 1, 0.5, 0.1]);
    assert.deepEqual([1e7, 1e9].map(defaultShare), [1 / 30, 1 / 30]);
  });

  test('are all digests once, from any position', () => {
    for (const passed of ['', '8', '80', 'ff', '7f3a']) {
      for (const digits of [0, 1, 2, 3]) {
        const parts = partsFrom({ round: 7, passed }, 1, digits);
        assert.equal(new Set(parts).size, 16 ** digits, `${passed} ${digits}`);
      }
    }
  });

  test('continue after the last digest with the first one, in the next round', () => {
    assert.deepEqual(partsFrom({ round: 0, passed: 'e' }, 0.25, 1), ['e', 'f', '0', '1']);
    const partAt = partsOf({ round: 0, passed: 'f' }, 1, 1);
    assert.deepEqual(partAt({ round: 0, passed: 'f' }), { start: 'f', next: { round: 1, passed: '' } });
    assert.equal(roundsAt({ round: 3, passed: '8' }), 3.5);
  });

  test('are none for no share, and one for the smallest', () => {
    assert.deepEqual(partsFrom({ round: 0, passed: '40' }, 0, 2), []);
    assert.deepEqual(partsFrom({ round: 0, passed: '40' }, 1e-9, 2), ['40']);
  });

  test('cover a large store in 30 runs by default', () => {
    let position: SweepPosition = { round: 0, passed: '' };
    for (let run = 0; run < 30; run += 1) {
      const partAt = partsOf(position, defaultShare(1e7), partDigits(1e7));
      for (let part = partAt(position); part !== undefined; part = partAt(position)) position = part.next;
    }
    assert.ok(roundsAt(position) >= 1);
  });
});
