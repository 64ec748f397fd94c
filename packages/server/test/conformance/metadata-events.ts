/** The contract of the outbox: events in the transaction of each change, and purges that are claimed once. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import { contentOf, openShop } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountWithImage, BY, later, newImage, originalOf, START } from './metadata-samples.ts';

const QUOTA = { defaultQuota: 300 };

export function metadataEvents(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });
  const eventsOf = (accountID: string, after = 0) => store.events.list(accountID, after, 1_000);

  describe('events', () => {
    test('describe each change of an image, with its time, in their order', async () => {
      const { account, images, first } = await accountWithImage(store);
      const { imageID, publicID } = first;
      await images.replace(imageID, { original: originalOf('second'), updatedOn: later(1) });
      await images.describe(imageID, { altText: 'a lamp' }, later(2));
      await images.disable(imageID, later(3));
      await images.enable(imageID, { ...QUOTA, on: later(4) });
      const data = { imageID, publicID, version: 1 };
      const all = [
        { sequence: 1, type: 'image.uploaded', createdOn: START, data },
        { sequence: 2, type: 'image.replaced', createdOn: later(1), data },
        { sequence: 3, type: 'image.described', createdOn: later(2), data },
        { sequence: 4, type: 'image.disabled', createdOn: later(3), data },
        { sequence: 5, type: 'image.enabled', createdOn: later(4), data },
      ];
      assert.deepEqual(await eventsOf(account.accountID), all);
      assert.deepEqual(await store.events.list(account.accountID, 2, 2), all.slice(2, 4));
      assert.deepEqual(await eventsOf(account.accountID, 5), []);
      assert.deepEqual(await eventsOf(randomUUID()), []);
    });

    test('describe each change of a product', async () => {
      const { accountID, catalog } = await openShop(store);
      const productID = randomUUID();
      await catalog.insertProduct({ productID, content: contentOf([]), createdOn: START });
      await catalog.replaceProduct(productID, contentOf([]), later(1));
      await catalog.disableProduct(productID, later(2));
      const data = { productID };
      assert.deepEqual(await eventsOf(accountID), [
        { sequence: 1, type: 'product.created', createdOn: START, data },
        { sequence: 2, type: 'product.updated', createdOn: later(1), data },
        { sequence: 3, type: 'product.disabled', createdOn: later(2), data },
      ]);
    });

    test('are not added by calls that change nothing', async () => {
      const { account, images, first } = await accountWithImage(store);
      await images.insert(newImage('first'), QUOTA);
      await images.insert(newImage('other'), { defaultQuota: 1 });
      await images.replace(randomUUID(), { original: originalOf('x'), updatedOn: later(1) });
      await images.enable(first.imageID, { ...QUOTA, on: later(1) });
      await images.disable(first.imageID, later(2));
      await images.disable(first.imageID, later(3));
      await images.describe(first.imageID, { altText: 'x' }, later(4));
      await images.describe(randomUUID(), { altText: 'x' }, later(4));
      const types = (await eventsOf(account.accountID)).map(({ type }) => type);
      assert.deepEqual(types, ['image.uploaded', 'image.disabled']);
    });

    test('share the transaction of their change: neither is stored alone', async () => {
      const { account, images, first } = await accountWithImage(store);
      await current().run('alter table events rename to events_away');
      const other = newImage('other');
      for (const change of [
        () => images.insert(other, QUOTA),
        () => images.replace(first.imageID, { original: originalOf('second'), updatedOn: later(1) }),
        () => images.describe(first.imageID, { altText: 'x' }, later(1)),
        () => images.disable(first.imageID, later(1)),
      ]) {
        await assert.rejects(change());
      }
      await current().run('alter table events_away rename to events');
      const { images: listed } = await images.list({ skip: 0, count: 9 });
      assert.deepEqual(
        listed.map(({ updatedOn, altText, disabledOn }) => ({ updatedOn, altText, disabledOn })),
        [{ updatedOn: START, altText: undefined, disabledOn: undefined }],
      );
      assert.equal((await images.insert(other, QUOTA)).kind, 'inserted');
      const sequences = (await eventsOf(account.accountID)).map(({ sequence }) => sequence);
      assert.deepEqual(sequences, [1, 2]);
    });

    test('have no gaps, and a reader that follows misses none, under twenty writers', async () => {
      const { account, images, first } = await accountWithImage(store);
      const other = (await current().openAnother()).forAccount(account.accountID, BY);
      let writing = true;
      const follow = async () => {
        const read: string[] = [];
        for (let after = 0; ; ) {
          const isLast = !writing;
          const events = await store.events.list(account.accountID, after, 7);
          read.push(...events.map(({ sequence, type }) => `${sequence} ${type}`));
          after = events.at(-1)?.sequence ?? after;
          if (events.length === 0 && isLast) return read;
        }
      };
      const following = follow();
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const writer = i % 2 ? images : other;
          for (const step of [1, 2, 3]) {
            await writer.insert(newImage(`image ${i} ${step}`), QUOTA);
            await writer.describe(first.imageID, { altText: `${i} ${step}` }, later(step));
          }
        }),
      );
      writing = false;
      const read = await following;
      const stored = (await eventsOf(account.accountID)).map(({ sequence, type }) => `${sequence} ${type}`);
      assert.deepEqual(
        stored.map((text) => Number.parseInt(text, 10)),
        Array.from({ length: 121 }, (_, i) => i + 1),
      );
      assert.deepEqual(read, stored);
    });

    test('are removed by age, oldest first, and the numbers continue', async () => {
      const { account, images, first } = await accountWithImage(store);
      for (const second of [1, 2, 3, 4]) {
        await images.describe(first.imageID, { altText: 'x' }, later(second));
      }
      assert.equal(await store.events.prune(later(3), 2), 2);
      assert.equal(await store.events.prune(later(3), 2), 1);
      assert.equal(await store.events.prune(later(3), 2), 0);
      const sequences = async () => (await eventsOf(account.accountID)).map(({ sequence }) => sequence);
      assert.deepEqual(await sequences(), [4, 5]);
      await store.events.prune(later(9), 9);
      await images.describe(first.imageID, { altText: 'x' }, later(10));
      assert.deepEqual(await sequences(), [6]);
    });
  });

  describe('purges', () => {
    const due = async (on = later(0)) =>
      (await store.purges.listDue(on, 100)).map(({ publicID }) => publicID);

    test('are not added by a store without them', async () => {
      const { images, first } = await accountWithImage(store);
      await images.replace(first.imageID, { original: originalOf('second'), updatedOn: later(1) });
      assert.deepEqual(await due(), []);
    });

    test('are added when the bytes of a link change, and only then', async () => {
      const purging = await current().openAnother({ purges: true });
      const { account, first } = await accountWithImage(store);
      const { imageID, publicID } = first;
      const images = purging.forAccount(account.accountID, BY);
      await images.insert(newImage('other'), QUOTA);
      await images.replace(imageID, { original: originalOf('first'), updatedOn: later(1) });
      await images.describe(imageID, { altText: 'a lamp', tags: ['x'] }, later(2));
      await images.disable(imageID, later(3));
      await images.enable(imageID, { ...QUOTA, on: later(4) });
      assert.deepEqual(await due(), []);
      await images.replace(imageID, { original: originalOf('second'), updatedOn: later(5) });
      assert.deepEqual(await due(), [publicID]);
      const focalPoint = { x: 0.25, y: 0.5 };
      await images.describe(imageID, { altText: undefined, focalPoint }, later(6));
      await images.describe(imageID, { altText: 'x', focalPoint }, later(7));
      assert.deepEqual(await due(), [publicID, publicID]);
    });

    test('share the transaction of their change', async () => {
      const purging = await current().openAnother({ purges: true });
      const { account, first } = await accountWithImage(store);
      const images = purging.forAccount(account.accountID, BY);
      const replace = () =>
        images.replace(first.imageID, { original: originalOf('second'), updatedOn: later(1) });
      for (const table of ['purges', 'events']) {
        await current().run(`alter table ${table} rename to away`);
        await assert.rejects(replace());
        await current().run(`alter table away rename to ${table}`);
        assert.deepEqual(await due(), []);
        assert.deepEqual((await images.find(first.imageID))?.original.digest, first.original.digest);
      }
      await replace();
      assert.deepEqual(await due(), [first.publicID]);
    });

    test('are claimed by one of several nodes, and again after the claim', async () => {
      const purging = await current().openAnother({ purges: true });
      const { account, images: _, ...rest } = await accountWithImage(store);
      const images = purging.forAccount(account.accountID, BY);
      for (let i = 0; i < 20; i += 1) {
        await images.replace(rest.first.imageID, { original: originalOf(`bytes ${i}`), updatedOn: later(i) });
      }
      const ids = (await store.purges.listDue(START, 100)).map(({ purgeID }) => purgeID);
      assert.equal(ids.length, 20);
      assert.equal((await store.purges.listDue(START, 7)).length, 7);
      const claims = await Promise.all(
        [store, purging, store, purging].map((node) => node.purges.claim(ids, START, later(30))),
      );
      const claimed = claims.flat().map(({ purgeID }) => purgeID);
      assert.deepEqual(claimed.toSorted(), ids.toSorted());
      assert.deepEqual(new Set(claims.flat().map(({ attempts }) => attempts)), new Set([1]));
      assert.deepEqual(await due(later(29)), []);

      const [sent = '', failed = '', ...lost] = ids;
      await store.purges.remove([sent]);
      await store.purges.postpone(failed, later(90));
      const again = await purging.purges.claim(ids, later(30), later(60));
      assert.deepEqual(again.map(({ purgeID }) => purgeID).toSorted(), lost.toSorted());
      assert.deepEqual(new Set(again.map(({ attempts }) => attempts)), new Set([2]));
      await store.purges.remove(lost);
      assert.deepEqual(await store.purges.claim([], later(90), later(99)), []);
      assert.deepEqual(
        (await store.purges.listDue(later(90), 9)).map(({ purgeID }) => purgeID),
        [failed],
      );
    });
  });
}
