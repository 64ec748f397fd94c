/**
 * Every route there is, with every kind of credentials: the exact status, and that a refusal changes nothing. The routes
 * come from the server itself; one that has no line in the table below fails the test.
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
  startServer,
  type TestServer,
  uploadForm,
} from '../../support/server.ts';

/** What stands for the parts of a path: all of one account, the one that is walked. */
interface Things {
  accountID: string;
  image: ImageJSON;
  productID: string;
  lineItemsID: string;
  /** A key that nobody uses but this walk. */
  key: KeyJSON;
  /** A key for all accounts, likewise. */
  serverKey: KeyJSON;
}

interface Line {
  /** The status that whoever may do everything gets. */
  readonly ok: number;
  /** JSON, or a form. */
  readonly body?: (things: Things) => unknown;
}

const basePrice = { currency: 'USD', valueDecimal: '9.50' };
const PRODUCT = { title: 'Chair', basePrice };
const LINE_ITEMS = { items: [{ name: 'Chair', basePrice, quantity: 1 }] };

const form = (number: number) => async () => uploadForm(await picture(number));

/** By method and path. HEAD is answered as GET is, and needs no line. */
const TABLE: Readonly<Record<string, Line>> = {
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
  'GET /docs/assets/swagger-ui.css': { ok: 200 },
  'GET /docs/assets/swagger-ui-bundle.js': { ok: 200 },
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
  'POST /keys/:keyID/rotate': { ok: 200 },
  'DELETE /keys/:keyID': { ok: 204 },
  'POST /oauth2/token': { ok: 200, body: () => ({ grant_type: 'client_credentials' }) },
  'POST /oauth2/revoke': { ok: 204, body: () => ({ token: 'unknown' }) },
};

/** An Authorization header, and which answer it must get. */
interface Kind {
  readonly name: string;
  readonly authorization: (keys: Credentials) => string | undefined;
  readonly status: (route: RouteDeclaration, ok: number) => number;
}

type Credentials = Record<'revoked' | 'expired' | 'suspended' | 'other', KeyJSON> &
  Record<'expiredToken' | 'revokedToken' | 'narrowToken' | 'otherToken' | 'suspendedToken', string>;

const isPublic = ({ scope }: RouteDeclaration) => scope === 'public';
const unauthenticated: Kind['status'] = (route, ok) => (isPublic(route) ? ok : 401);
/** Good credentials, with every scope, for one other account than the one in the path. */
const elsewhere: Kind['status'] = (route, ok) =>
  route.path.includes(':accountID') || route.allAccounts ? 403 : ok;
/** A token is no client's credentials. */
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
    status: elsewhere,
  },
  {
    name: 'a token of a suspended account',
    authorization: (all) => bearer(all.suspendedToken),
    status: byToken(elsewhere),
  },
  { name: 'a key of another account', authorization: ({ other }) => basicOf(other), status: elsewhere },
  {
    name: 'a token of another account',
    authorization: (all) => bearer(all.otherToken),
    status: byToken(elsewhere),
  },
  {
    name: 'a token without the scope',
    authorization: (all) => bearer(all.narrowToken),
    status: byToken((route, ok) => (isPublic(route) || route.scope === 'ping.read' ? ok : 403)),
  },
];

let server: TestServer;
let things: Things;
let suspendedThings: Things;
let credentials: Credentials;
let clock = new Date();

