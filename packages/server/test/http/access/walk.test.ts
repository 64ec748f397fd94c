/**
 * Calls every route with every kind of credentials. It checks the exact status, and that a refused request
 * changes nothing. The server lists its routes: a route without a row in the table below fails the test.
 */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import type { RouteDeclaration } from '../../../src/http/shared/route-rules.ts';
import {
  ALL_SCOPES,
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  type KeyJSON,
  successBody,
} from '../../support/administration.ts';
import { picture } from '../../support/sample.ts';
import {
  ACCOUNT,
  basic,
  type ImageJSON,
  KEY,
  skipOnSeveralNodes,
  startServer,
  type TestServer,
  uploadForm,
} from '../../support/server.ts';

/** The values for the parameters of a path, all of one account. */
interface Targets {
  accountID: string;
  image: ImageJSON;
  productID: string;
  lineItemsID: string;
  /** A key of the account that only this test uses. */
  key: KeyJSON;
  /** A key for all accounts that only this test uses. */
  serverKey: KeyJSON;
}

interface Row {
  /** The status for credentials with all rights. */
  readonly ok: number;
  /** JSON, or a form. */
  readonly body?: (targets: Targets) => unknown;
}

const basePrice = { currency: 'USD', valueDecimal: '9.50' };
const PRODUCT = { title: 'Chair', basePrice };
const LINE_ITEMS = { items: [{ name: 'Chair', basePrice, quantity: 1 }] };

const form = (number: number) => async () => uploadForm(await picture(number));

/** By method and path. HEAD behaves like GET and needs no row. */
const TABLE: Readonly<Record<string, Row>> = {
  'GET /': { ok: 200 },
  'GET /style.css': { ok: 200 },
  'GET /livez': { ok: 200 },
  'GET /readyz': { ok: 200 },
  'GET /metrics': { ok: 200 },
  'GET /openapi.json': { ok: 200 },
  'GET /docs': { ok: 302 },
  'GET /docs/api': { ok: 200 },
  'GET /docs/': { ok: 302 },
  'GET /docs/api/': { ok: 302 },
  'GET /docs/api/start.js': { ok: 200 },
  'GET /docs/api/openapi.json': { ok: 200 },
  'GET /docs/api/swagger-ui.css': { ok: 200 },
  'GET /docs/api/swagger-ui-bundle.js': { ok: 200 },
  'GET /images/:publicID': { ok: 200 },
  'GET /ping': { ok: 200 },
  'GET /accounts/:accountID/images': { ok: 200 },
  'POST /accounts/:accountID/images': { ok: 201, body: form(2) },
  'GET /accounts/:accountID/images/:imageID': { ok: 200 },
  'PUT /accounts/:accountID/images/:imageID': { ok: 200, body: form(3) },
  'PUT /accounts/:accountID/images/:imageID/metadata': { ok: 200, body: () => ({ altText: 'new' }) },
  'DELETE /accounts/:accountID/images/:imageID': { ok: 204 },
  'GET /accounts/:accountID/images/:imageID/original': { ok: 200 },
  'GET /accounts/:accountID/images/:imageID/usage': { ok: 200 },
  'POST /accounts/:accountID/images/:imageID/enable': { ok: 200 },
  'GET /product-categories': { ok: 200 },
  'POST /accounts/:accountID/products': { ok: 201, body: () => PRODUCT },
  'GET /accounts/:accountID/products': { ok: 200 },
  'GET /accounts/:accountID/products/:productID': { ok: 200 },
  'PUT /accounts/:accountID/products/:productID': { ok: 200, body: () => PRODUCT },
  'DELETE /accounts/:accountID/products/:productID': { ok: 204 },
  'POST /accounts/:accountID/line-items': { ok: 201, body: () => LINE_ITEMS },
  'GET /accounts/:accountID/line-items': { ok: 200 },
  'GET /accounts/:accountID/line-items/:lineItemsID': { ok: 200 },
  'POST /accounts': { ok: 201, body: () => ({ displayName: 'New' }) },
  'GET /accounts': { ok: 200 },
  'GET /accounts/:accountID': { ok: 200 },
  'PATCH /accounts/:accountID': { ok: 200, body: () => ({ displayName: 'Renamed' }) },
  'POST /accounts/:accountID/suspend': { ok: 200 },
  'POST /accounts/:accountID/resume': { ok: 200 },
  'GET /accounts/:accountID/audit': { ok: 200 },
  'GET /audit': { ok: 200 },
  'POST /accounts/:accountID/keys': { ok: 201, body: () => ({ name: 'New' }) },
  'GET /accounts/:accountID/keys': { ok: 200 },
  'GET /accounts/:accountID/keys/:keyID': { ok: 200 },
  'POST /accounts/:accountID/keys/:keyID/rotate': { ok: 200 },
  'DELETE /accounts/:accountID/keys/:keyID': { ok: 204 },
  'POST /keys': { ok: 201, body: () => ({ name: 'New' }) },
  'GET /keys': { ok: 200 },
  'GET /keys/:keyID': { ok: 200 },
  'GET /me': { ok: 200 },
  'POST /keys/:keyID/rotate': { ok: 200 },
  'DELETE /keys/:keyID': { ok: 204 },
  'POST /oauth2/token': { ok: 200, body: () => ({ grant_type: 'client_credentials' }) },
  'POST /oauth2/revoke': { ok: 204, body: () => ({ token: 'unknown' }) },
};

