/**
 * The cache of fetched blobs on a real disk. To count and to hold fetches, a test opens its own streams.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { it, type TestContext } from 'node:test';
import { FileCache } from '../../src/blobs/file-cache.ts';
import { isAppError } from '../../src/errors.ts';

const DAY = 24 * 60 * 60 * 1000;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function setUp(t: TestContext, maxBytes = 1_000_000) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-file-cache-'));
  t.after(() => rm(folder, { recursive: true }));
  const open = async (limit = maxBytes) => {
    const cache = await FileCache.open(folder, limit);
    t.after(() => cache.close());
    return cache;
  };
  const files = async () => {
    const items = await readdir(folder, { recursive: true, withFileTypes: true });
    return items.filter((item) => item.isFile()).map((item) => join(item.parentPath, item.name));
  };
  return { folder, open, files, cache: await open() };
}

/** Opens these bytes, and counts how often. */
function source(bytes: Uint8Array, size = bytes.length) {
  const counted = {
    count: 0,
    open: async () => {
      counted.count += 1;
      return { size, stream: Readable.from([bytes]) };
    },
  };
  return counted;
}

const keyOf = (name: string) => `rungs/ab/${name}/1-1024.jpeg`;

async function read(cache: FileCache, key: string, open: ReturnType<typeof source>['open']) {
  const lease = await cache.lease(key, open);
  assert.ok(lease);
  try {
    return await readFile(lease.path);
  } finally {
    lease.release();
  }
}

it('fetches a blob once, and knows a missing one', async (t) => {
  const { cache } = await setUp(t);
  const bytes = randomBytes(10_000);
  const blob = source(bytes);
  for (let i = 0; i < 3; i += 1) assert.ok((await read(cache, keyOf('a'), blob.open)).equals(bytes));
  assert.equal(blob.count, 1);
  assert.equal(await cache.lease(keyOf('b'), async () => undefined), undefined);
});

it('shares one fetch among concurrent readers, and outlives a reader that leaves', async (t) => {
  const { cache } = await setUp(t);
  const stream = new PassThrough();
  let count = 0;
  const open = async () => {
    count += 1;
    return { size: 4, stream };
  };
  const controller = new AbortController();
  const leaving = cache.lease(keyOf('a'), open, { signal: controller.signal });
  const staying = Array.from({ length: 20 }, () => read(cache, keyOf('a'), open));
  controller.abort();
  await assert.rejects(leaving, (error: unknown) => isAppError(error, 'cancelled'));
  stream.end('four');
  for (const bytes of await Promise.all(staying)) assert.equal(String(bytes), 'four');
  assert.equal(count, 1);
});

it('stops a fetch that no reader waits for, and leaves no file', async (t) => {
  const { cache, files } = await setUp(t);
  const stream = new PassThrough();
  const controller = new AbortController();
  const opened = Promise.withResolvers<void>();
  const open = async () => {
    opened.resolve();
    return { size: 4, stream };
  };
  const work = cache.lease(keyOf('a'), open, { signal: controller.signal });
  await opened.promise;
  controller.abort();
  await assert.rejects(work, (error: unknown) => isAppError(error, 'cancelled'));
  if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
  assert.deepEqual(await files(), []);
});

it('caches no bytes of another length or digest, after a second try', async (t) => {
  const { cache, files } = await setUp(t);
  const bytes = Buffer.from('bytes');
  const unavailable = (error: unknown) => isAppError(error, 'unavailable');
  for (const [blob, digest] of [
    [source(bytes, 6), sha256(bytes)],
    [source(bytes, 4), sha256(bytes)],
    [source(bytes), sha256(Buffer.from('other'))],
  ] as const) {
    await assert.rejects(cache.lease(keyOf('a'), blob.open, { digest }), unavailable);
    assert.equal(blob.count, 2);
  }
  assert.deepEqual(await files(), []);
  assert.equal(cache.bytes, 0);
});

it('evicts the least recently used files beyond its limit', async (t) => {
  const { cache, files } = await setUp(t, 40_000);
  const blobs = new Map(['a', 'b', 'c'].map((name) => [name, source(randomBytes(9_000))]));
  const use = (name: string) => read(cache, keyOf(name), blobs.get(name)?.open ?? assert.fail());
  for (const name of ['a', 'b', 'a', 'c']) await use(name);
  await cache.close();
  assert.equal((await files()).length, 3);
  const extra = source(randomBytes(9_000));
  await read(cache, keyOf('d'), extra.open);
  await cache.close();
  assert.equal((await files()).length, 3);
  assert.ok(cache.bytes <= 40_000);
  await use('a');
  assert.equal(blobs.get('a')?.count, 1);
  await use('b');
  assert.equal(blobs.get('b')?.count, 2, 'b was evicted');
});

