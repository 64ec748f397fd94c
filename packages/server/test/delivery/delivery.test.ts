/**
 * Deliveries over HTTP. The metrics of the server count the renders and the cache hits.
 */
import assert from 'node:assert/strict';
import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { readMetrics } from '../support/metrics.ts';
import { jpeg } from '../support/pictures.ts';
import { picture } from '../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../support/server.ts';

const UNUSUAL = '?size=333x77';

interface Counts {
  /** Deliveries from a cache tier. */
  readonly memory: number;
  readonly disk: number;
  /** Renders by their source. */
  readonly rung: number;
  readonly original: number;
}

/** The counts of the metrics. Warm answers count as answers from memory. */
async function readCounts(server: TestServer): Promise<Counts> {
  const metrics = await readMetrics(server);
  const sent = (from: string) => metrics.value('vitrine_deliveries_total', { from });
  const rendered = (from: string) =>
    ['jpeg', 'png', 'webp', 'avif']
      .map((format) => ({ from, format, outcome: 'ok' }))
      .reduce((sum, labels) => sum + metrics.value('vitrine_render_duration_seconds_count', labels), 0);
  return {
    memory: sent('memory') + sent('warm'),
    disk: sent('disk'),
    rung: rendered('rung'),
    original: rendered('original'),
  };
}

/** The counts that a run adds. */
async function countDuring(server: TestServer, run: () => Promise<unknown>): Promise<Counts> {
  const before = await readCounts(server);
  await run();
  const after = await readCounts(server);
  return {
    memory: after.memory - before.memory,
    disk: after.disk - before.disk,
    rung: after.rung - before.rung,
    original: after.original - before.original,
  };
}

const countRenders = (counts: Counts) => counts.rung + counts.original;

