import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { SCOPES, type Scope } from '../../../src/access/account.ts';
import { BY, digestOf, keyOf } from '../../conformance/metadata-samples.ts';
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

const OTHER = '0f0e0d0c-0b0a-4908-8706-050403020100';
const UNKNOWN = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

type Body = NonNullable<RequestInit['body']>;

let server: TestServer;
let image: ImageJSON;
let foreign: ImageJSON;
/** Authorization headers of keys with few rights. */
const keys = {
  readOnly: basic('read-only', 'secret'),
  writeOnly: basic('write-only', 'secret'),
  otherAccount: basic('other-account', 'secret'),
};

before(async () => {
  server = await startServer();
  const store = await server.openRecords();
  await store.accounts.create({ accountID: OTHER, displayName: 'Other', createdOn: new Date() }, BY);
  const add = (publicKey: string, accounts: string[], scopes: readonly Scope[]) =>
    store.keys.create(keyOf({ publicKey, accounts, scopes }), digestOf('secret'), BY);
  await add('read-only', [ACCOUNT], ['images.read']);
  await add('write-only', [ACCOUNT], ['images.write']);
  await add('other-account', [OTHER], SCOPES);
  await store.close();
  image = await server.addImage(await picture(1), { metadata: { altText: 'mine' } });
  foreign = await server.addImage(await picture(1), { account: OTHER });
});
after(() => server.close());

interface Call {
  name: string;
  method: string;
  path: (account: string, imageID: string) => string;
  body?: () => Promise<Body>;
  headers?: Record<string, string>;
  scope: 'read' | 'write';
}

const json = { 'content-type': 'application/json' };
const calls: Call[] = [
  { name: 'list', method: 'GET', path: (account) => `/accounts/${account}/images`, scope: 'read' },
  {
    name: 'upload',
    method: 'POST',
    path: (account) => `/accounts/${account}/images`,
    body: async () => uploadForm(await picture(2)),
    scope: 'write',
  },
  {
    name: 'get_metadata',
    method: 'GET',
    path: (account, id) => `/accounts/${account}/images/${id}`,
    scope: 'read',
  },
  {
    name: 'update',
    method: 'PUT',
    path: (account, id) => `/accounts/${account}/images/${id}`,
    body: async () => uploadForm(await picture(3)),
    scope: 'write',
  },
  {
    name: 'delete',
    method: 'DELETE',
    path: (account, id) => `/accounts/${account}/images/${id}`,
    scope: 'write',
  },
  {
    name: 'update_metadata',
    method: 'PUT',
    path: (account, id) => `/accounts/${account}/images/${id}/metadata`,
    body: async () => '{"altText":"stolen"}',
    headers: json,
    scope: 'write',
  },
];