/** A kind of credentials, and the status that it must get. */
interface Kind {
  readonly name: string;
  readonly authorization: (keys: Credentials) => string | undefined;
  readonly status: (route: RouteDeclaration, ok: number) => number;
}

type Credentials = Record<'revoked' | 'expired' | 'suspended' | 'other', KeyJSON> &
  Record<'expiredToken' | 'revokedToken' | 'narrowToken' | 'otherToken' | 'suspendedToken', string>;

const isPublic = ({ scope }: RouteDeclaration) => scope === 'public';
const unauthenticated: Kind['status'] = (route, ok) => (isPublic(route) ? ok : 401);
/** Valid credentials with every scope, for a different account. */
const foreign: Kind['status'] = (route, ok) =>
  route.path.includes(':accountID') || route.allAccounts ? 403 : ok;
/** The OAuth routes do not accept a token as credentials. */
const byToken =
  (status: Kind['status']): Kind['status'] =>
  (route, ok) =>
    route.scope === 'client' ? 401 : status(route, ok);

const KINDS: readonly Kind[] = [
  { name: 'no credentials', authorization: () => undefined, status: unauthenticated },
  {
    name: 'a wrong secret',
    authorization: () => basic(KEY.publicKey, 'wrong'),
    status: unauthenticated,
  },
  { name: 'a revoked key', authorization: ({ revoked }) => basicOf(revoked), status: unauthenticated },
  { name: 'an expired key', authorization: ({ expired }) => basicOf(expired), status: unauthenticated },
  { name: 'an expired token', authorization: (all) => bearer(all.expiredToken), status: unauthenticated },
  { name: 'a revoked token', authorization: (all) => bearer(all.revokedToken), status: unauthenticated },
  {
    name: 'the secret key as a token',
    authorization: () => bearer(KEY.secretKey),
    status: unauthenticated,
  },
  {
    name: 'a key of a suspended account',
    authorization: ({ suspended }) => basicOf(suspended),
    status: foreign,
  },
  {
    name: 'a token of a suspended account',
    authorization: (all) => bearer(all.suspendedToken),
    status: byToken(foreign),
  },
  { name: 'a key of another account', authorization: ({ other }) => basicOf(other), status: foreign },
  {
    name: 'a token of another account',
    authorization: (all) => bearer(all.otherToken),
    status: byToken(foreign),
  },
  {
    name: 'a token without the scope',
    authorization: (all) => bearer(all.narrowToken),
    status: byToken((route, ok) =>
      isPublic(route) || ['ping.read', 'any'].includes(route.scope) ? ok : 403,
    ),
  },
];

let server: TestServer;
let targets: Targets;
let suspendedTargets: Targets;
let credentials: Credentials;
let clock = new Date();

