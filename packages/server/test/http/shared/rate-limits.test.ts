/**
 * Rate limits and the throttle of failed authentication, over HTTP. The servers trust proxies, so that a test
 * can use any number of addresses.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import Fastify from 'fastify';
import { SCOPES } from '../../../src/access/account.ts';
import { Access } from '../../../src/access/authentication.ts';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import type { RenderClient } from '../../../src/delivery/delivery.ts';
import { AppError } from '../../../src/errors.ts';
import { sendProblem } from '../../../src/http/shared/problems.ts';
import { clientName, type Party, RateLimits } from '../../../src/http/shared/rate-limits.ts';
import { addRouteRules, requireScopes } from '../../../src/http/shared/route-rules.ts';
import { BY, digestOf, keyOf } from '../../conformance/metadata-samples.ts';
import { picture } from '../../support/sample.ts';
import { basic, type ImageJSON, KEY, startServer, type TestServer } from '../../support/server.ts';

describe('the name of a client', () => {
  test('is its IPv4 address in any notation', () => {
    assert.equal(clientName('192.0.2.1'), '192.0.2.1');
    assert.equal(clientName('::ffff:192.0.2.1'), '192.0.2.1');
    assert.notEqual(clientName('192.0.2.2'), clientName('192.0.2.1'));
  });

  test('is the /64 of its IPv6 address', () => {
    const name = clientName('2001:db8:1:2::1');
    for (const same of ['2001:db8:1:2:ffff::', '2001:0DB8:0001:0002:0:0:0:9', '2001:db8:1:2::1%eth0']) {
      assert.equal(clientName(same), name, same);
    }
    for (const other of ['2001:db8:1:3::1', '2001:db8::1', '::1'])
      assert.notEqual(clientName(other), name, other);
  });

  test('is the same for all texts that are no address', () => {
    for (const text of [undefined, '', 'unknown', 'x'.repeat(10_000)])
      assert.equal(clientName(text), 'unknown');
  });
});

describe('a rate limit', () => {
  /** A route that charges the parties of its query, with a clock that the test sets. */
  async function startRoute(perSecond: number) {
    let now = 0;
    const rates = new RateLimits(perSecond, () => now);
    const app = Fastify();
    app.setErrorHandler((error, _request, reply) =>
      reply.code(429).send(error instanceof AppError ? error.retryAfter : error),
    );
    app.get<{ Querystring: Partial<Record<Party, string>> & { quietly?: string } }>(
      '/',
      async (request, reply) => {
        const { quietly } = request.query;
        for (const party of ['address', 'key'] as const) {
          const name = request.query[party];
          if (name !== undefined) rates.charge(reply, party, name, quietly !== undefined);
        }
        return 'ok';
      },
    );
    return {
      advance: (seconds: number) => (now += seconds * 1_000),
      async get(query: string) {
        const { statusCode, headers, body } = await app.inject(`/?${query}`);
        return { status: statusCode, body, policy: headers['ratelimit-policy'], standing: headers.ratelimit };
      },
    };
  }

  test('accepts a burst of two seconds and reports the rest and the waiting time', async () => {
    const { get, advance } = await startRoute(2);
    for (const [left, fullIn] of [
      [3, 1],
      [2, 1],
      [1, 2],
      [0, 2],
    ]) {
      const answer = await get('address=a');
      assert.equal(answer.status, 200);
      assert.equal(answer.policy, '"address";q=4;w=2');
      assert.equal(answer.standing, `"address";r=${left};t=${fullIn}`);
    }
    const refused = await get('address=a');
    assert.deepEqual(refused, {
      status: 429,
      body: '1',
      policy: '"address";q=4;w=2',
      standing: '"address";r=0;t=1',
    });
    assert.equal((await get('address=b')).status, 200);
    advance(0.5);
    assert.equal((await get('address=a')).status, 200);
    assert.equal((await get('address=a')).status, 429);
  });

  test('charges the key and the address separately and reports both', async () => {
    const { get } = await startRoute(1);
    const first = await get('address=a&key=k');
    assert.equal(first.policy, '"address";q=2;w=2, "key";q=2;w=2');
    assert.equal(first.standing, '"address";r=1;t=1, "key";r=1;t=1');
    assert.equal((await get('address=b&key=k')).status, 200);
    const byKey = await get('address=c&key=k');
    assert.equal(byKey.status, 429);
    assert.equal(byKey.standing, '"address";r=1;t=1, "key";r=0;t=1');
    assert.equal((await get('address=a&key=l')).status, 200);
    const byAddress = await get('address=a&key=m');
    assert.equal(byAddress.status, 429);
    assert.equal(byAddress.standing, '"address";r=0;t=1');
  });

  test('reports nothing in a cacheable answer, except when it refuses', async () => {
    const { get } = await startRoute(1);
    for (let n = 0; n < 2; n++) assert.equal((await get('address=a&quietly')).standing, undefined);
    assert.equal((await get('address=a&quietly')).standing, '"address";r=0;t=1');
  });

  test('of 0 means no limit', async () => {
    const { get } = await startRoute(0);
    for (let n = 0; n < 100; n++) assert.deepEqual((await get('address=a&key=k')).standing, undefined);
  });
});

