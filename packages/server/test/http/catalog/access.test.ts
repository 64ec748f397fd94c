/**
 * Calls every route of the catalogue with every kind of wrong credentials, and with IDs of another account.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { SCOPES, type Scope } from '../../../src/access/account.ts';
import { BY, digestOf, keyOf } from '../../conformance/metadata-samples.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, startServer, type TestServer } from '../../support/server.ts';

const OTHER = '0f0e0d0c-0b0a-4908-8706-050403020100';
const PRICE = { currency: 'USD', valueDecimal: '1' };
const PRODUCT = { title: 'x', basePrice: PRICE };
const ITEMS = { items: [{ name: 'x', basePrice: PRICE, quantity: 1 }] };

/** Each of these scopes has a key with only this scope. */
const SINGLE_SCOPES: readonly Scope[] = ['images.read', 'images.write', 'products.read', 'products.write'];

interface Route {
  readonly method: string;
  readonly path: string;
  readonly scope: Scope;
  readonly body?: object;
}
const ROUTES: readonly Route[] = [
  { method: 'POST', path: 'products', scope: 'products.write', body: PRODUCT },
  { method: 'GET', path: 'products', scope: 'products.read' },
  { method: 'GET', path: 'products/PRODUCT', scope: 'products.read' },
  { method: 'PUT', path: 'products/PRODUCT', scope: 'products.write', body: PRODUCT },
  { method: 'DELETE', path: 'products/PRODUCT', scope: 'products.write' },
  { method: 'POST', path: 'line-items', scope: 'products.write', body: ITEMS },
  { method: 'GET', path: 'line-items', scope: 'products.read' },
  { method: 'GET', path: 'line-items/LINEITEMS', scope: 'products.read' },
  { method: 'GET', path: 'images/IMAGE/usage', scope: 'images.read' },
  { method: 'POST', path: 'images/IMAGE/enable', scope: 'images.write' },
  { method: 'DELETE', path: 'images/IMAGE?dryRun=true', scope: 'images.write' },
  { method: 'GET', path: 'images?unused=true', scope: 'images.read' },
];

let server: TestServer;
/** For each account: the IDs in it, by their placeholder in a path. */
const idsByAccount: Record<string, Record<string, string>> = {};

async function call(
  route: Route,
  account: string,
  ids: Record<string, string>,
  authorization: string | undefined,
) {
  const path = route.path.replace(/IMAGE|PRODUCT|LINEITEMS/, (word) => ids[word] ?? word);
  const response = await fetch(`${server.url}/accounts/${account}/${path}`, {
    method: route.method,
    headers: {
      ...(authorization !== undefined && { authorization }),
      ...(route.body && { 'content-type': 'application/json' }),
    },
    ...(route.body && { body: JSON.stringify(route.body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

before(async () => {
  server = await startServer();
  const store = await server.openRecords();
  await store.accounts.create({ accountID: OTHER, displayName: 'Other', createdOn: new Date() }, BY);
  const add = (publicKey: string, accounts: string[], scopes: readonly Scope[]) =>
    store.keys.create(keyOf({ publicKey, accounts, scopes }), digestOf('secret'), BY);
  for (const scope of SINGLE_SCOPES) await add(scope, [ACCOUNT], [scope]);
  await add('other', [OTHER], SCOPES);
  await store.close();
  for (const account of [ACCOUNT, OTHER]) {
    const post = async (path: string, body: object) => {
      const sent = {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      };
      return (await server.fetch(`/accounts/${account}/${path}`, sent)).json() as Promise<
        Record<string, string>
      >;
    };
    const { imageID } = await server.addImage(await picture(1), { account });
    const { productID } = await post('products', { ...PRODUCT, images: [{ imageID }] });
    const { lineItemsID } = await post('line-items', ITEMS);
    idsByAccount[account] = { IMAGE: imageID, PRODUCT: productID ?? '', LINEITEMS: lineItemsID ?? '' };
  }
});
after(() => server.close());

describe('the routes of the catalogue', () => {
  for (const route of ROUTES) {
    test(`${route.method} ${route.path} requires its scope and its account`, async () => {
      const mine = idsByAccount[ACCOUNT] ?? {};
      for (const authorization of [
        undefined,
        'Basic x',
        basic('products.read', 'wrong'),
        basic('', 'secret'),
      ]) {
        assert.equal((await call(route, ACCOUNT, mine, authorization)).status, 401, authorization);
      }
      for (const scope of SINGLE_SCOPES.filter((each) => each !== route.scope)) {
        assert.equal((await call(route, ACCOUNT, mine, basic(scope, 'secret'))).status, 403, scope);
      }
      const foreign = await call(route, ACCOUNT, mine, basic('other', 'secret'));
      const unknownAccount = await call(route, randomUUID(), mine, basic('other', 'secret'));
      assert.equal(foreign.status, 403);
      assert.deepEqual(unknownAccount, foreign, 'unknown and foreign accounts get the same response');

      // A key with all rights on one account, and an ID of the other account.
      if (/[A-Z]{5}/.test(route.path)) {
        const foreignID = await call(route, OTHER, mine, basic('other', 'secret'));
        const unknown = { IMAGE: randomUUID(), PRODUCT: randomUUID(), LINEITEMS: randomUUID() };
        assert.equal(foreignID.status, 404);
        assert.deepEqual(foreignID, await call(route, OTHER, unknown, basic('other', 'secret')));
      }
      const allowed = await call(route, ACCOUNT, mine, basic(route.scope, 'secret'));
      assert.ok(allowed.status < 300, `${allowed.status} with the right key`);
    });
  }

  test('GET /product-categories requires products.read, for any account', async () => {
    const get = async (authorization?: string) =>
      (
        await fetch(`${server.url}/product-categories`, {
          ...(authorization !== undefined && { headers: { authorization } }),
        })
      ).status;
    assert.equal(await get(), 401);
    assert.equal(await get(basic('products.read', 'wrong')), 401);
    for (const scope of SINGLE_SCOPES) {
      assert.equal(await get(basic(scope, 'secret')), scope === 'products.read' ? 200 : 403, scope);
    }
    assert.equal(await get(basic('other', 'secret')), 200);
  });

  test('treat images and products of another account like unknown ones, and list only their own', async () => {
    const [mine, theirs] = [idsByAccount[ACCOUNT] ?? {}, idsByAccount[OTHER] ?? {}];
    const other = basic('other', 'secret');
    const assign = async (imageID = '', productID = '') => {
      const product = { ...PRODUCT, images: [{ imageID }] };
      const items = { items: [{ name: 'x', basePrice: PRICE, quantity: 1, imageIDs: [imageID], productID }] };
      return [
        await call(
          { method: 'POST', path: 'products', scope: 'products.write', body: product },
          OTHER,
          {},
          other,
        ),
        await call(
          { method: 'POST', path: 'line-items', scope: 'products.write', body: items },
          OTHER,
          {},
          other,
        ),
      ];
    };
    const foreign = await assign(mine.IMAGE, mine.PRODUCT);
    assert.deepEqual(
      foreign.map(({ status }) => status),
      [422, 422],
    );
    assert.deepEqual(foreign, await assign(randomUUID(), randomUUID()));
    assert.deepEqual(foreign, await assign('malformed', 'malformed'));
    const listed = await call({ method: 'GET', path: 'products', scope: 'products.read' }, OTHER, {}, other);
    assert.deepEqual(
      listed.body.map(({ productID }: { productID: string }) => productID),
      [theirs.PRODUCT],
    );
  });
});