it('keeps a file until its last reader is done, also if it is evicted, dropped or fetched again', async (t) => {
  const { cache, files } = await setUp(t, 20_000);
  const [bytes, other] = [randomBytes(9_000), randomBytes(9_000)];
  const first = await cache.lease(keyOf('a'), source(bytes).open);
  const second = await cache.lease(keyOf('a'), source(bytes).open);
  assert.ok(first && second);
  await read(cache, keyOf('b'), source(other).open);
  cache.drop(keyOf('a'));
  assert.ok((await read(cache, keyOf('a'), source(bytes).open)).equals(bytes));
  first.release();
  first.release();
  assert.ok((await readFile(second.path)).equals(bytes));
  second.release();
  await cache.close();
  await assert.rejects(readFile(second.path), { code: 'ENOENT' });
  assert.equal((await files()).length, 1, 'the file that was fetched again stays');
  assert.ok(cache.bytes <= 20_000);
});

it('serves a file that is larger than the whole cache, and does not keep it', async (t) => {
  const { cache, files } = await setUp(t, 5_000);
  const bytes = randomBytes(100_000);
  assert.ok((await read(cache, keyOf('a'), source(bytes).open)).equals(bytes));
  await cache.close();
  assert.deepEqual(await files(), []);
  assert.equal(cache.bytes, 0);
});

it('uses its files after a restart, the most recently used ones if the limit is lower', async (t) => {
  const { cache, open, files } = await setUp(t);
  const blobs = new Map(['a', 'b', 'c'].map((name) => [name, source(randomBytes(9_000))]));
  for (const [name, blob] of blobs) await read(cache, keyOf(name), blob.open);
  await cache.close();
  for (const path of await files()) {
    if (path.includes('~b~')) await utimes(path, new Date(), new Date(Date.now() - DAY / 2));
  }
  const next = await open(30_000);
  for (const [name, blob] of blobs) {
    if (name !== 'b') await read(next, keyOf(name), blob.open);
  }
  assert.deepEqual(
    [...blobs.values()].map(({ count }) => count),
    [1, 1, 1],
  );
  await next.close();
  assert.ok(!(await files()).some((path) => path.includes('~b~')));
});

it('fetches a file again that a crash damaged, or that an operator removed', async (t) => {
  const { cache, open, files } = await setUp(t);
  const bytes = randomBytes(9_000);
  const blob = source(bytes);
  await read(cache, keyOf('a'), blob.open);
  for (const harm of [
    (path: string) => truncate(path, 100),
    (path: string) => writeFile(path, Buffer.alloc(9_000)),
    (path: string) => rm(path),
  ]) {
    await cache.close();
    const [path = ''] = await files();
    await harm(path);
    const next = await open();
    const before = blob.count;
    assert.ok((await read(next, keyOf('a'), blob.open)).equals(bytes));
    assert.equal(blob.count, before + 1);
    await next.close();
  }
  const next = await open();
  await read(next, keyOf('a'), blob.open);
  const before = blob.count;
  for (const path of await files()) await rm(path);
  assert.ok((await read(next, keyOf('a'), blob.open)).equals(bytes));
  assert.equal(blob.count, before + 1);
});

it('removes left-over files of a crash, and keeps files that it did not make', async (t) => {
  const { folder, open, files } = await setUp(t);
  await writeFile(join(folder, 'staging/left.part'), 'x');
  await writeFile(join(folder, 'README'), 'of an operator');
  await open();
  assert.deepEqual(await files(), [join(folder, 'README')]);
});

it('removes files that are not used for a day', async (t) => {
  const { cache, files } = await setUp(t);
  await read(cache, keyOf('a'), source(randomBytes(9_000)).open);
  cache.sweep(Date.now() + DAY - 1_000);
  assert.equal((await files()).length, 1);
  cache.sweep(Date.now() + DAY + 1_000);
  await cache.close();
  assert.deepEqual(await files(), []);
});

it('never mixes up blobs under concurrent reads, evictions and drops', async (t) => {
  const { cache, files } = await setUp(t, 60_000);
  const blobs = Array.from({ length: 12 }, (_, i) => ({ key: keyOf(`k${i}`), bytes: randomBytes(9_000) }));
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; i < 60; i += 1) {
        const { key, bytes } = blobs[(i * 7 + worker * 5) % blobs.length] ?? assert.fail();
        assert.ok((await read(cache, key, source(bytes).open)).equals(bytes));
        if (i % 9 === 0) cache.drop(key);
      }
    }),
  );
  await cache.close();
  const kept = await files();
  assert.ok(cache.bytes <= 60_000);
  assert.ok(kept.length * 9_000 <= 60_000, `${kept.length} files`);
});
