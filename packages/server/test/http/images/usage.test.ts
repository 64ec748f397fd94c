import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const PATH = `/accounts/${ACCOUNT}/images`;
const PRICE = { currency: 'USD', valueDecimal: '1' };

let server: TestServer;
let number = 3_000;

before(async () => {
  server = await startServer({ VITRINE_IMAGE_QUOTA: '30' });
});
after(() => server.close());

const send = (method: string, path: string, body?: unknown) => server.send(method, path, body);

async function upload(altText?: string): Promise<ImageJSON> {
  return server.addImage(await picture(number++), altText === undefined ? {} : { metadata: { altText } });
}

async function createProduct(changes: object): Promise<string> {
  const { status, body } = await send('POST', `/accounts/${ACCOUNT}/products`, {
    title: 'Lemonade',
    basePrice: PRICE,
    ...changes,
  });
  assert.equal(status, 201, JSON.stringify(body));
  return body.productID;
}

describe('the usage of an image over HTTP', () => {
  test('lists what shows it, and DELETE with dryRun returns the same list', async () => {
    const { imageID } = await upload();
    const images = [{ imageID }];
    const options = [{ name: 'S' }, { name: 'L', images }];
    const productID = await createProduct({
      images,
      optionGroups: [{ name: 'Size', minSelect: 0, maxSelect: 1, options }],
    });
    const items = [{ name: 'Tea', basePrice: PRICE, quantity: 1, imageIDs: [imageID] }];
    const { body: set } = await send('POST', `/accounts/${ACCOUNT}/line-items`, { items });
    const expected = {
      imageID,
      inUse: true,
      products: [{ productID, title: 'Lemonade' }],
      options: [
        {
          productID,
          title: 'Lemonade',
          optionGroup: { index: 0, name: 'Size' },
          option: { index: 1, name: 'L' },
        },
      ],
      lineItems: [
        { lineItemsID: set.lineItemsID, createdOn: set.createdOn, item: { index: 0, name: 'Tea' } },
      ],
      totals: { products: 1, options: 1, lineItems: 1 },
    };
    const usage = await send('GET', `${PATH}/${imageID}/usage`);
    assert.deepEqual([usage.status, usage.body], [200, expected]);
    const dryRun = await send('DELETE', `${PATH}/${imageID}?dryRun=true`);
    assert.deepEqual([dryRun.status, dryRun.body], [200, expected]);
    assert.equal((await send('GET', `${PATH}/${imageID}`)).body.disabledOn, undefined);
    assert.equal((await send('DELETE', `${PATH}/${imageID}?dryRun=false`)).status, 204);
    assert.ok((await send('GET', `${PATH}/${imageID}`)).body.disabledOn);
    assert.deepEqual(
      (await send('GET', `${PATH}/${imageID}/usage`)).body,
      expected,
      'a disabled image is still shown',
    );
  });

  test('returns 404 for an unknown image, and 400 for a dryRun that is not true or false', async () => {
    for (const id of [randomUUID(), 'x']) {
      for (const [method, path] of [
        ['GET', 'usage'],
        ['POST', 'enable'],
      ] as const) {
        const { status, body } = await send(method, `${PATH}/${id}/${path}`);
        assert.deepEqual([status, body], [404, { error: 'image not found' }]);
      }
      assert.equal((await send('DELETE', `${PATH}/${id}?dryRun=true`)).status, 404);
    }
    const { imageID } = await upload();
    for (const query of ['dryRun=1', 'dryRun=', 'dryRun=TRUE', 'dryRun=true&dryRun=true']) {
      const { status, body } = await send('DELETE', `${PATH}/${imageID}?${query}`);
      assert.equal(status, 400, query);
      assert.match(body.error, /^dryRun must be/);
    }
    assert.equal((await send('GET', `${PATH}/${imageID}`)).body.disabledOn, undefined);
  });

  test('is in the 409 of an account that does not allow disabling images in use', async () => {
    const policy = async (disablePolicy: string) =>
      (await send('PATCH', `/accounts/${ACCOUNT}`, { disablePolicy })).status;
    assert.equal(await policy('refuse'), 400);
    assert.equal(await policy('refuse-in-use'), 200);
    const [used, free] = [await upload(), await upload()];
    await createProduct({ images: [{ imageID: used.imageID }] });
    const usage = (await send('GET', `${PATH}/${used.imageID}/usage`)).body;
    const refused = await send('DELETE', `${PATH}/${used.imageID}`);
    const error =
      'the account does not allow disabling images in use: 1 products, 0 options and 0 line items show this image';
    assert.deepEqual([refused.status, refused.body], [409, { error, usage }]);
    assert.deepEqual((await send('DELETE', `${PATH}/${used.imageID}?dryRun=true`)).body, usage);
    assert.equal((await send('DELETE', `${PATH}/${free.imageID}`)).status, 204);
    assert.equal(await policy('allow'), 200);
    assert.equal((await send('DELETE', `${PATH}/${used.imageID}`)).status, 204);
  });
});

