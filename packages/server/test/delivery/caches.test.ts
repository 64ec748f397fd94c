import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DiskCache, damagedRenditions } from '../../src/delivery/disk-cache.ts';
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

const listFiles = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());

/** A cache that has loaded its folder. */
async function openLoaded(from: string, maxBytes: number): Promise<DiskCache> {
  const cache = DiskCache.open(from, maxBytes);
  await cache.whenSettled();
  return cache;
}

const kinds: [string, (maxBytes: number) => Promise<RenditionTier>][] = [
  ['in memory', async (maxBytes) => new MemoryCache(maxBytes)],
  ['on disk', (maxBytes) => openLoaded(folder, maxBytes)],
];

for (const [name, open] of kinds) {
  describe(`renditions ${name}`, () => {
    test('are returned as they were stored, each under its key', async () => {
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

    test('never exceed the byte limit, and the least recently used are evicted first', async () => {
      const cache = await open(100 * KB);
      for (let number = 0; number < 5; number++) await cache.put(key(number), bytes(10 * KB, number));
      for (let number = 5; number < 60; number++) {
        assert.ok(await cache.get(key(0)), 'a used rendition stays');
        await cache.put(key(number), bytes(10 * KB, number));
        assert.ok(cache.bytes <= 100 * KB, `${cache.bytes}`);
      }
      assert.equal(await cache.get(key(1)), undefined);
      assert.ok(await cache.get(key(59)));
    });

    test('that are larger than the limit are not stored, and evict nothing', async () => {
      const cache = await open(100 * KB);
      await cache.put(key(1), bytes(10 * KB));
      await cache.put(key(2), bytes(200 * KB));
      assert.ok(await cache.get(key(1)));
      assert.equal(await cache.get(key(2)), undefined);
    });

    test('of one original are removed together, and those of others stay', async () => {
      const cache = await open(1024 * KB);
      for (const plan of ['a', 'b', 'c']) await cache.put(key(1, plan), bytes(1000));
      await cache.put(key(2, 'a'), bytes(1000));
      const before = cache.bytes;
      await cache.forget(digest(1));
      for (const plan of ['a', 'b', 'c']) assert.equal(await cache.get(key(1, plan)), undefined);
      assert.ok(await cache.get(key(2, 'a')));
      assert.ok(cache.bytes < before / 2);
    });

    test('are not stored with a limit of 0 bytes', async () => {
      const cache = await open(0);
      await cache.put(key(1), bytes(1));
      assert.equal(await cache.get(key(1)), undefined);
    });
  });
}

/** The folders of the cache without an entry. */
async function listEmptyFolders(): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const parents = new Set(entries.map(({ parentPath }) => parentPath));
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !parents.has(path));
}

/** Digests in as many groups of folders as there are. */
const spread = (number: number) => number.toString(16).padStart(2, '0').slice(-2) + digest(number).slice(2);

