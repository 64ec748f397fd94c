import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Budget } from '../../src/concurrency/token-bucket.ts';

/** As many an hour as at once. */
const hourly = (burst: number) => new Budget({ burst, perSecond: burst / 3600 });

const HOUR = 3_600_000;

describe('a budget', () => {
  test('allows its burst at once, then says how long to wait', () => {
    const budget = hourly(3);
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
    const budget = hourly(5);
    for (let n = 0; n < 5; n++) budget.take('a', 0);
    let taken = 0;
    while (budget.take('a', 24 * HOUR) === 0) taken += 1;
    assert.equal(taken, 5);
  });

  test('is each name’s own', () => {
    const budget = hourly(1);
    assert.equal(budget.take('a', 0), 0);
    assert.ok(budget.take('a', 0) > 0);
    assert.equal(budget.take('b', 0), 0);
  });

  test('tells how much is left and when all of it, and takes nothing by that', () => {
    const budget = new Budget({ burst: 4, perSecond: 2 });
    assert.deepEqual(budget.standing('a', 0), { left: 4, fullIn: 0 });
    for (let n = 0; n < 4; n++) assert.equal(budget.wait('a', 0), 0);
    for (let n = 0; n < 3; n++) budget.take('a', 0);
    assert.deepEqual(budget.standing('a', 0), { left: 1, fullIn: 2 });
    assert.deepEqual(budget.standing('a', 500), { left: 2, fullIn: 1 });
    budget.take('a', 0);
    assert.equal(budget.wait('a', 0), 1);
    assert.equal(budget.wait('a', 499), 1);
    assert.equal(budget.wait('a', 500), 0);
  });

  test('remembers a bounded number of names, those that were used last', () => {
    const budget = new Budget({ burst: 1, perSecond: 0.001 });
    budget.take('first', 0);
    budget.take('used again', 0);
    for (let n = 0; n < 99_999; n++) budget.take(`name ${n}`, 0);
    assert.equal(budget.take('first', 0), 0, 'forgotten');
    assert.ok(budget.take('name 99998', 0) > 0);
  });

  test('of 0 is no limit', () => {
    const budget = hourly(0);
    for (let n = 0; n < 1000; n++) assert.equal(budget.take('a', 0), 0);
  });

  test('never gives more than its burst and what flowed in since', () => {
    const steps = fc.array(fc.integer({ min: 0, max: HOUR / 10 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), steps, (burst, pauses) => {
        const budget = hourly(burst);
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
