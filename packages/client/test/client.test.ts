/**
 * What a client is made with, against a real server: credentials, versions, addresses.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APIError, type BasicSecurity, NEWEST_VERSION, type TokenSecurity, Vitrine } from '@vitrine/client';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';

const accountID = ACCOUNT;
const security = { username: KEY.publicKey, password: KEY.secretKey };

let server: TestServer;
let vitrine: Vitrine;
before(async () => {
  server = await startServer();
  vitrine = new Vitrine({ serverURL: server.url, security });
});
after(() => server.close());

const status = (expected: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === expected;

describe('credentials', () => {
  test('can be asked for at each call, and be of any kind', async () => {
    const seen: (string | null)[] = [];
    const replies: (string | BasicSecurity | TokenSecurity)[] = [
      security,
      { accessToken: 'from-an-object' },
      'bare',
      { username: 'ключ', password: 'ö:ß' },
      {},
    ];
    const client = new Vitrine({
      serverURL: server.url,
      security: async () => replies.shift() ?? '',
      fetch: (url, init) => {
        seen.push(new Headers(init.headers).get('authorization'));
        return fetch(url, init);
      },
    });
    assert.ok(await client.ping.ping());
    for (let more = 0; more < 4; more += 1) await assert.rejects(client.ping.ping(), status(401));
    assert.deepEqual(seen, [
      server.authorization,
      'Bearer from-an-object',
      'Bearer bare',
      `Basic ${Buffer.from('ключ:ö:ß').toString('base64')}`,
      null,
    ]);
  });

  test('that cannot be had are the error of whoever was asked', async () => {
    const reason = new Error('the vault is closed');
    const client = new Vitrine({ serverURL: server.url, security: () => Promise.reject(reason) });
    await assert.rejects(client.ping.ping(), reason);
  });

  test('and versions are not sent where they are not needed', async () => {
    let sent: Headers | undefined;
    const client = new Vitrine({
      serverURL: server.url,
      security,
      fetch: (url, init) => {
        sent = new Headers(init.headers);
        return fetch(url, init);
      },
    });
    await client.images.getPublic({ publicID: 'abcdefghijklmnopqrstu' }).catch(() => undefined);
    assert.deepEqual([...(sent?.keys() ?? [])], ['accept']);
  });
});

describe('a client', () => {
  test('speaks the newest version that the server knows', async () => {
    const { headers } = await vitrine.ping.ping({ headers: { 'x-moov-version': 'latest' } });
    assert.deepEqual(headers['x-moov-version'], [NEWEST_VERSION]);
    assert.deepEqual((await vitrine.ping.ping()).headers['x-moov-version'], [NEWEST_VERSION]);
  });

  test('can be told another server for one call, below a path too', async () => {
    const urls: string[] = [];
    const elsewhere = new Vitrine({
      serverURL: 'http://nowhere.invalid',
      security,
      fetch: (url, init) => {
        urls.push(url);
        return fetch(url.replace('/below/here', ''), init);
      },
    });
    await elsewhere.ping.ping({ serverURL: `${server.url}/below/here/` });
    await elsewhere.ping.ping({ serverURL: new URL(server.url) });
    assert.deepEqual(urls, [`${server.url}/below/here/ping`, `${server.url}/ping`]);
  });

  test('refuses options that cannot work, and names them', () => {
    const serverURL = 'http://localhost';
    assert.throws(() => new Vitrine({ serverURL: 'localhost:4100' }), /serverURL must be an absolute http/);
    assert.throws(() => new Vitrine({ serverURL: 'file:///etc' }), /serverURL/);
    assert.throws(() => new Vitrine({ serverURL, timeoutMs: 0 }), /timeoutMs must be a number above 0/);
    const wrong = { strategy: 'backoff', backoff: { exponent: 0 } } as const;
    assert.throws(() => new Vitrine({ serverURL, retries: wrong }), /exponent/);
    assert.throws(() => new Vitrine({ serverURL, retryConfig: wrong }), /exponent/);
  });

  test('refuses IDs that would lead elsewhere, and escapes the rest', async () => {
    for (const imageID of ['', '.', '..'])
      await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }), /imageID must be the ID/);
    await assert.rejects(vitrine.images.list({ accountID: '' }), /accountID must be the ID/);
    const imageID = '../../ping?x=#y';
    await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }), status(404));
  });
});
