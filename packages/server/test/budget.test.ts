import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Budget } from '../src/budget.ts';

const HOUR = 3_600_000;

describe('a budget', () => {
  test('allows its burst at once, then says how long to wait', () => {
    const budget = new Budget(3);
    assert.deepEqual(
      [1, 2, 3].map(() => budget.take('a', 0)),
      [0, 0, 0],
    );
    assert.equal(budget.take('a', 0), 1200);
    assert.equal(budget.take('a', HOUR / 3 - 1000), 1);
    assert.equal(budget.take('a', HOUR / 3), 0);
    assert.ok(budget.take('a', HOUR / 3) > 0);
  });

  test('is full again after an hour, and no fuller after a day', () => {
    const budget = new Budget(5);
    for (let n = 0; n < 5; n++) budget.take('a', 0);
    let taken = 0;
    while (budget.take('a', 24 * HOUR) === 0) taken += 1;
    assert.equal(taken, 5);
  });

  test('is each name’s own', () => {
    const budget = new Budget(1);
    assert.equal(budget.take('a', 0), 0);
    assert.ok(budget.take('a', 0) > 0);
    assert.equal(budget.take('b', 0), 0);
  });

  test('of 0 is no limit', () => {
    const budget = new Budget(0);
    for (let n = 0; n < 1000; n++) assert.equal(budget.take('a', 0), 0);
  });

  test('never gives more than its burst and what flowed in since', () => {
    const steps = fc.array(fc.integer({ min: 0, max: HOUR / 10 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), steps, (burst, pauses) => {
        const budget = new Budget(burst);
        let now = 0;
        let taken = 0;
        for (const pause of pauses) {
          now += pause;
          if (budget.take('a', now) === 0) taken += 1;
        }
        assert.ok(taken <= burst + (now / HOUR) * burst + 1e-6);
      }),
    );
  });
});
