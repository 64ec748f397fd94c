/**
 * `GET /me` for keys and tokens of one, several and all accounts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  basicOf,
  bearer,
  createAccount,
  createKey,
  createToken,
  type KeyJSON,
} from '../../support/administration.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

interface MeJSON {
  readonly keyID: string;
  readonly allAccounts?: true;
  readonly scopes: string[];
  readonly accounts: { accountID: string; displayName: string; scopes: string[] }[];
}

describe('GET /me', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  const me = async (authorization?: string) =>
    (await server.send<MeJSON>('GET', '/me', undefined, authorization)).body;
  const createServerKey = async (body: object): Promise<KeyJSON> =>
    (await server.send<KeyJSON>('POST', '/keys', body)).body;

  test('names the accounts and scopes of a key, newest first, without suspended accounts', async () => {
    const accounts = [await createAccount(server), await createAccount(server), await createAccount(server)];
    const scopes = ['images.read', 'ping.read'];
    const key = await createServerKey({ name: 'K', accounts, scopes, expiresOn: '2099-01-01T00:00:00Z' });
    await server.send('POST', `/accounts/${accounts[1]}/suspend`);
    const body = await me(basicOf(key));
    assert.deepEqual(body, {
      keyID: key.keyID,
      publicKey: key.publicKey,
      expiresOn: '2099-01-01T00:00:00.000Z',
      scopes: [...accounts.map((id) => `/accounts/${id}/images.read`), '/ping.read'],
      accounts: [accounts[2], accounts[0]].map((accountID) => ({
        accountID,
        displayName: body.accounts[0]?.displayName,
        scopes: [`/accounts/${accountID}/images.read`, '/ping.read'],
      })),
    });
    assert.equal(typeof body.accounts[0]?.displayName, 'string');
  });

  test('lists the newest accounts for a key of all accounts, suspended ones included', async () => {
    const suspended = await createAccount(server);
    await server.send('POST', `/accounts/${suspended}/suspend`);
    const key = await createServerKey({
      name: 'All',
      accounts: 'all',
      scopes: ['images.read', 'accounts.read'],
    });
    const { accounts, ...others } = await me(basicOf(key));
    assert.deepEqual(others, {
      keyID: key.keyID,
      publicKey: key.publicKey,
      allAccounts: true,
      scopes: ['/accounts/{accountID}/images.read', '/accounts.read'],
    });
    const { body } = await server.send('GET', '/accounts?count=200');
    assert.deepEqual(
      accounts.map(({ accountID }) => accountID),
      body.map(({ accountID }: { accountID: string }) => accountID),
    );
    assert.equal(accounts[0]?.accountID, suspended);
    assert.deepEqual(accounts[0]?.scopes, [`/accounts/${suspended}/images.read`, '/accounts.read']);
  });

  test('has only the rights of a token, and needs no scope', async () => {
    const accountID = await createAccount(server);
    const key = await createKey(server, accountID);
    const token = await createToken(server, key, 'images.write');
    const body = await me(bearer(token.access_token));
    assert.deepEqual(
      [body.keyID, body.scopes, body.accounts.map((account) => account.scopes)],
      [key.keyID, [`/accounts/${accountID}/images.write`], [[`/accounts/${accountID}/images.write`]]],
    );
    // A token of a key for all accounts may name one account, and keep another scope for all.
    const all = await createServerKey({ name: 'All', accounts: 'all' });
    const mixed = await createToken(server, all, `/accounts/${ACCOUNT}/images.read /ping.read`);
    const rights = await me(bearer(mixed.access_token));
    assert.equal(rights.allAccounts, true);
    assert.deepEqual(rights.scopes, [`/accounts/${ACCOUNT}/images.read`, '/ping.read']);
    assert.deepEqual(
      rights.accounts.map(({ accountID: id, scopes }) => [id, scopes]),
      [[ACCOUNT, [`/accounts/${ACCOUNT}/images.read`, '/ping.read']]],
    );
  });

  test('is refused without credentials, and is never cached', async () => {
    const response = await fetch(`${server.url}/me`);
    assert.equal(response.status, 401);
    const success = await server.fetch('/me');
    assert.deepEqual([success.status, success.headers.get('cache-control')], [200, 'no-store']);
    assert.ok(success.headers.get('x-moov-version'));
    await success.text();
  });
});
