/** The contract of products and line items, without concurrency. metadata-catalog-races.ts has the races. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { beforeEach, describe, test } from 'node:test';
import { MAX_CATEGORIES } from '../../src/catalog/categories.ts';
import { MAX_IMAGES_PER_SET } from '../../src/catalog/line-items.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import {
  contentOf,
  groupOf,
  imageQuota,
  itemOf,
  newLineItems,
  newProduct,
  openShop,
  PRICE,
  setPolicy,
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
      const [a, b] = [await shop.addImage('a'), await shop.addImage('b')];
      const content = contentOf([a, b, a], {
        title: 'Crème brûlée 🍮',
        description: '**Sweet** `<b>`\r\n',
        isTaxable: false,
        categoryID: 'drinks 🍋',
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

    test('are refused without any change for images that are unknown, foreign or disabled', async () => {
      const shop = await openShop(store);
      const other = await openShop(store);
      const [good, disabled, foreign] = [
        await shop.addImage('good'),
        await shop.addImage('off'),
        await other.addImage('x'),
      ];
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

    test('are replaced as a whole, may keep a disabled image, and may not get one', async () => {
      const shop = await openShop(store);
      const [inOption, inProduct, other] = [
        await shop.addImage('inOption'),
        await shop.addImage('inProduct'),
        await shop.addImage('other'),
      ];
      const productID = await shop.addProduct(
        contentOf([inProduct], { optionGroups: [groupOf([inOption])] }),
      );
      for (const imageID of [inOption, other]) await shop.images.disable(imageID, later(1));

      const refused = await shop.catalog.replaceProduct(productID, contentOf([other, inOption]), later(2));
      assert.deepEqual(refused, { kind: 'refused', refusals: new Map([[other, 'disabled']]) });
      assert.deepEqual(
        await shop.catalog.refusals([other, inOption], productID),
        new Map([[other, 'disabled']]),
      );
      assert.deepEqual((await shop.catalog.findProduct(productID))?.content.imageIDs, [inProduct]);

      // The image moves from an option to the product itself, which is still the same product.
      const content = contentOf([inOption], { title: 'Limonade' });
      const replaced = await shop.catalog.replaceProduct(productID, content, later(3));
      assert.equal(replaced.kind, 'changed');
      const product = await shop.catalog.findProduct(productID);
      assert.deepEqual(product?.content, content);
      assert.deepEqual([product?.createdOn, product?.updatedOn], [START, later(3)]);

      // A product that no longer shows the image may not get it again.
      await shop.catalog.replaceProduct(productID, contentOf([]), later(4));
      assert.equal((await shop.catalog.replaceProduct(productID, content, later(5))).kind, 'refused');
      const outcome = await shop.catalog.insertProduct(newProduct(content));
      assert.equal(outcome.kind, 'refused');
    });

    test('keep isTaxable in an update that omits it, and lose their category', async () => {
      const shop = await openShop(store);
      const { isTaxable: _, ...silent } = contentOf([], { title: 'silent' });
      for (const isTaxable of [false, true]) {
        const productID = await shop.addProduct(contentOf([], { isTaxable, categoryID: 'food' }));
        const outcome = await shop.catalog.replaceProduct(productID, silent, later(1));
        const content = { ...silent, isTaxable };
        assert.deepEqual(outcome.kind === 'changed' && outcome.product.content, content);
        assert.deepEqual((await shop.catalog.findProduct(productID))?.content, content);
        await shop.catalog.replaceProduct(productID, { ...silent, isTaxable: !isTaxable }, later(2));
        assert.equal((await shop.catalog.findProduct(productID))?.content.isTaxable, !isTaxable);
      }
      assert.equal((await shop.catalog.listProducts(ALL, { categoryIDs: ['food'] })).total, 0);
    });

    test('are found by their categories, also together with a text and by pages', async () => {
      const [shop, other] = [await openShop(store), await openShop(store)];
      const add = (title: string, categoryID?: string) =>
        shop.addProduct(contentOf([], { title, ...(categoryID !== undefined && { categoryID }) }));
      const tea = await add('Tea', 'drinks');
      const moved = await add('Iced tea', 'food');
      const bread = await add('Bread', 'food');
      const disabled = await add('Tea, no longer', 'drinks');
      await add('Tea without a category');
      await other.addProduct(contentOf([], { title: 'Their tea', categoryID: 'drinks' }));
      await shop.catalog.disableProduct(disabled, later(1));
      const changed = contentOf([], { title: 'Iced tea', categoryID: 'drinks' });
      await shop.catalog.replaceProduct(moved, changed, later(1));
      for (const [categoryIDs, title, expected] of [
        [['drinks'], undefined, [moved, tea]],
        [['food'], undefined, [bread]],
        [['drinks', 'unknown', 'food'], undefined, [bread, moved, tea]],
        [['drinks', 'food'], 'TEA', [moved, tea]],
        [['Drinks'], undefined, []],
      ] as const) {
        const { products, total } = await shop.catalog.listProducts(ALL, { categoryIDs, title });
        assert.deepEqual([products.map(({ productID }) => productID), total], [expected, expected.length]);
      }
      const page = await shop.catalog.listProducts({ skip: 1, count: 1 }, { categoryIDs: ['drinks'] });
      assert.deepEqual([page.products.map(({ productID }) => productID), page.total], [[tea], 2]);
    });

    test('are found with as many categories as a file may have', async () => {
      const shop = await openShop(store);
      const categoryIDs = Array.from({ length: MAX_CATEGORIES }, (_, i) => `category ${i}`);
      const last = categoryIDs.at(-1) ?? '';
      const productID = await shop.addProduct(contentOf([], { categoryID: last }));
      const { products } = await shop.catalog.listProducts(ALL, { categoryIDs, title: 'lemon' });
      assert.deepEqual(
        products.map((product) => product.productID),
        [productID],
      );
    });

    test('stay readable when disabled, but are not listed and cannot be changed', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('a');
      const [disabled, active] = [
        await shop.addProduct(contentOf([image])),
        await shop.addProduct(contentOf()),
      ];
      assert.equal((await shop.catalog.disableProduct(disabled, later(1))).kind, 'disabled');
      const again = await shop.catalog.disableProduct(disabled, later(2));
      assert.deepEqual(again.kind === 'disabled' && again.product.disabledOn, later(1));
      assert.deepEqual(await shop.catalog.replaceProduct(disabled, contentOf(), later(3)), {
        kind: 'disabled',
      });
      assert.deepEqual((await shop.catalog.findProduct(disabled))?.content.imageIDs, [image]);
      const { products, total } = await shop.catalog.listProducts(ALL);
      assert.deepEqual([products.map(({ productID }) => productID), total], [[active], 1]);
    });

    test('are listed newest first, by pages', async () => {
      const shop = await openShop(store);
      const ids: string[] = [];
      for (let i = 0; i < 5; i += 1)
        ids.unshift(await shop.addProduct(contentOf([], { title: `product ${i}` })));
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

    test('are found by a part of their title, without regard to case and special characters', async () => {
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
      for (const title of titles) await shop.addProduct(contentOf([], { title }));
      const expected: Record<string, string[]> = {
        brûlée: ['Crème BRÛLÉE'],
        // The same letters, as base letters with combining marks.
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
      for (const [title, matches] of Object.entries(expected)) {
        const { products, total } = await shop.catalog.listProducts(ALL, { title });
        assert.deepEqual(
          products.map(({ content }) => content.title).sort(),
          matches.toSorted(),
          JSON.stringify(title),
        );
        assert.equal(total, matches.length);
      }
      const { products, total } = await shop.catalog.listProducts({ skip: 1, count: 1 }, { title: '%' });
      assert.deepEqual([products.map(({ content }) => content.title), total], [['100 % cotton'], 3]);
    });

    test('are invisible to other accounts, and cannot be changed by them', async () => {
      const [mine, theirs] = [await openShop(store), await openShop(store)];
      const productID = await theirs.addProduct(contentOf());
      const lineItemsID = await theirs.addLineItems(itemOf());
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
    test('are found and listed as they were added, with every field, newest first', async () => {
      const shop = await openShop(store);
      const image = await shop.addImage('a');
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
      for (let i = 0; i < 3; i += 1) ids.unshift(await shop.addLineItems(itemOf()));
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

    test('get the enabled images of their product after their own images', async () => {
      const shop = await openShop(store);
      const [a, b, disabled, own] = [
        await shop.addImage('a'),
        await shop.addImage('b'),
        await shop.addImage('disabled'),
        await shop.addImage('own'),
      ];
      const optional = await shop.addImage('optional');
      const content = contentOf([a, disabled, b], { optionGroups: [groupOf([optional])] });
      const productID = await shop.addProduct(content);
      await shop.images.disable(disabled, later(1));
      const lineItemsID = await shop.addLineItems(
        itemOf({ productID, imageIDs: [own, b] }),
        itemOf({ productID }),
      );
      const before = await shop.catalog.findLineItems(lineItemsID);
      assert.deepEqual(
        before?.items.map(({ imageIDs }) => imageIDs),
        [
          [own, b, a],
          [a, b],
        ],
      );
      // Later changes of the product and its images do not change the set.
      await shop.catalog.replaceProduct(productID, contentOf([own]), later(2));
      await shop.images.disable(a, later(3));
      await shop.images.enable(disabled, imageQuota(300));
      await shop.catalog.disableProduct(productID, later(4));
      assert.deepEqual(await shop.catalog.findLineItems(lineItemsID), before);
    });

    test('are refused without any change for unknown or disabled images and products', async () => {
      const shop = await openShop(store);
      const [good, disabled] = [await shop.addImage('good'), await shop.addImage('disabled')];
      const [disabledProduct, unknown, unknownProduct] = [
        await shop.addProduct(contentOf()),
        randomUUID(),
        randomUUID(),
      ];
      await shop.images.disable(disabled, later(1));
      await shop.catalog.disableProduct(disabledProduct, later(1));
      const set = newLineItems(
        itemOf({ imageIDs: [good, disabled], productID: disabledProduct }),
        itemOf({ options: [{ name: 'x', quantity: 1, imageIDs: [unknown] }], productID: unknownProduct }),
      );
      assert.deepEqual(await shop.catalog.insertLineItems(set), {
        kind: 'refused',
        refusals: new Map([
          [disabled, 'disabled'],
          [unknown, 'unknown'],
        ]),
        products: new Map([
          [disabledProduct, 'disabled'],
          [unknownProduct, 'unknown'],
        ]),
      });
      assert.equal((await shop.catalog.listLineItems(ALL)).total, 0);
      assert.equal((await shop.images.usage(good))?.totals.lineItems, 0);
    });

    test('are refused when they have too many images together with their products', async () => {
      const shop = await openShop(store);
      const images: string[] = [];
      for (let i = 0; i < 20; i += 1) images.push(await shop.addImage(`image ${i}`));
      const productID = await shop.addProduct(contentOf(images));
      const count = MAX_IMAGES_PER_SET / 20;
      const items = Array.from({ length: count }, () => itemOf({ productID }));
      assert.equal((await shop.catalog.insertLineItems(newLineItems(...items))).kind, 'inserted');
      const beyond = newLineItems(...items, itemOf({ imageIDs: images.slice(0, 1) }));
      assert.deepEqual(await shop.catalog.insertLineItems(beyond), { kind: 'too-many-images', item: count });
    });
  });

  test('keeps the catalogue when the store is closed and opened again', async () => {
    const shop = await openShop(store);
    const image = await shop.addImage('a');
    const productID = await shop.addProduct(contentOf([image]));
    const lineItemsID = await shop.addLineItems(itemOf({ productID }));
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
