import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type LoginAttempt, LoginThrottle } from '../../src/access/login-throttle.ts';
import { isAppError } from '../../src/errors.ts';

const SECOND = 1_000;
const HERE = '192.0.2.1';
const ELSEWHERE = '192.0.2.2';

function throttleAt(start = 0) {
  let now = start;
  const throttle = new LoginThrottle(() => now);
  /** Whole seconds to wait; 0 if the attempt is admitted. */
  const wait = (attempt: LoginAttempt): number => {
    try {
      throttle.admit(attempt);
      return 0;
    } catch (error) {
      assert.ok(isAppError(error, 'rate-limited'));
      assert.ok((error.retryAfter ?? 0) >= 1);
      return error.retryAfter ?? 0;
    }
  };
  const fail = (times: number, attemptOf: (time: number) => LoginAttempt) => {
    for (let time = 0; time < times; time += 1) throttle.recordFailure(attemptOf(time));
  };
  return { throttle, wait, fail, pass: (seconds: number) => (now += seconds * SECOND) };
}

describe('the login throttle', () => {
  test('rejects an address with one public key after 100 failures, then admits one attempt in five seconds', () => {
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

  test('admits another address after 100 000 failures with the same public key', () => {
    const { wait, fail } = throttleAt();
    fail(100_000, (time) => ({ address: `198.51.${time & 255}.${(time >> 8) & 255}`, publicKey: 'victim' }));
    assert.equal(wait({ address: HERE, publicKey: 'victim' }), 0);
  });

  test('rejects an address after 300 failures with any public keys, then admits one attempt per second', () => {
    const { wait, fail, pass } = throttleAt();
    fail(299, (time) => ({ address: HERE, publicKey: `guess ${time}` }));
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 0);
    // Unreadable credentials count as well.
    fail(1, () => ({ address: HERE }));
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 1);
    assert.equal(wait({ address: HERE }), 1);
    assert.equal(wait({ address: ELSEWHERE, publicKey: 'another' }), 0);
    pass(1);
    assert.equal(wait({ address: HERE, publicKey: 'another' }), 0);
  });

  test('admits a key that authenticated from an address, in spite of other failures at this address', () => {
    const { throttle, wait, fail } = throttleAt();
    const neighbour = { address: HERE, publicKey: 'neighbour' };
    throttle.recordSuccess(neighbour);
    fail(1_000, (time) => ({ address: HERE, publicKey: `guess ${time}` }));
    assert.ok(wait({ address: HERE, publicKey: 'another' }) > 0);
    assert.equal(wait(neighbour), 0);
    assert.ok(wait({ address: HERE, publicKey: `guess 1` }) > 0);
    // A client that keeps using an old secret is rejected only at its own address.
    fail(1_000, () => neighbour);
    assert.ok(wait(neighbour) > 0);
    assert.equal(wait({ address: ELSEWHERE, publicKey: 'neighbour' }), 0);
  });

  test('rejects known, unknown and missing public keys with the same text', () => {
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