before(async () => {
  server = await startServer({}, { now: () => clock });
  const targetsOf = async (accountID: string, number: number): Promise<Targets> => ({
    accountID,
    image: await server.addImage(await picture(number), { account: accountID }),
    productID: (
      await successBody(
        server.send<{ productID: string }>('POST', `/accounts/${accountID}/products`, PRODUCT),
      )
    ).productID,
    lineItemsID: (
      await successBody(
        server.send<{ lineItemsID: string }>('POST', `/accounts/${accountID}/line-items`, LINE_ITEMS),
      )
    ).lineItemsID,
    key: await createKey(server, accountID),
    serverKey: await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'For all' })),
  });
  targets = await targetsOf(ACCOUNT, 1);
  const paused = await createAccount(server);
  suspendedTargets = await targetsOf(paused, 11);
  const other = await createKey(server, await createAccount(server));
  const suspended = await createKey(server, paused);
  const bound = await createKey(server, ACCOUNT);
  const revoked = await createKey(server, ACCOUNT);
  await successBody(server.send('DELETE', `/accounts/${ACCOUNT}/keys/${revoked.keyID}`));
  const expired = await createKey(server, ACCOUNT, {
    expiresOn: new Date(clock.getTime() + 1).toISOString(),
  });
  const expiredToken = await createToken(server, bound);
  clock = new Date(clock.getTime() + 3_600_000);
  const revokedToken = await createToken(server, bound);
  await successBody(
    server.send('POST', '/oauth2/revoke', { token: revokedToken.access_token }, basicOf(bound)),
  );
  const narrow = await createToken(server, bound, '/ping.read');
  credentials = {
    revoked,
    expired,
    suspended,
    other,
    expiredToken: expiredToken.access_token,
    revokedToken: revokedToken.access_token,
    narrowToken: narrow.access_token,
    otherToken: (await createToken(server, other)).access_token,
    suspendedToken: (await createToken(server, suspended)).access_token,
  };
  await successBody(server.send('POST', `/accounts/${paused}/suspend`));
});
after(() => server.close());

/** The routes to test. HEAD belongs to GET, and a preflight has no credentials. */
function routes(): RouteDeclaration[] {
  return server.app.http.declarations.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS');
}

function rowOf({ method, path }: RouteDeclaration): Row {
  const row = TABLE[`${method} ${path}`];
  assert.ok(row, `${method} ${path} has no row in the table of this test`);
  return row;
}