async function send(call: Call, account: string, imageID: string, headers: Record<string, string>) {
  const body = await call.body?.();
  const response = await fetch(server.url + call.path(account, imageID), {
    method: call.method,
    headers: { ...call.headers, ...headers },
    ...(body !== undefined && { body }),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

async function assertUnchanged(): Promise<void> {
  const now = (await (await server.fetch(`/accounts/${ACCOUNT}/images`)).json()) as ImageJSON[];
  assert.deepEqual(now, [{ ...image }]);
  const others = (await (await server.fetch(`/accounts/${OTHER}/images`)).json()) as ImageJSON[];
  assert.deepEqual(others, [{ ...foreign }]);
}

for (const call of calls) {
  describe(`${call.name}`, () => {
    test('returns the same 401 for all invalid credentials, with the accepted schemes', async () => {
      const wrong = {
        'a wrong secret': basic(KEY.publicKey, 'wrong'),
        'a secret of another length': basic(KEY.publicKey, `${KEY.secretKey}x`),
        'an empty secret': basic(KEY.publicKey, ''),
        'an unknown public key': basic('unknown', KEY.secretKey),
        'NUL in the public key': basic('unknown\0', KEY.secretKey),
        'no colon': `Basic ${Buffer.from('abc').toString('base64')}`,
        'no base64': 'Basic %%%',
        'another scheme': 'Bearer abc',
        nothing: 'Basic',
        '10 000 characters': `Basic ${'A'.repeat(10_000)}`,
      };
      const responses = new Set<string>();
      for (const [name, authorization] of Object.entries(wrong)) {
        const { status, text, headers } = await send(call, ACCOUNT, image.imageID, { authorization });
        assert.equal(status, 401, name);
        assert.match(headers.get('www-authenticate') ?? '', /^Basic realm=/);
        assert.equal(headers.get('cache-control'), 'no-store');
        responses.add(text);
      }
      assert.equal(responses.size, 1, [...responses].join());
      assert.equal((await send(call, ACCOUNT, image.imageID, {})).status, 401);
      await assertUnchanged();
    });

    test('returns 403 without the scope; write does not imply read', async () => {
      const authorization = call.scope === 'read' ? keys.writeOnly : keys.readOnly;
      assert.equal((await send(call, ACCOUNT, image.imageID, { authorization })).status, 403);
      await assertUnchanged();
    });

    test('returns the same 403 for a foreign account and for an unknown account', async () => {
      const authorization = keys.otherAccount;
      const responses = new Set<string>();
      for (const account of [ACCOUNT, UNKNOWN, 'nonsense']) {
        const { status, text } = await send(call, account, image.imageID, { authorization });
        responses.add(`${status} ${text}`);
      }
      assert.deepEqual([...responses].length, 1, [...responses].join());
      assert.match([...responses][0] ?? '', /^403 /);
      await assertUnchanged();
    });

    test('returns 404 for an unknown account with a key for all accounts', async () => {
      for (const account of [UNKNOWN, 'nonsense', '%00']) {
        const { authorization } = server;
        const { status, text } = await send(call, account, image.imageID, { authorization });
        assert.deepEqual([status, text], [404, '{"error":"account not found"}'], account);
      }
    });

    if (call.path('', 'x').includes('x')) {
      test('returns the same 404 for an image of another account and for an unknown image', async () => {
        const { authorization } = server;
        const theirs = await send(call, ACCOUNT, foreign.imageID, { authorization });
        const none = await send(call, ACCOUNT, UNKNOWN, { authorization });
        assert.equal(theirs.status, 404);
        assert.equal(theirs.text, none.text);
        await assertUnchanged();
      });
    }

    if (call.scope === 'write') {
      test('returns 403 to a page of another origin, although the browser sends credentials', async () => {
        const { authorization } = server;
        const from: Record<string, string>[] = [
          { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
          { 'sec-fetch-site': 'same-site' },
          { origin: 'https://evil.example' },
          { origin: 'null' },
        ];
        for (const headers of from) {
          const { status } = await send(call, ACCOUNT, image.imageID, { authorization, ...headers });
          assert.equal(status, 403, JSON.stringify(headers));
        }
        await assertUnchanged();
      });
    }
  });
}

describe('a request with several errors', () => {
  test('gets the first error of: credentials, scope, account, limits', async () => {
    const upload = (authorization: string, account: string) =>
      send(
        { ...(calls[1] as Call), body: async () => 'no form', headers: { 'content-encoding': 'gzip' } },
        account,
        '',
        { authorization },
      );
    assert.equal((await upload(basic('x', 'y'), UNKNOWN)).status, 401);
    assert.match((await upload(keys.readOnly, UNKNOWN)).text, /scope/);
    assert.match((await upload(keys.writeOnly, UNKNOWN)).text, /account/);
    assert.equal((await upload(server.authorization, UNKNOWN)).status, 404);
    assert.equal((await upload(server.authorization, ACCOUNT)).status, 415);
  });
});

describe('a secret', () => {
  test('is stored only as a digest', { skip: skipOnSeveralNodes }, async () => {
    const files = await Promise.all(
      ['vitrine.db', 'vitrine.db-wal'].map((name) =>
        readFile(`${server.folder}/${name}`).catch(() => Buffer.alloc(0)),
      ),
    );
    const all = Buffer.concat(files);
    assert.ok(all.includes(KEY.publicKey), 'the test read the database');
    assert.equal(all.includes(KEY.secretKey), false);
  });

  test('is replaced when VITRINE_BOOTSTRAP_KEY has another one for the same public key', async () => {
    server = await server.restart({ VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:other:with:colons` });
    const ping = (secret: string) =>
      fetch(`${server.url}/ping`, { headers: { authorization: basic(KEY.publicKey, secret) } });
    assert.equal((await ping('other:with:colons')).status, 200);
    assert.equal((await ping(KEY.secretKey)).status, 401);
  });
});
