/**
 * The part of the metadata contract that concerns where images are used: usage, the filters of the list,
 * bringing images back, and the policy of an account.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import type { ImageFilter } from '../../src/images/records.ts';
import { MAX_LISTED_USES } from '../../src/images/usage.ts';
import { contentOf, groupOf, itemOf, openShop, type Shop, setPolicy, upTo } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, later, newImage, START } from './metadata-samples.ts';

export function metadataUsage(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('the usage of an image', () => {
    test('names every product, option and line item that shows it, newest first', async () => {
      const shop = await openShop(store);
      const [image, other] = [await shop.add('a'), await shop.add('b')];
      const nothing = { imageID: image, products: [], options: [], lineItems: [] };
      const none = { products: 0, options: 0, lineItems: 0 };
      assert.deepEqual(await shop.images.usage(image), { ...nothing, totals: none });

      const first = await shop.sell(contentOf([image, other, image], { title: 'first' }));
      const groups = [groupOf([other]), { ...groupOf([other], [image]), name: 'Colour' }];
      const second = await shop.sell(contentOf([image], { title: 'second', optionGroups: groups }));
      const option = { name: 'Ice', quantity: 1, imageIDs: [image] };
      const set = await shop.write(itemOf(), itemOf({ name: 'Tea', productID: second, options: [option] }));
      assert.deepEqual(await shop.images.usage(image), {
        imageID: image,
        products: [
          { productID: second, title: 'second' },
          { productID: first, title: 'first' },
        ],
        options: [
          {
            productID: second,
            title: 'second',
            optionGroup: { index: 1, name: 'Colour' },
            option: { index: 1, name: 'Size 1' },
          },
        ],
        lineItems: [
          { lineItemsID: set, createdOn: START, item: { index: 1, name: 'Tea' } },
          {
            lineItemsID: set,
            createdOn: START,
            item: { index: 1, name: 'Tea' },
            option: { index: 0, name: 'Ice' },
          },
        ],
        totals: { products: 2, options: 1, lineItems: 2 },
      });
    });

    test('follows changes of products, and forgets disabled ones', async () => {
      const shop = await openShop(store);
      const [a, b] = [await shop.add('a'), await shop.add('b')];
      const productID = await shop.sell(contentOf([a], { optionGroups: [groupOf([b])] }));
      // A set of line items with the sequence of the product: what one shows must not be taken for the
      // other's.
      await shop.write(itemOf({ imageIDs: [a] }));
      const totals = async (imageID: string) => (await shop.images.usage(imageID))?.totals;
      await shop.catalog.replaceProduct(productID, contentOf([b], { title: 'renamed' }), later(1));
      assert.deepEqual(await totals(a), { products: 0, options: 0, lineItems: 1 });
      assert.deepEqual(await totals(b), { products: 1, options: 0, lineItems: 0 });
      assert.equal((await shop.images.usage(b))?.products[0]?.title, 'renamed');
      await shop.catalog.disableProduct(productID, later(2));
      assert.deepEqual(await totals(a), { products: 0, options: 0, lineItems: 1 });
      assert.deepEqual(await totals(b), { products: 0, options: 0, lineItems: 0 });
    });

    test('tells of the newest only where there are many, and counts all', async () => {
      const shop = await openShop(store);
      const image = await shop.add('a');
      let newest = '';
      for (let i = 0; i <= MAX_LISTED_USES; i += 1) newest = await shop.sell(contentOf([image]));
      const usage = await shop.images.usage(image);
      assert.equal(usage?.products.length, MAX_LISTED_USES);
      assert.equal(usage?.products[0]?.productID, newest);
      assert.equal(usage?.totals.products, MAX_LISTED_USES + 1);
    });

    test('is undefined for an image that is unknown or of another account', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const image = await theirs.add('a');
      await theirs.sell(contentOf([image]));
      assert.equal(await mine.images.usage(image), undefined);
      assert.equal(await mine.images.usage(randomUUID()), undefined);
    });
  });

  describe('many images at once', () => {
    test('are found by ID, those that exist in the account', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const [a, b, foreign] = [await mine.add('a'), await mine.add('b'), await theirs.add('c')];
      const strangers = Array.from({ length: 1_200 }, () => randomUUID());
      const found = await mine.images.findMany([a, ...strangers, foreign, b]);
      assert.deepEqual([...found.keys()].sort(), [a, b].sort());
      assert.deepEqual(found.get(a), await mine.images.find(a));
      assert.deepEqual(await mine.images.findMany([]), new Map());
    });
  });

  describe('the list of images with a filter', () => {
    /** Twelve images: one in three without alt text, one in two disabled, some in use. */
    async function gallery(shop: Shop): Promise<void> {
      const ids: string[] = [];
      for (let i = 0; i < 12; i += 1) {
        ids.push(
          await shop.add(
            `image ${i}`,
            i % 3 === 0 ? {} : { altText: i % 3 === 1 ? `Grüße ${i}` : `50% ${i}` },
          ),
        );
      }
      const shown = ids.filter((_, i) => [1, 2, 3, 6].includes(i));
      await shop.sell(contentOf(shown.slice(0, 2), { optionGroups: [groupOf(shown.slice(2, 3))] }));
      await shop.write(itemOf({ imageIDs: shown.slice(3) }));
      for (let i = 0; i < 12; i += 2) await shop.images.disable(ids[i] ?? '', later(1));
    }

    test('has those that match all of it, in order, by pages, and counts them', async () => {
      const shop = await openShop(store);
      await gallery(shop);
      const { images: all } = await shop.images.list({ skip: 0, count: 200 });
      const choices = {
        disabled: [undefined, true, false],
        unused: [undefined, true, false],
        altText: [undefined, 'missing'],
        search: [undefined, 'grüSSE', '%', '1'],
      } as const;
      for (const disabled of choices.disabled)
        for (const unused of choices.unused)
          for (const altText of choices.altText)
            for (const search of choices.search) {
              const filter: ImageFilter = {
                ...(disabled !== undefined && { disabled }),
                ...(unused !== undefined && { unused }),
                ...(altText && { altText }),
                ...(search && { search }),
              };
              const expected = [];
              for (const image of all) {
                const totals = (await shop.images.usage(image.imageID))?.totals;
                const used = totals && totals.products + totals.options + totals.lineItems > 0;
                const text = image.altText?.replace('ß', 'ss').toLowerCase();
                const wanted = search?.toLowerCase();
                if (disabled !== undefined && disabled !== (image.disabledOn !== undefined)) continue;
                if (unused !== undefined && unused === used) continue;
                if (altText && text !== undefined) continue;
                if (wanted && !text?.includes(wanted)) continue;
                expected.push(image);
              }
              const what = JSON.stringify(filter);
              const total = expected.length;
              const whole = await shop.images.list({ skip: 0, count: 200 }, filter);
              assert.deepEqual(whole, { images: expected, total }, what);
              const page = await shop.images.list({ skip: 1, count: 2 }, filter);
              assert.deepEqual(page, { images: expected.slice(1, 3), total }, what);
              const past = await shop.images.list({ skip: 2_000_000_000, count: 200 }, filter);
              assert.deepEqual(past, { images: [], total }, what);
            }
    });

    test('searches what the alt text is now', async () => {
      const shop = await openShop(store);
      const image = await shop.add('a', { altText: 'Eine ÄPFELKISTE' });
      const found = async (search: string) =>
        (await shop.images.list({ skip: 0, count: 9 }, { search })).total;
      assert.equal(await found('äpfel'), 1);
      await shop.images.describe(image, { altText: 'Birnen_' }, later(1));
      assert.deepEqual([await found('äpfel'), await found('birnen_'), await found('birne_')], [0, 1, 0]);
      const original = newImage('b').original;
      await shop.images.replace(image, {
        original,
        updatedOn: later(2),
        description: { altText: 'ΣΊΣΥΦΟΣ' },
      });
      assert.deepEqual([await found('birnen'), await found('σίσυφος')], [0, 1]);
      await shop.images.describe(image, { altText: undefined }, later(3));
      assert.equal(await found('σ'), 0);
    });
  });

  describe('enabling an image', () => {
    test('makes it what it was before it was disabled, and is repeatable', async () => {
      const shop = await openShop(store);
      const image = await shop.add('a', { altText: 'text' });
      const before = await shop.images.find(image);
      assert.deepEqual(await shop.images.enable(image, upTo(300)), { kind: 'enabled', image: before });
      await shop.images.disable(image, later(1));
      assert.deepEqual(await shop.images.enable(image, upTo(300)), { kind: 'enabled', image: before });
      assert.deepEqual(await shop.images.enable(image, upTo(1)), { kind: 'enabled', image: before });
      assert.equal((await shop.images.describe(image, { altText: 'new' }, later(2))).kind, 'changed');
      assert.equal((await shop.catalog.refusals([image])).size, 0);
    });

    test('counts against the quota, of the account or else of the server', async () => {
      const shop = await openShop(store);
      const a = await shop.add('a');
      await shop.images.disable(a, later(1));
      await shop.add('b');
      assert.deepEqual(await shop.images.enable(a, upTo(1)), { kind: 'quota-exceeded', limit: 1 });
      assert.deepEqual((await shop.images.find(a))?.disabledOn, later(1));
      assert.equal((await shop.images.enable(a, upTo(2))).kind, 'enabled');
      assert.equal((await shop.images.insert(newImage('c'), { defaultQuota: 2 })).kind, 'quota-exceeded');

      const limited = accountOf({ imageQuota: 1 });
      await store.accounts.create(limited, BY);
      const images = store.forAccount(limited.accountID, BY);
      const [first, second] = [newImage('a'), newImage('b')];
      await images.insert(first, { defaultQuota: 300 });
      await images.disable(first.imageID, later(1));
      await images.insert(second, { defaultQuota: 300 });
      assert.deepEqual(await images.enable(first.imageID, upTo(300)), { kind: 'quota-exceeded', limit: 1 });
    });

    test('cannot make duplicates, because bytes of disabled images stay taken', async () => {
      const shop = await openShop(store);
      const [a, b] = [await shop.add('a'), await shop.add('b')];
      await shop.images.disable(a, later(1));
      const { original } = newImage('a');
      assert.equal((await shop.images.insert(newImage('a'), { defaultQuota: 300 })).kind, 'duplicate');
      assert.equal((await shop.images.replace(b, { original, updatedOn: later(2) })).kind, 'duplicate');
      assert.equal((await shop.images.enable(a, upTo(300))).kind, 'enabled');
    });

    test('of an image that is unknown or of another account finds nothing', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const image = await theirs.add('a');
      await theirs.images.disable(image, later(1));
      assert.deepEqual(await mine.images.enable(image, upTo(300)), { kind: 'not-found' });
      assert.deepEqual(await store.forAccount(randomUUID(), BY).enable(image, upTo(300)), {
        kind: 'not-found',
      });
      assert.deepEqual((await theirs.images.find(image))?.disabledOn, later(1));
    });
  });

  test('enabling counts bytes again, and is refused where there are too many', async () => {
    const shop = await openShop(store);
    const image = newImage('seven b');
    await shop.images.insert(image, { defaultQuota: 300 });
    await shop.images.disable(image.imageID, later(1));
    const { size } = image.original;
    const enable = (defaultByteQuota: number) =>
      shop.images.enable(image.imageID, { ...upTo(300), defaultByteQuota });
    assert.deepEqual(await enable(size - 1), { kind: 'byte-quota-exceeded', limit: size - 1 });
    assert.equal((await enable(size)).kind, 'enabled');
    const more = await shop.images.insert(newImage('m'), { defaultQuota: 300, defaultByteQuota: size });
    assert.equal(more.kind, 'byte-quota-exceeded', 'what was enabled is counted');
  });

  test('every change of the catalogue is in the audit trail, and no refusal', async () => {
    const shop = await openShop(store);
    const image = await shop.add('a');
    const productID = await shop.sell(contentOf([image]));
    await shop.catalog.replaceProduct(productID, contentOf([randomUUID()]), later(1));
    await shop.catalog.replaceProduct(productID, contentOf(), later(2));
    const set = await shop.write(itemOf());
    await shop.images.disable(image, later(3));
    await shop.images.enable(image, upTo(0));
    await shop.images.enable(image, upTo(300));
    await shop.images.enable(image, upTo(300));
    await shop.catalog.disableProduct(productID, later(4));
    await shop.catalog.disableProduct(productID, later(5));
    const { entries } = await store.audit.list(shop.accountID, { skip: 0, count: 20 });
    assert.deepEqual(
      entries.map(({ action, subjectID }) => [action, subjectID]),
      [
        ['product.disable', productID],
        ['image.enable', image],
        ['image.disable', image],
        ['line-items.create', set],
        ['product.change', productID],
        ['product.create', productID],
        ['image.upload', image],
        ['account.create', shop.accountID],
      ],
    );
  });

  describe('the policy of an account', () => {
    test('can refuse to disable images in use, until nothing shows them', async () => {
      const shop = await openShop(store);
      const [image, free, off] = [await shop.add('a'), await shop.add('b'), await shop.add('c')];
      const productID = await shop.sell(contentOf([image, off]));
      await shop.images.disable(off, later(1));
      assert.ok(await setPolicy(store, shop.accountID, 'refuse-in-use'));
      assert.equal((await store.accounts.find(shop.accountID))?.disablePolicy, 'refuse-in-use');

      const usage = await shop.images.usage(image);
      assert.deepEqual(await shop.images.disable(image, later(2)), { kind: 'in-use', usage });
      assert.equal((await shop.images.find(image))?.disabledOn, undefined);
      assert.equal((await shop.images.disable(free, later(2))).kind, 'disabled');
      assert.equal((await shop.images.disable(off, later(2))).kind, 'disabled', 'it was disabled before');

      await shop.catalog.replaceProduct(productID, contentOf(), later(3));
      assert.equal((await shop.images.disable(image, later(4))).kind, 'disabled');
      assert.ok(await setPolicy(store, shop.accountID, 'allow'));
      assert.equal((await store.accounts.find(shop.accountID))?.disablePolicy, undefined);
    });

    test('is kept from the creation of the account, and has to be of one that exists', async () => {
      const strict = accountOf({ disablePolicy: 'refuse-in-use' });
      await store.accounts.create(strict, BY);
      assert.deepEqual(await store.accounts.find(strict.accountID), strict);
      assert.equal(await setPolicy(store, randomUUID(), 'allow'), undefined);
    });
  });
}
