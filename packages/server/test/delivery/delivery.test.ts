/**
 * What a delivery costs, and what it never does: seen from outside through HTTP, counted inside.
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
  /** Renders by the file they were made from. */
  readonly rung: number;
  readonly original: number;
}

/** The counts of the metrics; a warm answer is one from memory. */
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

/** The difference of the counts before and after a run. */
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

const renders = (counts: Counts) => counts.rung + counts.original;

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

  test('that two hundred want at once is rendered once', async () => {
    const image = await server.addImage(await jpeg({ width: 900, height: 700, seed: 1 }));
    const counts = await countDuring(server, async () => {
      const all = await Promise.all(Array.from({ length: 200 }, () => bytesOf(image)));
      assert.equal(new Set(all.map((bytes) => bytes.toString('base64'))).size, 1);
    });
    assert.equal(renders(counts), 1);
  });

  test('is from memory the second time, and the same to the byte and the header', async () => {
    const image = await server.addImage(await jpeg({ seed: 2 }));
    const headersOf = async () => {
      const { headers } = await fetch(`${image.link}${UNUSUAL}`);
      const own = new Set(['x-request-id', 'date', 'server-timing']);
      return Object.fromEntries([...headers].filter(([name]) => !own.has(name)));
    };
    const first = await headersOf();
    const counts = await countDuring(server, async () => {
      assert.deepEqual(await headersOf(), first);
      assert.deepEqual(await bytesOf(image), await bytesOf(image));
    });
    assert.deepEqual(counts, { memory: 3, disk: 0, rung: 0, original: 0 });
  });

  test('that is warm has a request ID of its own each time, and follows If-None-Match and Accept', async () => {
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

  test('shows the new picture from the first read after a replace on, also while reads go on', async () => {
    const image = await server.addImage(await jpeg({ seed: 10 }));
    await bytesOf(image);
    let reading = true;
    const readers = Array.from({ length: 4 }, async () => {
      while (reading) await bytesOf(image);
    });
    for (let seed = 11; seed < 19; seed++) {
      const before = await bytesOf(image);
      await server.addImage(await jpeg({ seed }), { replace: image.imageID });
      assert.notDeepEqual(await bytesOf(image), before, `after replacing it with ${seed}`);
    }
    reading = false;
    await Promise.all(readers);
  });

  test('tells of a new alt text by its Last-Modified as soon as a date can stand for it', async (t) => {
    const image = await server.addImage(await jpeg({ seed: 20 }));
    await bytesOf(image);
    const response = await server.fetch(`/accounts/${ACCOUNT}/images/${image.imageID}/metadata`, {
      method: 'PUT',
      body: '{"altText":"new"}',
      headers: { 'content-type': 'application/json' },
    });
    const { updatedOn } = (await response.json()) as ImageJSON;
    const lastModified = async () => (await fetch(`${image.link}${UNUSUAL}`)).headers.get('last-modified');
    assert.equal(await lastModified(), null, 'not the date of the image as it was before');
    t.mock.timers.enable({ apis: ['Date'], now: Date.parse(updatedOn) + 2_000 });
    const nextSecond = Math.ceil(Date.parse(updatedOn) / 1000) * 1000;
    assert.equal(await lastModified(), new Date(nextSecond).toUTCString());
  });

  test('leaves no rendition of what was replaced on disk or in memory', async () => {
    const image = await server.addImage(await jpeg({ seed: 30 }));
    const sizes = ['51x51', '61x61', '71x71'];
    const held = async () => {
      const entries = await readdir(join(server.folder, 'cache'), { recursive: true });
      return entries.filter((name) => sizes.some((size) => name.includes(`.${size}.`))).length;
    };
    for (const size of sizes) await bytesOf(image, `?size=${size}`);
    while ((await held()) < sizes.length) await new Promise(setImmediate);
    await server.addImage(await jpeg({ seed: 31 }), { replace: image.imageID });
    while ((await held()) > 0) await new Promise(setImmediate);
  });

  test('survives clients that hang up: others who wait still get it, and nothing is left behind', async () => {
    const image = await server.addImage(await jpeg({ width: 1800, height: 1500, seed: 40 }));
    const query = '?size=1999x1999&format=avif';
    const impatient = Array.from({ length: 20 }, () => {
      const controller = new AbortController();
      const request = fetch(`${image.link}${query}`, { signal: controller.signal }).catch(() => undefined);
      return { controller, request };
    });
    const patient = bytesOf(image, query);
    for (const { controller } of impatient) controller.abort();
    await Promise.all(impatient.map(({ request }) => request));
    assert.ok((await patient).length > 0);
  });
});

