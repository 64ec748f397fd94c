/**
 * Tests access tokens against a real server and against a faulty one.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APIError, GenericError, ResponseValidationError, Vitrine } from '@vitrine/client';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';
import { type FaultyServer, startFaulty } from './faulty.ts';

const accountID = ACCOUNT;
const security = { username: KEY.publicKey, password: KEY.secretKey };
const grantType = 'client_credentials';

let server: TestServer;
let vitrine: Vitrine;
let faulty: FaultyServer;
before(async () => {
  server = await startServer();
  vitrine = new Vitrine({ serverURL: server.url, security });
  faulty = await startFaulty();
});
after(() => Promise.all([server.close(), faulty.close()]));

const withToken = (accessToken: string) => new Vitrine({ serverURL: server.url, security: { accessToken } });
const isAPIError = (status: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === status;

describe('a token', () => {
  test('can be created, used, refreshed and revoked', async () => {
    const scope = `/accounts/${accountID}/images.read`;
    const { result: first } = await vitrine.authentication.createAccessToken({ grantType, scope });
    assert.deepEqual([first.tokenType, first.scope], ['Bearer', scope]);
    assert.ok(first.expiresIn > 0 && first.expiresIn <= 3_600);
    await withToken(first.accessToken).images.list({ accountID });
    await assert.rejects(withToken(first.accessToken).products.list({ accountID }), isAPIError(403));

    const { refreshToken } = first;
    const refresh = { grantType: 'refresh_token', refreshToken } as const;
    const { result: second } = await vitrine.authentication.createAccessToken(refresh);
    assert.notEqual(second.accessToken, first.accessToken);
    await withToken(second.accessToken).images.list({ accountID });

    const revocation = await vitrine.authentication.revokeAccessToken({ token: second.accessToken });
    assert.deepEqual(Object.keys(revocation), ['headers']);
    await assert.rejects(withToken(second.accessToken).images.list({ accountID }), isAPIError(401));
    await assert.rejects(vitrine.authentication.createAccessToken(refresh), (error) => {
      assert.ok(error instanceof GenericError && error.status === 400);
      assert.equal(error.error, 'invalid_grant');
      assert.match(error.message, /^the server answered 400: invalid_grant: .+/);
      return true;
    });
  });

  test('can be created through the same client that its security function belongs to', async () => {
    let requests = 0;
    let token: Promise<string> | undefined;
    const client: Vitrine = new Vitrine({
      serverURL: server.url,
      security: () => {
        token ??= createToken();
        return token;
      },
    });
    const createToken = async () => {
      requests += 1;
      const { publicKey: clientId, secretKey: clientSecret } = KEY;
      const request = { grantType, clientId, clientSecret } as const;
      return (await client.authentication.createAccessToken(request)).result.accessToken;
    };
    await Promise.all([client.images.list({ accountID }), client.images.list({ accountID })]);
    assert.equal(requests, 1);
  });

  test('call with clientId and clientSecret in the body sends no Authorization header', async () => {
    faulty.answer({ status: 204 });
    const client = new Vitrine({ serverURL: faulty.url, security });
    const clientId = 'other';
    await client.authentication.revokeAccessToken({ token: 't', clientId, clientSecret: 's' });
    await client.authentication.revokeAccessToken({ token: 't', clientId });
    const [withBoth, withoutSecret] = faulty.received;
    assert.equal(withBoth?.headers.authorization, undefined);
    assert.match(String(withBoth?.headers['x-moov-version']), /^v\d/);
    assert.deepEqual(JSON.parse(String(withBoth?.body)), {
      token: 't',
      client_id: 'other',
      client_secret: 's',
    });
    assert.match(withoutSecret?.headers.authorization ?? '', /^Basic /);
  });
});

describe('retries', () => {
  const retries = { strategy: 'backoff', backoff: { initialInterval: 1, maxInterval: 2 } } as const;
  const token = {
    token_type: 'bearer',
    access_token: 'a',
    refresh_token: 'r',
    expires_in: 60,
    scope: '',
  };

  test('send a refresh token again only after a 429', async () => {
    const client = new Vitrine({ serverURL: faulty.url, security, retries });
    const refresh = { grantType: 'refresh_token', refreshToken: 'r' } as const;
    faulty.answer({ status: 503 }, { status: 200, body: token });
    await assert.rejects(client.authentication.createAccessToken(refresh), isAPIError(503));
    assert.equal(faulty.received.length, 1);
    faulty.answer({ status: 429 }, { status: 200, body: token });
    assert.equal((await client.authentication.createAccessToken(refresh)).result.tokenType, 'Bearer');
    faulty.answer({ status: 503 }, { status: 200, body: token });
    assert.equal((await client.authentication.createAccessToken({ grantType })).result.accessToken, 'a');
  });

  test('skip calls that are not idempotent and repeat calls that are', async () => {
    const client = new Vitrine({ serverURL: faulty.url, security, retries });
    const product = { title: 'x', basePrice: { currency: 'USD', valueDecimal: '1' } };
    const notIdempotent = [
      () => client.products.create({ accountID, ...product }),
      () => client.lineItems.create({ accountID, items: [{ ...product, name: 'x', quantity: 1 }] }),
      () => client.accounts.create({ displayName: 'x' }),
      () => client.keys.create({ accountID, name: 'x' }),
      () => client.keys.rotate({ accountID, keyID: 'k' }),
    ];
    for (const call of notIdempotent) {
      faulty.answer({ status: 503 });
      await assert.rejects(call, isAPIError(503));
      assert.equal(faulty.received.length, 1);
    }
    const idempotent = [
      () => client.products.disable({ accountID, productID: 'p' }),
      () => client.keys.revoke({ accountID, keyID: 'k' }),
      () => client.authentication.revokeAccessToken({ token: 't' }),
    ];
    for (const call of idempotent) {
      faulty.answer({ status: 503 }, { status: 204 });
      await call();
      assert.equal(faulty.received.length, 2);
    }
  });
});

describe('a response', () => {
  test('with an invalid body is a ResponseValidationError with the reason', async () => {
    const client = new Vitrine({ serverURL: faulty.url, security });
    const { authentication, products, lineItems, accounts, keys, images } = client;
    const imageID = 'i';
    const calls: [() => PromiseLike<unknown>, unknown, RegExp][] = [
      [() => authentication.createAccessToken({ grantType }), {}, /token_type must be a string/],
      [() => authentication.createAccessToken({ grantType }), { token_type: 'mac' }, /must be Bearer/],
      [() => products.list({ accountID }), [{}], /basePrice, an object, was expected/],
      [() => lineItems.list({ accountID }), [{}], /items, an array, was expected/],
      [() => accounts.list(), [[]], /an account was expected/],
      [() => accounts.audit(), [{ subject: {}, by: {} }], /sequence must be a number/],
      [() => keys.list(), [{ keyID: 'k', publicKey: 'p' }], /an array was expected/],
      [() => images.usage({ accountID, imageID }), {}, /inUse must be a boolean/],
      // A server without dryRun support has disabled the image, so the call must fail.
      [() => images.delete({ accountID, imageID, dryRun: true }), '', /JSON/],
    ];
    for (const [call, body, message] of calls) {
      faulty.answer({ status: 200, body });
      await assert.rejects(
        async () => call(),
        (error) => error instanceof ResponseValidationError && message.test(error.message),
        String(message),
      );
    }
  });
});