test('charges a public route to the address only if the route says so', async (t) => {
  const store = await openSqlite({ path: ':memory:' });
  t.after(() => store.close());
  const app = Fastify();
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  requireScopes(app);
  addRouteRules(app, {
    access: new Access(store),
    rates: new RateLimits(1, () => 0),
    allowedOrigins: [],
  });
  app.get('/charged', { config: { scope: 'public', charged: true } }, async () => 'ok');
  app.get('/free', { config: { scope: 'public' } }, async () => 'ok');
  const statuses = async (url: string) => {
    const answers = [await app.inject(url), await app.inject(url), await app.inject(url)];
    return answers.map(({ statusCode }) => statusCode);
  };
  assert.deepEqual(await statuses('/charged'), [200, 200, 429]);
  assert.deepEqual(await statuses('/free'), [200, 200, 200]);
});

describe('a server with VITRINE_RATE_LIMIT', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_RATE_LIMIT: '1', VITRINE_TRUST_PROXY: '1' });
    const store = await server.openRecords();
    const another = keyOf({ publicKey: 'another', scopes: SCOPES });
    await store.keys.create(another, digestOf(KEY.secretKey), BY);
    await store.close();
  });
  after(() => server.close());

  let addresses = 0;
  const newAddress = () => `203.0.113.${++addresses}`;
  const get = (path: string, address: string, headers: Record<string, string> = {}) =>
    fetch(server.url + path, { headers: { 'x-forwarded-for': address, ...headers } });
  /** More requests than the limit allows, even on a slow machine. */
  const flood = (request: () => Promise<Response>) => Promise.all(Array.from({ length: 100 }, request));
  const ok = basic(KEY.publicKey, KEY.secretKey);

  test('answers 429 {error} with Retry-After and the version beyond the limit', async () => {
    const address = newAddress();
    const answers = await flood(() => get('/ping', address, { authorization: ok }));
    assert.ok(answers.some(({ status }) => status === 200));
    const refused = answers.find(({ status }) => status === 429);
    assert.ok(refused);
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.match(refused.headers.get('ratelimit') ?? '', /^"address";r=0;t=\d+$/);
    assert.equal(refused.headers.get('ratelimit-policy'), '"address";q=2;w=2');
    assert.equal(refused.headers.get('cache-control'), 'no-store');
    assert.equal(refused.headers.get('x-moov-version'), 'v2024.01.00');
    assert.ok(refused.headers.get('x-request-id'));
    const body = (await refused.json()) as object;
    assert.deepEqual(Object.keys(body), ['error']);
  });

  test('charges a key at all addresses, and does not charge other keys', async () => {
    const answers = await flood(() => get('/ping', newAddress(), { authorization: ok }));
    const refused = answers.find(({ status }) => status === 429);
    assert.match(refused?.headers.get('ratelimit') ?? '', /, "key";r=0;t=/);
    const another = basic('another', KEY.secretKey);
    assert.equal((await get('/ping', newAddress(), { authorization: another })).status, 200);
  });

  test('charges the address of a request with wrong credentials before it looks them up', async () => {
    const address = newAddress();
    const answers = await flood(() => get('/ping', address, { authorization: basic('x', 'y') }));
    const statuses = new Set(answers.map(({ status }) => status));
    assert.deepEqual([...statuses].sort(), [401, 429]);
  });

  test('never charges probes, pages and preflights', async () => {
    const address = newAddress();
    for (const path of ['/livez', '/readyz', '/openapi.json', '/']) {
      for (const { status } of await flood(() => get(path, address))) assert.equal(status, 200, path);
    }
  });

  describe('on public links', () => {
    let image: ImageJSON;
    before(async () => {
      // Waits until the budget of the key is refilled after the earlier tests.
      const upload = () =>
        server.upload(bytes, {
          headers: { 'x-forwarded-for': newAddress(), authorization: basic('another', KEY.secretKey) },
        });
      const bytes = await picture(1);
      let response = await upload();
      while (response.status === 429) response = await upload();
      assert.equal(response.status, 201);
      image = (await response.json()) as ImageJSON;
    });
    const path = (size: number) => `/images/${image.publicID}?size=${size}x${size}`;

    test('charges new renditions to the address, and cached ones not', async () => {
      const address = newAddress();
      let size = 10;
      const rendered: number[] = [];
      const answers = await flood(async () => {
        const side = ++size;
        const response = await get(path(side), address);
        if (response.status === 200) rendered.push(side);
        return response;
      });
      assert.ok(rendered.length > 0);
      for (const { headers, status } of answers) {
        if (status === 200) assert.equal(headers.get('ratelimit'), null, 'caches store it for all clients');
      }
      const refused = answers.find(({ status }) => status === 429);
      assert.ok(refused);
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      assert.match(refused.headers.get('ratelimit') ?? '', /^"address";r=0;/);
      assert.equal(refused.headers.get('cache-control'), 'no-store');
      assert.equal(refused.headers.get('access-control-allow-origin'), '*');
      const cached = path(rendered[0] ?? 0);
      for (const { status, headers } of await flood(() => get(cached, address))) {
        assert.equal(status, 200);
        assert.equal(headers.get('ratelimit'), null);
      }
      const etag = (await get(cached, address)).headers.get('etag') ?? '';
      for (const { status } of await flood(() => get(cached, address, { 'if-none-match': etag }))) {
        assert.equal(status, 304);
      }
      assert.equal((await get(path(500), newAddress())).status, 200);
    });

    test('charges look-ups of unknown images', async () => {
      const address = newAddress();
      const answers = await flood(() => get(`/images/${'x'.repeat(21)}`, address));
      const statuses = new Set(answers.map(({ status }) => status));
      assert.deepEqual([...statuses].sort(), [404, 429]);
    });

    test('does not charge a client that joins the rendering of another client', async () => {
      const { delivery, publicImages } = server.app;
      const planOf = async (width: number) =>
        delivery.plan(
          (await publicImages.find(image.publicID)).image,
          { width, height: 7, fit: 'cover', position: 'center', dpr: 1 },
          'webp',
        );
      let charges = 0;
      const clientWith = (name: string, charge: () => void): RenderClient => ({
        name,
        charge,
        takeSlot: () => () => undefined,
      });
      const charge = clientWith('charged', () => {
        charges += 1;
      });
      const refuse = clientWith('refused', () => {
        throw new AppError('rate-limited', 'no');
      });
      const one = await planOf(700);
      const [first, joined] = await Promise.all([
        delivery.deliver(one, undefined, charge),
        delivery.deliver(one, undefined, refuse),
      ]);
      assert.equal(first, joined);
      const other = await planOf(701);
      const refused = assert.rejects(delivery.deliver(other, undefined, refuse), { code: 'rate-limited' });
      assert.ok((await delivery.deliver(other, undefined, charge)).bytes.length > 0);
      await refused;
      assert.equal(charges, 2);
    });
  });
});

