import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Turn, Turns } from '../../src/concurrency/fair-queue.ts';
import { MAX_SEARCHES_PER_ACCOUNT, SearchLimiter } from '../../src/database/search-limiter.ts';

const UNAVAILABLE = { name: 'AppError', code: 'unavailable', retryAfter: 1 };
const CANCELLED = { name: 'AppError', code: 'cancelled' };

describe('turns', () => {
  test('come in the order of asking, but of those who wait each name in its turn', () => {
    const turns = new Turns({ atOnce: 1 });
    const order: string[] = [];
    const asked: Turn[] = [];
    for (const name of ['a1', 'a2', 'a3', 'b1', 'a4', 'c1', 'b2']) {
      asked.push(turns.ask(() => order.push(name), name.charAt(0)));
    }
    assert.deepEqual(order, ['a1']);
    const [a1, a2, a3, b1, a4, c1, b2] = asked;
    for (const turn of [a1, a2, b1, c1, a3, b2, a4]) turn?.end();
    assert.deepEqual(order, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
    assert.equal(turns.free, true);
  });

  test('are had by so many at once, and are over once', () => {
    const turns = new Turns({ atOnce: 2 });
    let begun = 0;
    const [first, ...others] = Array.from({ length: 5 }, () => turns.ask(() => (begun += 1)));
    assert.equal(begun, 2);
    first?.end();
    first?.end();
    assert.equal(begun, 3);
    for (const turn of others) turn.end();
    assert.equal(turns.free, true);
  });

  test('are refused at once when too many wait, and given up by who does', async () => {
    const turns = new Turns({ atOnce: 1, waiting: 2 });
    const first = turns.ask(() => undefined);
    const second = turns.ask(() => assert.fail('it was given up'));
    const control = new AbortController();
    const third = turns.take({ signal: control.signal });
    assert.throws(() => turns.ask(() => undefined), UNAVAILABLE);
    second.end();
    control.abort();
    await assert.rejects(third, CANCELLED);
    await assert.rejects(turns.take({ signal: control.signal }), CANCELLED);
    await assert.rejects(turns.take({ patience: 1 }), UNAVAILABLE);
    const fourth = turns.take();
    let idle = false;
    const ended = turns.idle().then(() => {
      idle = true;
    });
    first.end();
    const turn = await fourth;
    assert.equal(idle, false);
    turn.end();
    await ended;
  });
});

describe('searches', () => {
  test('of one account are refused beyond its share, and those of another are done between them', async () => {
    const searches = new SearchLimiter({ slots: 1, timeout: 60_000 });
    const order: string[] = [];
    const search = (name: string) => searches.run(name, undefined, async () => order.push(name));
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    const first = searches.run('one', undefined, () => held);
    const many = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT - 1 }, () => search('one'));
    const beyond = { name: 'AppError', code: 'rate-limited', retryAfter: 1, rejection: 'account-share' };
    await assert.rejects(search('one'), beyond);
    const other = search('other');
    letGo();
    await Promise.all([first, other, ...many]);
    assert.deepEqual(order.slice(0, 3), ['one', 'other', 'one']);
    await search('one');
  });

  test('that fail, or are given up, leave their place', async () => {
    const searches = new SearchLimiter({ slots: 1, timeout: 60_000 });
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    const first = searches.run('one', undefined, () => held);
    const control = new AbortController();
    const waiting = Array.from({ length: MAX_SEARCHES_PER_ACCOUNT - 1 }, () =>
      searches.run('one', control.signal, async () => assert.fail('nobody waits for it')),
    );
    control.abort();
    for (const each of waiting) await assert.rejects(each, CANCELLED);
    const failing = searches.run('one', undefined, () => Promise.reject(new Error('broken')));
    const last = searches.run('one', undefined, async () => 'done');
    letGo();
    await first;
    await assert.rejects(failing, /broken/);
    assert.equal(await last, 'done');
  });
});
