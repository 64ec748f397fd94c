import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { components } from '@vitrine/client';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

type Product = components['schemas']['Product'];

const PATH = `/accounts/${ACCOUNT}/products`;
const PRICE = { currency: 'USD', valueDecimal: '12.987654321' };
const UNKNOWN = 'the account has no such image';

let server: TestServer;
let number = 1_000;

before(async () => {
  server = await startServer();
});
after(() => server.close());

const send = (method: string, path: string, body?: unknown) => server.send(method, path, body);

async function create(changes: object = {}): Promise<Product> {
  const { status, body } = await send('POST', PATH, { title: 'Lemonade', basePrice: PRICE, ...changes });
  assert.equal(status, 201, JSON.stringify(body));
  return body;
}

async function upload(altText?: string) {
  return server.addImage(await picture(number++), altText === undefined ? {} : { metadata: { altText } });
}

describe('a product over HTTP', () => {
  test('contains the current metadata of its images, and leaves absent fields out', async () => {
    const [one, two] = [await upload('A lemon'), await upload()];
    const shownJSON = (image: typeof one) => {
      const { imageID, altText, link, publicID } = image;
      return { imageID, ...(altText !== undefined && { altText }), link, publicID };
    };
    const product = await create({
      description: '**Sweet** `<b>`',
      images: [{ imageID: one.imageID }, { imageID: two.imageID }],
      optionGroups: [
        {
          name: 'Size',
          minSelect: 1,
          maxSelect: 1,
          options: [
            { name: 'S' },
            {
              name: 'L',
              priceModifier: { currency: 'USD', valueDecimal: '-0.50' },
              images: [{ imageID: two.imageID }],
            },
          ],
        },
      ],
    });
    const { productID, createdOn, updatedOn, ...rest } = product;
    assert.match(productID, /^[0-9a-f-]{36}$/);
    assert.equal(createdOn, updatedOn);
    assert.deepEqual(rest, {
      title: 'Lemonade',
      description: '**Sweet** `<b>`',
      basePrice: PRICE,
      isTaxable: true,
      images: [shownJSON(one), shownJSON(two)],
      optionGroups: [
        {
          name: 'Size',
          minSelect: 1,
          maxSelect: 1,
          options: [
            { name: 'S' },
            {
              name: 'L',
              priceModifier: { currency: 'USD', valueDecimal: '-0.50' },
              images: [shownJSON(two)],
            },
          ],
        },
      ],
    });
    assert.deepEqual((await send('GET', `${PATH}/${productID}`)).body, product);

    const path = `/accounts/${ACCOUNT}/images/${two.imageID}/metadata`;
    await send('PUT', path, { altText: 'Another' });
    const later = (await send('GET', `${PATH}/${productID}`)).body as Product;
    assert.equal(later.images?.[1]?.altText, 'Another');
    assert.equal(later.optionGroups?.[0]?.options[1]?.images?.[0]?.altText, 'Another');

    const plain = await create();
    assert.deepEqual(Object.keys(plain).sort(), [
      'basePrice',
      'createdOn',
      'isTaxable',
      'productID',
      'title',
      'updatedOn',
    ]);
  });

  test('has newlines for the line breaks of other systems in its descriptions', async () => {
    const text = 'One\r\n\r\ntwo\rthree';
    const option = { name: 'Mug', description: text };
    const group = { name: 'Set', description: text, minSelect: 0, maxSelect: 1, options: [option] };
    const product = await create({ title: 'Lines', description: text, optionGroups: [group] });
    const [shown] = product.optionGroups ?? [];
    const expected = 'One\n\ntwo\nthree';
    assert.deepEqual(
      [product.description, shown?.description, shown?.options[0]?.description],
      [expected, expected, expected],
    );
  });

  test('is replaced as a whole; once disabled it can be read, but not changed or listed', async () => {
    const { productID, createdOn } = await create({ title: 'to be changed', description: 'x' });
    const path = `${PATH}/${productID}`;
    const changed = await send('PUT', path, { title: 'was changed', basePrice: PRICE });
    assert.equal(changed.status, 200);
    assert.deepEqual(
      [changed.body.title, changed.body.description, changed.body.createdOn],
      ['was changed', undefined, createdOn],
    );
    for (let i = 0; i < 2; i += 1) assert.equal((await send('DELETE', path)).status, 204);
    const { body } = await send('GET', path);
    assert.ok(body.disabledOn);
    const refused = await send('PUT', path, { title: 'again', basePrice: PRICE });
    assert.deepEqual(
      [refused.status, refused.body],
      [409, { error: 'the product is disabled and cannot be changed' }],
    );
    const listed = (await send('GET', `${PATH}?count=200`)).body as Product[];
    assert.ok(!listed.some((product) => product.productID === productID));
  });

  test('is refused with all errors at once, including errors of its images', async () => {
    const [good, off] = [await upload(), await upload()];
    await send('DELETE', `/accounts/${ACCOUNT}/images/${off.imageID}`);
    const images = [
      { imageID: good.imageID },
      { imageID: randomUUID() },
      { imageID: off.imageID },
      { imageID: 'x' },
    ];
    const options = [{ name: 'S', images: [{ imageID: off.imageID }] }];
    const optionGroups = [{ name: 'Size', minSelect: 0, maxSelect: 1, options }];
    const wrongImages = {
      images: {
        1: { imageID: UNKNOWN },
        2: { imageID: 'the image is disabled and cannot be assigned' },
        3: { imageID: UNKNOWN },
      },
      optionGroups: {
        0: { options: { 0: { images: { 0: { imageID: 'the image is disabled and cannot be assigned' } } } } },
      },
    };
    const wellFormed = images.slice(0, 3);
    const { 3: _malformed, ...others } = wrongImages.images;
    const onlyImages = await send('POST', PATH, {
      title: 'x',
      basePrice: PRICE,
      images: wellFormed,
      optionGroups,
    });
    assert.deepEqual(
      [onlyImages.status, onlyImages.body],
      [422, { ...wrongImages, images: others }],
      'images that the database refuses',
    );
    const all = await send('POST', PATH, { title: '', description: '<b>', images, optionGroups });
    const price = 'basePrice must be an object with currency and valueDecimal';
    assert.deepEqual(
      [all.status, all.body],
      [
        422,
        {
          ...wrongImages,
          title: 'title must not be blank',
          description: 'description must be Markdown without HTML',
          basePrice: { currency: price, valueDecimal: price },
        },
      ],
    );
  });

  test('says whether it is taxable, and keeps that in an update that does not say it', async () => {
    const body = { title: 'Book', basePrice: PRICE };
    const { productID, isTaxable } = await create({ isTaxable: false });
    assert.equal(isTaxable, false);
    const path = `${PATH}/${productID}`;
    for (const [changes, expected] of [
      [{}, false],
      [{ isTaxable: null }, false],
      [{ isTaxable: true }, true],
      [{}, true],
    ] as const) {
      const changed = await send('PUT', path, { ...body, ...changes });
      assert.deepEqual([changed.status, changed.body.isTaxable], [200, expected]);
    }
    for (const [method, to] of [
      ['POST', PATH],
      ['PUT', path],
    ] as const) {
      for (const wrong of ['true', 1, []]) {
        const refused = await send(method, to, { ...body, isTaxable: wrong });
        assert.deepEqual(
          [refused.status, refused.body],
          [422, { isTaxable: 'isTaxable must be true or false' }],
        );
      }
    }
  });

  test('may keep a disabled image in an update, but cannot add one', async () => {
    const [assigned, unassigned] = [await upload(), await upload()];
    const { productID } = await create({ images: [{ imageID: assigned.imageID }] });
    for (const { imageID } of [assigned, unassigned])
      await send('DELETE', `/accounts/${ACCOUNT}/images/${imageID}`);
    const body = {
      title: 'x',
      basePrice: PRICE,
      images: [{ imageID: assigned.imageID }, { imageID: unassigned.imageID }],
    };
    const refused = await send('PUT', `${PATH}/${productID}`, body);
    assert.deepEqual(
      [refused.status, refused.body],
      [422, { images: { 1: { imageID: 'the image is disabled and cannot be assigned' } } }],
    );
    const wrong = await send('PUT', `${PATH}/${productID}`, { ...body, title: '' });
    assert.deepEqual(
      Object.keys(wrong.body.images),
      ['1'],
      'the same error together with an error of another field',
    );
    const fine = await send('PUT', `${PATH}/${productID}`, { ...body, images: body.images.slice(0, 1) });
    assert.equal(fine.status, 200);
    assert.equal(fine.body.images.length, 1);
  });

  test('returns 404 for an unknown or malformed ID', async () => {
    for (const id of [randomUUID(), 'x', '%00', '..%2f', "'or 1=1"]) {
      const body = { title: 'x', basePrice: PRICE };
      for (const [method, sent] of [['GET'], ['PUT', body], ['DELETE']] as const) {
        const { status, body: answer } = await send(method, `${PATH}/${id}`, sent);
        assert.equal(status, 404, `${method} ${id}`);
        assert.deepEqual(answer, { error: 'product not found' });
      }
    }
  });

  test('must be a JSON object of at most 64 KiB', async () => {
    for (const [body, status] of [
      ['[]', 400],
      ['"x"', 400],
      ['null', 400],
      ['', 400],
      ['{', 400],
      [JSON.stringify({ title: 'x'.repeat(70_000) }), 413],
    ] as const) {
      const { status: actual, body: answer } = await send('POST', PATH, body);
      assert.equal(actual, status, body.slice(0, 20));
      assert.equal(typeof answer.error, 'string');
    }
    const proto = await send('POST', PATH, '{"__proto__": {"title": "x"}, "constructor": 1}');
    assert.equal(proto.status, 422);
  });
});

