/**
 * The part of the metadata contract that concerns products and line items, one call after another. What
 * happens at once, and a random walk against a model, is metadata-catalog-races.ts.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import { MAX_IMAGES_PER_SET } from '../../src/catalog/line-items.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import {
  contentOf,
  groupOf,
  itemOf,
  newLineItems,
  newProduct,
  openShop,
  PRICE,
  setPolicy,
  upTo,
} from './catalog-samples.ts';
import type { MetadataHarness } from './metadata.ts';
import { BY, later, START } from './metadata-samples.ts';

const ALL = { skip: 0, count: 200 };

export function metadataCatalog(current: () => MetadataHarness): void {
  let store: MetadataStore;
  beforeEach(() => {
    store = current().store;
  });

  describe('the products of an account', () => {
    test('are found as they were added, with every field', async () => {
      const shop = await openShop(store);
      const [a, b] = [await shop.add('a'), await shop.add('b')];
      const content = contentOf([a, b, a], {
        title: 'Crème brûlée 🍮',
        description: '**Sweet** `<b>`\r\n',
        optionGroups: [
          {
            name: 'Größe',
            description: 'One of them',
            minSelect: 1,
            maxSelect: 1,
            options: [
              { name: 'S', priceModifier: { currency: 'USD', valueDecimal: '-0.000000001' }, imageIDs: [b] },
              { name: 'L', description: 'large', imageIDs: [] },
            ],
          },
        ],
      });
      const added = newProduct(content);
      const outcome = await shop.catalog.insertProduct(added);
      const expected = { ...added, accountID: shop.accountID, updatedOn: START };
      assert.deepEqual(outcome, { kind: 'inserted', product: expected });
      assert.deepEqual(await shop.catalog.findProduct(added.productID), expected);
      assert.deepEqual(await shop.catalog.listProducts(ALL), { products: [expected], total: 1 });
    });

    test('are refused, and nothing written, for images that are unknown, foreign or disabled', async () => {
      const shop = await openShop(store);
      const other = await openShop(store);
      const [good, disabled, foreign] = [await shop.add('good'), await shop.add('off'), await other.add('x')];
      await shop.images.disable(disabled, later(1));
      const unknown = randomUUID();
      const content = contentOf([good, unknown], { optionGroups: [groupOf([foreign], [disabled])] });
      const expected = new Map([
        [unknown, 'unknown'],
        [foreign, 'unknown'],
        [disabled, 'disabled'],
      ]);
      const outcome = await shop.catalog.insertProduct(newProduct(content));
      assert.deepEqual(outcome, { kind: 'refused', refusals: expected });
      const ids = [good, unknown, foreign, disabled];
      assert.deepEqual(await shop.catalog.refusals(ids), expected);
      assert.equal((await shop.catalog.listProducts(ALL)).total, 0);
      assert.equal((await shop.images.usage(good))?.totals.products, 0);
    });

    test('cannot be added to an account that does not exist', async () => {
      const catalog = store.catalogOf(randomUUID(), BY);
      assert.deepEqual(await catalog.insertProduct(newProduct(contentOf())), { kind: 'no-account' });
      assert.deepEqual(await catalog.insertLineItems(newLineItems(itemOf())), { kind: 'no-account' });
      assert.deepEqual(await catalog.listProducts(ALL), { products: [], total: 0 });
      assert.deepEqual(await catalog.listLineItems(ALL), { sets: [], total: 0 });
      assert.deepEqual(await catalog.replaceProduct(randomUUID(), contentOf(), START), { kind: 'not-found' });
      assert.deepEqual(await catalog.disableProduct(randomUUID(), START), { kind: 'not-found' });
    });

    test('change as a whole, and may keep a disabled image that they show, but not gain one', async () => {
      const shop = await openShop(store);
      const [kept, lost, gained] = [await shop.add('kept'), await shop.add('lost'), await shop.add('gained')];
      const productID = await shop.sell(contentOf([lost], { optionGroups: [groupOf([kept])] }));
      for (const imageID of [kept, gained]) await shop.images.disable(imageID, later(1));

      const refused = await shop.catalog.replaceProduct(productID, contentOf([gained, kept]), later(2));
      assert.deepEqual(refused, { kind: 'refused', refusals: new Map([[gained, 'disabled']]) });
      assert.deepEqual(
        await shop.catalog.refusals([gained, kept], productID),
        new Map([[gained, 'disabled']]),
      );
      assert.deepEqual((await shop.catalog.findProduct(productID))?.content.imageIDs, [lost]);

      // From an option to the product itself: still the same product that shows it.
      const content = contentOf([kept], { title: 'Limonade' });
      const changed = await shop.catalog.replaceProduct(productID, content, later(3));
      assert.equal(changed.kind, 'changed');
      const found = await shop.catalog.findProduct(productID);
      assert.deepEqual(found?.content, content);
      assert.deepEqual([found?.createdOn, found?.updatedOn], [START, later(3)]);

      // Once let go of, it is gained like any other.
      await shop.catalog.replaceProduct(productID, contentOf([]), later(4));
      assert.equal((await shop.catalog.replaceProduct(productID, content, later(5))).kind, 'refused');
      const elsewhere = await shop.catalog.insertProduct(newProduct(content));
      assert.equal(elsewhere.kind, 'refused');
    });

    test('once disabled stay readable, are no longer listed, and do not change', async () => {
      const shop = await openShop(store);
      const image = await shop.add('a');
      const [gone, stays] = [await shop.sell(contentOf([image])), await shop.sell(contentOf())];
      assert.equal((await shop.catalog.disableProduct(gone, later(1))).kind, 'disabled');
      const again = await shop.catalog.disableProduct(gone, later(2));
      assert.deepEqual(again.kind === 'disabled' && again.product.disabledOn, later(1));
      assert.deepEqual(await shop.catalog.replaceProduct(gone, contentOf(), later(3)), { kind: 'disabled' });
      assert.deepEqual((await shop.catalog.findProduct(gone))?.content.imageIDs, [image]);
      const { products, total } = await shop.catalog.listProducts(ALL);
      assert.deepEqual([products.map(({ productID }) => productID), total], [[stays], 1]);
    });

    test('are listed newest first, by pages', async () => {
      const shop = await openShop(store);
      const ids: string[] = [];
      for (let i = 0; i < 5; i += 1) ids.unshift(await shop.sell(contentOf([], { title: `product ${i}` })));
      await shop.catalog.disableProduct(ids[1] ?? '', later(1));
      const listed = ids.filter((_, i) => i !== 1);
      for (const [skip, count] of [
        [0, 2],
        [1, 2],
        [3, 9],
        [4, 1],
        [2_000_000_000, 200],
      ] as const) {
        const { products, total } = await shop.catalog.listProducts({ skip, count });
        assert.equal(total, 4);
        assert.deepEqual(
          products.map(({ productID }) => productID),
          listed.slice(skip, skip + count),
        );
      }
    });

    test('are found by a part of their title, in whatever case, and no character is special', async () => {
      const shop = await openShop(store);
      const titles = [
        'Crème BRÛLÉE',
        'STRASSE and Straße',
        'Ὀδυσσεύς',
        'ЁЛКА',
        'İstanbul',
        '100% wool',
        '100 % cotton',
        'snake_case',
        'snakeXcase',
        'wow! \\ back',
        '50!%',
        "Robert'); drop table products;--",
      ];
      for (const title of titles) await shop.sell(contentOf([], { title }));
      const expected: Record<string, string[]> = {
        brûlée: ['Crème BRÛLÉE'],
        // The same letters, composed otherwise.
        [`bru${'\u0302'}LE${'\u0301'}e`]: ['Crème BRÛLÉE'],
        straSSe: ['STRASSE and Straße'],
        'd straß': ['STRASSE and Straße'],
        ὀΔΥΣΣΕΎΣ: ['Ὀδυσσεύς'],
        ёлк: ['ЁЛКА'],
        i̇stan: ['İstanbul'],
        '0%': ['100% wool'],
        '%': ['50!%', '100 % cotton', '100% wool'],
        _: ['snake_case'],
        snake_c: ['snake_case'],
        '!': ['50!%', 'wow! \\ back'],
        '!%': ['50!%'],
        '\\': ['wow! \\ back'],
        "'); drop": ["Robert'); drop table products;--"],
        'no such': [],
      };
      for (const [title, found] of Object.entries(expected)) {
        const { products, total } = await shop.catalog.listProducts(ALL, title);
        assert.deepEqual(
          products.map(({ content }) => content.title).sort(),
          found.toSorted(),
          JSON.stringify(title),
        );
        assert.equal(total, found.length);
      }
      const { products, total } = await shop.catalog.listProducts({ skip: 1, count: 1 }, '%');
      assert.deepEqual([products.map(({ content }) => content.title), total], [['100 % cotton'], 3]);
    });

    test('of other accounts are neither seen nor changed', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const productID = await theirs.sell(contentOf());
      const lineItemsID = await theirs.write(itemOf());
      assert.equal(await mine.catalog.findProduct(productID), undefined);
      assert.equal(await mine.catalog.findLineItems(lineItemsID), undefined);
      assert.equal((await mine.catalog.listProducts(ALL)).total, 0);
      assert.equal((await mine.catalog.listLineItems(ALL)).total, 0);
      assert.equal((await mine.catalog.replaceProduct(productID, contentOf(), later(1))).kind, 'not-found');
      assert.equal((await mine.catalog.disableProduct(productID, later(1))).kind, 'not-found');
      const refused = await mine.catalog.insertLineItems(newLineItems(itemOf({ productID })));
      assert.deepEqual(refused, {
        kind: 'refused',
        refusals: new Map(),
        products: new Map([[productID, 'unknown']]),
      });
      assert.equal((await theirs.catalog.findProduct(productID))?.disabledOn, undefined);
    });
  });

  describe('the line items of an account', () => {
    test('are found as they were written, with every field, newest first', async () => {
      const shop = await openShop(store);
      const image = await shop.add('a');
      const item = itemOf({
        name: 'Zitrone 🍋',
        quantity: 2_147_483_647,
        imageIDs: [image],
        options: [{ name: 'Ice', quantity: 2, priceModifier: PRICE, group: 'extras', imageIDs: [image] }],
      });
      const first = newLineItems(item, itemOf());
      const outcome = await shop.catalog.insertLineItems(first);
      const expected = { ...first, accountID: shop.accountID };
      assert.deepEqual(outcome, { kind: 'inserted', lineItems: expected });
      assert.deepEqual(await shop.catalog.findLineItems(first.lineItemsID), expected);
      const ids = [first.lineItemsID];
      for (let i = 0; i < 3; i += 1) ids.unshift(await shop.write(itemOf()));
      for (const [skip, count] of [
        [0, 2],
        [1, 200],
        [4, 1],
      ] as const) {
        const { sets, total } = await shop.catalog.listLineItems({ skip, count });
        assert.equal(total, 4);
        assert.deepEqual(
          sets.map(({ lineItemsID }) => lineItemsID),
          ids.slice(skip, skip + count),
        );
      }
    });

    test('take what their product shows and is not disabled, after what they name themselves', async () => {
      const shop = await openShop(store);
      const [a, b, off, own] = [
        await shop.add('a'),
        await shop.add('b'),
        await shop.add('off'),
        await shop.add('own'),
      ];
      const optional = await shop.add('optional');
      const content = contentOf([a, off, b], { optionGroups: [groupOf([optional])] });
      const productID = await shop.sell(content);
      await shop.images.disable(off, later(1));
      const written = await shop.write(itemOf({ productID, imageIDs: [own, b] }), itemOf({ productID }));
      const before = await shop.catalog.findLineItems(written);
      assert.deepEqual(
        before?.items.map(({ imageIDs }) => imageIDs),
        [
          [own, b, a],
          [a, b],
        ],
      );
      // And whatever becomes of the product and its images, that is what they show.
      await shop.catalog.replaceProduct(productID, contentOf([own]), later(2));
      await shop.images.disable(a, later(3));
      await shop.images.enable(off, upTo(300));
      await shop.catalog.disableProduct(productID, later(4));
      assert.deepEqual(await shop.catalog.findLineItems(written), before);
    });

    test('are refused, and nothing written, for what they may not name', async () => {
      const shop = await openShop(store);
      const [good, off] = [await shop.add('good'), await shop.add('off')];
      const [gone, unknown, noProduct] = [await shop.sell(contentOf()), randomUUID(), randomUUID()];
      await shop.images.disable(off, later(1));
      await shop.catalog.disableProduct(gone, later(1));
      const set = newLineItems(
        itemOf({ imageIDs: [good, off], productID: gone }),
        itemOf({ options: [{ name: 'x', quantity: 1, imageIDs: [unknown] }], productID: noProduct }),
      );
      assert.deepEqual(await shop.catalog.insertLineItems(set), {
        kind: 'refused',
        refusals: new Map([
          [off, 'disabled'],
          [unknown, 'unknown'],
        ]),
        products: new Map([
          [gone, 'disabled'],
          [noProduct, 'unknown'],
        ]),
      });
      assert.equal((await shop.catalog.listLineItems(ALL)).total, 0);
      assert.equal((await shop.images.usage(good))?.totals.lineItems, 0);
    });

    test('are refused when with their products they show more images than a set may', async () => {
      const shop = await openShop(store);
      const images: string[] = [];
      for (let i = 0; i < 20; i += 1) images.push(await shop.add(`image ${i}`));
      const productID = await shop.sell(contentOf(images));
      const most = MAX_IMAGES_PER_SET / 20;
      const items = Array.from({ length: most }, () => itemOf({ productID }));
      assert.equal((await shop.catalog.insertLineItems(newLineItems(...items))).kind, 'inserted');
      const beyond = newLineItems(...items, itemOf({ imageIDs: images.slice(0, 1) }));
      assert.deepEqual(await shop.catalog.insertLineItems(beyond), { kind: 'too-many-images', item: most });
    });
  });

  test('the catalogue is there after the store is opened anew', async () => {
    const shop = await openShop(store);
    const image = await shop.add('a');
    const productID = await shop.sell(contentOf([image]));
    const lineItemsID = await shop.write(itemOf({ productID }));
    await setPolicy(store, shop.accountID, 'refuse-in-use');
    const usage = await shop.images.usage(image);
    const reopened = await current().reopen();
    const again = await openShop(reopened, shop.accountID);
    assert.deepEqual((await again.catalog.findProduct(productID))?.content.imageIDs, [image]);
    assert.deepEqual((await again.catalog.findLineItems(lineItemsID))?.items[0]?.imageIDs, [image]);
    assert.deepEqual(await again.images.usage(image), usage);
    assert.equal((await again.images.disable(image, later(1))).kind, 'in-use');
    assert.equal((await again.catalog.insertProduct(newProduct(contentOf()))).kind, 'inserted');
  });
}