before(async () => {
  server = await startServer({}, { now: () => clock });
  const thingsOf = async (accountID: string, number: number): Promise<Things> => ({
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
  things = await thingsOf(ACCOUNT, 1);
  const paused = await createAccount(server);
  suspendedThings = await thingsOf(paused, 11);
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

/** The routes to walk. A HEAD goes with its GET, and a preflight carries no credentials. */
function routes(): RouteDeclaration[] {
  return server.app.http.declarations.filter(({ method }) => method !== 'HEAD' && method !== 'OPTIONS');
}

function lineOf({ method, path }: RouteDeclaration): Line {
  const line = TABLE[`${method} ${path}`];
  assert.ok(line, `${method} ${path} has no line in the table of this test`);
  return line;
}

async function send(route: RouteDeclaration, authorization: string | undefined, to: Things) {
  const path = route.path
    .replace(':accountID', to.accountID)
    .replace(':imageID', to.image.imageID)
    .replace(':publicID', to.image.publicID)
    .replace(':productID', to.productID)
    .replace(':lineItemsID', to.lineItemsID)
    .replace(':keyID', route.path.startsWith('/keys') ? to.serverKey.keyID : to.key.keyID);
  const body = await lineOf(route).body?.(to);
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

/** All that is stored, but for when keys were last used. */
function stored(): string {
  const database = new DatabaseSync(`${server.folder}/vitrine.db`, { readOnly: true });
  try {
    const tables = database
      .prepare(`select name from sqlite_schema where type = 'table' order by name`)
      .all();
    const all = tables.map(({ name }) => [
      name,
      database.prepare(`select * from ${name} order by 1, 2`).all(),
    ]);
    return JSON.stringify(all, (field, value) => (field === 'last_used_on' ? undefined : value));
  } finally {
    database.close();
  }
}

describe('every route', () => {
  test('is walked: the table has a line for each, and none for what is not there', () => {
    const there = routes().map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(there.toSorted(), Object.keys(TABLE).toSorted());
  });

  for (const { name, authorization, status } of KINDS) {
    test(`with ${name} answers as it must, and a refusal changes nothing`, async () => {
      const to = name.includes('suspended') ? suspendedThings : things;
      for (const route of routes()) {
        const expected = status(route, lineOf(route).ok);
        const before = stored();
        const answer = await send(route, authorization(credentials), to);
        const said = `${route.method} ${route.path}: ${answer.text}`;
        assert.equal(answer.status, expected, said);
        if (expected >= 400) assert.equal(stored(), before, said);
      }
    });
  }

  test('with a key for all accounts and all scopes does what it is for', async () => {
    // What takes things away comes last.
    const rank = ({ method }: RouteDeclaration) => (method === 'DELETE' ? 1 : 0);
    for (const route of routes().toSorted((a, b) => rank(a) - rank(b))) {
      const { status, text } = await send(route, server.authorization, things);
      assert.equal(status, lineOf(route).ok, `${route.method} ${route.path}: ${text}`);
    }
  });

  test('under a suspended account goes on for a key for all accounts, and for nobody else once more', async () => {
    const list = { method: 'GET', path: '/accounts/:accountID/images', scope: 'images.read' } as const;
    const route = { ...list, allAccounts: false };
    assert.equal((await send(route, server.authorization, suspendedThings)).status, 200);
    const { suspended } = credentials;
    assert.equal((await send(route, basicOf(suspended), suspendedThings)).status, 403);
    assert.equal((await fetch(suspendedThings.image.link)).status, 200, 'public links stay');
    await successBody(server.send('POST', `/accounts/${suspendedThings.accountID}/resume`));
    assert.equal((await send(route, basicOf(suspended), suspendedThings)).status, 200);
    await successBody(server.send('POST', `/accounts/${suspendedThings.accountID}/suspend`));
  });
});

describe('no answer tells', () => {
  const MISSING = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

  /** All that a client sees of an answer, but for what is different every time. */
  async function seen(route: RouteDeclaration, path: string, authorization: string): Promise<string> {
    const body = await lineOf(route).body?.(things);
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
    // The time, and how often the client may still ask.
    const own = new Set(['date', 'ratelimit']);
    const headers = [...response.headers].filter(([name]) => !own.has(name));
    return JSON.stringify([response.status, headers, await response.text()]);
  }

  test('whether another account exists, is suspended, or is not even an ID', async () => {
    const { other } = credentials;
    const token = (await createToken(server, other)).access_token;
    const accounts = [ACCOUNT, suspendedThings.accountID, MISSING, 'nonsense'];
    for (const route of routes().filter(({ path }) => path.includes(':accountID'))) {
      for (const authorization of [basicOf(other), bearer(token)]) {
        const answers = new Set<string>();
        for (const account of accounts) {
          const path = route.path
            .replace(':accountID', account)
            .replace(':imageID', things.image.imageID)
            .replace(':productID', things.productID)
            .replace(':lineItemsID', things.lineItemsID)
            .replace(':keyID', things.key.keyID);
          answers.add(await seen(route, path, authorization));
        }
        assert.equal(answers.size, 1, `${route.method} ${route.path}: ${[...answers].join('\n')}`);
        assert.match([...answers][0] ?? '', /^\[403,/);
      }
    }
  });

  test('whether an image or a key exists in another account', async () => {
    const mine = await createKey(server, ACCOUNT);
    const theirs = suspendedThings;
    for (const route of routes().filter(({ path }) => /accountID.*:(imageID|keyID)/.test(path))) {
      const answers = new Set<string>();
      const foreign = route.path.includes(':imageID')
        ? [theirs.image.imageID]
        : [theirs.key.keyID, theirs.serverKey.keyID];
      for (const id of [...foreign, MISSING, 'nonsense']) {
        const path = route.path.replace(':accountID', ACCOUNT).replace(/:(imageID|keyID)/, id);
        answers.add(await seen(route, path, basicOf(mine)));
      }
      assert.equal(answers.size, 1, `${route.method} ${route.path}: ${[...answers].join('\n')}`);
      assert.match([...answers][0] ?? '', /^\[404,/);
    }
  });

  test('which other accounts a key is for', async () => {
    const accounts = [ACCOUNT, suspendedThings.accountID];
    const shared = await successBody(server.send<KeyJSON>('POST', '/keys', { name: 'Shared', accounts }));
    const mine = await createKey(server, ACCOUNT, { scopes: ALL_SCOPES });
    const path = `/accounts/${ACCOUNT}/keys/${shared.keyID}`;
    const asMine = await successBody(server.send<KeyJSON>('GET', path, undefined, basicOf(mine)));
    assert.deepEqual(asMine.accounts, [ACCOUNT]);
    assert.deepEqual((await successBody(server.send<KeyJSON>('GET', path))).accounts, accounts);
  });
});
