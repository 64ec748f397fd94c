/**
 * Rate limits and the throttle of failed authentication, as clients meet them. Proxies are trusted here, so that a test
 * can have as many addresses as it wants.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import Fastify from 'fastify';
import { SCOPES } from '../../../src/access/account.ts';
import { Access } from '../../../src/access/authentication.ts';
import { openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { AppError } from '../../../src/errors.ts';
import { sendProblem } from '../../../src/http/shared/problems.ts';
import { clientName, type Party, RateLimits } from '../../../src/http/shared/rate-limits.ts';
import { addRouteRules, requireScopes } from '../../../src/http/shared/route-rules.ts';
import { BY, digestOf, keyOf } from '../../conformance/metadata-samples.ts';
import { picture } from '../../support/sample.ts';
import { basic, type ImageJSON, KEY, startServer, type TestServer } from '../../support/server.ts';

describe('a client', () => {
  test('is its IPv4 address, however that is written', () => {
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

  test('is one and the same for all that is no address', () => {
    for (const none of [undefined, '', 'unknown', 'x'.repeat(10_000)])
      assert.equal(clientName(none), 'unknown');
  });
});

describe('a rate limit', () => {
  /** Requests a route that is charged to the parties, at a time of the test's. */
  async function harness(perSecond: number) {
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
      pass: (seconds: number) => (now += seconds * 1_000),
      async get(query: string) {
        const { statusCode, headers, body } = await app.inject(`/?${query}`);
        return { status: statusCode, body, policy: headers['ratelimit-policy'], standing: headers.ratelimit };
      },
    };
  }

  test('lets two seconds’ worth through at once, says how the client stands, and what to wait', async () => {
    const { get, pass } = await harness(2);
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
    pass(0.5);
    assert.equal((await get('address=a')).status, 200);
    assert.equal((await get('address=a')).status, 429);
  });

  test('is of the key and of the address, each on its own, and tells of both', async () => {
    const { get } = await harness(1);
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

  test('says nothing where everyone may keep the answer, unless it refuses', async () => {
    const { get } = await harness(1);
    for (let n = 0; n < 2; n++) assert.equal((await get('address=a&quietly')).standing, undefined);
    assert.equal((await get('address=a&quietly')).standing, '"address";r=0;t=1');
  });

  test('of 0 is none', async () => {
    const { get } = await harness(0);
    for (let n = 0; n < 100; n++) assert.deepEqual((await get('address=a&key=k')).standing, undefined);
  });
});

