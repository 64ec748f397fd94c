import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DiskCache } from '../../src/delivery/disk-cache.ts';
import { MemoryCache } from '../../src/delivery/memory-cache.ts';
import { type RenditionTier, renditionKey } from '../../src/delivery/rendition-cache.ts';

const digest = (number: number) => number.toString(16).padStart(64, '0');
const key = (number: number, plan = '1.webp.400x400.cover-center.q80') => renditionKey(digest(number), plan);
const bytes = (length: number, fill = 7) => Buffer.alloc(length, fill);
const KB = 1024;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-cache-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const files = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());

/** A cache that has taken up what was in its folder. */
async function taken(from: string, maxBytes: number): Promise<DiskCache> {
  const cache = DiskCache.open(from, maxBytes);
  await cache.settled();
  return cache;
}

const kinds: [string, (maxBytes: number) => Promise<RenditionTier>][] = [
  ['in memory', async (maxBytes) => new MemoryCache(maxBytes)],
  ['on disk', (maxBytes) => taken(folder, maxBytes)],
];

for (const [name, open] of kinds) {
  describe(`renditions ${name}`, () => {
    test('come back as they were put, each under its own name', async () => {
      const cache = await open(1024 * KB);
      await cache.put(key(1), bytes(100, 1));
      await cache.put(key(1, 'other'), bytes(200, 2));
      await cache.put(key(2), bytes(300, 3));
      assert.deepEqual(await cache.get(key(1)), bytes(100, 1));
      assert.deepEqual(await cache.get(key(1, 'other')), bytes(200, 2));
      assert.deepEqual(await cache.get(key(2)), bytes(300, 3));
      assert.equal(await cache.get(key(3)), undefined);
      assert.deepEqual([cache.mayHave(key(1)), cache.mayHave(key(3))], [true, false]);
    });

    test('never take more bytes than they may; the least recently used go first', async () => {
      const cache = await open(100 * KB);
      for (let number = 0; number < 5; number++) await cache.put(key(number), bytes(10 * KB, number));
      for (let number = 5; number < 60; number++) {
        assert.ok(await cache.get(key(0)), 'what is used stays');
        await cache.put(key(number), bytes(10 * KB, number));
        assert.ok(cache.bytes <= 100 * KB, `${cache.bytes}`);
      }
      assert.equal(await cache.get(key(1)), undefined);
      assert.ok(await cache.get(key(59)));
    });

    test('larger than all there is room for are not kept, and push nothing out', async () => {
      const cache = await open(100 * KB);
      await cache.put(key(1), bytes(10 * KB));
      await cache.put(key(2), bytes(200 * KB));
      assert.ok(await cache.get(key(1)));
      assert.equal(await cache.get(key(2)), undefined);
    });

    test('of an original go all at once, and those of others stay', async () => {
      const cache = await open(1024 * KB);
      for (const plan of ['a', 'b', 'c']) await cache.put(key(1, plan), bytes(1000));
      await cache.put(key(2, 'a'), bytes(1000));
      const before = cache.bytes;
      await cache.forget(digest(1));
      for (const plan of ['a', 'b', 'c']) assert.equal(await cache.get(key(1, plan)), undefined);
      assert.ok(await cache.get(key(2, 'a')));
      assert.ok(cache.bytes < before / 2);
    });

    test('are not kept where there is no room at all', async () => {
      const cache = await open(0);
      await cache.put(key(1), bytes(1));
      assert.equal(await cache.get(key(1)), undefined);
    });
  });
}

describe('renditions on disk', () => {
  test('survive a restart, in the order in which they were used', async () => {
    const first = await taken(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB, number));
    await first.close();
    const second = await taken(folder, 1024 * KB);
    assert.equal(second.bytes, first.bytes);
    for (let number = 0; number < 10; number++)
      assert.deepEqual(await second.get(key(number)), bytes(10 * KB, number));
  });

  test('are there from the first moment on, before all are taken up, and are counted once', async () => {
    const first = await taken(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB, number));
    const before = first.bytes;
    await first.close();
    const second = DiskCache.open(folder, 1024 * KB);
    const read = Array.from({ length: 10 }, (_, number) => second.get(key(number)));
    const written = second.put(key(3), bytes(10 * KB, 3));
    for (const [number, reading] of read.entries()) assert.deepEqual(await reading, bytes(10 * KB, number));
    await written;
    await second.settled();
    assert.equal(second.bytes, before);
    assert.deepEqual(await second.get(key(3)), bytes(10 * KB, 3));
  });

  test('that are more than a restart allows go, and so do their files', async () => {
    const first = await taken(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB));
    await first.close();
    const second = await taken(folder, 50 * KB);
    assert.ok(second.bytes <= 50 * KB);
    assert.equal((await files()).length, 3);
  });

  test('that a crash or a disk has damaged are not there', async () => {
    const cache = await taken(folder, 1024 * KB);
    for (let number = 1; number <= 4; number++) await cache.put(key(number), bytes(5000, number));
    const path = (number: number) =>
      join(folder, digest(number).slice(0, 2), digest(number), key(number).plan);
    await truncate(path(1), 2000);
    await writeFile(path(2), bytes(5012));
    await rm(path(3));
    for (const number of [1, 2, 3]) assert.equal(await cache.get(key(number)), undefined, `${number}`);
    assert.deepEqual(await cache.get(key(4)), bytes(5000, 4));
    await cache.put(key(1), bytes(5000, 1));
    assert.deepEqual(await cache.get(key(1)), bytes(5000, 1));
  });

  test('leave nothing half-written behind after a crash', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'left-over.tmp'), bytes(100));
    await taken(folder, 1024 * KB);
    assert.deepEqual(await files(), []);
  });

  test('that are on their way when their original is withdrawn do not stay', async () => {
    const cache = await taken(folder, 1024 * KB);
    const writing = ['a', 'b', 'c'].map((plan) => cache.put(key(1, plan), bytes(50_000)));
    await cache.forget(digest(1));
    await Promise.all(writing);
    assert.deepEqual(await files(), []);
    assert.equal(cache.bytes, 0);
    await cache.put(key(1, 'a'), bytes(10));
    assert.ok(await cache.get(key(1, 'a')), 'the same original may come again');
  });

  test('are a cache without anything in it where the folder cannot be used', async () => {
    await writeFile(join(folder, 'file'), '');
    const cache = await taken(join(folder, 'file'), 1024 * KB);
    await cache.put(key(1), bytes(10));
    assert.equal(await cache.get(key(1)), undefined);
    await cache.forget(digest(1));
  });
});
