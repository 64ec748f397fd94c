import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { components } from '@vitrine/client';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

type LineItems = components['schemas']['LineItems'];

const PATH = `/accounts/${ACCOUNT}/line-items`;
const PRICE = { currency: 'EUR', valueDecimal: '0.000000001' };

let server: TestServer;
let number = 2_000;

before(async () => {
  server = await startServer();
});
after(() => server.close());

const send = (method: string, path: string, body?: unknown) => server.send(method, path, body);

async function upload() {
  return server.addImage(await picture(number++));
}

const item = (changes: object = {}) => ({ name: 'Lemonade', basePrice: PRICE, quantity: 1, ...changes });
const disable = (imageID: string) => send('DELETE', `/accounts/${ACCOUNT}/images/${imageID}`);

async function create(...items: object[]): Promise<LineItems> {
  const { status, body } = await send('POST', PATH, { items });
  assert.equal(status, 201, JSON.stringify(body));
  return body;
}

describe('line items over HTTP', () => {
  test('are returned with their images, can be read again, and are listed', async () => {
    const { imageID, link, publicID } = await upload();
    const images = [{ imageID, link, publicID }];
    const option = { name: 'Ice', quantity: 2, group: 'extras' };
    const set = await create(
      item({ imageIDs: [imageID], options: [{ ...option, imageIDs: [imageID] }] }),
      item(),
    );
    assert.deepEqual(set.items, [item({ images, options: [{ ...option, images }] }), item()]);
    assert.deepEqual((await send('GET', `${PATH}/${set.lineItemsID}`)).body, set);
    const newer = await create(item());
    const { headers, body } = await send('GET', `${PATH}?count=1`);
    assert.deepEqual(body, [newer]);
    const total = Number(headers.get('x-total-count'));
    assert.ok(total >= 2);
    const next = /<([^>]+)>; rel="next"/.exec(headers.get('link') ?? '')?.[1] ?? '';
    assert.deepEqual((await send('GET', next)).body, [set]);
  });

  test('keep showing an image that is replaced and disabled later', async () => {
    const image = await upload();
    const set = await create(item({ imageIDs: [image.imageID] }));
    await server.addImage(await picture(number++), { replace: image.imageID });
    await disable(image.imageID);
    const { body } = await send('GET', `${PATH}/${set.lineItemsID}`);
    assert.deepEqual(body, set);
    const response = await fetch(image.link);
    assert.equal(response.status, 200);
    await response.arrayBuffer();
    const refused = await send('POST', PATH, { items: [item({ imageIDs: [image.imageID] })] });
    assert.deepEqual(
      [refused.status, refused.body],
      [422, { items: { 0: { imageIDs: { 0: 'the image is disabled and cannot be assigned' } } } }],
    );
  });

  test('take the enabled images of their product, and keep them when the product is disabled', async () => {
    const [a, off, b] = [await upload(), await upload(), await upload()];
    const images = [a, off, b].map(({ imageID }) => ({ imageID }));
    const path = `/accounts/${ACCOUNT}/products`;
    const { productID } = (await send('POST', path, { title: 'x', basePrice: PRICE, images })).body;
    await disable(off.imageID);
    const set = await create(item({ productID }));
    assert.equal(set.items[0]?.productID, productID);
    const ids = (lineItems: LineItems) => lineItems.items[0]?.images?.map(({ imageID }) => imageID);
    assert.deepEqual(ids(set), [a.imageID, b.imageID]);
    await send('DELETE', `${path}/${productID}`);
    assert.deepEqual((await send('GET', `${PATH}/${set.lineItemsID}`)).body, set);
    const refused = await send('POST', PATH, {
      items: [item({ productID }), item({ productID: randomUUID() })],
    });
    assert.deepEqual(refused.body, {
      items: {
        0: { productID: 'the product is disabled' },
        1: { productID: 'the account has no such product' },
      },
    });
  });

  test('are refused with all errors at once, in the shape of the request', async () => {
    const unknown = 'the account has no such image';
    const option = { name: 'Ice', quantity: 0, imageIDs: [randomUUID()] };
    const items = [item(), item({ quantity: 0, imageIDs: ['x', randomUUID()], options: [option] })];
    const { status, body } = await send('POST', PATH, { items });
    const quantity = 'quantity must be a whole number from 1 to 2147483647';
    assert.deepEqual(
      [status, body],
      [
        422,
        {
          items: {
            1: {
              quantity,
              imageIDs: { 0: unknown, 1: unknown },
              options: { 0: { quantity, imageIDs: { 0: unknown } } },
            },
          },
        },
      ],
    );
  });

  test('return 404 for an unknown or malformed ID and for every method that would change them', async () => {
    for (const id of [randomUUID(), 'x', '%00']) {
      const { status, body } = await send('GET', `${PATH}/${id}`);
      assert.deepEqual([status, body], [404, { error: 'line items not found' }]);
    }
    const { lineItemsID } = await create(item());
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      assert.equal((await send(method, `${PATH}/${lineItemsID}`, { items: [] })).status, 404, method);
    }
  });

  test('are listed with at most 50 sets per page', async () => {
    for (let i = 0; i < 51; i += 1) await create(item());
    assert.equal((await send('GET', `${PATH}?count=200`)).body.length, 50);
  });
});
