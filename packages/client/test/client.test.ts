/**
 * Tests the options of a client against a real server: credentials, versions and server URLs.
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

const isAPIError = (status: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === status;

describe('credentials', () => {
  test('of a function are requested at each call and may be of any kind', async () => {
    const headers: (string | null)[] = [];
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
        headers.push(new Headers(init.headers).get('authorization'));
        return fetch(url, init);
      },
    });
    assert.ok(await client.ping.ping());
    for (let more = 0; more < 4; more += 1) await assert.rejects(client.ping.ping(), isAPIError(401));
    assert.deepEqual(headers, [
      server.authorization,
      'Bearer from-an-object',
      'Bearer bare',
      `Basic ${Buffer.from('ключ:ö:ß').toString('base64')}`,
      null,
    ]);
  });

  test('of a failing function reject with the error of the function', async () => {
    const reason = new Error('the vault is closed');
    const client = new Vitrine({ serverURL: server.url, security: () => Promise.reject(reason) });
    await assert.rejects(client.ping.ping(), reason);
  });

  test('and version are not sent to public links', async () => {
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
  test('sends the newest version of the server by default', async () => {
    const { headers } = await vitrine.ping.ping({ headers: { 'x-moov-version': 'latest' } });
    assert.deepEqual(headers['x-moov-version'], [NEWEST_VERSION]);
    assert.deepEqual((await vitrine.ping.ping()).headers['x-moov-version'], [NEWEST_VERSION]);
  });

  test('accepts another server URL for one call, with or without a path', async () => {
    const urls: string[] = [];
    const client = new Vitrine({
      serverURL: 'http://nowhere.invalid',
      security,
      fetch: (url, init) => {
        urls.push(url);
        return fetch(url.replace('/below/here', ''), init);
      },
    });
    await client.ping.ping({ serverURL: `${server.url}/below/here/` });
    await client.ping.ping({ serverURL: new URL(server.url) });
    assert.deepEqual(urls, [`${server.url}/below/here/ping`, `${server.url}/ping`]);
  });

  test('rejects invalid options with the name of the option', () => {
    const serverURL = 'http://localhost';
    assert.throws(() => new Vitrine({ serverURL: 'localhost:4100' }), /serverURL must be an absolute http/);
    assert.throws(() => new Vitrine({ serverURL: 'file:///etc' }), /serverURL/);
    assert.throws(() => new Vitrine({ serverURL, timeoutMs: 0 }), /timeoutMs must be a number above 0/);
    const wrong = { strategy: 'backoff', backoff: { exponent: 0 } } as const;
    assert.throws(() => new Vitrine({ serverURL, retries: wrong }), /exponent/);
    assert.throws(() => new Vitrine({ serverURL, retryConfig: wrong }), /exponent/);
  });

  test('rejects IDs that would change the path and escapes all others', async () => {
    for (const imageID of ['', '.', '..'])
      await assert.rejects(
        vitrine.images.getMetadata({ accountID, imageID }),
        /imageID must be an ID, not "/,
      );
    await assert.rejects(vitrine.images.list({ accountID: '' }), /accountID must be an ID, not ""/);
    const imageID = '../../ping?x=#y';
    await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }), isAPIError(404));
  });
});
