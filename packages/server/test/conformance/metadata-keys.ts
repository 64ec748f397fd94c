/** The contract of account administration, and of keys with their secrets. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { AccountChange, StoredKey } from '../../src/access/records.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, digestOf, keyOf, later } from './metadata-samples.ts';

export function metadataKeys(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });
  const secret = digestOf('secret');
  const another = digestOf('another');

  describe('administered accounts', () => {
    test('are listed newest first, either all or those of a list without suspended ones', async () => {
      const accounts = Array.from({ length: 5 }, (_, i) => accountOf({ createdOn: later(i) }));
      for (const account of accounts) await store.accounts.create(account, BY);
      const ids = accounts.map(({ accountID }) => accountID).reverse();
      const listIDs = async (skip: number, count: number, accountIDs: 'all' | string[] = 'all') => {
        const { accounts: page, total } = await store.accounts.list({ skip, count }, accountIDs);
        return [page.map(({ accountID }) => accountID), total];
      };
      assert.deepEqual(await listIDs(0, 20), [ids, 5]);
      assert.deepEqual(await listIDs(1, 2), [ids.slice(1, 3), 5]);
      assert.deepEqual(await listIDs(9, 2), [[], 5]);
      const selection = [ids[3] ?? '', ids[1] ?? '', randomUUID()];
      assert.deepEqual(await listIDs(0, 20, selection), [[ids[1], ids[3]], 2]);
      assert.deepEqual(await listIDs(0, 20, []), [[], 0]);
      await store.accounts.change(ids[1] ?? '', { kind: 'suspend' }, later(9), BY);
      assert.deepEqual(await listIDs(0, 20, selection), [[ids[3]], 1]);
      assert.deepEqual(await listIDs(0, 20), [ids, 5]);
    });

    test('begin with one account and one key, of ten calls at once', async () => {
      await store.maintenance.nameLibrary(randomUUID());
      const firsts = Array.from({ length: 10 }, () => ({
        account: accountOf(),
        key: keyOf({ accounts: 'all' }),
      }));
      const outcomes = await Promise.all(
        firsts.map(({ account, key }) => store.accounts.createFirst(account, key, secret, BY)),
      );
      assert.deepEqual(outcomes.toSorted(), ['created', ...Array(9).fill('exists')]);
      const created = firsts[outcomes.indexOf('created')];
      const page = { skip: 0, count: 20 };
      assert.deepEqual(await store.accounts.list(page, 'all'), { accounts: [created?.account], total: 1 });
      assert.deepEqual(await store.keys.list(page), { keys: [created?.key], total: 1 });
    });

    test('get new names and quotas, and keep the settings that a change does not have', async () => {
      const account = accountOf({ displayName: 'before', imageQuota: 7 });
      await store.accounts.create(account, BY);
      const change = (settings: Omit<AccountChange & { kind: 'settings' }, 'kind'>) =>
        store.accounts.change(account.accountID, { kind: 'settings', ...settings }, later(1), BY);
      assert.deepEqual(await change({ displayName: 'after' }), { ...account, displayName: 'after' });
      assert.deepEqual(await change({ imageQuota: 0 }), {
        ...account,
        displayName: 'after',
        imageQuota: 0,
      });
      const { imageQuota: _, ...without } = { ...account, displayName: 'after' };
      assert.deepEqual(await change({ imageQuota: null }), without);
      assert.deepEqual(await change({ byteQuota: 2 ** 50 }), { ...without, byteQuota: 2 ** 50 });
      assert.deepEqual(await change({ byteQuota: null }), without);
      assert.deepEqual(await store.accounts.find(account.accountID), without);
      assert.equal(await store.accounts.change(randomUUID(), { kind: 'suspend' }, later(1), BY), undefined);
    });

    test('are suspended and resumed, and a second call has no effect', async () => {
      const account = accountOf();
      await store.accounts.create(account, BY);
      const { accountID } = account;
      const suspended = { ...account, suspendedOn: later(1) };
      for (const time of [later(1), later(2)]) {
        assert.deepEqual(await store.accounts.change(accountID, { kind: 'suspend' }, time, BY), suspended);
      }
      assert.deepEqual(await store.accounts.find(accountID), suspended);
      for (const time of [later(3), later(4)]) {
        assert.deepEqual(await store.accounts.change(accountID, { kind: 'resume' }, time, BY), account);
      }
      assert.deepEqual(await store.accounts.find(accountID), account);
    });
  });

  describe('keys', () => {
    test('are found by publicKey and keyID, for all accounts, a list in its order, and none', async () => {
      const some = [randomUUID(), randomUUID(), randomUUID()];
      for (const accounts of ['all', some, some.toReversed(), []] as const) {
        const key = keyOf({ accounts, expiresOn: later(60) });
        assert.equal(await store.keys.create(key, secret, BY), 'created');
        const secrets = [{ digest: secret, createdOn: key.createdOn }];
        assert.deepEqual(await store.keys.find(key.publicKey), { key, secrets });
        assert.deepEqual(await store.keys.findByID(key.keyID), key);
      }
      assert.equal(await store.keys.find('unknown'), undefined);
      assert.equal(await store.keys.findByID(randomUUID()), undefined);
    });

    test('are not changed by a second creation with the same public key', async () => {
      const key = keyOf({ accounts: [randomUUID()] });
      await store.keys.create(key, secret, BY);
      const twin = keyOf({ publicKey: key.publicKey });
      assert.equal(await store.keys.create(twin, another, BY), 'exists');
      assert.deepEqual((await store.keys.find(key.publicKey))?.key, key);
      assert.equal(await store.keys.findByID(twin.keyID), undefined);
    });

    test('are replaced as a whole by a put with the same public key', async () => {
      const old = keyOf({ accounts: [randomUUID(), randomUUID()] });
      assert.equal(await store.keys.put(old, secret, old.createdOn, BY), 'created');
      await store.keys.rotate(
        old.keyID,
        { secretDigest: digestOf('x'), createdOn: later(1), overlapUntil: later(9) },
        BY,
      );
      const narrow = keyOf({ publicKey: old.publicKey, accounts: [randomUUID()], scopes: ['ping.read'] });
      assert.equal(await store.keys.put(narrow, another, later(2), BY), 'replaced');
      const { keyID, createdOn } = old;
      assert.deepEqual(await store.keys.find(old.publicKey), {
        key: { ...narrow, keyID, createdOn },
        secrets: [{ digest: another, createdOn: later(2) }],
      });
      assert.equal(await store.keys.findByID(narrow.keyID), undefined);
      const wide = { ...narrow, accounts: 'all' } as const;
      await store.keys.put(wide, another, later(3), BY);
      assert.deepEqual((await store.keys.find(old.publicKey))?.key, { ...wide, keyID, createdOn });
    });

    test('stay as they are if they are current, by the decision of the caller', async () => {
      const key = keyOf({ accounts: [randomUUID()] });
      const isCurrent = (stored: StoredKey) => stored.secrets[0]?.digest === secret;
      const put = (digest: string, on: Date) => store.keys.put(key, digest, on, BY, isCurrent);
      assert.equal(await put(secret, later(1)), 'created');
      assert.equal(await put(secret, later(2)), 'kept');
      assert.deepEqual((await store.keys.find(key.publicKey))?.secrets, [
        { digest: secret, createdOn: later(1) },
      ]);
      await store.keys.put(key, another, later(3), BY);
      assert.equal(await put(secret, later(4)), 'replaced');
      const { entries } = await store.audit.list(key.accounts[0], { skip: 0, count: 9 });
      assert.deepEqual(
        entries.map(({ action }) => action),
        ['key.replace', 'key.replace', 'key.create'],
      );
    });

    test('are listed newest first in pages, either all or the keys of an account', async () => {
      const account = randomUUID();
      const keys = [
        keyOf({ accounts: [account], createdOn: later(1) }),
        keyOf({ accounts: 'all', createdOn: later(2) }),
        keyOf({ accounts: [randomUUID(), account], createdOn: later(3) }),
        keyOf({ accounts: [randomUUID()], createdOn: later(4) }),
      ];
      for (const key of keys) await store.keys.create(key, secret, BY);
      const [one, , three] = keys;
      assert.deepEqual(await store.keys.list({ skip: 0, count: 20 }), { keys: keys.toReversed(), total: 4 });
      assert.deepEqual(await store.keys.list({ skip: 0, count: 20 }, account), {
        keys: [three, one],
        total: 2,
      });
      assert.deepEqual(await store.keys.list({ skip: 1, count: 1 }, account), { keys: [one], total: 2 });
      assert.deepEqual(await store.keys.list({ skip: 5, count: 1 }, account), { keys: [], total: 2 });
    });

    test('get a new secret; the previous one ends after the overlap, and an older one at once', async () => {
      const key = keyOf();
      await store.keys.create(key, digestOf('1'), BY);
      const rotate = (text: string, at: number, until: number) =>
        store.keys.rotate(
          key.keyID,
          { secretDigest: digestOf(text), createdOn: later(at), overlapUntil: later(until) },
          BY,
        );
      assert.deepEqual(await rotate('2', 10, 100), { kind: 'rotated', key });
      assert.deepEqual((await store.keys.find(key.publicKey))?.secrets, [
        { digest: digestOf('2'), createdOn: later(10) },
        { digest: digestOf('1'), createdOn: later(0), validUntil: later(100) },
      ]);
      await rotate('3', 20, 20);
      assert.deepEqual((await store.keys.find(key.publicKey))?.secrets, [
        { digest: digestOf('3'), createdOn: later(20) },
        { digest: digestOf('2'), createdOn: later(10), validUntil: later(20) },
      ]);
      const rotation = { secretDigest: another, createdOn: later(1), overlapUntil: later(1) };
      assert.deepEqual(await store.keys.rotate(randomUUID(), rotation, BY), { kind: 'not-found' });
    });

    test('have two secrets after ten concurrent rotations, one of them without an end', async () => {
      const key = keyOf();
      await store.keys.create(key, secret, BY);
      const other = await current().openAnother();
      const texts = Array.from({ length: 10 }, (_, i) => `secret ${i}`);
      await Promise.all(
        texts.map((text, i) =>
          (i % 2 ? store : other).keys.rotate(
            key.keyID,
            { secretDigest: digestOf(text), createdOn: later(i), overlapUntil: later(100) },
            BY,
          ),
        ),
      );
      const secrets = (await store.keys.find(key.publicKey))?.secrets ?? [];
      assert.equal(secrets.length, 2);
      assert.deepEqual(
        secrets.map(({ validUntil }) => validUntil),
        [undefined, later(100)],
      );
    });

    test('are revoked permanently, and then cannot be rotated', async () => {
      const key = keyOf({ accounts: [randomUUID()] });
      await store.keys.create(key, secret, BY);
      const revoked = { ...key, revokedOn: later(1) };
      assert.deepEqual(await store.keys.revoke(key.keyID, later(1), BY), revoked);
      assert.deepEqual(await store.keys.revoke(key.keyID, later(2), BY), revoked);
      assert.deepEqual((await store.keys.find(key.publicKey))?.key, revoked);
      const rotation = { secretDigest: another, createdOn: later(3), overlapUntil: later(4) };
      assert.deepEqual(await store.keys.rotate(key.keyID, rotation, BY), { kind: 'revoked' });
      assert.equal(await store.keys.revoke(randomUUID(), later(1), BY), undefined);
    });

    test('record their last use, but not a use soon after the recorded one', async () => {
      const key = keyOf();
      await store.keys.create(key, secret, BY);
      const lastUsedOn = async () => (await store.keys.findByID(key.keyID))?.lastUsedOn;
      await store.keys.touch(key.keyID, later(100), later(40));
      assert.deepEqual(await lastUsedOn(), later(100));
      await store.keys.touch(key.keyID, later(130), later(70));
      assert.deepEqual(await lastUsedOn(), later(100));
      await store.keys.touch(key.keyID, later(160), later(100));
      assert.deepEqual(await lastUsedOn(), later(160));
      await store.keys.touch(randomUUID(), later(1), later(0));
    });
  });
}
