/**
 * Server-Timing on public links: the source of the bytes and the duration of each step, for answers of the
 * route and from memory.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { ServerTiming } from '../../../src/http/delivery/server-timing.ts';
import { jpeg } from '../../support/pictures.ts';
import { type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

interface Timing {
  readonly cache: string | undefined;
  /** Milliseconds by step. */
  readonly steps: Readonly<Record<string, number>>;
}

/** Parses the header. Asserts that each entry is well-formed. */
function timingOf(header: string | null | undefined): Timing {
  assert.ok(header, 'there is a Server-Timing header');
  const entries = header.split(', ').map((entry) => {
    const [, name = '', attribute, value = ''] = /^([a-z]+);(desc|dur)=([a-z]+|\d+\.\d)$/.exec(entry) ?? [];
    assert.ok(attribute, entry);
    return [name, value] as const;
  });
  const { cache, ...steps } = Object.fromEntries(entries);
  return {
    cache,
    steps: Object.fromEntries(Object.entries(steps).map(([name, time]) => [name, Number(time)])),
  };
}

describe('Server-Timing', () => {
  let server: TestServer;
  let image: ImageJSON;
  before(async () => {
    server = await startServer();
    image = await server.addImage(await jpeg({ width: 1_600, height: 1_200 }));
  });
  after(() => server.close());

  async function request(query: string, headers: Record<string, string> = {}, method = 'GET') {
    const response = await fetch(image.link + query, { method, headers });
    await response.arrayBuffer();
    return { response, ...timingOf(response.headers.get('server-timing')) };
  }

  test('of a new rendition names the record, the plan, the queue and the render', async () => {
    const startedAt = performance.now();
    const { cache, steps } = await request('?size=311x311');
    const total = performance.now() - startedAt;
    assert.equal(cache, 'rung');
    assert.deepEqual(Object.keys(steps), ['record', 'plan', 'queue', 'render']);
    assert.ok((steps.render ?? 0) > 0);
    const sum = Object.values(steps).reduce((one, other) => one + other, 0);
    assert.ok(sum <= total + 1, `${sum} ms of ${total}`);
  });

  test('names the original for a picture that is too small for a ladder', async () => {
    const small = await server.addImage(await jpeg({ seed: 2 }));
    const response = await fetch(`${small.link}?size=112x112`);
    assert.equal(timingOf(response.headers.get('server-timing')).cache, 'original');
  });

  test('names only the cache in answers ahead of the router', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const onOneConnection = async (headers = {}) => {
      const [response] = (await once(get(`${image.link}?size=313x313`, { agent, headers }), 'response')) as [
        IncomingMessage,
      ];
      response.resume();
      await once(response, 'end');
      return response.headers;
    };
    const first = await onOneConnection();
    for (let n = 0; n < 3; n += 1) {
      assert.equal((await onOneConnection())['server-timing'], 'cache;desc=memory');
    }
    const unchanged = { 'if-none-match': first.etag };
    for (let n = 0; n < 3; n += 1) {
      assert.equal((await onOneConnection(unchanged))['server-timing'], 'cache;desc=revalidated');
    }
    agent.destroy();
  });

  test('names memory for a GET and a HEAD, and revalidation for a 304, through the router', async () => {
    await request('?size=314x314');
    const inMemory = await request('?size=314x314&unknown=1');
    assert.equal(inMemory.cache, 'memory');
    assert.deepEqual(Object.keys(inMemory.steps), ['record', 'plan']);
    assert.equal((await request('?size=314x314', {}, 'HEAD')).cache, 'memory');
    const etag = inMemory.response.headers.get('etag') ?? '';
    const unchanged = await request('?size=314x314&unknown=2', { 'if-none-match': etag });
    assert.equal(unchanged.response.status, 304);
    assert.equal(unchanged.cache, 'revalidated');
  });

  test('names the disk after a restart', async () => {
    await request('?size=315x315');
    const restarted = await server.restart();
    server = restarted;
    const response = await fetch(`${restarted.url}/images/${image.publicID}?size=315x315`);
    const { cache, steps } = timingOf(response.headers.get('server-timing'));
    assert.equal(cache, 'disk');
    assert.deepEqual(Object.keys(steps), ['record', 'plan', 'read']);
  });

  test('is readable by pages of any origin', async () => {
    const link = `${server.url}/images/${image.publicID}?size=316x316`;
    for (let n = 0; n < 2; n += 1) {
      const response = await fetch(link, { headers: { origin: 'https://shop.example' } });
      assert.equal(response.headers.get('timing-allow-origin'), '*');
    }
  });

  test('is absent from answers that are not deliveries', async () => {
    for (const path of ['/images/unknown-public-id-xx', '/livez', '/metrics']) {
      const response = await server.fetch(path);
      assert.equal(response.headers.get('server-timing'), null, path);
    }
  });
});

test('writes the measured steps in order, with one decimal of a millisecond', () => {
  const timing = new ServerTiming();
  timing.mark('record');
  timing.mark('plan');
  assert.match(
    timing.of('rung', { read: undefined, queue: 1.26, render: 10 }),
    /^cache;desc=rung, record;dur=\d+\.\d, plan;dur=\d+\.\d, queue;dur=1\.3, render;dur=10\.0$/,
  );
});