describe('the ladder', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_SIZE_BUDGET: '0' });
  });
  after(() => server.close());

  const rungs = async () => {
    const folder = join(server.folder, 'blobs/rungs');
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  };
  const shown = async (image: ImageJSON, size: string) => {
    const response = await fetch(`${image.link}?size=${size}`);
    assert.equal(response.status, 200);
    const { width, height } = await sharp(Buffer.from(await response.arrayBuffer())).metadata();
    assert.equal(`${width}x${height}`, size);
  };

  test('is there when the upload is answered, and the default renditions are warm', async () => {
    const image = await server.addImage(await jpeg({ width: 3000, height: 2000, seed: 60 }));
    assert.equal((await rungs()).length, 2);
    const counts = await countDuring(server, async () => {
      for (const accept of ['image/webp', 'image/jpeg']) {
        assert.equal((await fetch(image.link, { headers: { accept } })).status, 200);
      }
      await shown(image, '300x200');
    });
    assert.deepEqual(counts, { memory: 2, disk: 0, rung: 1, original: 0 });
  });

  for (const [what, harm] of [
    ['deleted', (path: string) => rm(path)],
    ['cut short', (path: string) => truncate(path, 500)],
  ] as const) {
    test(`that is ${what} costs one longer way, and is made anew`, async () => {
      const image = await server.addImage(await jpeg({ width: 2400, height: 1800, seed: what.length }));
      const paths = await rungs();
      const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
      for (const path of paths) await harm(path);
      const counts = await countDuring(server, () => shown(image, '310x210'));
      assert.deepEqual(counts, { memory: 0, disk: 0, rung: 0, original: 1 });
      const mended = async () => {
        const now = await Promise.all(paths.map((path) => stat(path).catch(() => ({ size: 0 }))));
        return now.some(({ size }, index) => size === sizes[index]);
      };
      while (!(await mended())) await new Promise(setImmediate);
    });
  }
});

describe('a restart', () => {
  test('keeps the renditions that are on disk', async () => {
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

describe('the budget of sizes', () => {
  test('beyond it an image answers 429 with Retry-After to new sizes; known ones and other images go on', async () => {
    const server = await startServer({ VITRINE_SIZE_BUDGET: '5' });
    try {
      const [image, other] = [
        await server.addImage(await picture(1)),
        await server.addImage(await picture(2)),
      ];
      const status = async (of: ImageJSON, size: number) =>
        (await fetch(`${of.link}?size=${size}x${size}`)).status;
      for (let size = 10; size < 15; size++) assert.equal(await status(image, size), 200);
      const refused = await fetch(`${image.link}?size=99x99`);
      assert.equal(refused.status, 429);
      assert.ok(Number(refused.headers.get('retry-after')) >= 1);
      assert.equal(refused.headers.get('cache-control'), 'no-store');
      assert.equal(typeof ((await refused.json()) as { error: string }).error, 'string');
      for (let size = 10; size < 15; size++) assert.equal(await status(image, size), 200);
      assert.equal(await status(other, 99), 200);
    } finally {
      await server.close();
    }
  });

  test('holds a refusal for a moment, so that who asks again at once keeps the server from nobody', async () => {
    const server = await startServer({ VITRINE_SIZE_BUDGET: '1' });
    try {
      const image = await server.addImage(await picture(3));
      assert.equal((await fetch(`${image.link}?size=10x10`)).status, 200);
      const order: string[] = [];
      const answered = async (what: string, url: string) => {
        await (await fetch(url)).arrayBuffer();
        order.push(what);
      };
      const refused = answered('refused', `${image.link}?size=11x11`);
      // One after another: each of them would have been behind a refusal that is answered at once.
      for (let index = 0; index < 3; index += 1) await answered('other', `${image.link}?size=10x10`);
      await refused;
      assert.deepEqual(order, ['other', 'other', 'other', 'refused']);
    } finally {
      await server.close();
    }
  });
});
