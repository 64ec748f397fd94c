/**
 * Ingest over real files and real workers. A missing ladder never rejects an upload.
 * To inject a fault, a test wraps the real driver.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { BlobDriver } from '../../src/blobs/driver.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore, rungKey } from '../../src/blobs/store.ts';
import { Ladders } from '../../src/delivery/ladders.ts';
import { MemoryCache } from '../../src/delivery/memory-cache.ts';
import { RenditionCache } from '../../src/delivery/rendition-cache.ts';
import { AppError, isAppError } from '../../src/errors.ts';
import type { Original } from '../../src/image.ts';
import { Ingest } from '../../src/images/ingest.ts';
import { rungBlobName, rungsOf } from '../../src/imaging/ladder.ts';
import { createPool, type Pool } from '../../src/imaging/pool/pool.ts';
import type { Processor } from '../../src/imaging/processor.ts';
import { withChanges } from '../support/drivers.ts';
import * as pictures from '../support/pictures.ts';

let pool: Pool;
let picture: Buffer;

before(async () => {
  pool = createPool({ size: 1, deadlineMs: 60_000 });
  picture = await pictures.jpeg({ width: 2_600, height: 1_300 });
});

after(() => pool.close());

async function setUp(t: TestContext, change: (driver: BlobDriver) => Partial<BlobDriver> = () => ({})) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-ingest-'));
  t.after(() => rm(folder, { recursive: true }));
  const driver = await openFileBlobs({ folder });
  const blobs = new BlobStore(withChanges(driver, change(driver)));
  const warnings: string[] = [];
  let ingestCount = 0;
  const processor: Processor = {
    ingest: (...args) => {
      ingestCount += 1;
      return pool.ingest(...args);
    },
    render: (...args) => pool.render(...args),
    close: () => pool.close(),
  };
  const log = { warn: (_: unknown, message: string) => warnings.push(message) };
  const ladders = new Ladders({ blobs, processor, log });
  const memory = new MemoryCache(1_000_000);
  const put = t.mock.method(memory, 'put');
  const renditions = new RenditionCache({ memory, disk: new MemoryCache(0) });
  const ingest = new Ingest({ blobs, processor, ladders, renditions, log });
  /** The cached renditions: the length of the digest and the media format. */
  const listCached = () =>
    put.mock.calls.map(({ arguments: [key, bytes] }) => {
      const [, format = ''] = /(jpeg|webp|png)/.exec(key.plan) ?? [];
      return `${key.digest.length} ${format} ${bytes.length > 0}`;
    });
  const accept = async (bytes: Buffer): Promise<Original> => {
    await using staged = await ingest.receive(Readable.from([bytes]));
    // Awaited, because the staged file is discarded at the end of the scope.
    return await ingest.accept(staged);
  };
  const pathsOf = (original: Original) =>
    rungsOf(original).map(
      (rung) => driver.localPath?.(rungKey(original.digest, rungBlobName(rung))) ?? assert.fail('no path'),
    );
  return { blobs, ladders, accept, pathsOf, warnings, listCached, countIngests: () => ingestCount };
}

describe('ingest', { timeout: 120_000 }, () => {
  test('stores the original and each rung of its ladder, and caches the default renditions', async (t) => {
    const { accept, pathsOf, listCached, warnings } = await setUp(t);
    const original = await accept(picture);
    const paths = pathsOf(original);
    assert.equal(paths.length, 2);
    for (const path of paths) assert.ok((await readFile(path)).length > 0);
    assert.deepEqual(listCached().sort(), ['64 jpeg true', '64 webp true']);
    assert.deepEqual(warnings, []);
  });

  test('accepts an upload whose rungs cannot be stored', async (t) => {
    for (const code of ['storage-full', 'unavailable'] as const) {
      const { accept, blobs, listCached, warnings } = await setUp(t, (driver) => ({
        put: async (key, ...rest) => {
          if (key.startsWith('rungs/')) throw new AppError(code, 'no');
          return driver.put(key, ...rest);
        },
      }));
      const original = await accept(picture);
      await blobs.withOriginalFile(original.digest, async (path) => {
        assert.ok((await readFile(path)).equals(picture));
      });
      assert.equal(listCached().length, 2);
      assert.deepEqual(warnings, ['rungs could not be stored']);
    }
  });

  test('reports an original that cannot be stored, and caches no rendition', async (t) => {
    const { accept, listCached } = await setUp(t, (driver) => ({
      put: async (key, ...rest) => {
        if (key.startsWith('originals/')) throw new AppError('storage-full', 'no');
        return driver.put(key, ...rest);
      },
    }));
    await assert.rejects(accept(picture), (error) => isAppError(error, 'storage-full'));
    assert.deepEqual(listCached(), []);
  });

  test('stores nothing of a rejected image', async (t) => {
    const { accept, listCached, blobs } = await setUp(t);
    await assert.rejects(accept(picture.subarray(0, 9_000)), (error) => isAppError(error, 'invalid-image'));
    assert.deepEqual(listCached(), []);
    await blobs.check();
  });
});

describe('a rebuild', { timeout: 120_000 }, () => {
  test('restores deleted and truncated rungs byte for byte', async (t) => {
    const { accept, ladders, pathsOf } = await setUp(t);
    const original = await accept(picture);
    const paths = pathsOf(original);
    const before = await Promise.all(paths.map((path) => readFile(path)));
    const [first = '', second = ''] = paths;
    await rm(first);
    await truncate(second, 100);
    await ladders.rebuild(original.digest, original);
    for (const [i, path] of paths.entries()) {
      assert.ok((await readFile(path)).equals(before[i] ?? Buffer.alloc(0)));
    }
  });

  test('runs once for 20 concurrent calls', async (t) => {
    const { accept, ladders, countIngests } = await setUp(t);
    const original = await accept(picture);
    const before = countIngests();
    await Promise.all(Array.from({ length: 20 }, () => ladders.rebuild(original.digest, original)));
    assert.equal(countIngests(), before + 1);
    await ladders.rebuild(original.digest, original);
    assert.equal(countIngests(), before + 2);
  });

  test('does not run for an image without rungs', async (t) => {
    const { accept, ladders, countIngests } = await setUp(t);
    const original = await accept(await pictures.jpeg());
    await ladders.rebuild(original.digest, original);
    assert.equal(countIngests(), 1);
  });

  test('never rejects, and does not retry soon after a failure', async (t) => {
    const { ladders, warnings } = await setUp(t);
    const original = { ...(await (await setUp(t)).accept(picture)), digest: 'a'.repeat(64) };
    await ladders.rebuild(original.digest, original);
    await ladders.rebuild(original.digest, original);
    assert.deepEqual(warnings, ['a ladder could not be rebuilt']);
  });
});