test('a public route is charged to the address if it says so, and to nobody otherwise', async (t) => {
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
    const store = await openSqlite({ path: `${server.folder}/vitrine.db` });
    const another = keyOf({ publicKey: 'another', scopes: SCOPES });
    await store.keys.create(another, digestOf(KEY.secretKey), BY);
    await store.close();
  });
  after(() => server.close());

  let addresses = 0;
  const newAddress = () => `203.0.113.${++addresses}`;
  const get = (path: string, address: string, headers: Record<string, string> = {}) =>
    fetch(server.url + path, { headers: { 'x-forwarded-for': address, ...headers } });
  /** As many as are certain to be too many, however slow the machine. */
  const flood = (request: () => Promise<Response>) => Promise.all(Array.from({ length: 100 }, request));
  const ok = basic(KEY.publicKey, KEY.secretKey);

  test('answers 429 {error} with Retry-After and the version to who asks too often', async () => {
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

  test('charges the key wherever it comes from, and other keys not', async () => {
    const answers = await flood(() => get('/ping', newAddress(), { authorization: ok }));
    const refused = answers.find(({ status }) => status === 429);
    assert.match(refused?.headers.get('ratelimit') ?? '', /, "key";r=0;t=/);
    const another = basic('another', KEY.secretKey);
    assert.equal((await get('/ping', newAddress(), { authorization: another })).status, 200);
  });

  test('charges the address also without credentials that hold, before anything is looked up', async () => {
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
      // Whatever the tests before it used up of the key.
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

    test('charges what has to be made to the address, and nothing that is in a cache', async () => {
      const address = newAddress();
      let size = 10;
      const made: number[] = [];
      const answers = await flood(async () => {
        const mine = ++size;
        const response = await get(path(mine), address);
        if (response.status === 200) made.push(mine);
        return response;
      });
      assert.ok(made.length > 0);
      for (const { headers, status } of answers) {
        if (status === 200) assert.equal(headers.get('ratelimit'), null, 'kept by caches, for everyone');
      }
      const refused = answers.find(({ status }) => status === 429);
      assert.ok(refused);
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      assert.match(refused.headers.get('ratelimit') ?? '', /^"address";r=0;/);
      assert.equal(refused.headers.get('cache-control'), 'no-store');
      assert.equal(refused.headers.get('access-control-allow-origin'), '*');
      const known = path(made[0] ?? 0);
      for (const { status, headers } of await flood(() => get(known, address))) {
        assert.equal(status, 200);
        assert.equal(headers.get('ratelimit'), null);
      }
      const etag = (await get(known, address)).headers.get('etag') ?? '';
      for (const { status } of await flood(() => get(known, address, { 'if-none-match': etag }))) {
        assert.equal(status, 304);
      }
      assert.equal((await get(path(500), newAddress())).status, 200);
    });

    test('charges lookups in vain', async () => {
      const address = newAddress();
      const answers = await flood(() => get(`/images/${'x'.repeat(21)}`, address));
      const statuses = new Set(answers.map(({ status }) => status));
      assert.deepEqual([...statuses].sort(), [404, 429]);
    });

    test('lets nobody pay for another: who may not have it made still gets what is being made', async () => {
      const { delivery, publicImages } = server.app;
      const planned = async (width: number) =>
        delivery.plan(
          await publicImages.find(image.publicID),
          { width, height: 7, fit: 'cover', position: 'center', dpr: 1 },
          'webp',
        );
      let paid = 0;
      const pays = () => {
        paid += 1;
      };
      const refuses = () => {
        throw new AppError('rate-limited', 'no');
      };
      const one = await planned(700);
      const [first, joined] = await Promise.all([
        delivery.deliver(one, undefined, pays),
        delivery.deliver(one, undefined, refuses),
      ]);
      assert.equal(first, joined);
      const other = await planned(701);
      const refused = assert.rejects(delivery.deliver(other, undefined, refuses), { code: 'rate-limited' });
      assert.ok((await delivery.deliver(other, undefined, pays)).bytes.length > 0);
      await refused;
      assert.equal(paid, 2);
    });
  });
});

test('the address is the connection’s own unless a proxy is trusted', async () => {
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
  const counted = async (answers: Promise<Response>[]) => {
    const counts = new Map<string, number>();
    for (const response of await Promise.all(answers)) {
      const kind = `${response.status} ${await response.text()}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    return counts;
  };

  test('gets no more guesses at once than one after another, and then 429 with Retry-After', async () => {
    const counts = await counted(
      Array.from({ length: 200 }, (_, n) => ping('198.51.100.1', KEY.publicKey, `guess ${n}`)),
    );
    const guesses = counts.get('401 {"error":"the credentials are not valid"}') ?? 0;
    // One more flows in every five seconds.
    assert.ok(guesses >= 100 && guesses < 110, String(guesses));
    const refused = await ping('198.51.100.1', KEY.publicKey, KEY.secretKey);
    assert.equal(refused.status, 429, 'the secret is not looked at, even the right one');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    assert.equal(refused.headers.get('www-authenticate'), null);
  });

  test('from one address locks nobody out at another, whatever public key it names', async () => {
    await counted(Array.from({ length: 150 }, () => ping('198.51.100.2', KEY.publicKey, 'wrong')));
    assert.equal((await ping('198.51.100.3', KEY.publicKey, KEY.secretKey)).status, 200);
  });

  test('is answered alike for public keys that exist and that do not', async () => {
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
      await sequence('198.51.100.5', 'nobody has this one'),
    );
  });

  test('is not what a request without credentials is', async () => {
    for (let n = 0; n < 400; n += 1) {
      const response = await fetch(`${server.url}/ping`, { headers: { 'x-forwarded-for': '198.51.100.6' } });
      assert.equal(response.status, 401);
      await response.arrayBuffer();
    }
    assert.equal((await ping('198.51.100.6', KEY.publicKey, KEY.secretKey)).status, 200);
  });
});
