/**
 * The S3 driver and its cache while the store is in trouble. A proxy harms the requests to a real server.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, describe, it, type TestContext } from 'node:test';
import { FileCache } from '../../src/blobs/file-cache.ts';
import { openS3Blobs, S3_LIMITS, type S3Limits } from '../../src/blobs/s3.ts';
import { BlobStore, originalKey } from '../../src/blobs/store.ts';
import { type ErrorCode, isAppError } from '../../src/errors.ts';
import { type Fault, type ProxiedRequest, startFaultProxy } from '../faults/http-proxy.ts';
import { waitFor } from '../support/waiting.ts';
import { newLocation, startS3 } from './s3-servers.ts';

const { s3, skip } = await startS3();
after(() => s3?.stop());

const LIMIT = 1_000_000;
/** No busy machine reaches them. Tests of deadlines set their own. */
const PATIENT = { read: 60_000, write: 60_000, background: 60_000, pace: { window: 60_000, bytes: 1 } };
const SHORT = { ...PATIENT, read: 200, write: 200, background: 200 };

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function setUp(t: TestContext, limits: Partial<S3Limits> = PATIENT) {
  assert.ok(s3);
  const proxy = await startFaultProxy(s3.port);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-s3-outage-'));
  const { bucket, ...rest } = await newLocation(s3);
  const location = { ...rest, bucket, endpoint: proxy.endpoint };
  const changes: string[] = [];
  const log = { warn: (_fields: unknown, message: string) => void changes.push(message) };
  const driver = await openS3Blobs({ location, stagingFolder: join(folder, 'staging'), limits, log });
  const cache = await FileCache.open(join(folder, 'cache'), 100 * LIMIT);
  const store = new BlobStore(driver, cache);
  t.after(async () => {
    await store.close();
    await proxy.close();
    await rm(folder, { recursive: true });
  });
  const stage = (bytes: Uint8Array) => store.stage(Readable.from([bytes]), { limit: LIMIT });
  return {
    proxy,
    driver,
    cache,
    store,
    stage,
    changes,
    /** The names of all cached and staged files. */
    async localFiles() {
      const items = await readdir(folder, { recursive: true, withFileTypes: true });
      return items.filter((item) => item.isFile()).map(({ name }) => name);
    },
    async storeNew(size = 200_000) {
      const bytes = randomBytes(size);
      await using staged = await stage(bytes);
      await store.storeOriginal(staged);
      return { bytes, digest: staged.digest };
    },
    read: (digest: string) => store.withOriginalFile(digest, (path) => readFile(path)),
  };
}

const code = (expected: ErrorCode) => (error: unknown) => isAppError(error, expected);
const away = (error: unknown) => isAppError(error, 'unavailable') && (error.retryAfter ?? 0) > 0;
const ofObjects =
  (fault: Fault, method?: string) =>
  ({ method: actual, path }: ProxiedRequest) =>
    path.includes('/originals/') && (method ?? actual) === actual ? fault : undefined;
/** The fault for the first request that matches, and none for later ones. */
function once(decide: (request: ProxiedRequest) => Fault | undefined) {
  let isDone = false;
  return (request: ProxiedRequest) => {
    const fault = isDone ? undefined : decide(request);
    if (fault !== undefined) isDone = true;
    return fault;
  };
}

