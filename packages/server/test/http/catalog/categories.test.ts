/** Product categories over HTTP: the list, the categories of products, and changes of the operator's file. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { components } from '@vitrine/client';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

type Product = components['schemas']['Product'];

const PATH = `/accounts/${ACCOUNT}/products`;
const BASE = { title: 'Lemonade', basePrice: { currency: 'USD', valueDecimal: '4.99' } };
const UNKNOWN = { categoryID: 'there is no such product category' };
const FOOD = { categoryID: 'food', name: 'Food' };
const DRINKS = { categoryID: 'food/drinks ☕', name: 'Drinks', parentID: 'food' };
const TEA = { categoryID: 'tea', name: 'Tea', parentID: DRINKS.categoryID };
const CLOTHING = { categoryID: 'clothing', name: 'Clothing' };
const SHOWN = {
  food: { ...FOOD, fullName: 'Food', level: 1 },
  drinks: { ...DRINKS, fullName: 'Food > Drinks', level: 2 },
  tea: { ...TEA, fullName: 'Food > Drinks > Tea', level: 3 },
  clothing: { ...CLOTHING, fullName: 'Clothing', level: 1 },
};

let server: TestServer;
let folder: string;
let file: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-categories-'));
  file = join(folder, 'categories.json');
  await writeFile(file, JSON.stringify([FOOD, DRINKS, TEA, CLOTHING]));
  server = await startServer({ VITRINE_PRODUCT_CATEGORIES: file });
});
after(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

const create = async (changes: object = {}): Promise<Product> => {
  const { status, body } = await server.send('POST', PATH, { ...BASE, ...changes });
  assert.equal(status, 201, JSON.stringify(body));
  return body;
};

const listTitles = async (query: string) => {
  const { status, body, headers } = await server.send('GET', `${PATH}?${query}`);
  assert.equal(status, 200);
  assert.equal(headers.get('x-total-count'), String(body.length));
  return body.map(({ title }: Product) => title);
};

describe('the product categories', () => {
  test('are those of the file, in its order', async () => {
    const { status, body, headers } = await server.send('GET', '/product-categories');
    const categories = [SHOWN.food, SHOWN.drinks, SHOWN.tea, SHOWN.clothing];
    assert.deepEqual([status, body], [200, { categories }]);
    assert.match(headers.get('content-type') ?? '', /^application\/json/);
    assert.equal(headers.get('cache-control'), 'no-store');
  });

  test('are none without a file', async (t) => {
    const other = await startServer();
    t.after(() => other.close());
    assert.deepEqual((await other.send('GET', '/product-categories')).body, { categories: [] });
    const refused = await other.send('POST', PATH, { ...BASE, categoryID: 'food' });
    assert.deepEqual([refused.status, refused.body], [422, UNKNOWN]);
    const empty = await other.send('POST', PATH, { ...BASE, categoryID: '' });
    assert.deepEqual([empty.status, 'category' in empty.body], [201, false]);
    assert.deepEqual((await other.send('GET', `${PATH}?category=food`)).body, []);
  });

  test('stop the start with every problem of their file', async (t) => {
    const wrong = join(folder, 'wrong.json');
    t.after(() => rm(wrong));
    await writeFile(wrong, JSON.stringify([{ ...FOOD, parentID: 'gone' }, { name: 7 }]));
    await assert.rejects(startServer({ VITRINE_PRODUCT_CATEGORIES: wrong }), {
      name: 'StartError',
      message: [
        `VITRINE_PRODUCT_CATEGORIES: the file of product categories ${wrong} has 3 problems:`,
        '- categories[1].categoryID is required',
        '- categories[1].name must be a string',
        '- categories[0].parentID is "gone", which is no categoryID of the file',
      ].join('\n'),
    });
  });
});

describe('a product with a category', () => {
  test('shows the category in every answer, and loses it in an update that omits it', async () => {
    const product = await create({ categoryID: TEA.categoryID, isTaxable: false });
    assert.deepEqual(product.category, SHOWN.tea);
    assert.equal('categoryID' in product, false);
    const path = `${PATH}/${product.productID}`;
    assert.deepEqual((await server.send('GET', path)).body, product);
    const listed = (await server.send('GET', `${PATH}?category=tea`)).body as Product[];
    assert.deepEqual(listed, [product]);
    for (const [changes, category] of [
      [{ categoryID: CLOTHING.categoryID }, SHOWN.clothing],
      [{}, undefined],
      [{ categoryID: TEA.categoryID }, SHOWN.tea],
      [{ categoryID: '' }, undefined],
      [{ categoryID: DRINKS.categoryID }, SHOWN.drinks],
      [{ categoryID: null }, undefined],
    ] as const) {
      const changed = await server.send('PUT', path, { ...BASE, ...changes });
      assert.deepEqual(
        [changed.status, changed.body.category, changed.body.isTaxable],
        [200, category, false],
      );
    }
    await server.send('DELETE', path);
  });

  test('is refused with all other errors if the category is unknown', async () => {
    const { productID } = await create({ title: 'Unchanged' });
    for (const categoryID of ['Food', 'gone', '__proto__', 'x'.repeat(5_000)]) {
      for (const [method, path] of [
        ['POST', PATH],
        ['PUT', `${PATH}/${productID}`],
      ] as const) {
        const refused = await server.send(method, path, { ...BASE, categoryID });
        assert.deepEqual([refused.status, refused.body], [422, UNKNOWN]);
      }
    }
    const both = await server.send('POST', PATH, { ...BASE, title: '', categoryID: 7 });
    assert.deepEqual(both.body, {
      title: 'title must not be blank',
      categoryID: 'categoryID must be a string',
    });
    await server.send('DELETE', `${PATH}/${productID}`);
  });

  test('is listed for its category and for every category above it', async () => {
    await create({ title: 'Bread', categoryID: FOOD.categoryID });
    await create({ title: 'Juice', categoryID: DRINKS.categoryID });
    await create({ title: 'Green tea', categoryID: TEA.categoryID });
    await create({ title: 'Shirt', categoryID: CLOTHING.categoryID });
    await create({ title: 'Anything' });
    const inDrinks = `category=${encodeURIComponent(DRINKS.categoryID)}`;
    for (const [query, titles] of [
      ['category=food', ['Green tea', 'Juice', 'Bread']],
      [inDrinks, ['Green tea', 'Juice']],
      ['category=tea', ['Green tea']],
      ['category=clothing', ['Shirt']],
      ['category=Tea', []],
      ['category=gone', []],
      [`${inDrinks}&title=JUI`, ['Juice']],
      ['category=', ['Anything', 'Shirt', 'Green tea', 'Juice', 'Bread']],
    ] as const) {
      assert.deepEqual(await listTitles(query), titles, query);
    }
    const page = await server.send('GET', `${PATH}?${inDrinks}&count=1`);
    assert.equal(page.headers.get('x-total-count'), '2');
    const next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
    assert.deepEqual(
      (await server.send('GET', next)).body.map(({ title }: Product) => title),
      ['Juice'],
    );
    assert.equal((await server.send('GET', `${PATH}?category=a&category=b`)).status, 400);
  });

  test('shows no category while the file lacks it, and shows it again later', async () => {
    const { productID } = await create({ title: 'Oolong', categoryID: TEA.categoryID });
    const path = `${PATH}/${productID}`;

    await writeFile(file, JSON.stringify([FOOD, DRINKS]));
    server = await server.restart();
    assert.equal('category' in (await server.send('GET', path)).body, false);
    assert.deepEqual(await listTitles('category=tea&title=oolong'), []);
    assert.deepEqual(await listTitles('category=food&title=oolong'), []);
    assert.deepEqual(await listTitles('title=oolong'), ['Oolong']);
    const repeated = await server.send('PUT', path, { ...BASE, categoryID: TEA.categoryID });
    assert.deepEqual([repeated.status, repeated.body], [422, UNKNOWN]);

    // The category has moved: its ID decides.
    const moved = { ...TEA, name: 'Teas', parentID: FOOD.categoryID };
    await writeFile(file, JSON.stringify([FOOD, DRINKS, moved]));
    server = await server.restart();
    const category = { ...moved, fullName: 'Food > Teas', level: 2 };
    assert.deepEqual((await server.send('GET', path)).body.category, category);
    assert.deepEqual(await listTitles('category=food&title=oolong'), ['Oolong']);
  });
});
