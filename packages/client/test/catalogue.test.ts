/**
 * Tests products, line items and the usage of images against a real server.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  APIError,
  GenericError,
  ImageInUseError,
  LineItemsValidationError,
  ProductRequestValidationError,
  Vitrine,
} from '@vitrine/client';
import { picture } from '../../server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';

const accountID = ACCOUNT;
const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000';

const FOOD = { categoryID: 'food', name: 'Food' };
const DRINKS = { categoryID: 'drinks', name: 'Drinks', parentID: 'food' };

let folder: string;
let server: TestServer;
let vitrine: Vitrine;
let next = 1;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-catalogue-'));
  const file = join(folder, 'categories.json');
  await writeFile(file, JSON.stringify([FOOD, DRINKS]));
  server = await startServer({ VITRINE_PRODUCT_CATEGORIES: file });
  vitrine = new Vitrine({
    serverURL: server.url,
    security: { username: KEY.publicKey, password: KEY.secretKey },
  });
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const upload = async (altText?: string) => {
  const image = await picture(next++);
  const metadata = altText === undefined ? undefined : { altText };
  return (await vitrine.images.upload({ accountID, image, metadata })).result;
};
const price = (valueDecimal: string) => ({ currency: 'USD', valueDecimal });
const isAPIError = (status: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === status;
const collectIDs = async (list: AsyncIterable<{ readonly imageID: string }>) => {
  const ids = new Set<string>();
  for await (const { imageID } of list) ids.add(imageID);
  return ids;
};

describe('products', () => {
  test('support all five operations', async () => {
    const { imageID, publicID, link } = await upload('A glass');
    const { result: created } = await vitrine.products.create({
      accountID,
      title: 'Lemonade',
      description: 'Made **fresh**.',
      basePrice: price('4.990'),
      images: [{ imageID }],
      optionGroups: undefined,
    });
    const { productID } = created;
    assert.ok(created.createdOn instanceof Date && created.updatedOn instanceof Date);
    assert.deepEqual(
      [created.title, created.description, created.basePrice, created.images, 'disabledOn' in created],
      [
        'Lemonade',
        'Made **fresh**.',
        price('4.990'),
        [{ imageID, altText: 'A glass', link, publicID }],
        false,
      ],
    );
    assert.deepEqual((await vitrine.products.get({ accountID, productID })).result, created);

    const listed = await vitrine.products.list({ accountID, title: 'LEMON' });
    assert.deepEqual([listed.result, listed.headers['x-total-count']], [[created], ['1']]);
    assert.deepEqual((await vitrine.products.list({ accountID, title: 'tea' })).result, []);

    // A returned product can be sent back with changes.
    const updated = await vitrine.products.update({ accountID, ...created, title: 'Lemon squash' });
    assert.deepEqual(updated.result, {
      ...created,
      title: 'Lemon squash',
      updatedOn: updated.result.updatedOn,
    });
    const productRequest = { title: 'Water', basePrice: price('1') };
    const nested = await vitrine.products.update({ accountID, productID, productRequest });
    assert.deepEqual([nested.result.title, nested.result.images], ['Water', undefined]);

    assert.deepEqual(Object.keys(await vitrine.products.disable({ accountID, productID })), ['headers']);
    assert.ok((await vitrine.products.get({ accountID, productID })).result.disabledOn instanceof Date);
    await assert.rejects(
      vitrine.products.update({ accountID, productID, productRequest }),
      (error) => error instanceof GenericError && error.status === 409,
    );
    await assert.rejects(vitrine.products.get({ accountID, productID: UNKNOWN_ID }), isAPIError(404));
  });

  test('have a category and isTaxable, which stay when a returned product is sent back', async () => {
    const { categories } = (await vitrine.products.listCategories()).result;
    const drinks = { ...DRINKS, fullName: 'Food > Drinks', level: 2 };
    assert.deepEqual(categories, [{ ...FOOD, fullName: 'Food', level: 1 }, drinks]);
    const request = { accountID, title: 'Juice', basePrice: price('2') };
    const { result: juice } = await vitrine.products.create({
      ...request,
      isTaxable: false,
      categoryID: 'drinks',
    });
    assert.deepEqual([juice.isTaxable, juice.category], [false, drinks]);
    const inFood = await vitrine.products.list({ accountID, category: 'food' });
    assert.deepEqual(inFood.result, [juice]);

    const { productID } = juice;
    const sentBack = await vitrine.products.update({ accountID, ...juice, title: 'Cold juice' });
    assert.deepEqual([sentBack.result.isTaxable, sentBack.result.category], [false, drinks]);
    const other = await vitrine.products.update({ accountID, ...juice, categoryID: 'food' });
    assert.equal(other.result.category?.categoryID, 'food');
    const removed = await vitrine.products.update({ accountID, ...juice, categoryID: undefined });
    assert.deepEqual([removed.result.category, removed.result.isTaxable], [undefined, false]);
    const isTaxable = 'yes' as unknown as boolean;
    await assert.rejects(
      vitrine.products.update({ ...request, productID, isTaxable }),
      (error) =>
        error instanceof ProductRequestValidationError &&
        error.isTaxable === 'isTaxable must be true or false',
    );
  });

  test('that are invalid fail with every problem at its field', async () => {
    const { imageID } = await upload();
    const invalid = vitrine.products.create({
      accountID,
      title: ' ',
      description: '<b>x</b>',
      basePrice: { currency: 'USD', valueDecimal: 'much' },
      images: [{ imageID }, { imageID: UNKNOWN_ID }],
      optionGroups: [
        {
          name: 'Size',
          minSelect: 0,
          maxSelect: 1,
          options: [{ name: 'S', images: [{ imageID: UNKNOWN_ID }] }],
        },
      ],
      categoryID: UNKNOWN_ID,
    });
    await assert.rejects(invalid, (error) => {
      assert.ok(error instanceof ProductRequestValidationError && error.status === 422);
      for (const text of [error.title, error.description, error.basePrice?.valueDecimal, error.categoryID])
        assert.match(text ?? '', /./);
      assert.equal(error.basePrice?.currency, undefined);
      assert.deepEqual(Object.keys(error.images ?? {}), ['1']);
      assert.match(error.images?.['1']?.imageID ?? '', /image/);
      const option = error.optionGroups?.['0']?.options?.['0'];
      assert.match(option?.images?.['0']?.imageID ?? '', /image/);
      assert.match(error.message, /basePrice\.valueDecimal: /);
      return true;
    });
  });

  test('are all listed while a loop disables each of them', async () => {
    for (let number = 0; number < 7; number += 1)
      await vitrine.products.create({ accountID, title: `Tea ${number}`, basePrice: price('1') });
    const titles: string[] = [];
    for await (const { productID, title } of vitrine.products.list({ accountID, title: 'tea', count: 2 })) {
      titles.push(title);
      await vitrine.products.disable({ accountID, productID });
    }
    assert.deepEqual(titles, ['Tea 6', 'Tea 5', 'Tea 4', 'Tea 3', 'Tea 2', 'Tea 1', 'Tea 0']);
  });
});

describe('line items', () => {
  test('can be created, read and listed', async () => {
    const [itemImage, productImage] = [await upload(), await upload('A cup')];
    const { productID } = (
      await vitrine.products.create({
        accountID,
        title: 'Coffee',
        basePrice: price('3'),
        images: [{ imageID: productImage.imageID }],
      })
    ).result;
    const { result: set } = await vitrine.lineItems.create({
      accountID,
      items: [
        {
          name: 'Coffee',
          basePrice: price('3'),
          quantity: 2,
          imageIDs: [itemImage.imageID],
          productID,
          options: [{ name: 'Milk', quantity: 1, priceModifier: price('0.5'), group: 'Extras' }],
        },
      ],
    });
    assert.ok(set.createdOn instanceof Date);
    const [item] = set.items;
    assert.deepEqual(
      item?.images?.map(({ imageID }) => imageID),
      [itemImage.imageID, productImage.imageID],
    );
    assert.equal(item?.options?.[0]?.group, 'Extras');
    const { lineItemsID } = set;
    assert.deepEqual((await vitrine.lineItems.get({ accountID, lineItemsID })).result, set);
    assert.deepEqual((await vitrine.lineItems.list({ accountID, count: 1 })).result, [set]);
    for (let more = 0; more < 2; more += 1)
      await vitrine.lineItems.create({ accountID, items: set.items.map(({ images, ...one }) => one) });
    const ids: string[] = [];
    for await (const set of vitrine.lineItems.list({ accountID, count: 1 })) ids.push(set.lineItemsID);
    assert.deepEqual([ids.length, new Set(ids).size, ids.at(-1)], [3, 3, lineItemsID]);
  });

  test('have a category and isTaxable, which stay when a returned product is sent back', async () => {
    const { categories } = (await vitrine.products.listCategories()).result;
    const drinks = { ...DRINKS, fullName: 'Food > Drinks', level: 2 };
    assert.deepEqual(categories, [{ ...FOOD, fullName: 'Food', level: 1 }, drinks]);
    const request = { accountID, title: 'Juice', basePrice: price('2') };
    const { result: juice } = await vitrine.products.create({
      ...request,
      isTaxable: false,
      categoryID: 'drinks',
    });
    assert.deepEqual([juice.isTaxable, juice.category], [false, drinks]);
    const inFood = await vitrine.products.list({ accountID, category: 'food' });
    assert.deepEqual(inFood.result, [juice]);

    const { productID } = juice;
    const sentBack = await vitrine.products.update({ accountID, ...juice, title: 'Cold juice' });
    assert.deepEqual([sentBack.result.isTaxable, sentBack.result.category], [false, drinks]);
    const other = await vitrine.products.update({ accountID, ...juice, categoryID: 'food' });
    assert.equal(other.result.category?.categoryID, 'food');
    const removed = await vitrine.products.update({ accountID, ...juice, categoryID: undefined });
    assert.deepEqual([removed.result.category, removed.result.isTaxable], [undefined, false]);
    const isTaxable = 'yes' as unknown as boolean;
    await assert.rejects(
      vitrine.products.update({ ...request, productID, isTaxable }),
      (error) =>
        error instanceof ProductRequestValidationError &&
        error.isTaxable === 'isTaxable must be true or false',
    );
  });

  test('that are invalid fail with every problem at its index', async () => {
    const good = { name: 'Tea', basePrice: price('1'), quantity: 1 };
    const items = [good, { ...good, quantity: 0, imageIDs: [UNKNOWN_ID] }];
    await assert.rejects(vitrine.lineItems.create({ accountID, items }), (error) => {
      assert.ok(error instanceof LineItemsValidationError && error.status === 422);
      assert.deepEqual(Object.keys(error.items), ['1']);
      assert.match(error.items['1']?.quantity ?? '', /quantity/);
      assert.match(error.items['1']?.imageIDs?.['0'] ?? '', /image/);
      return true;
    });
  });
});

describe('images', () => {
  test('report their usage, also in a dry run, and can be disabled and enabled', async () => {
    const { imageID } = await upload();
    const unused = await vitrine.images.usage({ accountID, imageID });
    assert.deepEqual([unused.result.imageID, unused.result.inUse], [imageID, false]);

    const { productID } = (
      await vitrine.products.create({
        accountID,
        title: 'Cake',
        basePrice: price('2'),
        images: [{ imageID }],
      })
    ).result;
    const items = [{ name: 'Cake', basePrice: price('2'), quantity: 1, imageIDs: [imageID] }];
    const { lineItemsID, createdOn } = (await vitrine.lineItems.create({ accountID, items })).result;
    const { result: usage } = await vitrine.images.usage({ accountID, imageID });
    assert.deepEqual(usage.products, [{ productID, title: 'Cake' }]);
    assert.deepEqual(usage.lineItems, [{ lineItemsID, createdOn, item: { index: 0, name: 'Cake' } }]);
    assert.deepEqual(usage.totals, { products: 1, options: 0, lineItems: 1 });

    const dryRun = await vitrine.images.delete({ accountID, imageID, dryRun: true });
    assert.deepEqual(dryRun.result, usage);
    assert.equal('disabledOn' in (await vitrine.images.getMetadata({ accountID, imageID })).result, false);

    const deletion = await vitrine.images.delete({ accountID, imageID, dryRun: false });
    assert.equal('result' in deletion, false);
    assert.ok((await vitrine.images.getMetadata({ accountID, imageID })).result.disabledOn instanceof Date);
    const enabled = await vitrine.images.enable({ accountID, imageID });
    assert.deepEqual([enabled.result.imageID, 'disabledOn' in enabled.result], [imageID, false]);
    await assert.rejects(vitrine.images.enable({ accountID, imageID: UNKNOWN_ID }), isAPIError(404));
  });

  test('in use cannot be disabled under refuse-in-use, and the error has the usage', async () => {
    const { imageID } = await upload();
    await vitrine.products.create({
      accountID,
      title: 'Pie',
      basePrice: price('2'),
      images: [{ imageID }],
    });
    await vitrine.accounts.update({ accountID, disablePolicy: 'refuse-in-use' });
    try {
      await assert.rejects(vitrine.images.delete({ accountID, imageID }), (error) => {
        assert.ok(error instanceof ImageInUseError && error instanceof GenericError);
        assert.deepEqual([error.name, error.status], ['ImageInUseError', 409]);
        assert.equal(error.usage.products[0]?.title, 'Pie');
        assert.match(error.error, /./);
        return true;
      });
    } finally {
      await vitrine.accounts.update({ accountID, disablePolicy: 'allow' });
    }
  });

  test('can be filtered by one or more filters, on all pages', async () => {
    const [used, lamp, disabled] = [await upload('Used'), await upload('100% a LAMP'), await upload()];
    await vitrine.products.create({
      accountID,
      title: 'Desk',
      basePrice: price('9'),
      images: [{ imageID: used.imageID }],
    });
    await vitrine.images.delete({ accountID, imageID: disabled.imageID });
    const { images } = vitrine;
    const filter = async (filters: Omit<Parameters<typeof images.list>[0], 'accountID'>) => {
      const ids = await collectIDs(images.list({ accountID, count: 2, ...filters }));
      return [used, lamp, disabled].map(({ imageID }) => ids.has(imageID));
    };
    assert.deepEqual(await filter({}), [true, true, true]);
    assert.deepEqual(await filter({ disabled: true }), [false, false, true]);
    assert.deepEqual(await filter({ disabled: false }), [true, true, false]);
    assert.deepEqual(await filter({ unused: true }), [false, true, true]);
    assert.deepEqual(await filter({ unused: false }), [true, false, false]);
    assert.deepEqual(await filter({ altText: 'missing' }), [false, false, true]);
    assert.deepEqual(await filter({ search: '% a lamp' }), [false, true, false]);
    assert.deepEqual(await filter({ search: 'lamp', disabled: true }), [false, false, false]);
  });

  test('without alt text are all listed while a loop adds alt text to each of them', async () => {
    for (let number = 0; number < 5; number += 1) await upload();
    const missing = await collectIDs(vitrine.images.list({ accountID, altText: 'missing', disabled: false }));
    assert.ok(missing.size >= 5);
    const listed: string[] = [];
    const list = vitrine.images.list({ accountID, altText: 'missing', disabled: false, count: 2 });
    for await (const { imageID } of list) {
      listed.push(imageID);
      await vitrine.images.updateMetadata({ accountID, imageID, altText: 'Now it has one' });
    }
    assert.deepEqual(listed, [...missing]);
  });
});