test('uses the address of the connection unless a proxy is trusted', async () => {
  const server = await startServer({ VITRINE_RATE_LIMIT: '1' });
  try {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        server.fetch('/ping', { headers: { 'x-forwarded-for': `203.0.113.${n}` } }),
      ),
    );
    const refused = answers.find(({ status }) => status === 429);
    assert.match(refused?.headers.get('ratelimit') ?? '', /^"address";r=0;/);
  } finally {
    await server.close();
  }
});

describe('failed authentication', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_RATE_LIMIT: '0', VITRINE_TRUST_PROXY: '1' });
  });
  after(() => server.close());
  const ping = (address: string, publicKey: string, secretKey: string) =>
    fetch(`${server.url}/ping`, {
      headers: { 'x-forwarded-for': address, authorization: basic(publicKey, secretKey) },
    });
  const countAnswers = async (answers: Promise<Response>[]) => {
    const counts = new Map<string, number>();
    for (const response of await Promise.all(answers)) {
      const kind = `${response.status} ${await response.text()}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  };

  test('gets the same number of parallel guesses as of sequential ones, and then 429 with Retry-After', async () => {
    const counts = await countAnswers(
      Array.from({ length: 200 }, (_, n) => ping('198.51.100.1', KEY.publicKey, `guess ${n}`)),
    );
    const guesses = counts.get('401 {"error":"the credentials are not valid"}') ?? 0;
    // The budget gains one guess every five seconds.
    assert.ok(guesses >= 100 && guesses < 110, String(guesses));
    const refused = await ping('198.51.100.1', KEY.publicKey, KEY.secretKey);
    assert.equal(refused.status, 429, 'even the correct secret is not compared');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.headers.get('www-authenticate'), null);
  });

  test('at one address does not lock the key at other addresses', async () => {
    await countAnswers(Array.from({ length: 150 }, () => ping('198.51.100.2', KEY.publicKey, 'wrong')));
    assert.equal((await ping('198.51.100.3', KEY.publicKey, KEY.secretKey)).status, 200);
  });

  test('gets the same answers for public keys that exist and that do not', async () => {
    const sequence = async (address: string, publicKey: string) => {
      const answers: string[] = [];
      for (let n = 0; n < 110; n += 1) {
        const response = await ping(address, publicKey, 'wrong');
        answers.push(`${response.status} ${await response.text()} ${[...response.headers.keys()].join()}`);
      }
      return [...new Set(answers)];
    };
    assert.deepEqual(
      await sequence('198.51.100.4', KEY.publicKey),
      await sequence('198.51.100.5', 'unknown public key'),
    );
  });

  test('does not include requests without credentials', async () => {
    for (let n = 0; n < 400; n += 1) {
      const response = await fetch(`${server.url}/ping`, { headers: { 'x-forwarded-for': '198.51.100.6' } });
      assert.equal(response.status, 401);
      await response.arrayBuffer();
    }
    assert.equal((await ping('198.51.100.6', KEY.publicKey, KEY.secretKey)).status, 200);
  });
});