describe('with a real S3 server behind a proxy', { skip }, () => {
  it('keeps both tries of a read, and the first stall of a body, within two seconds', () => {
    assert.ok(2 * S3_LIMITS.read + 100 < 2_000);
    assert.ok(S3_LIMITS.pace.window < 2_000);
    // A store that hangs is noticed by one probe.
    assert.ok(S3_LIMITS.read < S3_LIMITS.write);
  });

  it('gives up a hanging store, then fails at once, and recovers by itself', async (t) => {
    const { proxy, store, stage, storeNew, read, changes } = await setUp(t, { ...PATIENT, read: 200 });
    const { digest, bytes } = await storeNew();
    proxy.fault = () => 'hang';
    await assert.rejects(read(digest), away);
    assert.deepEqual(changes, ['the blob store is away: calls fail at once']);
    const count = proxy.requests.length;
    for (let i = 0; i < 20; i += 1) await assert.rejects(read(digest), away);
    // An upload is refused before its body is read.
    const source = new Readable({ read: () => assert.fail('the body was read') });
    await assert.rejects(store.stage(source, { limit: LIMIT }), away);
    assert.ok(proxy.requests.length <= count + 1, 'at most one trial went to the store');
    proxy.fault = undefined;
    await waitFor('the store is used again', async () =>
      (await read(digest).catch(() => undefined))?.equals(bytes),
    );
    assert.equal(changes.at(-1), 'the blob store answers again');
    await using staged = await stage(randomBytes(10));
    await store.storeOriginal(staged);
  });

  it('gives up a hanging write', async (t) => {
    const { proxy, store, stage } = await setUp(t, SHORT);
    await using staged = await stage(randomBytes(100_000));
    proxy.fault = ofObjects('hang', 'PUT');
    await assert.rejects(store.storeOriginal(staged), away);
  });

  it('gives up a write to a store that answers nothing, long before its deadline', async (t) => {
    const { proxy, store, stage, changes } = await setUp(t, { ...PATIENT, read: 200 });
    await using staged = await stage(randomBytes(100_000));
    proxy.fault = () => 'hang';
    await assert.rejects(store.storeOriginal(staged), away);
    assert.deepEqual(changes, ['the blob store is away: calls fail at once']);
  });

  it('waits for a slow write to a store that answers other requests', async (t) => {
    const { proxy, store, stage } = await setUp(t, { ...PATIENT, read: 100, write: 1_500 });
    await using staged = await stage(randomBytes(100_000));
    proxy.fault = ofObjects('hang', 'PUT');
    const startedAt = performance.now();
    await assert.rejects(store.storeOriginal(staged), away);
    assert.ok(performance.now() - startedAt >= 1_500);
    assert.ok(proxy.requests.some(({ method, path }) => method === 'HEAD' && path.endsWith('/library')));
  });

  it('recovers when the store refused connections', async (t) => {
    const { proxy, storeNew, store, stage, read } = await setUp(t);
    const { digest, bytes } = await storeNew();
    await proxy.refuse();
    await assert.rejects(read(digest), away);
    await using staged = await stage(randomBytes(10));
    await assert.rejects(store.storeOriginal(staged), away);
    await assert.rejects(store.check(), away);
    await proxy.accept();
    await waitFor('the store is used again', async () =>
      (await read(digest).catch(() => undefined))?.equals(bytes),
    );
  });

  for (const fault of ['trickle', 'trickle-body', 'cut', 'flip'] as const) {
    it(`neither serves nor caches a blob when the answer has the fault ${fault}`, async (t) => {
      const limits = { ...PATIENT, read: 300, pace: { window: 300, bytes: 1_000 } };
      const { proxy, store, storeNew, read, cache, localFiles } = await setUp(t, limits);
      const { digest, bytes } = await storeNew();
      await store.storeRungs(digest, [{ name: '1-1024.jpeg', bytes }]);
      proxy.fault = ({ method }) => (method === 'GET' ? fault : undefined);
      await assert.rejects(read(digest), code('unavailable'));
      await assert.rejects(store.openOriginal(digest), code('unavailable'));
      const use = () => assert.fail('a broken rung was used');
      await assert.rejects(store.withRungFile(digest, '1-1024.jpeg', use), code('unavailable'));
      assert.equal(cache.bytes, 0);
      assert.deepEqual(await localFiles(), []);
      proxy.fault = undefined;
      await waitFor('the store is used again', async () =>
        (await read(digest).catch(() => undefined))?.equals(bytes),
      );
      const rung = await store.withRungFile(digest, '1-1024.jpeg', (path) => readFile(path));
      assert.ok(rung?.equals(bytes));
    });

    it(`fails the stream of a blob with the fault ${fault}, without a cache`, async (t) => {
      const limits = { ...PATIENT, read: 300, pace: { window: 300, bytes: 1_000 } };
      const { proxy, driver, storeNew } = await setUp(t, limits);
      const { digest, bytes } = await storeNew();
      proxy.fault = ({ method }) => (method === 'GET' ? fault : undefined);
      let received = 0;
      await assert.rejects(async () => {
        const blob = await driver.open(originalKey(digest));
        for await (const chunk of blob?.stream ?? []) received += (chunk as Buffer).length;
      }, code('unavailable'));
      assert.ok(received < bytes.length, 'the last bytes were passed on');
    });
  }

  for (const fault of ['cut', 'flip', 'full-500', 'slow-down', 'html-502', 'drop-answer'] as const) {
    it(`reads on when one answer has the fault ${fault}`, async (t) => {
      const { proxy, storeNew, read } = await setUp(t);
      const { digest, bytes } = await storeNew();
      proxy.fault = once(ofObjects(fault, 'GET'));
      assert.ok((await read(digest)).equals(bytes));
    });
  }

  for (const fault of ['full-500', 'slow-down', 'html-502', 'drop-answer'] as const) {
    it(`sends a whole file again when one answer to a PUT has the fault ${fault}`, async (t) => {
      const { proxy, stage, store, read } = await setUp(t);
      const bytes = randomBytes(500_000);
      await using staged = await stage(bytes);
      proxy.fault = once(ofObjects(fault, 'PUT'));
      await store.storeOriginal(staged);
      assert.equal(
        proxy.requests.filter(({ method, path }) => method === 'PUT' && path.includes('/originals/')).length,
        2,
      );
      assert.ok((await read(sha256(bytes))).equals(bytes));
    });
  }

  for (const [fault, tries] of [
    ['slow-down', 2],
    ['full-500', 1],
    ['drop-answer', 1],
  ] as const) {
    it(`sends the DELETE of an original ${tries === 1 ? 'once' : 'again'} after the fault ${fault}`, async (t) => {
      const { proxy, store, storeNew } = await setUp(t);
      const { digest } = await storeNew();
      proxy.fault = once(ofObjects(fault, 'DELETE'));
      const removing = store.dropOriginal(digest);
      if (tries === 1) await assert.rejects(removing, away);
      else await removing;
      const deletes = proxy.requests.filter(
        ({ method, path }) => method === 'DELETE' && path.includes('/originals/'),
      );
      assert.equal(deletes.length, tries);
    });
  }

  it('deletes a rung although one DELETE gets no answer', async (t) => {
    const { proxy, store, storeNew } = await setUp(t);
    const { digest, bytes } = await storeNew();
    await store.storeRungs(digest, [{ name: '1-1024.jpeg', bytes }]);
    proxy.fault = once(({ method, path }) =>
      method === 'DELETE' && path.includes('/rungs/') ? 'full-500' : undefined,
    );
    await store.dropRungs(digest);
    assert.equal(await store.hasRung(digest, '1-1024.jpeg'), false);
  });

  it('reports a full store as storage-full, and stays closed for reads', async (t) => {
    const { proxy, stage, store, storeNew, read } = await setUp(t);
    const { digest, bytes } = await storeNew();
    await using staged = await stage(randomBytes(10));
    proxy.fault = ofObjects('storage-full', 'PUT');
    for (let i = 0; i < 10; i += 1) await assert.rejects(store.storeOriginal(staged), code('storage-full'));
    assert.ok((await read(digest)).equals(bytes));
  });

  it('reads blobs from the local cache while the store is away', async (t) => {
    const { proxy, store, storeNew, read } = await setUp(t);
    const { digest, bytes } = await storeNew();
    await store.storeRungs(digest, [{ name: '1-1024.jpeg', bytes }]);
    await read(digest);
    await store.withRungFile(digest, '1-1024.jpeg', async () => undefined);
    await proxy.refuse();
    assert.ok((await read(digest)).equals(bytes));
    const blob = await store.openOriginal(digest);
    assert.ok(blob && (await buffer(blob.stream)).equals(bytes));
    assert.ok((await store.withRungFile(digest, '1-1024.jpeg', (path) => readFile(path)))?.equals(bytes));
  });

  it('opens a bounded number of connections, and none leaks', async (t) => {
    const { proxy, driver, storeNew } = await setUp(t, { ...PATIENT, read: 300 });
    const { digest } = await storeNew();
    const key = originalKey(digest);
    const openAll = (count: number) =>
      Promise.allSettled(
        Array.from({ length: count }, async () => {
          const blob = await driver.open(key);
          for await (const _chunk of blob?.stream ?? []) break;
        }),
      );
    await openAll(200);
    const faults = ['hang', 'cut', 'full-500', 'trickle'] as const;
    for (const fault of faults) {
      proxy.fault = ofObjects(fault);
      await openAll(200);
      proxy.fault = undefined;
      await waitFor('the store is used again', () =>
        driver.check().then(
          () => true,
          () => false,
        ),
      );
    }
    // The limit is 64. The proxy notices the end of a connection later than the client, which opens the next.
    assert.ok(proxy.connections().most <= 128, `${proxy.connections().most} connections`);
    await driver.close();
    await waitFor('all connections are closed', () => proxy.connections().now === 0);
  });

  it('does not take an unreadable local file for a fault of the store', async (t) => {
    const { driver, store, stage, changes } = await setUp(t);
    const staged = await stage(randomBytes(10));
    await staged.discard();
    for (let i = 0; i < 10; i += 1) {
      await assert.rejects(driver.put('x/gone', staged), code('unavailable'));
    }
    assert.deepEqual(changes, []);
    await store.check();
  });

  it('keeps an original that is stored again, although an old DELETE arrives later', async (t) => {
    const { proxy, driver, store, stage, cache, storeNew, read } = await setUp(t, {
      ...PATIENT,
      background: 300,
    });
    const { digest, bytes } = await storeNew();
    const removal = store.createRemoval(digest);
    assert.equal(await removal.prepare(), true);
    proxy.fault = ofObjects('hold', 'DELETE');
    await assert.rejects(removal.remove(), code('unavailable'));
    proxy.fault = undefined;
    await removal.undo();
    await using staged = await stage(bytes);
    await store.storeOriginal(staged);
    await proxy.releaseHeld();
    assert.equal(await driver.stat(originalKey(digest)), undefined, 'the late DELETE has removed the bytes');
    assert.ok((await read(digest)).equals(bytes));
    assert.ok(await driver.stat(originalKey(digest)), 'the read has restored the original');

    // Also if nothing reads it.
    await driver.delete(originalKey(digest));
    cache.drop(originalKey(digest));
    assert.equal(await store.undoUnfinishedRemovals(), 1);
    assert.ok(await driver.stat(originalKey(digest)));
  });

  it('keeps the second key when a DELETE that failed is followed by one that succeeds', async (t) => {
    const { proxy, store, stage, storeNew, read } = await setUp(t, { ...PATIENT, background: 300 });
    const { digest, bytes } = await storeNew();
    const removal = store.createRemoval(digest);
    await removal.prepare();
    proxy.fault = once(ofObjects('hold', 'DELETE'));
    await assert.rejects(removal.remove(), code('unavailable'));
    await removal.remove();
    await removal.finish();
    await using staged = await stage(bytes);
    await store.storeOriginal(staged);
    await proxy.releaseHeld();
    assert.ok((await read(digest)).equals(bytes));
  });
});
