/**
 * The CORS headers of answers. The tests with a browser are in pages.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const SHOP = 'https://shop.example';
const EVIL = 'https://evil.example';
const IMAGES = `/accounts/${ACCOUNT}/images`;

const allowedOrigin = (response: Response) => response.headers.get('access-control-allow-origin');
const list = (response: Response, name: string) =>
  (response.headers.get(`access-control-${name}`) ?? '').split(', ').map((item) => item.toLowerCase());
const preflight = (server: TestServer, path: string, origin: string, method: string, headers = '') =>
  fetch(server.url + path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      ...(headers && { 'access-control-request-headers': headers }),
    },
  });

describe('the API with VITRINE_CORS_ORIGINS', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_CORS_ORIGINS: `${SHOP}, https://admin.example` });
  });
  after(() => server.close());

  test('lets pages of the configured origins read its answers, refusals included', async () => {
    for (const origin of [SHOP, 'https://admin.example']) {
      const answers = [
        await server.fetch(IMAGES, { headers: { origin } }),
        await server.fetch(IMAGES, { headers: { origin, authorization: basic('no', 'body') } }),
        await fetch(server.url + IMAGES, { headers: { origin } }),
        await server.fetch('/accounts/nonsense/images', { headers: { origin } }),
        await server.fetch('/nowhere', { headers: { origin } }),
        await server.upload(Buffer.from('x'), { headers: { origin, 'sec-fetch-site': 'cross-site' } }),
      ];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 401, 401, 404, 404, 422],
      );
      for (const response of answers) {
        assert.equal(allowedOrigin(response), origin, String(response.status));
        assert.match(response.headers.get('vary') ?? '', /Origin/);
        assert.equal(response.headers.get('access-control-allow-credentials'), null);
        for (const name of [
          'x-request-id',
          'x-moov-version',
          'etag',
          'link',
          'x-total-count',
          'retry-after',
        ]) {
          assert.ok(list(response, 'expose-headers').includes(name), name);
        }
        for (const name of ['ratelimit', 'ratelimit-policy']) {
          assert.ok(list(response, 'expose-headers').includes(name), name);
        }
      }
    }
  });

  test('does not let pages of other origins read its answers', async () => {
    for (const origin of [EVIL, 'null', `${SHOP}.evil.example`, `${SHOP}:8443`, 'http://shop.example', '']) {
      assert.equal(allowedOrigin(await server.fetch(IMAGES, { headers: { origin } })), null, origin);
      assert.equal(allowedOrigin(await preflight(server, IMAGES, origin, 'POST')), null, origin);
      const upload = await server.upload(Buffer.from('x'), { headers: { origin: origin || 'null' } });
      assert.equal(upload.status, 403, origin);
    }
  });

  test('answers a preflight with methods, headers and a lifetime', async () => {
    for (const path of [IMAGES, `${IMAGES}/x`, `${IMAGES}/x/metadata`, '/ping']) {
      const response = await preflight(server, path, SHOP, 'PUT', 'authorization,content-type');
      assert.equal(response.status, 204, path);
      assert.equal(allowedOrigin(response), SHOP);
      assert.equal(response.headers.get('access-control-max-age'), '7200');
      assert.deepEqual(list(response, 'allow-methods'), ['get', 'head', 'post', 'put', 'patch', 'delete']);
      for (const name of [
        'authorization',
        'content-type',
        'x-idempotency-key',
        'x-moov-version',
        'x-request-id',
      ]) {
        assert.ok(list(response, 'allow-headers').includes(name), name);
      }
    }
  });
});

describe('the API without VITRINE_CORS_ORIGINS', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  test('sends no CORS headers and answers no preflights', async () => {
    assert.equal(allowedOrigin(await server.fetch(IMAGES, { headers: { origin: SHOP } })), null);
    const response = await preflight(server, IMAGES, SHOP, 'POST');
    assert.equal(response.status, 404);
    assert.equal(allowedOrigin(response), null);
    assert.deepEqual(Object.keys((await response.json()) as object), ['error']);
  });

  describe('and public links', () => {
    let image: ImageJSON;
    before(async () => {
      image = await server.addImage(await picture(1));
    });

    test('are readable by every page: pictures, 304, HEAD, answers from memory and refusals', async () => {
      const headers = { origin: EVIL };
      const first = await fetch(image.link, { headers });
      const etag = first.headers.get('etag') ?? '';
      const answers = [
        first,
        await fetch(image.link, { headers }),
        await fetch(image.link, { headers: { ...headers, 'if-none-match': etag } }),
        await fetch(image.link, { headers: { ...headers, 'if-none-match': etag } }),
        await fetch(image.link, { headers, method: 'HEAD' }),
        await fetch(`${image.link}?size=x`, { headers }),
        await fetch(`${server.url}/images/unknown`, { headers }),
      ];
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 304, 304, 200, 400, 404],
      );
      for (const response of answers) {
        assert.equal(allowedOrigin(response), '*', String(response.status));
        assert.ok(list(response, 'expose-headers').includes('etag'));
        assert.equal(response.headers.get('access-control-allow-credentials'), null);
        // One answer for all origins. Otherwise caches would store one for each.
        assert.doesNotMatch(response.headers.get('vary') ?? '', /Origin/i);
      }
    });

    test('accept conditional requests of every page', async () => {
      const response = await preflight(server, new URL(image.link).pathname, EVIL, 'GET', 'if-none-match');
      assert.equal(response.status, 204);
      assert.equal(allowedOrigin(response), '*');
      assert.ok(list(response, 'allow-headers').includes('if-none-match'));
      assert.deepEqual(list(response, 'allow-methods'), ['get', 'head']);
      assert.equal(response.headers.get('access-control-max-age'), '7200');
    });
  });
});

describe('the API with VITRINE_CORS_ORIGINS=*', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_CORS_ORIGINS: '*' });
  });
  after(() => server.close());

  test('accepts requests of scripts of every page and refuses their forms', async () => {
    // fetch would set its own Sec-Fetch-Mode.
    const post = async (mode: string) => {
      const { authorization } = server;
      const headers = { authorization, origin: EVIL, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode };
      const outgoing = request(server.url + IMAGES, { method: 'POST', headers }).end();
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      response.resume();
      assert.equal(response.headers['access-control-allow-origin'], '*');
      return response.statusCode;
    };
    assert.equal(await post('cors'), 400, 'the request reached the form parser');
    assert.equal(await post('navigate'), 403);
    assert.equal(await post('no-cors'), 403);
  });
});