async function send(route: RouteDeclaration, authorization: string | undefined, to: Targets) {
  const path = route.path
    .replace(':accountID', to.accountID)
    .replace(':imageID', to.image.imageID)
    .replace(':publicID', to.image.publicID)
    .replace(':productID', to.productID)
    .replace(':lineItemsID', to.lineItemsID)
    .replace(':keyID', route.path.startsWith('/keys') ? to.serverKey.keyID : to.key.keyID);
  const body = await rowOf(route).body?.(to);
  const isForm = body instanceof FormData;
  const response = await fetch(server.url + path, {
    method: route.method,
    redirect: 'manual',
    headers: {
      ...(authorization !== undefined && { authorization }),
      ...(body !== undefined && !isForm && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** The whole content of the database, without the last use of keys. Empty on several nodes. */
function readDatabase(): string {
  if (skipOnSeveralNodes) return '';
  const database = new DatabaseSync(`${server.folder}/vitrine.db`, { readOnly: true });
  try {
    const tables = database
      .prepare(`select name from sqlite_schema where type = 'table' order by name`)
      .all();
    const all = tables.map(({ name }) => [
      name,
      // Some tables of the text index have one column.
      database
        .prepare(`select * from ${name}`)
        .all()
        .map((row) => JSON.stringify({ ...row, last_used_on: undefined }))
        .sort(),
    ]);
    return JSON.stringify(all);
  } finally {
    database.close();
  }
}

describe('every route', () => {
  test('has a row in the table, and the table has no other rows', () => {
    const paths = routes().map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(paths.toSorted(), Object.keys(TABLE).toSorted());
  });

  for (const { name, authorization, status } of KINDS) {
    test(`returns the right status with ${name}, and a refused request changes nothing`, async () => {
      const to = name.includes('suspended') ? suspendedTargets : targets;
      for (const route of routes()) {
        // Metrics are public for local addresses, and not through a proxy.
        if (skipOnSeveralNodes && route.path === '/metrics') continue;
        const expected = status(route, rowOf(route).ok);
        const before = readDatabase();
        const answer = await send(route, authorization(credentials), to);
        const message = `${route.method} ${route.path}: ${answer.text}`;
        assert.equal(answer.status, expected, message);
        if (expected >= 400) assert.equal(readDatabase(), before, message);
      }
    });
  }

  test('succeeds with a key for all accounts and all scopes', async () => {
    // DELETE comes last, because other routes need its targets.
    const rank = ({ method }: RouteDeclaration) => (method === 'DELETE' ? 1 : 0);
    for (const route of routes().toSorted((a, b) => rank(a) - rank(b))) {
      const { status, text } = await send(route, server.authorization, targets);
      assert.equal(status, rowOf(route).ok, `${route.method} ${route.path}: ${text}`);
    }
  });

  test('of a suspended account works only with a key for all accounts until the account is resumed', async () => {
    const list = { method: 'GET', path: '/accounts/:accountID/images', scope: 'images.read' } as const;
    const route = { ...list, allAccounts: false };
    assert.equal((await send(route, server.authorization, suspendedTargets)).status, 200);
    const { suspended } = credentials;
    assert.equal((await send(route, basicOf(suspended), suspendedTargets)).status, 403);
    assert.equal((await fetch(suspendedTargets.image.link)).status, 200, 'public links stay');
    await successBody(server.send('POST', `/accounts/${suspendedTargets.accountID}/resume`));
    assert.equal((await send(route, basicOf(suspended), suspendedTargets)).status, 200);
    await successBody(server.send('POST', `/accounts/${suspendedTargets.accountID}/suspend`));
  });
});

describe('no response reveals', () => {
  const MISSING = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

  /** Everything that a client sees of a response, except values that are different each time. */
  async function visibleResponse(
    route: RouteDeclaration,
    path: string,
    authorization: string,
  ): Promise<string> {
    const body = await rowOf(route).body?.(targets);
    const isForm = body instanceof FormData;
    const response = await fetch(server.url + path, {
      method: route.method,
      headers: {
        authorization,
        'x-request-id': 'the-same-one',
        ...(body !== undefined && !isForm && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
    });
    // The time and the remaining rate limit.
    const variable = new Set(['date', 'ratelimit']);
    const headers = [...response.headers].filter(([name]) => !variable.has(name));
    return JSON.stringify([response.status, headers, await response.text()]);
  }

  test('whether another account exists, is suspended or has a malformed ID', async () => {
    const { other } = credentials;
    const token = (await createToken(server, other)).access_token;
    const accounts = [ACCOUNT, suspendedTargets.accountID, MISSING, 'nonsense'];
    for (const route of routes().filter(({ path }) => path.includes(':accountID'))) {
      for (const authorization of [basicOf(other), bearer(token)]) {
        const responses = new Set<string>();
        for (const account of accounts) {
          const path = route.path
            .replace(':accountID', account)
            .replace(':imageID', targets.image.imageID)
            .replace(':productID', targets.productID)
            .replace(':lineItemsID', targets.lineItemsID)
            .replace(':keyID', targets.key.keyID);
          responses.add(await visibleResponse(route, path, authorization));
        }
        assert.equal(responses.size, 1, `${route.method} ${route.path}: ${[...responses].join('\n')}`);
        assert.match([...responses][0] ?? '', /^\[403,/);
      }
    }
  });

  test('whether an image or a key exists in another account', async () => {
    const mine = await createKey(server, ACCOUNT);
    const others = suspendedTargets;
    for (const route of routes().filter(({ path }) => /accountID.*:(imageID|keyID)/.test(path))) {
      const responses = new Set<string>();
      const foreignIDs = route.path.includes(':imageID')
        ? [others.image.imageID]
        : [others.key.keyID, others.serverKey.keyID];
      for (const id of [...foreignIDs, MISSING, 'nonsense']) {
        const path = route.path.replace(':accountID', ACCOUNT).replace(/:(imageID|keyID)/, id);
        responses.add(await visibleResponse(route, path, basicOf(mine)));
      }
      assert.equal(responses.size, 1, `${route.method} ${route.path}: ${[...responses].join('\n')}`);
      assert.match([...responses][0] ?? '', /^\[404,/);
    }
  });

  test('the other accounts of a key', async () => {
    const accounts = [ACCOUNT, suspendedTargets.accountID];
    const shared = await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'Shared', accounts }));
    const mine = await createKey(server, ACCOUNT, { scopes: ALL_SCOPES });
    const path = `/accounts/${ACCOUNT}/keys/${shared.keyID}`;
    const asMine = await successBody(server.send<KeyJSON>('GET', path, undefined, basicOf(mine)));
    assert.deepEqual(asMine.accounts, [ACCOUNT]);
    assert.deepEqual((await successBody(server.send<KeyJSON>('GET', path))).accounts, accounts);
  });
});
