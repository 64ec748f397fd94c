import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { forEachConcurrently } from '../../src/concurrency/for-each-concurrently.ts';

async function* asynchronous<T>(items: Iterable<T>, onEnd?: () => void): AsyncGenerator<T> {
  try {
    yield* items;
  } finally {
    onEnd?.();
  }
}

describe('work on many items', () => {
  for (const [kind, from] of [
    ['a list', (items: number[]) => items],
    ['a listing', (items: number[]) => asynchronous(items)],
  ] as const) {
    test(`of ${kind} starts in order, with at most the limit at the same time`, async () => {
      const started: number[] = [];
      const finish: (() => void)[] = [];
      const done = forEachConcurrently(from([1, 2, 3, 4, 5]), 2, (item) => {
        started.push(item);
        return new Promise<void>((resolve) => finish.push(resolve));
      });
      for (let count = 1; count <= 5; count += 1) {
        while (finish.length === 0) await new Promise(setImmediate);
        assert.ok(started.length <= count + 1);
        finish.shift()?.();
      }
      await done;
      assert.deepEqual(started, [1, 2, 3, 4, 5]);
    });

    test(`of ${kind} ends with the first failure, after all running work`, async () => {
      const slow = Promise.withResolvers<void>();
      const ended: number[] = [];
      let isOver = false;
      const done = forEachConcurrently(from([1, 2, 3, 4]), 2, async (item) => {
        if (item === 2) throw new Error('the second');
        await slow.promise;
        ended.push(item);
        throw new Error('the first, later');
      }).finally(() => {
        isOver = true;
      });
      done.catch(() => undefined);
      await new Promise(setImmediate);
      assert.equal(isOver, false);
      slow.resolve();
      await assert.rejects(done, { message: 'the second' });
      assert.deepEqual(ended, [1]);
    });
  }

  test('closes a listing that it does not read to its end, and throws the error of one that fails', async () => {
    let isClosed = false;
    const close = () => {
      isClosed = true;
    };
    const fail = async () => {
      throw new Error('no');
    };
    await assert.rejects(forEachConcurrently(asynchronous([1, 2], close), 1, fail), { message: 'no' });
    assert.equal(isClosed, true);
    const broken = async function* () {
      yield 1;
      throw new Error('the listing ends early');
    };
    const seen: number[] = [];
    const work = async (item: number) => {
      seen.push(item);
    };
    await assert.rejects(forEachConcurrently(broken(), 3, work), { message: 'the listing ends early' });
    assert.deepEqual(seen, [1]);
  });
});
