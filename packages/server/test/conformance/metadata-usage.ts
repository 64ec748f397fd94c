/** The contract of image usage: uses, filters of the list, enabling, and the disable policy of an account. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import type { MetadataStore } from '../../src/database/store.ts';
import type { ImageFilter } from '../../src/images/records.ts';
import { MAX_LISTED_USES } from '../../src/images/usage.ts';
import { contentOf, groupOf, imageQuota, itemOf, openShop, type Shop, setPolicy } from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { accountOf, BY, later, newImage, START } from './metadata-samples.ts';

export function metadataUsage(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('the usage of an image', () => {
    test('has every product, option and line item that shows the image, newest first', async () => {
      const shop = await openShop(store);
      const [image, other] = [await shop.addImage('a'), await shop.addImage('b')];
      const noUses = { imageID: image, products: [], options: [], lineItems: [] };
      const totals = { products: 0, options: 0, lineItems: 0 };
      assert.deepEqual(await shop.images.usage(image), { ...noUses, totals });

      const first = await shop.addProduct(contentOf([image, other, image], { title: 'first' }));
      const groups = [groupOf([other]), { ...groupOf([other], [image]), name: 'Colour' }];
      const second = await shop.addProduct(contentOf([image], { title: 'second', optionGroups: groups }));
      const option = { name: 'Ice', quantity: 1, imageIDs: [image] };
      const set = await shop.addLineItems(
        itemOf(),
        itemOf({ name: 'Tea', productID: second, options: [option] }),
      );
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

    test('changes with its products, and leaves out disabled ones', async () => {
      const shop = await openShop(store);
      const [a, b] = [await shop.addImage('a'), await shop.addImage('b')];
      const productID = await shop.addProduct(contentOf([a], { optionGroups: [groupOf([b])] }));
      // This set of line items has the same sequence as the product. Their uses must not be mixed up.
      await shop.addLineItems(itemOf({ imageIDs: [a] }));
      const totals = async (imageID: string) => (await shop.images.usage(imageID))?.totals;
      await shop.catalog.replaceProduct(productID, contentOf([b], { title: 'renamed' }), later(1));
      assert.deepEqual(await totals(a), { products: 0, options: 0, lineItems: 1 });
      assert.deepEqual(await totals(b), { products: 1, options: 0, lineItems: 0 });
      assert.equal((await shop.images.usage(b))?.products[0]?.title, 'renamed');
      await shop.catalog.disableProduct(productID, later(2));
      assert.deepEqual(await totals(a), { products: 0, options: 0, lineItems: 1 });
      assert.deepEqual(await totals(b), { products: 0, options: 0, lineItems: 0 });
    });

    test('has only the newest of many uses, and counts all', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('a');
      let newest = '';
      for (let i = 0; i <= MAX_LISTED_USES; i += 1) newest = await shop.addProduct(contentOf([image]));
      const usage = await shop.images.usage(image);
      assert.equal(usage?.products.length, MAX_LISTED_USES);
      assert.equal(usage?.products[0]?.productID, newest);
      assert.equal(usage?.totals.products, MAX_LISTED_USES + 1);
    });

    test('is undefined for an image that is unknown or of another account', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const image = await theirs.addImage('a');
      await theirs.addProduct(contentOf([image]));
      assert.equal(await mine.images.usage(image), undefined);
      assert.equal(await mine.images.usage(randomUUID()), undefined);
    });
  });

  describe('the lookup of many images', () => {
    test('finds the images that exist in the account', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const [a, b, foreign] = [
        await mine.addImage('a'),
        await mine.addImage('b'),
        await theirs.addImage('c'),
      ];
      const unknown = Array.from({ length: 1_200 }, () => randomUUID());
      const images = await mine.images.findMany([a, ...unknown, foreign, b]);
      assert.deepEqual([...images.keys()].sort(), [a, b].sort());
      assert.deepEqual(images.get(a), await mine.images.find(a));
      assert.deepEqual(await mine.images.findMany([]), new Map());
    });
  });

  describe('the list of images with a filter', () => {
    /** Twelve images: one in three without alt text, one in two disabled, some in use. */
    async function gallery(shop: Shop): Promise<void> {
      const ids: string[] = [];
      for (let i = 0; i < 12; i += 1) {
        ids.push(
          await shop.addImage(
            `image ${i}`,
            i % 3 === 0 ? {} : { altText: i % 3 === 1 ? `Grüße ${i}` : `50% ${i}` },
          ),
        );
      }
      const usedIDs = ids.filter((_, i) => [1, 2, 3, 6].includes(i));
      await shop.addProduct(contentOf(usedIDs.slice(0, 2), { optionGroups: [groupOf(usedIDs.slice(2, 3))] }));
      await shop.addLineItems(itemOf({ imageIDs: usedIDs.slice(3) }));
      for (let i = 0; i < 12; i += 2) await shop.images.disable(ids[i] ?? '', later(1));
    }

    test('has the images that match all conditions, in order, in pages, with their number', async () => {
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
                const searchText = search?.toLowerCase();
                if (disabled !== undefined && disabled !== (image.disabledOn !== undefined)) continue;
                if (unused !== undefined && unused === used) continue;
                if (altText && text !== undefined) continue;
                if (searchText && !text?.includes(searchText)) continue;
                expected.push(image);
              }
              const label = JSON.stringify(filter);
              const total = expected.length;
              const whole = await shop.images.list({ skip: 0, count: 200 }, filter);
              assert.deepEqual(whole, { images: expected, total }, label);
              const page = await shop.images.list({ skip: 1, count: 2 }, filter);
              assert.deepEqual(page, { images: expected.slice(1, 3), total }, label);
              const past = await shop.images.list({ skip: 2_000_000_000, count: 200 }, filter);
              assert.deepEqual(past, { images: [], total }, label);
            }
    });

    test('searches the current alt text', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('a', { altText: 'Eine ÄPFELKISTE' });
      const countMatches = async (search: string) =>
        (await shop.images.list({ skip: 0, count: 9 }, { search })).total;
      assert.equal(await countMatches('äpfel'), 1);
      await shop.images.describe(image, { altText: 'Birnen_' }, later(1));
      assert.deepEqual(
        [await countMatches('äpfel'), await countMatches('birnen_'), await countMatches('birne_')],
        [0, 1, 0],
      );
      const original = newImage('b').original;
      await shop.images.replace(image, {
        original,
        updatedOn: later(2),
        description: { altText: 'ΣΊΣΥΦΟΣ' },
      });
      assert.deepEqual([await countMatches('birnen'), await countMatches('σίσυφος')], [0, 1]);
      await shop.images.describe(image, { altText: undefined }, later(3));
      assert.equal(await countMatches('σ'), 0);
    });
  });

  describe('enabling an image', () => {
    test('restores its state before it was disabled, and is idempotent', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('a', { altText: 'text' });
      const before = await shop.images.find(image);
      assert.deepEqual(await shop.images.enable(image, imageQuota(300)), { kind: 'enabled', image: before });
      await shop.images.disable(image, later(1));
      assert.deepEqual(await shop.images.enable(image, imageQuota(300)), { kind: 'enabled', image: before });
      assert.deepEqual(await shop.images.enable(image, imageQuota(1)), { kind: 'enabled', image: before });
      assert.equal((await shop.images.describe(image, { altText: 'new' }, later(2))).kind, 'changed');
      assert.equal((await shop.catalog.refusals([image])).size, 0);
    });

    test('counts against the quota of the account or the default quota', async () => {
      const shop = await openShop(store);
      const a = await shop.addImage('a');
      await shop.images.disable(a, later(1));
      await shop.addImage('b');
      assert.deepEqual(await shop.images.enable(a, imageQuota(1)), { kind: 'quota-exceeded', limit: 1 });
      assert.deepEqual((await shop.images.find(a))?.disabledOn, later(1));
      assert.equal((await shop.images.enable(a, imageQuota(2))).kind, 'enabled');
      assert.equal((await shop.images.insert(newImage('c'), { defaultQuota: 2 })).kind, 'quota-exceeded');

      const limited = accountOf({ imageQuota: 1 });
      await store.accounts.create(limited, BY);
      const images = store.forAccount(limited.accountID, BY);
      const [first, second] = [newImage('a'), newImage('b')];
      await images.insert(first, { defaultQuota: 300 });
      await images.disable(first.imageID, later(1));
      await images.insert(second, { defaultQuota: 300 });
      assert.deepEqual(await images.enable(first.imageID, imageQuota(300)), {
        kind: 'quota-exceeded',
        limit: 1,
      });
    });

    test('makes no duplicates, because the bytes of disabled images stay reserved', async () => {
      const shop = await openShop(store);
      const [a, b] = [await shop.addImage('a'), await shop.addImage('b')];
      await shop.images.disable(a, later(1));
      const { original } = newImage('a');
      assert.equal((await shop.images.insert(newImage('a'), { defaultQuota: 300 })).kind, 'duplicate');
      assert.equal((await shop.images.replace(b, { original, updatedOn: later(2) })).kind, 'duplicate');
      assert.equal((await shop.images.enable(a, imageQuota(300))).kind, 'enabled');
    });

    test('is refused for an image that is unknown or of another account', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const image = await theirs.addImage('a');
      await theirs.images.disable(image, later(1));
      assert.deepEqual(await mine.images.enable(image, imageQuota(300)), { kind: 'not-found' });
      assert.deepEqual(await store.forAccount(randomUUID(), BY).enable(image, imageQuota(300)), {
        kind: 'not-found',
      });
      assert.deepEqual((await theirs.images.find(image))?.disabledOn, later(1));
    });
  });

  test('counts the bytes of an enabled image again, and refuses it beyond the byte quota', async () => {
    const shop = await openShop(store);
    const image = newImage('seven b');
    await shop.images.insert(image, { defaultQuota: 300 });
    await shop.images.disable(image.imageID, later(1));
    const { size } = image.original;
    const enable = (defaultByteQuota: number) =>
      shop.images.enable(image.imageID, { ...imageQuota(300), defaultByteQuota });
    assert.deepEqual(await enable(size - 1), { kind: 'byte-quota-exceeded', limit: size - 1 });
    assert.equal((await enable(size)).kind, 'enabled');
    const more = await shop.images.insert(newImage('m'), { defaultQuota: 300, defaultByteQuota: size });
    assert.equal(more.kind, 'byte-quota-exceeded', 'the enabled image counts');
  });

  test('records each change of the catalogue in the audit trail, and no refusals', async () => {
    const shop = await openShop(store);
    const image = await shop.addImage('a');
    const productID = await shop.addProduct(contentOf([image]));
    await shop.catalog.replaceProduct(productID, contentOf([randomUUID()]), later(1));
    await shop.catalog.replaceProduct(productID, contentOf(), later(2));
    const set = await shop.addLineItems(itemOf());
    await shop.images.disable(image, later(3));
    await shop.images.enable(image, imageQuota(0));
    await shop.images.enable(image, imageQuota(300));
    await shop.images.enable(image, imageQuota(300));
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

  describe('the disable policy of an account', () => {
    test('refuses to disable images in use until they are unused', async () => {
      const shop = await openShop(store);
      const [image, free, disabled] = [
        await shop.addImage('a'),
        await shop.addImage('b'),
        await shop.addImage('c'),
      ];
      const productID = await shop.addProduct(contentOf([image, disabled]));
      await shop.images.disable(disabled, later(1));
      assert.ok(await setPolicy(store, shop.accountID, 'refuse-in-use'));
      assert.equal((await store.accounts.find(shop.accountID))?.disablePolicy, 'refuse-in-use');

      const usage = await shop.images.usage(image);
      assert.deepEqual(await shop.images.disable(image, later(2)), { kind: 'in-use', usage });
      assert.equal((await shop.images.find(image))?.disabledOn, undefined);
      assert.equal((await shop.images.disable(free, later(2))).kind, 'disabled');
      assert.equal(
        (await shop.images.disable(disabled, later(2))).kind,
        'disabled',
        'it was disabled before',
      );

      await shop.catalog.replaceProduct(productID, contentOf(), later(3));
      assert.equal((await shop.images.disable(image, later(4))).kind, 'disabled');
      assert.ok(await setPolicy(store, shop.accountID, 'allow'));
      assert.equal((await store.accounts.find(shop.accountID))?.disablePolicy, undefined);
    });

    test('is stored with a new account, and is not set for an unknown account', async () => {
      const strict = accountOf({ disablePolicy: 'refuse-in-use' });
      await store.accounts.create(strict, BY);
      assert.deepEqual(await store.accounts.find(strict.accountID), strict);
      assert.equal(await setPolicy(store, randomUUID(), 'allow'), undefined);
    });
  });
}
