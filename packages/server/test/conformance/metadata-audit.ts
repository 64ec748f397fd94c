/**
 * The contract of the audit trail: each change adds an entry in its transaction, and no entry can be changed.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import type { MetadataHarness } from './metadata.ts';
import {
  accountOf,
  accountWithImage,
  BY,
  digestOf,
  keyOf,
  later,
  newImage,
  originalOf,
  START,
} from './metadata-samples.ts';

export function metadataAudit(current: () => MetadataHarness): void {
  describe('the audit trail', () => {
    let store: MetadataStore;
    beforeEach(() => {
      store = current().store;
    });
    const all = { skip: 0, count: 200 };
    /** The actions in the trail of an account, or of the server, oldest first. */
    const actionsOf = async (accountID?: string) =>
      (await store.audit.list(accountID, all)).entries.toReversed().map(({ action }) => action);

    test('records each change of an image with its actor and the digests before and after', async () => {
      const { account, images, first } = await accountWithImage(store);
      const { accountID } = account;
      const { imageID: subjectID } = first;
      const before = digestOf('first');
      const after = digestOf('second');
      await images.replace(subjectID, { original: originalOf('second'), updatedOn: later(1) });
      await images.describe(subjectID, { altText: 'a lamp' }, later(2));
      await images.disable(subjectID, later(3));
      const { entries, total } = await store.audit.list(accountID, all);
      assert.equal(total, 5);
      assert.deepEqual(entries.toReversed(), [
        {
          accountID,
          sequence: 1,
          on: account.createdOn,
          by: BY,
          action: 'account.create',
          subjectID: accountID,
          details: { displayName: account.displayName },
        },
        { accountID, sequence: 2, on: START, by: BY, action: 'image.upload', subjectID, after: before },
        { accountID, sequence: 3, on: later(1), by: BY, action: 'image.replace', subjectID, before, after },
        {
          accountID,
          sequence: 4,
          on: later(2),
          by: BY,
          action: 'image.describe',
          subjectID,
          before: after,
          after,
        },
        {
          accountID,
          sequence: 5,
          on: later(3),
          by: BY,
          action: 'image.disable',
          subjectID,
          before: after,
          after,
        },
      ]);
    });

    test('has no entry for a call that changed nothing', async () => {
      const { account, images, first } = await accountWithImage(store);
      const idempotency = { key: 'retry', fingerprint: 'f', notBefore: later(-60) };
      const second = newImage('second');
      await images.insert(second, { defaultQuota: 300, idempotency });
      await images.disable(first.imageID, later(1));
      const before = await store.audit.list(account.accountID, all);
      await images.insert(newImage('second'), { defaultQuota: 300, idempotency });
      await images.insert(newImage('first'), { defaultQuota: 300 });
      await images.insert(newImage('third'), { defaultQuota: 1 });
      await images.replace(first.imageID, { original: originalOf('x'), updatedOn: later(2) });
      await images.replace(randomUUID(), { original: originalOf('x'), updatedOn: later(2) });
      await images.describe(first.imageID, { altText: 'x' }, later(2));
      await images.disable(first.imageID, later(2));
      await images.disable(randomUUID(), later(2));
      await store.accounts.create(account, BY);
      const { accountID, displayName } = account;
      await store.accounts.change(accountID, { kind: 'settings', displayName }, later(2), BY);
      await store.accounts.change(accountID, { kind: 'resume' }, later(2), BY);
      assert.deepEqual(await store.audit.list(accountID, all), before);
    });

    test('has changes of keys in each of their accounts, and of keys for all accounts in the server', async () => {
      const one = accountOf();
      const two = accountOf();
      for (const account of [one, two]) await store.accounts.create(account, BY);
      const change = { kind: 'settings', displayName: 'renamed', imageQuota: 5 } as const;
      await store.accounts.change(one.accountID, change, later(1), BY);
      await store.accounts.change(one.accountID, { kind: 'suspend' }, later(2), BY);
      await store.accounts.change(one.accountID, { kind: 'resume' }, later(3), BY);
      const both = keyOf({ accounts: [two.accountID, one.accountID] });
      const wide = keyOf();
      for (const key of [both, wide]) {
        await store.keys.create(key, digestOf('secret'), BY);
        const rotation = { secretDigest: digestOf('next'), createdOn: later(4), overlapUntil: later(5) };
        await store.keys.rotate(key.keyID, rotation, BY);
        await store.keys.revoke(key.keyID, later(6), BY);
        await store.keys.revoke(key.keyID, later(7), BY);
      }
      await store.keys.put(wide, digestOf('new'), later(8), { kind: 'server' });
      const keyActions = ['key.create', 'key.rotate', 'key.revoke'];
      assert.deepEqual(await actionsOf(one.accountID), [
        'account.create',
        'account.change',
        'account.suspend',
        'account.resume',
        ...keyActions,
      ]);
      assert.deepEqual(await actionsOf(two.accountID), ['account.create', ...keyActions]);
      assert.deepEqual(await actionsOf(), [...keyActions, 'key.replace']);
      const { entries } = await store.audit.list(one.accountID, all);
      assert.deepEqual(entries.find(({ action }) => action === 'account.change')?.details, {
        before: { displayName: one.displayName, imageQuota: null },
        after: { displayName: 'renamed', imageQuota: 5 },
      });
      assert.deepEqual((await store.audit.list(undefined, all)).entries[0]?.by, { kind: 'server' });
    });

    test('returns every kind of actor exactly as it was stored', async () => {
      const actors = [
        { ...BY, tokenID: randomUUID() },
        BY,
        { kind: 'operator', name: 'René' },
        { kind: 'server' },
      ] as const;
      const account = accountOf();
      for (const by of actors) await store.accounts.create({ ...account, accountID: randomUUID() }, by);
      const { accounts } = await store.accounts.list(all, 'all');
      const stored = await Promise.all(
        accounts.map(async ({ accountID }) => (await store.audit.list(accountID, all)).entries[0]?.by),
      );
      const sorted = (list: readonly (object | undefined)[]) =>
        list.toSorted((a, b) => JSON.stringify(a).length - JSON.stringify(b).length);
      assert.deepEqual(sorted(stored), sorted(actors));
    });

    test('has pages without gaps, newest first, after concurrent writes', async () => {
      const { account } = await accountWithImage(store);
      const { accountID } = account;
      const other = await current().openAnother();
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 ? store : other)
            .forAccount(accountID, BY)
            .insert(newImage(`image ${i}`), { defaultQuota: 300 }),
        ),
      );
      const sequences = async (skip: number, count: number) => {
        const { entries, total } = await store.audit.list(accountID, { skip, count });
        assert.equal(total, 22);
        return entries.map(({ sequence }) => sequence);
      };
      assert.deepEqual(
        await sequences(0, 200),
        Array.from({ length: 22 }, (_, i) => 22 - i),
      );
      assert.deepEqual(await sequences(2, 3), [20, 19, 18]);
      assert.deepEqual(await sequences(22, 3), []);
    });

    test('refuses updates and deletions by SQL statements', async () => {
      const { account } = await accountWithImage(store);
      const before = await store.audit.list(account.accountID, all);
      for (const statement of [
        `update audit set key_id = account_id`,
        'delete from audit',
        `delete from audit where account_id = '${account.accountID}' and sequence = 1`,
      ]) {
        await assert.rejects(current().run(statement), /append-only/, statement);
      }
      assert.deepEqual(await store.audit.list(account.accountID, all), before);
      assert.equal(before.total, 2);
    });
  });
}
