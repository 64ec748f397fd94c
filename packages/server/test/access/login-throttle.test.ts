import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Attempt, FailureThrottle } from '../../src/access/login-throttle.ts';
import { isAppError } from '../../src/errors.ts';

const SECOND = 1_000;
const HERE = '192.0.2.1';
const ELSEWHERE = '192.0.2.2';

function throttleAt(start = 0) {
  let now = start;
  const throttle = new FailureThrottle(() => now);
  /** Whole seconds to wait; 0 if the attempt is admitted. */
  const wait = (attempt: Attempt): number => {
    try {
      throttle.admit(attempt);
      return 0;
    } catch (error) {
      assert.ok(isAppError(error, 'rate-limited'));
      assert.ok((error.retryAfter ?? 0) >= 1);
      return error.retryAfter ?? 0;
    }
  };
  const fail = (times: number, attemptOf: (time: number) => Attempt) => {
    for (let time = 0; time < times; time += 1) throttle.failed(attemptOf(time));
  };
  return { throttle, wait, fail, pass: (seconds: number) => (now += seconds * SECOND) };
}

describe('the throttle of failed authentication', () => {
  test('turns an address away from a public key after a hundred failures, then lets one in every five seconds', () => {
    const { wait, fail, pass } = throttleAt();
    const attempt = { address: HERE, publicKey: 'victim' };
    fail(99, () => attempt);
    assert.equal(wait(attempt), 0);
    fail(1, () => attempt);
    assert.equal(wait(attempt), 5);
    pass(4);
    assert.equal(wait(attempt), 1);
    pass(1);
    assert.equal(wait(attempt), 0);
    fail(1, () => attempt);
    assert.equal(wait(attempt), 5);
  });

  test('never turns away another address, however many fail with the same public key', () => {
    const { wait, fail } = throttleAt();
    fail(100_000, (time) => ({ address: `198.51.${time & 255}.${(time >> 8) & 255}`, publicKey: 'victim' }));
    assert.equal(wait({ address: HERE, publicKey: 'victim' }), 0);
  });

  test('turns an address away that fails three hundred times with whatever it tries, then one a second', () => {
    const { wait, fail, pass } = throttleAt();
    fail(299, (time) => ({ address: HERE, publicKey: `guess ${time}` }));
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 0);
    // Credentials that cannot be read count as well.
    fail(1, () => ({ address: HERE }));
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 1);
    assert.equal(wait({ address: HERE }), 1);
    assert.equal(wait({ address: ELSEWHERE, publicKey: 'another' }), 0);
    pass(1);
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 0);
  });

  test('does not hold up who has authenticated from the address for what others fail to do there', () => {
    const { throttle, wait, fail } = throttleAt();
    const neighbour = { address: HERE, publicKey: 'neighbour' };
    throttle.succeeded(neighbour);
    fail(1_000, (time) => ({ address: HERE, publicKey: `guess ${time}` }));
    assert.ok(wait({ address: HERE, publicKey: 'another' }) > 0);
    assert.equal(wait(neighbour), 0);
    assert.ok(wait({ address: HERE, publicKey: `guess 1` }) > 0);
    // Nor the other way round: a client that goes on with an old secret turns nobody away but itself.
    fail(1_000, () => neighbour);
    assert.ok(wait(neighbour) > 0);
    assert.equal(wait({ address: ELSEWHERE, publicKey: 'neighbour' }), 0);
  });

  test('says the same whatever it knows of the public key', () => {
    const { throttle, fail } = throttleAt();
    fail(1_000, () => ({ address: HERE, publicKey: 'known' }));
    const texts = ['known', 'unknown', undefined].map((publicKey) => {
      try {
        throttle.admit({ address: HERE, publicKey });
        return 'admitted';
      } catch (error) {
        return String(error);
      }
    });
    assert.equal(new Set(texts).size, 1, texts.join());
  });
});
