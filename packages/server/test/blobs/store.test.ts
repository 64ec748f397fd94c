/**
 * The BlobStore over real files: staging, digests, storage and repair.
 * To inject a fault, a test wraps the real driver and never replaces it.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import {
  access,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { it, type TestContext } from 'node:test';
import { type BlobDriver, isBlobKey } from '../../src/blobs/driver.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore, originalKey } from '../../src/blobs/store.ts';
import { AppError, type ErrorCode, isAppError } from '../../src/errors.ts';
import { withoutLocalPaths } from '../support/drivers.ts';

const LIMIT = 1_000_000;

async function setUp(t: TestContext, change: (driver: BlobDriver) => Partial<BlobDriver> = () => ({})) {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-store-'));
  t.after(() => rm(folder, { recursive: true }));
  const driver = await openFileBlobs({ folder });
  const store = new BlobStore({
    ...withoutLocalPaths(driver),
    localPath: (key) => driver.localPath?.(key) ?? '',
    ...change(driver),
  });
  return {
    driver,
    store,
    staging: () => readdir(driver.stagingFolder),
    stage: (bytes: Uint8Array) => store.stage(Readable.from([bytes]), { limit: LIMIT }),
    pathOf: (digest: string) => driver.localPath?.(originalKey(digest)) ?? '',
  };
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const code = (expected: ErrorCode) => (error: unknown) => isAppError(error, expected);

it('stages a stream with chunks of any size, and returns its digest and length', async (t) => {
  const { store, staging } = await setUp(t);
  const bytes = randomBytes(300_000);
  const chunks = function* () {
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 3) % 70_001) {
      size = Math.max(1, size);
      yield bytes.subarray(at, at + size);
    }
  };
  const staged = await store.stage(Readable.from(chunks()), { limit: LIMIT });
  assert.deepEqual([staged.size, staged.digest], [bytes.length, sha256(bytes)]);
  assert.ok((await readFile(staged.path)).equals(bytes));
  assert.equal((await stat(staged.path)).mode & 0o777, 0o600);
  await staged.discard();
  await staged.discard();
  assert.deepEqual(await staging(), []);
});

it('stages an empty stream and any async iterable', async (t) => {
  const { store, stage } = await setUp(t);
  await using empty = await stage(Buffer.alloc(0));
  assert.equal(empty.digest, sha256(Buffer.alloc(0)));
  const chunks = async function* () {
    yield new Uint8Array([1, 2]);
    yield new Uint8Array([3]);
  };
  await using staged = await store.stage(chunks(), { limit: 3 });
  assert.equal(staged.digest, sha256(new Uint8Array([1, 2, 3])));
});

it('removes a staged file when its scope ends', async (t) => {
  const { stage, staging } = await setUp(t);
  {
    await using staged = await stage(Buffer.from('scoped'));
    assert.deepEqual(await staging(), [basename(staged.path)]);
  }
  assert.deepEqual(await staging(), []);
});

it('accepts exactly the limit, and rejects the first byte beyond it without reading the rest', async (t) => {
  const { store, staging } = await setUp(t);
  await using exact = await store.stage(Readable.from([Buffer.alloc(600), Buffer.alloc(400)]), {
    limit: 1000,
  });
  assert.equal(exact.size, 1000);
  let chunkCount = 0;
  const endless = Readable.from(
    (function* () {
      for (;;) {
        chunkCount += 1;
        yield Buffer.alloc(300);
      }
    })(),
    { highWaterMark: 1 },
  );
  await assert.rejects(store.stage(endless, { limit: 1000 }), code('too-large'));
  // The fourth chunk exceeds the limit. The stream may have read one or two chunks ahead.
  assert.ok(chunkCount <= 6, `${chunkCount} chunks were read`);
  assert.equal(endless.destroyed, false, 'the caller owns the source');
  endless.destroy();
  assert.deepEqual(await staging(), [basename(exact.path)]);
});

it('requests a chunk only after the disk has the previous one', async (t) => {
  const { store } = await setUp(t);
  let pending = 0;
  let maxPending = 0;
  // Counts the requested chunks that have not been delivered.
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => {
      let left = 50;
      return {
        next: async () => {
          maxPending = Math.max(maxPending, ++pending);
          await new Promise((resolve) => setImmediate(resolve));
          pending -= 1;
          left -= 1;
          return left < 0 ? { done: true, value: undefined } : { done: false, value: Buffer.alloc(10_000) };
        },
      };
    },
  };
  await using staged = await store.stage(source, { limit: LIMIT });
  assert.equal(staged.size, 500_000);
  assert.equal(maxPending, 1);
});

it('throws an error of the source unchanged, and leaves nothing in staging', async (t) => {
  const { store, staging } = await setUp(t);
  for (const failure of [
    new AppError('too-slow', 'too slow'),
    new AppError('cancelled', 'left'),
    new Error('defect'),
  ]) {
    const source = async function* () {
      yield Buffer.from('some');
      throw failure;
    };
    await assert.rejects(store.stage(source(), { limit: LIMIT }), (error: unknown) => error === failure);
    await assert.rejects(
      store.stage(Readable.from(source()), { limit: LIMIT }),
      (error: unknown) => error === failure,
    );
  }
  assert.deepEqual(await staging(), []);
});

it('is cancelled when the source closes before its end', async (t) => {
  const { store, staging } = await setUp(t);
  const source = new PassThrough();
  source.write('half');
  const work = store.stage(source, { limit: LIMIT });
  source.destroy();
  await assert.rejects(work, code('cancelled'));
  const failed = new PassThrough();
  failed.destroy(new Error('before the start'));
  await assert.rejects(store.stage(failed, { limit: LIMIT }), /before the start/);
  assert.deepEqual(await staging(), []);
});

it('is cancelled by the signal while the source hangs, and ignores later errors of the source', async (t) => {
  const { store, staging } = await setUp(t);
  const source = new PassThrough();
  source.write('the only chunk');
  const controller = new AbortController();
  const work = store.stage(source, { limit: LIMIT, signal: controller.signal });
  // After its only chunk is read, the source hangs.
  while (source.readableLength > 0) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await assert.rejects(work, code('cancelled'));
  assert.deepEqual(await staging(), []);
  source.destroy(new Error('late'));
  await new Promise((resolve) => source.once('close', resolve));
});

it('throws the reason of the signal if it is an AppError', async (t) => {
  const { store } = await setUp(t);
  const reason = new AppError('too-slow', 'too slow');
  const work = store.stage(new PassThrough(), { limit: LIMIT, signal: AbortSignal.abort(reason) });
  await assert.rejects(work, (error: unknown) => error === reason);
});

it('rejects a source of strings', async (t) => {
  const { store, staging } = await setUp(t);
  await assert.rejects(store.stage(Readable.from(['text']), { limit: LIMIT }), TypeError);
  assert.deepEqual(await staging(), []);
});

it('stores an original under its digest, and keeps it when the staged file is discarded', async (t) => {
  const { store, stage, pathOf } = await setUp(t);
  const bytes = randomBytes(200_000);
  const staged = await stage(bytes);
  assert.equal(await store.openOriginal(staged.digest), undefined);
  await store.storeOriginal(staged);
  await store.storeOriginal(staged);
  await staged.discard();
  const blob = await store.openOriginal(sha256(bytes));
  assert.equal(blob?.size, bytes.length);
  assert.ok(blob && (await buffer(blob.stream)).equals(bytes));
  assert.ok(pathOf(staged.digest).endsWith(`/originals/${staged.digest.slice(0, 2)}/${staged.digest}`));
});

it('stores one original in 20 concurrent calls with the same bytes', async (t) => {
  const { store, stage, driver } = await setUp(t);
  const bytes = randomBytes(50_000);
  const all = await Promise.all(Array.from({ length: 20 }, () => stage(bytes)));
  await Promise.all(
    all.map(async (staged) => {
      await store.storeOriginal(staged);
      await staged.discard();
    }),
  );
  const blob = await store.openOriginal(sha256(bytes));
  assert.ok(blob && (await buffer(blob.stream)).equals(bytes));
  let stored = 0;
  for await (const _stat of driver.list('')) stored += 1;
  assert.equal(stored, 1);
});

it('replaces a damaged original of the correct size when its bytes are stored again', async (t) => {
  const { store, stage, pathOf } = await setUp(t);
  const bytes = randomBytes(50_000);
  const first = await stage(bytes);
  await store.storeOriginal(first);
  const file = await open(pathOf(first.digest), 'r+');
  await file.write(Buffer.from([(bytes[100] ?? 0) ^ 1]), 0, 1, 100);
  await file.close();
  await store.storeOriginal(await stage(bytes));
  assert.ok((await readFile(pathOf(first.digest))).equals(bytes));
});

it('replaces a truncated original when its bytes are stored again', async (t) => {
  const { store, stage, pathOf } = await setUp(t);
  const bytes = randomBytes(50_000);
  const first = await stage(bytes);
  await store.storeOriginal(first);
  await first.discard();
  await truncate(pathOf(first.digest), 100);
  await store.storeOriginal(await stage(bytes));
  assert.ok((await readFile(pathOf(first.digest))).equals(bytes));
});

it('renews an old original when its bytes are stored again, so that it is not garbage-collected', async (t) => {
  const { store, stage, driver, pathOf } = await setUp(t);
  const staged = await stage(Buffer.from('old'));
  await store.storeOriginal(staged);
  await utimes(pathOf(staged.digest), new Date(0), new Date(0));
  await using twin = await stage(Buffer.from('old'));
  await store.storeOriginal(twin);
  const { storedOn } = (await driver.stat(originalKey(staged.digest))) ?? {};
  assert.ok(storedOn && Date.now() - storedOn.getTime() < 60 * 60 * 1000);
});

it('deletes nothing when it cannot store an original', async (t) => {
  const failure = new AppError('unavailable', 'gone');
  const { store, stage, driver, pathOf } = await setUp(t, (real) => ({
    put: async (...args) => {
      await real.put(...args);
      throw failure;
    },
    delete: () => assert.fail('a failure must not delete'),
  }));
  const staged = await stage(Buffer.from('of this upload, or of another'));
  await assert.rejects(store.storeOriginal(staged), (error: unknown) => error === failure);
  assert.ok(await driver.stat(originalKey(staged.digest)));
  await access(pathOf(staged.digest));
});

it('passes the stored file itself if the driver has local files', async (t) => {
  const { store, stage, pathOf, staging } = await setUp(t);
  const staged = await stage(Buffer.from('local'));
  await store.storeOriginal(staged);
  await staged.discard();
  const path = await store.withOriginalFile(staged.digest, async (path) => {
    assert.deepEqual(await staging(), []);
    return path;
  });
  assert.equal(path, pathOf(staged.digest));
});

for (const local of [true, false]) {
  const kind = local ? 'with' : 'without';
  it(`reports a missing original as unavailable (driver ${kind} local files)`, async (t) => {
    const { driver } = await setUp(t);
    const store = new BlobStore(local ? driver : withoutLocalPaths(driver));
    const work = store.withOriginalFile(sha256(Buffer.from('never')), async () =>
      assert.fail('it is not stored'),
    );
    await assert.rejects(
      work,
      (error: unknown) => isAppError(error, 'unavailable') && error.cause instanceof Error,
    );
  });
}

it('copies a remote original to staging, verifies it, and removes the copy after its use', async (t) => {
  const { driver, staging } = await setUp(t);
  const store = new BlobStore(withoutLocalPaths(driver));
  const bytes = randomBytes(400_000);
  const staged = await store.stage(Readable.from([bytes]), { limit: LIMIT });
  await store.storeOriginal(staged);
  await staged.discard();
  const length = await store.withOriginalFile(staged.digest, async (path) => {
    const read = await readFile(path);
    assert.ok(read.equals(bytes));
    return read.length;
  });
  assert.equal(length, bytes.length);
  const failure = new Error('of the callback');
  const failing = store.withOriginalFile(staged.digest, () => Promise.reject(failure));
  await assert.rejects(failing, (error: unknown) => error === failure);
  assert.deepEqual(await staging(), []);
});

it('reports a copied original as unavailable if it does not match its digest or is truncated', async (t) => {
  const { driver, pathOf, staging } = await setUp(t);
  const store = new BlobStore(withoutLocalPaths(driver));
  const staged = await store.stage(Readable.from([Buffer.from('true')]), { limit: LIMIT });
  await store.storeOriginal(staged);
  await staged.discard();
  const use = () => store.withOriginalFile(staged.digest, async () => assert.fail('must not be used'));
  await writeFile(pathOf(staged.digest), 'fake');
  await assert.rejects(use(), code('unavailable'));
  await truncate(pathOf(staged.digest), 2);
  await assert.rejects(use(), code('unavailable'));
  const cut = new BlobStore({
    ...withoutLocalPaths(driver),
    open: async () => ({ size: 4, stream: new PassThrough().destroy() }),
  });
  await assert.rejects(cut.withOriginalFile(staged.digest, use), code('unavailable'));
  assert.deepEqual(await staging(), []);
});

it('sweeps old files in staging, but no younger files and no foreign files', async (t) => {
  const { store, driver, stage, staging } = await setUp(t);
  const old = new Date('2024-01-01T00:00:00Z');
  const crashed = await stage(Buffer.from('crashed'));
  const foreign = join(driver.stagingFolder, 'README');
  await writeFile(foreign, 'of an operator');
  for (const path of [crashed.path, foreign]) await utimes(path, old, old);
  await using running = await stage(Buffer.from('running'));
  assert.equal(await store.sweepStaging(new Date('2024-01-02T00:00:00Z')), 1);
  assert.deepEqual((await staging()).sort(), ['README', basename(running.path)].sort());
  await crashed.discard();
});

it('makes valid keys from digests, and rejects other texts', () => {
  const digest = sha256(Buffer.from('x'));
  assert.equal(originalKey(digest), `originals/${digest.slice(0, 2)}/${digest}`);
  assert.ok(isBlobKey(originalKey(digest)));
  for (const wrong of [
    '',
    'abc',
    digest.toUpperCase(),
    `${digest}0`,
    `../${digest.slice(3)}`,
    `${digest}\n`,
  ]) {
    assert.throws(() => originalKey(wrong), TypeError, wrong);
  }
});

it('checks and closes its driver', async (t) => {
  const calls: string[] = [];
  const { store } = await setUp(t, (real) => ({
    check: async () => {
      calls.push('check');
      await real.check();
    },
    close: async () => {
      calls.push('close');
      await real.close();
    },
  }));
  await store.check();
  await store.close();
  assert.deepEqual(calls, ['check', 'close']);
});

it('stores rungs by name, and replaces an existing rung', async (t) => {
  const { store, staging } = await setUp(t);
  const digest = sha256(Buffer.from('original'));
  const read = (name: string) => store.withRungFile(digest, name, (path) => readFile(path, 'utf8'));
  assert.equal(await read('1-2048.jpeg'), undefined);
  await store.storeRungs(digest, [
    { name: '1-2048.jpeg', bytes: Buffer.from('large') },
    { name: '1-1024.jpeg', bytes: Buffer.from('small') },
  ]);
  assert.deepEqual([await read('1-2048.jpeg'), await read('1-1024.jpeg')], ['large', 'small']);
  await store.storeRungs(digest, [{ name: '1-1024.jpeg', bytes: Buffer.from('other') }]);
  assert.deepEqual([await read('1-2048.jpeg'), await read('1-1024.jpeg')], ['large', 'other']);
  assert.equal(await read('3-1024.jpeg'), undefined, 'a rung of another revision has another name');
  await store.dropRung(digest, '1-1024.jpeg');
  await store.dropRung(digest, '1-1024.jpeg');
  assert.deepEqual([await read('1-2048.jpeg'), await read('1-1024.jpeg')], ['large', undefined]);
  assert.deepEqual(await staging(), []);
});

it('copies a remote rung to staging, and removes the copy after its use', async (t) => {
  const { driver, staging } = await setUp(t);
  const store = new BlobStore(withoutLocalPaths(driver));
  const digest = sha256(Buffer.from('original'));
  await store.storeRungs(digest, [{ name: '1-1024.png', bytes: randomBytes(100_000) }]);
  const size = await store.withRungFile(digest, '1-1024.png', async (path) => (await stat(path)).size);
  assert.equal(size, 100_000);
  assert.equal(
    await store.withRungFile(digest, '1-2048.png', () => assert.fail('it is not stored')),
    undefined,
  );
  assert.deepEqual(await staging(), []);
});

it('throws the error of a rung that cannot be stored, stores the others, and leaves nothing in staging', async (t) => {
  const { store, staging } = await setUp(t, (driver) => ({
    put: async (key, ...rest) => {
      if (key.endsWith('2048.jpeg')) throw new AppError('storage-full', 'no');
      return driver.put(key, ...rest);
    },
  }));
  const digest = sha256(Buffer.from('original'));
  const rungs = ['1-2048.jpeg', '1-1024.jpeg'].map((name) => ({ name, bytes: Buffer.from(name) }));
  await assert.rejects(store.storeRungs(digest, rungs), code('storage-full'));
  assert.equal(await store.withRungFile(digest, '1-1024.jpeg', async () => 'stored'), 'stored');
  assert.deepEqual(await staging(), []);
});

it('lists the originals and rungs whose digests have a start', async (t) => {
  const { store } = await setUp(t);
  const digests = ['4f3a', '4f3b', '4fff', '40aa', 'f4f3'].map((start) => start.padEnd(64, '0'));
  for (const digest of digests) {
    await store.storeRungs(digest, [{ name: '3-1024.jpeg', bytes: Buffer.from('rung') }]);
  }
  const originals: string[] = [];
  for (const text of ['one', 'two', 'three']) {
    await using file = await store.stage(Readable.from([Buffer.from(text)]), { limit: LIMIT });
    await store.storeOriginal(file);
    originals.push(file.digest);
  }
  const listed = async (list: AsyncIterable<{ digest: string }>) => {
    const all: string[] = [];
    for await (const { digest } of list) all.push(digest);
    return all.sort();
  };
  for (const start of [undefined, '', '4', '4f', '4f3', '4f3a', digests[0], '5', 'zz', '../']) {
    const expected = digests.filter((digest) => digest.startsWith(start ?? '')).sort();
    assert.deepEqual(await listed(store.listRungs({ start })), expected, start);
  }
  for (const digest of originals) {
    for (const length of [0, 1, 2, 3, 64]) {
      const start = digest.slice(0, length);
      const expected = originals.filter((other) => other.startsWith(start)).sort();
      assert.deepEqual(await listed(store.listOriginals({ start })), expected, start);
    }
  }
});
