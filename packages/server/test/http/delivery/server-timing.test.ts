/**
 * Server-Timing on public links: where the bytes came from and what each part of the way took, on the long way and on the
 * short ones.
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
  /** Milliseconds by part. */
  readonly parts: Readonly<Record<string, number>>;
}

/** Reads the header as its grammar has it. */
function timingOf(value: string | null | undefined): Timing {
  assert.ok(value, 'there is a Server-Timing header');
  const entries = value.split(', ').map((entry) => {
    const [, name = '', attribute, given = ''] = /^([a-z]+);(desc|dur)=([a-z]+|\d+\.\d)$/.exec(entry) ?? [];
    assert.ok(attribute, entry);
    return [name, given] as const;
  });
  const { cache, ...parts } = Object.fromEntries(entries);
  return {
    cache,
    parts: Object.fromEntries(Object.entries(parts).map(([name, time]) => [name, Number(time)])),
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

  async function ask(query: string, headers: Record<string, string> = {}, method = 'GET') {
    const response = await fetch(image.link + query, { method, headers });
    await response.arrayBuffer();
    return { response, ...timingOf(response.headers.get('server-timing')) };
  }

  test('of a rendition that is made tells of the record, the plan, the queue and the render', async () => {
    const began = performance.now();
    const { cache, parts } = await ask('?size=311x311');
    const all = performance.now() - began;
    assert.equal(cache, 'rung');
    assert.deepEqual(Object.keys(parts), ['record', 'plan', 'queue', 'render']);
    assert.ok((parts.render ?? 0) > 0);
    const sum = Object.values(parts).reduce((total, time) => total + time, 0);
    assert.ok(sum <= all + 1, `${sum} ms of ${all}`);
  });

  test('tells of the original of a picture that is too small for a ladder', async () => {
    const small = await server.addImage(await jpeg({ seed: 2 }));
    const response = await fetch(`${small.link}?size=112x112`);
    assert.equal(timingOf(response.headers.get('server-timing')).cache, 'original');
  });

  test('is of the short way where that was taken, parsed or not', async () => {
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

  test('tells of memory, of a HEAD, and of a 304, through the router', async () => {
    await ask('?size=314x314');
    const inMemory = await ask('?size=314x314&unknown=1');
    assert.equal(inMemory.cache, 'memory');
    assert.deepEqual(Object.keys(inMemory.parts), ['record', 'plan']);
    assert.equal((await ask('?size=314x314', {}, 'HEAD')).cache, 'memory');
    const etag = inMemory.response.headers.get('etag') ?? '';
    const unchanged = await ask('?size=314x314&unknown=2', { 'if-none-match': etag });
    assert.equal(unchanged.response.status, 304);
    assert.equal(unchanged.cache, 'revalidated');
  });

  test('tells of the disk after a restart', async () => {
    await ask('?size=315x315');
    const restarted = await server.restart();
    server = restarted;
    const response = await fetch(`${restarted.url}/images/${image.publicID}?size=315x315`);
    const { cache, parts } = timingOf(response.headers.get('server-timing'));
    assert.equal(cache, 'disk');
    assert.deepEqual(Object.keys(parts), ['record', 'plan', 'read']);
  });

  test('may be read by pages of any origin', async () => {
    const link = `${server.url}/images/${image.publicID}?size=316x316`;
    for (let n = 0; n < 2; n += 1) {
      const response = await fetch(link, { headers: { origin: 'https://shop.example' } });
      assert.equal(response.headers.get('timing-allow-origin'), '*');
    }
  });

  test('is not on what is no delivery', async () => {
    for (const path of ['/images/unknown-public-id-xx', '/livez', '/metrics']) {
      const response = await server.fetch(path);
      assert.equal(response.headers.get('server-timing'), null, path);
    }
  });
});

test('parts come in their order, to a tenth of a millisecond, and what was not measured is left out', () => {
  const timing = new ServerTiming();
  timing.mark('record');
  timing.mark('plan');
  assert.match(
    timing.of('rung', { read: undefined, queue: 1.26, render: 10 }),
    /^cache;desc=rung, record;dur=\d+\.\d, plan;dur=\d+\.\d, queue;dur=1\.3, render;dur=10\.0$/,
  );
});
