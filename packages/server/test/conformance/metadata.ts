/**
 * The contract of a MetadataStore in executable form: every backend passes all of it. Owns what is promised in
 * metadata/store.ts, and nothing that only one backend does.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import { metadataAudit } from './metadata-audit.ts';
import { metadataBytes } from './metadata-bytes.ts';
import { metadataCatalog } from './metadata-catalog.ts';
import { metadataCatalogRaces } from './metadata-catalog-races.ts';
import { metadataImages } from './metadata-images.ts';
import { metadataKeys } from './metadata-keys.ts';
import { metadataMaintenance } from './metadata-maintenance.ts';
import { metadataMaintenanceRaces } from './metadata-maintenance-races.ts';
import { metadataRaces } from './metadata-races.ts';
import {
  accountOf,
  BY,
  digestOf,
  furnishedAccount,
  later,
  newImage,
  originalOf,
} from './metadata-samples.ts';
import { metadataSearches } from './metadata-searches.ts';
import { metadataTokens } from './metadata-tokens.ts';
import { metadataUsage } from './metadata-usage.ts';

/** A database for one test, empty and with its schema made. */
export interface MetadataHarness {
  readonly store: MetadataStore;
  /** Another store over the same database, as another process would have. Closed by `destroy`. */
  another(): Promise<MetadataStore>;
  /** Closes `store`, and opens the same database anew. */
  reopen(): Promise<MetadataStore>;
  /** A store over another database, which was never used. Closed by `destroy`. */
  unused(): Promise<MetadataStore>;
  /** Runs one statement of SQL, past the store. */
  run(statement: string): Promise<unknown>;
  /** Closes all stores and removes the database. */
  destroy(): Promise<void>;
}

export interface ConformanceOptions {
  /** Why the backend cannot be tested here; false if it can. */
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

    const furnished = () => furnishedAccount(store);

    describe('the schema', () => {
      test('may be migrated again without effect', async () => {
        const { images, first } = await furnished();
        await store.migrate();
        assert.equal((await images.find(first.imageID))?.publicID, first.publicID);
      });

      test('answers a check, and refuses one that is cancelled', async () => {
        await store.check();
        await store.check(new AbortController().signal);
        await assert.rejects(store.check(AbortSignal.abort()), { name: 'AppError', code: 'cancelled' });
      });
    });

    describe('accounts', () => {
      test('are found as they were created, with and without a quota of their own', async () => {
        const plain = accountOf({ displayName: 'Café 🏺 "Vitrine"' });
        const limited = accountOf({ imageQuota: 7 });
        assert.equal(await store.accounts.create(plain, BY), 'created');
        assert.equal(await store.accounts.create(limited, BY), 'created');
        assert.deepEqual(await store.accounts.find(plain.accountID), plain);
        assert.deepEqual(await store.accounts.find(limited.accountID), limited);
        assert.equal(await store.accounts.find(randomUUID()), undefined);
      });

      test('are not changed by a second creation under the same ID', async () => {
        const account = accountOf({ displayName: 'one' });
        await store.accounts.create(account, BY);
        const images = store.forAccount(account.accountID, BY);
        await images.insert(newImage('a'), { defaultQuota: 300 });
        assert.equal(await store.accounts.create({ ...account, displayName: 'two' }, BY), 'exists');
        assert.equal((await store.accounts.find(account.accountID))?.displayName, 'one');
        assert.equal((await images.list({ skip: 0, count: 1 })).total, 1);
      });

      test('are absent from an empty store only', async () => {
        assert.equal(await store.accounts.isEmpty(), true);
        await store.accounts.create(accountOf(), BY);
        assert.equal(await store.accounts.isEmpty(), false);
      });
    });

    metadataKeys(() => harness);
    metadataTokens(() => harness);
    metadataAudit(() => harness);
    metadataImages(() => harness);
    metadataBytes(() => harness);
    metadataSearches(() => harness);

    describe('accounts among each other', () => {
      test('may hold the same bytes and the same image ID, and see nothing of each other', async () => {
        const { images: mine, first } = await furnished();
        const { images: theirs, first: other } = await furnished();
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

      test('never share a public ID', async () => {
        const { images: mine, first } = await furnished();
        const { images: theirs } = await furnished();
        const thief = { ...newImage('thief'), publicID: first.publicID };
        await assert.rejects(theirs.insert(thief, { defaultQuota: 300 }));
        assert.equal((await store.findPublicImage(first.publicID))?.imageID, first.imageID);
        assert.equal((await theirs.list({ skip: 0, count: 20 })).total, 1);
        assert.equal((await mine.list({ skip: 0, count: 20 })).total, 1);
        assert.equal(await store.findPublicImage('x'.repeat(21)), undefined);
      });
    });

    describe('referenced digests', () => {
      test('are those that an image of any account has now, out of any number', async () => {
        const { images, first } = await furnished();
        const { images: theirs } = await furnished();
        const second = newImage('second');
        await theirs.insert(second, { defaultQuota: 300 });
        await theirs.disable(second.imageID, later(1));
        const third = newImage('third');
        await images.insert(third, { defaultQuota: 300 });
        await images.replace(third.imageID, { original: originalOf('fourth'), updatedOn: later(1) });

        const held = [first.original.digest, second.original.digest, digestOf('fourth')];
        const free = Array.from({ length: 1_200 }, (_, i) => digestOf(`free ${i}`));
        const asked = [...free, third.original.digest, ...held, ...held];
        const unreferenced = await store.maintenance.findUnreferenced(asked);
        assert.deepEqual(new Set(unreferenced.keys()), new Set([...free, third.original.digest]));
        assert.deepEqual(await store.maintenance.findUnreferenced([]), new Map());
      });
    });

    test('what was acknowledged is there after the store is opened anew', async () => {
      const { account, images, first } = await furnished();
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
    metadataMaintenanceRaces(() => harness);
  });
}
