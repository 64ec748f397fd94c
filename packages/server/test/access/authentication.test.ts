import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { Access } from '../../src/access/authentication.ts';
import { ensureBootstrapKey } from '../../src/access/bootstrap.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { basic } from '../support/server.ts';

/** The same store, but lookups of keys return only when `count` of them wait. */
function withHeldLookups(store: MetadataStore, count: number): MetadataStore {
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let waiting = 0;
  const find: MetadataStore['keys']['find'] = async (publicKey) => {
    waiting += 1;
    if (waiting === count) resolve();
    await all;
    return store.keys.find(publicKey);
  };
  const replace = <T extends object>(target: T, property: string, value: unknown): T =>
    new Proxy(target, {
      get(_, name) {
        if (name === property) return value;
        const original: unknown = Reflect.get(target, name);
        return typeof original === 'function' ? original.bind(target) : original;
      },
    });
  return replace(store, 'keys', replace(store.keys, 'find', find));
}

test('compares at most the budget of guesses, also when 250 guesses wait for the database at once', async (t) => {
  const store = await openSqlite({ path: ':memory:' });
  t.after(() => store.close());
  await store.migrate();
  await ensureBootstrapKey(store, randomUUID(), { publicKey: 'victim', secretKey: 'secret' }, new Date());
  const count = 250;
  const access = new Access(withHeldLookups(store, count));
  // The right secret comes last, after the guesses have used up the budget.
  const guesses = Array.from({ length: count }, (_, n) =>
    basic('victim', n === count - 1 ? 'secret' : `guess ${n}`),
  );
  const outcomes = await Promise.all(
    guesses.map((guess) =>
      access.authenticate(guess, '192.0.2.1').then(
        () => 'authenticated',
        (error: unknown) => (error as { code: string }).code,
      ),
    ),
  );
  const comparisons = outcomes.filter((outcome) => outcome === 'unauthenticated').length;
  // The budget gains one every five seconds.
  assert.ok(comparisons >= 100 && comparisons <= 105, String(comparisons));
  assert.equal(outcomes.at(-1), 'rate-limited');
  assert.equal((await access.authenticate(guesses.at(-1), '192.0.2.2')).publicKey, 'victim');
});
