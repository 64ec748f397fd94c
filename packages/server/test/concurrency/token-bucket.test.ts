import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from '../../src/concurrency/token-bucket.ts';

/** A bucket that fills up in one hour. */
const createHourlyBucket = (burst: number) => new TokenBucket({ burst, perSecond: burst / 3600 });

const HOUR = 3_600_000;

describe('a token bucket', () => {
  test('allows its burst at once, then returns the seconds to wait', () => {
    const bucket = createHourlyBucket(3);
    assert.deepEqual(
      [1, 2, 3].map(() => bucket.take('a', 0)),
      [0, 0, 0],
    );
    assert.equal(bucket.take('a', 0), 1200);
    assert.equal(bucket.take('a', HOUR / 3 - 1000), 1);
    assert.equal(bucket.take('a', HOUR / 3), 0);
    assert.ok(bucket.take('a', HOUR / 3) > 0);
  });

  test('is full after an hour, and has no more tokens after a day', () => {
    const bucket = createHourlyBucket(5);
    for (let n = 0; n < 5; n++) bucket.take('a', 0);
    let taken = 0;
    while (bucket.take('a', 24 * HOUR) === 0) taken += 1;
    assert.equal(taken, 5);
  });

  test('is separate for each name', () => {
    const bucket = createHourlyBucket(1);
    assert.equal(bucket.take('a', 0), 0);
    assert.ok(bucket.take('a', 0) > 0);
    assert.equal(bucket.take('b', 0), 0);
  });

  test('reports the tokens left and the seconds until it is full, without taking a token', () => {
    const bucket = new TokenBucket({ burst: 4, perSecond: 2 });
    assert.deepEqual(bucket.status('a', 0), { left: 4, fullIn: 0 });
    for (let n = 0; n < 4; n++) assert.equal(bucket.secondsUntilToken('a', 0), 0);
    for (let n = 0; n < 3; n++) bucket.take('a', 0);
    assert.deepEqual(bucket.status('a', 0), { left: 1, fullIn: 2 });
    assert.deepEqual(bucket.status('a', 500), { left: 2, fullIn: 1 });
    bucket.take('a', 0);
    assert.equal(bucket.secondsUntilToken('a', 0), 1);
    assert.equal(bucket.secondsUntilToken('a', 499), 1);
    assert.equal(bucket.secondsUntilToken('a', 500), 0);
  });

  test('stores a bounded number of names, and evicts the least recently used', () => {
    const bucket = new TokenBucket({ burst: 1, perSecond: 0.001 });
    bucket.take('first', 0);
    bucket.take('used again', 0);
    for (let n = 0; n < 99_999; n++) bucket.take(`name ${n}`, 0);
    assert.equal(bucket.take('first', 0), 0, 'it was evicted');
    assert.ok(bucket.take('name 99998', 0) > 0);
  });

  test('sets no limit with a burst of 0', () => {
    const bucket = createHourlyBucket(0);
    for (let n = 0; n < 1000; n++) assert.equal(bucket.take('a', 0), 0);
  });

  test('never gives more than its burst and the tokens that flowed in since', () => {
    const steps = fc.array(fc.integer({ min: 0, max: HOUR / 10 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), steps, (burst, pauses) => {
        const bucket = createHourlyBucket(burst);
        let now = 0;
        let taken = 0;
        for (const pause of pauses) {
          now += pause;
          if (bucket.take('a', now) === 0) taken += 1;
        }
        assert.ok(taken <= burst + (now / HOUR) * burst + 1e-6);
      }),
    );
  });
});