describe('the list of products', () => {
  test('pages through a search, and keeps the search in the link to the next page', async () => {
    const titles = ['100% Käse', '100% KÄSE & more', '100% kÄSe ', 'käse'];
    for (const title of titles) await create({ title });
    const listedTitles: string[] = [];
    let next: string | undefined = `${PATH}?title=${encodeURIComponent('% käse')}&count=1`;
    while (next !== undefined) {
      const { headers, body }: Awaited<ReturnType<typeof send>> = await send('GET', next);
      assert.equal(headers.get('x-total-count'), '3');
      listedTitles.push(...body.map(({ title }: Product) => title));
      next = /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1];
    }
    assert.deepEqual(listedTitles, titles.slice(0, 3).reverse());
  });

  test('has 200 products on a page without a count, and at most 200', async () => {
    const other = await server.send('POST', '/accounts', { displayName: 'Many products' });
    const path = `/accounts/${other.body.accountID}/products`;
    for (let i = 0; i < 201; i += 1) await send('POST', path, { title: `Product ${i}`, basePrice: PRICE });
    for (const [query, length] of [
      ['', 200],
      ['?count=201', 200],
      ['?count=2', 2],
      ['?skip=200', 1],
    ] as const) {
      const { body, headers } = await send('GET', `${path}${query}`);
      assert.equal(body.length, length, query);
      assert.equal(headers.get('x-total-count'), '201');
    }
    const link = (await send('GET', path)).headers.get('link') ?? '';
    assert.match(link, /\?skip=200&count=200>; rel="next"$/);
  });

  test('refuses invalid pages and search texts', async () => {
    for (const query of [
      'count=0',
      'skip=-1',
      'count=',
      'title=%00',
      'title=a%0ab',
      `title=${'x'.repeat(201)}`,
      'title=a&title=b',
    ]) {
      const { status, body } = await send('GET', `${PATH}?${query}`);
      assert.equal(status, 400, query);
      assert.match(body.error, /^(count|skip|title) must/);
    }
    assert.equal((await send('GET', `${PATH}?skip=99999999999&count=99999`)).status, 200);
  });
});
