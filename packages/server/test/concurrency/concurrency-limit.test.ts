import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ConcurrencyLimit, concurrencyLimitError } from '../../src/concurrency/concurrency-limit.ts';

/** Bytes on the heap after a garbage collection. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

describe('a concurrency limit', () => {
  test('applies to each key separately, and lends a released slot again', () => {
    const limit = new ConcurrencyLimit(2);
    const [release, other] = [limit.acquire('a'), limit.acquire('a')];
    assert.ok(release && other);
    assert.equal(limit.acquire('a'), undefined);
    assert.ok(limit.acquire('b'));
    release();
    assert.ok(limit.acquire('a'));
    assert.equal(limit.acquire('a'), undefined);
  });

  test('releases a slot once, even if the function is called twice', () => {
    const limit = new ConcurrencyLimit(1);
    const release = limit.acquire('a');
    release?.();
    assert.ok(limit.acquire('a'));
    release?.();
    assert.equal(limit.acquire('a'), undefined);
  });

  test('keeps no memory for keys that hold no slot', () => {
    const limit = new ConcurrencyLimit(1);
    const before = heapBytes();
    for (let number = 0; number < 200_000; number += 1) limit.acquire(`key ${number}`)?.();
    const growth = heapBytes() - before;
    assert.ok(growth < 2_000_000, `${growth} bytes`);
    assert.ok(limit.acquire('key 0'), 'the limit is in use until here, so it is not collected');
  });

  test('has an error that names the limit, its subject and the party', () => {
    for (const party of ['account', 'address'] as const) {
      const { code, message, retryAfter, rejection } = concurrencyLimitError(party, 128, 'uploads');
      assert.deepEqual([code, retryAfter, rejection], ['rate-limited', 1, `${party}-share`]);
      assert.equal(message, `one ${party} may have at most 128 uploads at once`);
    }
  });
});
