import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FairQueue, type Slot } from '../../src/concurrency/fair-queue.ts';
import { MAX_SEARCHES_PER_ACCOUNT, SearchLimiter } from '../../src/database/search-limiter.ts';

const UNAVAILABLE = { name: 'AppError', code: 'unavailable', retryAfter: 1 };
const CANCELLED = { name: 'AppError', code: 'cancelled' };

describe('a fair queue', () => {
  test('grants slots in the order of requests, and in rotation between the keys that wait', () => {
    const queue = new FairQueue({ slots: 1 });
    const order: string[] = [];
    const slots: Slot[] = [];
    for (const name of ['a1', 'a2', 'a3', 'b1', 'a4', 'c1', 'b2']) {
      slots.push(queue.request(() => order.push(name), name.charAt(0)));
    }
    assert.deepEqual(order, ['a1']);
    const [a1, a2, a3, b1, a4, c1, b2] = slots;
    for (const slot of [a1, a2, b1, c1, a3, b2, a4]) slot?.release();
    assert.deepEqual(order, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
    assert.equal(queue.isIdle, true);
  });

  test('grants at most the given number of slots, and releases each slot once', () => {
    const queue = new FairQueue({ slots: 2 });
    let granted = 0;
    const [first, ...others] = Array.from({ length: 5 }, () => queue.request(() => (granted += 1)));
    assert.equal(granted, 2);
    first?.release();
    first?.release();
    assert.equal(granted, 3);
    for (const slot of others) slot.release();
    assert.equal(queue.isIdle, true);
  });

  test('rejects requests when it is full, and drops requests that are cancelled or time out', async () => {
    const queue = new FairQueue({ slots: 1, maxWaiting: 2 });
    const first = queue.request(() => undefined);
    const second = queue.request(() => assert.fail('the request was cancelled'));
    const controller = new AbortController();
    const third = queue.acquire({ signal: controller.signal });
    assert.throws(() => queue.request(() => undefined), UNAVAILABLE);
    second.release();
    controller.abort();
    await assert.rejects(third, CANCELLED);
    await assert.rejects(queue.acquire({ signal: controller.signal }), CANCELLED);
    await assert.rejects(queue.acquire({ timeout: 1 }), UNAVAILABLE);
    const fourth = queue.acquire();
    let isIdle = false;
    const idle = queue.whenIdle().then(() => {
      isIdle = true;
    });
    first.release();
    const slot = await fourth;
    assert.equal(isIdle, false);
    slot.release();
    await idle;
  });
});

describe('a search limiter', () => {
  test('rejects searches above the limit of an account, and lets other accounts search in between', async () => {
    const searches = new SearchLimiter({ slots: 1, timeout: 60_000 });
    const order: string[] = [];
    const search = (name: string) => searches.run(name, undefined, async () => order.push(name));
    const { promise: blocked, resolve: unblock } = Promise.withResolvers<void>();
    const first = searches.run('one', undefined, () => blocked);
    const many = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT - 1 }, () => search('one'));
    const rejection = { name: 'AppError', code: 'rate-limited', retryAfter: 1, rejection: 'account-share' };
    await assert.rejects(search('one'), rejection);
    const other = search('other');
    unblock();
    await Promise.all([first, other, ...many]);
    assert.deepEqual(order.slice(0, 3), ['one', 'other', 'one']);
    await search('one');
  });

  test('frees the slot of a failed or cancelled search', async () => {
    const searches = new SearchLimiter({ slots: 1, timeout: 60_000 });
    const { promise: blocked, resolve: unblock } = Promise.withResolvers<void>();
    const first = searches.run('one', undefined, () => blocked);
    const controller = new AbortController();
    const waiting = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT - 1 }, () =>
      searches.run('one', controller.signal, async () => assert.fail('the search was cancelled')),
    );
    controller.abort();
    for (const search of waiting) await assert.rejects(search, CANCELLED);
    const failing = searches.run('one', undefined, () => Promise.reject(new Error('broken')));
    const last = searches.run('one', undefined, async () => 'done');
    unblock();
    await first;
    await assert.rejects(failing, /broken/);
    assert.equal(await last, 'done');
  });
});