describe('renditions on disk', () => {
  test('survive a restart', async () => {
    const first = await openLoaded(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB, number));
    await first.close();
    const second = await openLoaded(folder, 1024 * KB);
    assert.equal(second.bytes, first.bytes);
    for (let number = 0; number < 10; number++)
      assert.deepEqual(await second.get(key(number)), bytes(10 * KB, number));
  });

  test('can be read before the folder is loaded, and are counted once', async () => {
    const first = await openLoaded(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB, number));
    const before = first.bytes;
    await first.close();
    const second = DiskCache.open(folder, 1024 * KB);
    const read = Array.from({ length: 10 }, (_, number) => second.get(key(number)));
    const writing = second.put(key(3), bytes(10 * KB, 3));
    for (const [number, reading] of read.entries()) assert.deepEqual(await reading, bytes(10 * KB, number));
    await writing;
    await second.whenSettled();
    assert.equal(second.bytes, before);
    assert.deepEqual(await second.get(key(3)), bytes(10 * KB, 3));
  });

  test('beyond a lower limit are evicted at the restart, with their files', async () => {
    const first = await openLoaded(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB));
    await first.close();
    const second = await openLoaded(folder, 50 * KB);
    assert.ok(second.bytes <= 50 * KB);
    assert.equal((await listFiles()).length, 3);
  });

  test('are all removed at a restart with a limit of 0 bytes', async () => {
    const first = await openLoaded(folder, 1024 * KB);
    for (let number = 0; number < 10; number++) await first.put(key(number), bytes(10 * KB));
    await first.close();
    await openLoaded(folder, 0);
    assert.deepEqual(await readdir(folder), []);
  });

  test('that are damaged or missing on disk are not returned', async () => {
    const cache = await openLoaded(folder, 1024 * KB);
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

  test('that a crash left half-written are removed at the start', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'left-over.tmp'), bytes(100));
    await openLoaded(folder, 1024 * KB);
    assert.deepEqual(await listFiles(), []);
  });

  test('that are being written when their original is forgotten are removed', async () => {
    const cache = await openLoaded(folder, 1024 * KB);
    const writing = ['a', 'b', 'c'].map((plan) => cache.put(key(1, plan), bytes(50_000)));
    await cache.forget(digest(1));
    await Promise.all(writing);
    assert.deepEqual(await listFiles(), []);
    assert.equal(cache.bytes, 0);
    await cache.put(key(1, 'a'), bytes(10));
    assert.ok(await cache.get(key(1, 'a')), 'the original can be cached again');
  });

  test('are not cached if the folder cannot be used', async () => {
    await writeFile(join(folder, 'file'), '');
    const cache = await openLoaded(join(folder, 'file'), 1024 * KB);
    await cache.put(key(1), bytes(10));
    assert.equal(await cache.get(key(1)), undefined);
    await cache.forget(digest(1));
  });

  test('leave no empty folder after an eviction, and all that are left can be read', async () => {
    const cache = await openLoaded(folder, 1024 * KB);
    for (let number = 0; number < 600; number++) {
      await cache.put(renditionKey(spread(number), 'a'), bytes(10 * KB, number % 256));
    }
    await cache.whenSettled();
    assert.deepEqual(await listEmptyFolders(), []);
    const files = await listFiles();
    assert.equal(files.length, Math.floor(1024 / 14));
    const folders = await readdir(folder);
    assert.ok(folders.length <= files.length, `${folders.length} groups for ${files.length} files`);
    for (let number = 599; number > 599 - files.length; number--) {
      assert.deepEqual(
        await cache.get(renditionKey(spread(number), 'a')),
        bytes(10 * KB, number % 256),
        `${number}`,
      );
    }
  });

  test('leave no folder when their original is forgotten, or when they are damaged', async () => {
    const cache = await openLoaded(folder, 1024 * KB);
    for (const plan of ['a', 'b']) await cache.put(key(1, plan), bytes(100));
    await cache.forget(digest(1));
    assert.deepEqual(await readdir(folder), []);
    await cache.put(key(2, 'a'), bytes(100));
    await truncate(join(folder, '00', digest(2), 'a'), 5);
    for await (const { drop } of damagedRenditions(folder)) await drop();
    assert.deepEqual(await readdir(folder), []);
    await cache.put(key(3, 'a'), bytes(100));
    await truncate(join(folder, '00', digest(3), 'a'), 5);
    assert.equal(await cache.get(key(3, 'a')), undefined);
    await cache.whenSettled();
    assert.deepEqual(await readdir(folder), []);
  });

  test('of other originals keep their folder', async () => {
    const cache = await openLoaded(folder, 1024 * KB);
    for (const number of [1, 2]) await cache.put(key(number, 'a'), bytes(100));
    await cache.put(key(1, 'b'), bytes(100));
    await truncate(join(folder, '00', digest(1), 'a'), 5);
    assert.equal(await cache.get(key(1, 'a')), undefined);
    await cache.whenSettled();
    assert.ok(await cache.get(key(1, 'b')));
    await cache.forget(digest(1));
    assert.ok(await cache.get(key(2, 'a')));
    assert.deepEqual(await readdir(join(folder, '00')), [digest(2)]);
  });

  test('find no empty folder of an earlier process after the start', async () => {
    const first = await openLoaded(folder, 1024 * KB);
    await first.put(key(1), bytes(100));
    await first.close();
    await mkdir(join(folder, '00', digest(2)), { recursive: true });
    for (let number = 3; number < 100; number++) {
      await mkdir(join(folder, spread(number).slice(0, 2), spread(number)), { recursive: true });
    }
    await mkdir(join(folder, 'ff'));
    const second = await openLoaded(folder, 1024 * KB);
    assert.deepEqual(await listEmptyFolders(), []);
    assert.deepEqual(await readdir(folder), ['00']);
    assert.ok(await second.get(key(1)));
  });

  test('are all found at the start, also while other folders are removed', async () => {
    const first = await openLoaded(folder, 10_000 * KB);
    for (let number = 0; number < 300; number++)
      await first.put(renditionKey(spread(number), 'a'), bytes(10));
    await first.close();
    const second = DiskCache.open(folder, 10_000 * KB);
    for (let number = 1; number < 300; number += 2) {
      await rm(join(folder, spread(number).slice(0, 2), spread(number)), { recursive: true, force: true });
    }
    await second.whenSettled();
    for (let number = 0; number < 300; number += 2)
      assert.ok(await second.get(renditionKey(spread(number), 'a')), `${number}`);
  });

  test('are not lost when a write meets the removal of the last file in its folder', async () => {
    // Each file takes a third of the cache, so that each write evicts a file of the same folders.
    const size = 60 * KB;
    const cache = await openLoaded(folder, 3 * (size + 5 * KB));
    for (let round = 0; round < 60; round++) {
      const keys = Array.from({ length: 8 }, (_, number) => key((round + number) % 5, `p${number % 2}`));
      await Promise.all(keys.map((one) => cache.put(one, bytes(size, round))));
      await cache.whenSettled();
      const kept = keys.filter((one) => cache.mayHave(one));
      assert.ok(kept.length > 0);
      for (const one of kept) assert.ok(await cache.get(one), `round ${round}: ${one.name}`);
      assert.equal((await listFiles()).length, new Set(kept.map(({ name }) => name)).size);
      assert.deepEqual(await listEmptyFolders(), []);
    }
  });
});
