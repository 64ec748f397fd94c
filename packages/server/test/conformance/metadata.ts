/**
 * The tests of the MetadataStore contract. Every database passes all of them.
 * Behaviour of only one database belongs into the test of that database.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import { metadataCandidates } from './maintenance/candidates.ts';
import { metadataAudit } from './metadata-audit.ts';
import { metadataBytes } from './metadata-bytes.ts';
import { metadataCatalog } from './metadata-catalog.ts';
import { metadataCatalogRaces } from './metadata-catalog-races.ts';
import { metadataEvents } from './metadata-events.ts';
import { metadataImages } from './metadata-images.ts';
import { metadataKeys } from './metadata-keys.ts';
import { metadataMaintenance } from './metadata-maintenance.ts';
import { metadataMaintenanceRaces } from './metadata-maintenance-races.ts';
import { metadataRaces } from './metadata-races.ts';
import {
  accountOf,
  accountWithImage,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
} from './metadata-samples.ts';
import { metadataSearches } from './metadata-searches.ts';
import { metadataTokens } from './metadata-tokens.ts';
import { metadataUsage } from './metadata-usage.ts';

/** An empty, migrated database for one test. */
export interface MetadataHarness {
  readonly store: MetadataStore;
  /** Opens another store over the same database, as another process does. `destroy` closes it. */
  openAnother(options?: { readonly purges: boolean }): Promise<MetadataStore>;
  /** Closes `store`, and opens the same database again. */
  reopen(): Promise<MetadataStore>;
  /** Opens a store over another, empty database without a schema. `destroy` closes it. */
  openEmpty(): Promise<MetadataStore>;
  /** Runs one SQL statement directly in the database. */
  run(statement: string): Promise<unknown>;
  /** Whether columns have the types of UUIDs, bytes and times, and not only texts and numbers. */
  readonly hasNativeTypes: boolean;
  /** Closes all stores and removes the database. */
  destroy(): Promise<void>;
}

export interface ConformanceOptions {
  /** The reason why the database cannot be tested here; false if it can. */
  readonly skip?: string | false;
}