describe('a delivery', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_SIZE_BUDGET: '0' });
  });
  after(() => server.close());

  const bytesOf = async (image: ImageJSON, query = UNUSUAL, accept = '*/*') => {
    const response = await fetch(`${image.link}${query}`, { headers: { accept } });
    assert.equal(response.status, 200, await response.clone().text());
    return Buffer.from(await response.arrayBuffer());
  };

  test('is rendered once for 200 concurrent requests', async () => {
    const image = await server.addImage(await jpeg({ width: 900, height: 700, seed: 1 }));
    const counts = await countDuring(server, async () => {
      const all = await Promise.all(Array.from({ length: 200 }, () => bytesOf(image)));
      assert.equal(new Set(all.map((bytes) => bytes.toString('base64'))).size, 1);
    });
    assert.equal(countRenders(counts), 1);
  });

  test('comes from memory the second time, with the same bytes and headers', async () => {
    const image = await server.addImage(await jpeg({ seed: 2 }));
    const headersOf = async () => {
      const { headers } = await fetch(`${image.link}${UNUSUAL}`);
      const variable = new Set(['x-request-id', 'date', 'server-timing']);
      return Object.fromEntries([...headers].filter(([name]) => !variable.has(name)));
    };
    const first = await headersOf();
    const counts = await countDuring(server, async () => {
      assert.deepEqual(await headersOf(), first);
      assert.deepEqual(await bytesOf(image), await bytesOf(image));
    });
    assert.deepEqual(counts, { memory: 3, disk: 0, rung: 0, original: 0 });
  });

  test('from memory has a new request ID each time, and respects If-None-Match and Accept', async () => {
    const image = await server.addImage(await jpeg({ seed: 3 }));
    const get = (headers: Record<string, string> = {}) => fetch(`${image.link}${UNUSUAL}`, { headers });
    const first = await get();
    const ids = new Set<string | null>([first.headers.get('x-request-id')]);
    for (let n = 0; n < 3; n++) ids.add((await get()).headers.get('x-request-id'));
    assert.equal(ids.size, 4);
    const etag = first.headers.get('etag') ?? '';
    const unchanged = await get({ 'if-none-match': etag });
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.headers.get('content-type'), null);
    assert.equal(unchanged.headers.get('etag'), etag);
    assert.equal((await get({ 'if-none-match': '"x"' })).status, 200);
    assert.equal((await get({ accept: 'image/webp' })).headers.get('content-type'), 'image/webp');
    assert.equal((await get()).headers.get('content-type'), 'image/jpeg');
  });

  test('has the new image from the first request after a replace, also during other requests', async () => {
    const image = await server.addImage(await jpeg({ seed: 10 }));
    await bytesOf(image);
    let isReading = true;
    const readers = Array.from({ length: 4 }, async () => {
      while (isReading) await bytesOf(image);
    });
    for (let seed = 11; seed < 19; seed++) {
      const before = await bytesOf(image);
      await server.addImage(await jpeg({ seed }), { replace: image.imageID });
      assert.notDeepEqual(await bytesOf(image), before, `after replacing it with ${seed}`);
    }
    isReading = false;
    await Promise.all(readers);
  });

  test('has a new Last-Modified after a change of alt text, as soon as the second is over', async (t) => {
    const image = await server.addImage(await jpeg({ seed: 20 }));
    await bytesOf(image);
    const response = await server.fetch(`/accounts/${ACCOUNT}/images/${image.imageID}/metadata`, {
      method: 'PUT',
      body: '{"altText":"new"}',
      headers: { 'content-type': 'application/json' },
    });
    const { updatedOn } = (await response.json()) as ImageJSON;
    const lastModified = async () => (await fetch(`${image.link}${UNUSUAL}`)).headers.get('last-modified');
    assert.equal(await lastModified(), null, 'the old date is not sent');
    t.mock.timers.enable({ apis: ['Date'], now: Date.parse(updatedOn) + 2_000 });
    const nextSecond = Math.ceil(Date.parse(updatedOn) / 1000) * 1000;
    assert.equal(await lastModified(), new Date(nextSecond).toUTCString());
  });

  test('of a replaced original leaves no rendition on disk', async () => {
    const image = await server.addImage(await jpeg({ seed: 30 }));
    const sizes = ['51x51', '61x61', '71x71'];
    // Fails if a folder is removed while it is read.
    const readCache = (): Promise<string[]> =>
      readdir(join(server.folder, 'cache'), { recursive: true }).catch(readCache);
    const countFiles = async () => {
      const entries = await readCache();
      return entries.filter((name) => sizes.some((size) => name.includes(`.${size}.`))).length;
    };
    for (const size of sizes) await bytesOf(image, `?size=${size}`);
    while ((await countFiles()) < sizes.length) await new Promise(setImmediate);
    await server.addImage(await jpeg({ seed: 31 }), { replace: image.imageID });
    while ((await countFiles()) > 0) await new Promise(setImmediate);
  });

  test('is completed for a waiting client when 20 other clients disconnect', async () => {
    const image = await server.addImage(await jpeg({ width: 1800, height: 1500, seed: 40 }));
    const query = '?size=1999x1999&format=avif';
    const leaving = Array.from({ length: 20 }, () => {
      const controller = new AbortController();
      const request = fetch(`${image.link}${query}`, { signal: controller.signal }).catch(() => undefined);
      return { controller, request };
    });
    const staying = bytesOf(image, query);
    for (const { controller } of leaving) controller.abort();
    await Promise.all(leaving.map(({ request }) => request));
    assert.ok((await staying).length > 0);
  });
});