describe('enabling an image over HTTP', () => {
  test('restores it unchanged, can be repeated, and respects the quota', async () => {
    const image = await upload('text');
    const path = `${PATH}/${image.imageID}/enable`;
    await send('DELETE', `${PATH}/${image.imageID}`);
    for (let i = 0; i < 2; i += 1) {
      const { status, body } = await send('POST', path);
      assert.deepEqual([status, body], [200, image]);
    }
    assert.equal((await send('POST', path, {})).status, 200, 'some clients send a body with every POST');
    await send('DELETE', `${PATH}/${image.imageID}`);
    const enabled = Number((await send('GET', `${PATH}?disabled=false`)).headers.get('x-total-count'));
    for (let i = enabled; i < 30; i += 1) await upload();
    const refused = await send('POST', path);
    assert.equal(refused.status, 400);
    assert.match(refused.body.error, /limit of 30 images/);
    assert.ok((await send('GET', `${PATH}/${image.imageID}`)).body.disabledOn);
  });
});

describe('the filters of the list of images', () => {
  test('combine with each other and with paging, and stay in the link to the next page', async () => {
    const own = await startServer();
    try {
      const list = async (query: string) => {
        const response = await own.fetch(query.startsWith('http') ? query : `${PATH}?${query}`);
        const images = (await response.json()) as ImageJSON[];
        return { ids: images.map(({ imageID }) => imageID), headers: response.headers };
      };
      const ids: string[] = [];
      for (let i = 0; i < 8; i += 1) {
        const metadata = i < 6 ? { altText: `${i % 2 ? 'GRÜNE Straße' : '100%'} ${i}` } : {};
        ids.unshift((await own.addImage(await picture(4_000 + i), { metadata })).imageID);
      }
      const [seven, six, five, four, three, two, one, zero] = ids;
      await own.fetch(`/accounts/${ACCOUNT}/products`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ title: 'x', basePrice: PRICE, images: [{ imageID: one }, { imageID: six }] }),
      });
      for (const id of [three, six]) await own.fetch(`${PATH}/${id}`, { method: 'DELETE' });
      for (const [query, expected] of [
        ['altText=missing', [seven, six]],
        ['altText=missing&disabled=true', [six]],
        ['disabled=true', [six, three]],
        ['disabled=false', [seven, five, four, two, one, zero]],
        ['unused=true', [seven, five, four, three, two, zero]],
        ['unused=false', [six, one]],
        ['search=gr%C3%BCne+STRASSE', [five, three, one]],
        ['search=gr%C3%BCne&unused=true&disabled=false', [five]],
        ['search=%25', [four, two, zero]],
        ['search=_', []],
        ['search=', ids],
        ['unused=true&altText=missing&search=zzz', []],
        ['unknown=parameter', ids],
      ] as const) {
        const { ids: actual, headers } = await list(query);
        assert.deepEqual(actual, expected, query);
        assert.equal(headers.get('x-total-count'), String(expected.length), query);
        assert.equal(headers.get('link'), null, query);

        const paged: string[] = [];
        let next: string | undefined = `${query}&count=2`;
        while (next !== undefined) {
          const page: Awaited<ReturnType<typeof list>> = await list(next);
          paged.push(...page.ids);
          next = /<([^>]+)>; rel="next"/.exec(page.headers.get('link') ?? '')?.[1];
        }
        assert.deepEqual(paged, expected, `${query} in pages`);
      }
      for (const query of [
        'disabled=1',
        'unused=',
        'altText=present',
        'search=%00',
        `search=${'x'.repeat(201)}`,
      ]) {
        const response = await own.fetch(`${PATH}?${query}`);
        assert.equal(response.status, 400, query);
        const { error } = (await response.json()) as { error: string };
        assert.match(error, new RegExp(`^${query.split('=')[0]} must`));
      }
    } finally {
      await own.close();
    }
  });
});