export function metadataConformance(
  name: string,
  open: () => Promise<MetadataHarness>,
  options: ConformanceOptions = {},
): void {
  describe(`a metadata store over ${name}`, { skip: options.skip ?? false }, () => {
    let harness: MetadataHarness;
    let store: MetadataStore;

    beforeEach(async () => {
      harness = await open();
      store = harness.store;
    });
    afterEach(async () => {
      await harness.destroy();
    });

    const newAccount = () => accountWithImage(store);

    describe('the schema', () => {
      test('is migrated a second time without effect', async () => {
        const { images, first } = await newAccount();
        await store.migrate();
        assert.equal((await images.find(first.imageID))?.publicID, first.publicID);
      });

      test('passes a check, and rejects a cancelled one', async () => {
        await store.check();
        await store.check(new AbortController().signal);
        await assert.rejects(store.check(AbortSignal.abort()), { name: 'AppError', code: 'cancelled' });
      });
    });

    describe('accounts', () => {
      test('are found as they were created, with and without their own quota', async () => {
        const plain = accountOf({ displayName: 'Café 🏺 "Vitrine"' });
        const limited = accountOf({ imageQuota: 7 });
        assert.equal(await store.accounts.create(plain, BY), 'created');
        assert.equal(await store.accounts.create(limited, BY), 'created');
        assert.deepEqual(await store.accounts.find(plain.accountID), plain);
        assert.deepEqual(await store.accounts.find(limited.accountID), limited);
        assert.equal(await store.accounts.find(randomUUID()), undefined);
      });

      test('are not changed by a second creation with the same ID', async () => {
        const account = accountOf({ displayName: 'one' });
        await store.accounts.create(account, BY);
        const images = store.forAccount(account.accountID, BY);
        await images.insert(newImage('a'), { defaultQuota: 300 });
        assert.equal(await store.accounts.create({ ...account, displayName: 'two' }, BY), 'exists');
        assert.equal((await store.accounts.find(account.accountID))?.displayName, 'one');
        assert.equal((await images.list({ skip: 0, count: 1 })).total, 1);
      });

      test('are absent only from an empty store', async () => {
        assert.equal(await store.accounts.isEmpty(), true);
        await store.accounts.create(accountOf(), BY);
        assert.equal(await store.accounts.isEmpty(), false);
      });
    });

    metadataKeys(() => harness);
    metadataTokens(() => harness);
    metadataAudit(() => harness);
    metadataEvents(() => harness);
    metadataImages(() => harness);
    metadataBytes(() => harness);
    metadataSearches(() => harness);

    describe('several accounts', () => {
      test('may have the same bytes and the same imageID, and do not see images of each other', async () => {
        const { images: mine, first } = await newAccount();
        const { images: theirs, first: other } = await newAccount();
        assert.equal(first.original.digest, other.original.digest);
        const before = await theirs.find(other.imageID);

        assert.equal(await mine.find(other.imageID), undefined);
        assert.deepEqual(await mine.disable(other.imageID, later(1)), { kind: 'not-found' });
        assert.deepEqual(await mine.describe(other.imageID, { altText: 'x' }, later(1)), {
          kind: 'not-found',
        });
        const change = { original: originalOf('mine'), updatedOn: later(1) };
        assert.deepEqual(await mine.replace(other.imageID, change), { kind: 'not-found' });
        assert.equal((await mine.findByDigest(other.original.digest))?.imageID, first.imageID);
        assert.deepEqual(
          (await mine.list({ skip: 0, count: 20 })).images.map(({ imageID }) => imageID),
          [first.imageID],
        );

        const sameID = { ...newImage('same ID'), imageID: other.imageID };
        assert.equal((await mine.insert(sameID, { defaultQuota: 300 })).kind, 'inserted');
        await mine.disable(other.imageID, later(2));
        assert.deepEqual(await theirs.find(other.imageID), before);
        assert.equal((await theirs.list({ skip: 0, count: 20 })).total, 1);
      });

      test('cannot use the same publicID', async () => {
        const { images: mine, first } = await newAccount();
        const { images: theirs } = await newAccount();
        const copy = { ...newImage('copy'), publicID: first.publicID };
        await assert.rejects(theirs.insert(copy, { defaultQuota: 300 }));
        assert.equal((await store.findPublicImage(first.publicID))?.imageID, first.imageID);
        assert.equal((await theirs.list({ skip: 0, count: 20 })).total, 1);
        assert.equal((await mine.list({ skip: 0, count: 20 })).total, 1);
        assert.equal(await store.findPublicImage('x'.repeat(21)), undefined);
      });
    });

    describe('unreferenced digests', () => {
      test('are those that no image of any account has now, out of 1 200', async () => {
        const { images, first } = await newAccount();
        const { images: theirs } = await newAccount();
        const second = newImage('second');
        await theirs.insert(second, { defaultQuota: 300 });
        await theirs.disable(second.imageID, later(1));
        const third = newImage('third');
        await images.insert(third, { defaultQuota: 300 });
        await images.replace(third.imageID, { original: originalOf('fourth'), updatedOn: later(1) });

        const referenced = [first.original.digest, second.original.digest, digestOf('fourth')];
        const free = Array.from({ length: 1_200 }, (_, i) => digestOf(`free ${i}`));
        const digests = [...free, third.original.digest, ...referenced, ...referenced];
        const unreferenced = await store.maintenance.findUnreferenced(digests);
        assert.deepEqual(new Set(unreferenced.keys()), new Set([...free, third.original.digest]));
        assert.deepEqual(await store.maintenance.findUnreferenced([]), new Map());
      });
    });

    test('has all acknowledged changes after the store is closed and opened again', async () => {
      const { account, images, first } = await newAccount();
      const second = newImage('second', { altText: 'déjà vu' });
      const idempotency = { key: 'k', fingerprint: 'f', notBefore: later(-60) };
      await images.insert(second, { defaultQuota: 300, idempotency });
      await images.disable(first.imageID, later(1));
      const before = await images.list({ skip: 0, count: 20 });

      const reopened = await harness.reopen();
      await reopened.migrate();
      const again = reopened.forAccount(account.accountID, BY);
      assert.deepEqual(await again.list({ skip: 0, count: 20 }), before);
      assert.deepEqual(await reopened.accounts.find(account.accountID), account);
      assert.equal((await again.recallUpload('k', later(-60)))?.image.altText, 'déjà vu');
      assert.equal((await again.insert(newImage('third'), { defaultQuota: 2 })).kind, 'inserted');
      assert.equal((await again.insert(newImage('fourth'), { defaultQuota: 2 })).kind, 'quota-exceeded');
    });

    metadataRaces(() => harness);
    metadataCatalog(() => harness);
    metadataUsage(() => harness);
    metadataCatalogRaces(() => harness);
    metadataMaintenance(() => harness);
    metadataCandidates(() => harness);
    metadataMaintenanceRaces(() => harness);
  });
}