describe('the ladder', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_SIZE_BUDGET: '0' });
  });
  after(() => server.close());

  const listRungs = async () => {
    const folder = join(server.folder, 'blobs/rungs');
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  };
  const requestSize = async (image: ImageJSON, size: string) => {
    const response = await fetch(`${image.link}?size=${size}`);
    assert.equal(response.status, 200);
    const { width, height } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    assert.equal(`${width}x${height}`, size);
  };

  test('is stored when the upload is answered, and the default renditions are in memory', async () => {
    const image = await server.addImage(await jpeg({ width: 3000, height: 2000, seed: 60 }));
    assert.equal((await listRungs()).length, 2);
    const counts = await countDuring(server, async () => {
      for (const accept of ['image/webp', 'image/jpeg']) {
        assert.equal((await fetch(image.link, { headers: { accept } })).status, 200);
      }
      await requestSize(image, '300x200');
    });
    assert.deepEqual(counts, { memory: 2, disk: 0, rung: 1, original: 0 });
  });

  for (const [damage, apply] of [
    ['deleted', (path: string) => rm(path)],
    ['truncated', (path: string) => truncate(path, 500)],
  ] as const) {
    test(`that is ${damage} causes one render from the original, and is made again`, async () => {
      const image = await server.addImage(await jpeg({ width: 2400, height: 1800, seed: damage.length }));
      const paths = await listRungs();
      const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
      for (const path of paths) await apply(path);
      const counts = await countDuring(server, () => requestSize(image, '310x210'));
      assert.deepEqual(counts, { memory: 0, disk: 0, rung: 0, original: 1 });
      const isRepaired = async () => {
        const stats = await Promise.all(paths.map((path) => stat(path).catch(() => ({ size: 0 }))));
        return stats.some(({ size }, index) => size === sizes[index]);
      };
      while (!(await isRepaired())) await new Promise(setImmediate);
    });
  }
});

describe('a restart', () => {
  test('keeps the renditions on disk', async () => {
    let server = await startServer();
    try {
      const image = await server.addImage(await jpeg({ seed: 50 }));
      const path = `/images/${image.publicID}${UNUSUAL}`;
      const before = Buffer.from(await (await server.fetch(path)).arrayBuffer());
      server = await server.restart();
      const counts = await countDuring(server, async () => {
        assert.deepEqual(Buffer.from(await (await server.fetch(path)).arrayBuffer()), before);
      });
      assert.deepEqual(counts, { memory: 0, disk: 1, rung: 0, original: 0 });
    } finally {
      await server.close();
    }
  });
});

describe('the size budget', () => {
  test('rejects new sizes of an image with 429 and Retry-After, but not cached sizes or other images', async () => {
    const server = await startServer({ VITRINE_SIZE_BUDGET: '5' });
    try {
      const [image, other] = [
        await server.addImage(await picture(1)),
        await server.addImage(await picture(2)),
      ];
      const status = async (of: ImageJSON, size: number) =>
        (await fetch(`${of.link}?size=${size}x${size}`)).status;
      for (let size = 10; size < 15; size++) assert.equal(await status(image, size), 200);
      const rejected = await fetch(`${image.link}?size=99x99`);
      assert.equal(rejected.status, 429);
      assert.ok(Number(rejected.headers.get('retry-after')) >= 1);
      assert.equal(rejected.headers.get('cache-control'), 'no-store');
      assert.equal(typeof ((await rejected.json()) as { error: string }).error, 'string');
      for (let size = 10; size < 15; size++) assert.equal(await status(image, size), 200);
      assert.equal(await status(other, 99), 200);
    } finally {
      await server.close();
    }
  });

  test('delays a 429, so that a client that retries at once does not slow other clients', async () => {
    const server = await startServer({ VITRINE_SIZE_BUDGET: '1' });
    try {
      const image = await server.addImage(await picture(3));
      assert.equal((await fetch(`${image.link}?size=10x10`)).status, 200);
      const order: string[] = [];
      const request = async (name: string, url: string) => {
        await (await fetch(url)).arrayBuffer();
        order.push(name);
      };
      const rejected = request('rejected', `${image.link}?size=11x11`);
      // These requests run one after another. A 429 without delay would be first.
      for (let index = 0; index < 3; index += 1) await request('other', `${image.link}?size=10x10`);
      await rejected;
      assert.deepEqual(order, ['other', 'other', 'other', 'rejected']);
    } finally {
      await server.close();
    }
  });
});
