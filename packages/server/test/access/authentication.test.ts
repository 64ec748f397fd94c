import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { Access } from '../../src/access/authentication.ts';
import { ensureBootstrapKey } from '../../src/access/bootstrap.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { basic } from '../support/server.ts';

/** The same store, as one that answers nobody about keys until as many have asked. */
function slowly(store: MetadataStore, many: number): MetadataStore {
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let asked = 0;
  const find: MetadataStore['keys']['find'] = async (publicKey) => {
    asked += 1;
    if (asked === many) resolve();
    await all;
    return store.keys.find(publicKey);
  };
  const but = <T extends object>(target: T, changed: string, change: unknown): T =>
    new Proxy(target, {
      get(_, name) {
        if (name === changed) return change;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  return but(store, 'keys', but(store.keys, 'find', find));
}

test('however many guesses wait for the database at once, no more are compared than one after another', async (t) => {
  const store = await openSqlite({ path: ':memory:' });
  t.after(() => store.close());
  await store.migrate();
  await ensureBootstrapKey(store, randomUUID(), { publicKey: 'victim', secretKey: 'secret' }, new Date());
  const many = 250;
  const access = new Access(slowly(store, many));
  // The right one comes last, when the guesses before it have used up what there was.
  const guesses = Array.from({ length: many }, (_, n) =>
    basic('victim', n === many - 1 ? 'secret' : `guess ${n}`),
  );
  const outcomes = await Promise.all(
    guesses.map((guess) =>
      access.authenticate(guess, '192.0.2.1').then(
        () => 'authenticated',
        (error: unknown) => (error as { code: string }).code,
      ),
    ),
  );
  const compared = outcomes.filter((outcome) => outcome === 'unauthenticated').length;
  // One more flows in every five seconds.
  assert.ok(compared >= 100 && compared <= 105, String(compared));
  assert.equal(outcomes.at(-1), 'rate-limited');
  assert.equal((await access.authenticate(guesses.at(-1), '192.0.2.2')).publicKey, 'victim');
});
