/**
 * Garbage collection that loses its lock during a removal, because its connection or its process ends.
 * An upload of the same bytes that succeeds meanwhile must keep its original.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, describe, type TestContext, test } from 'node:test';
import type { BlobDriver } from '../../src/blobs/driver.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore, originalKey } from '../../src/blobs/store.ts';
import { openPostgres } from '../../src/database/postgres/postgres.ts';
import { Ladders } from '../../src/delivery/ladders.ts';
import { createPool } from '../../src/imaging/pool/pool.ts';
import { joinLibrary } from '../../src/maintenance/installation.ts';
import { Maintenance } from '../../src/maintenance/maintenance.ts';
import { accountOf, BY, newImage, originalOf } from '../conformance/metadata-samples.ts';
import { withChanges, withoutLocalPaths } from '../support/drivers.ts';
import { startPostgres } from '../support/postgres.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const BYTES = 'the same bytes';
const { digest } = originalOf(BYTES);
const KEY = originalKey(digest);
/** Ends the connection of the garbage collection, which waits within its transaction. */
const END_CONNECTION =
  "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'";

/** A library on PostgreSQL with an unreferenced original. Garbage collection pauses before the removal. */
async function setUp(t: TestContext, kind: (driver: BlobDriver) => BlobDriver) {
  assert.ok(postgres);
  const url = await postgres.createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-lost-lock-'));
  const driver = kind(await openFileBlobs({ folder }));
  const [removalStarted, removalResumed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = withChanges(driver, {
    async delete(key, signal) {
      if (key === KEY) {
        removalStarted.resolve();
        await removalResumed.promise;
      }
      await driver.delete(key, signal);
    },
  });
  const metadata = await openPostgres({ url });
  const uploader = await openPostgres({ url });
  const processor = createPool({ size: 1 });
  t.after(async () => {
    await processor.close();
    await metadata.close();
    await uploader.close();
    await rm(folder, { recursive: true });
  });
  await metadata.migrate();
  const blobs = new BlobStore(driver);
  await joinLibrary({ records: metadata.maintenance, blobs });
  const collect = () => {
    const slowBlobs = new BlobStore(slow);
    const ladders = new Ladders({ blobs: slowBlobs, processor });
    const damagedRenditions = async function* () {};
    return new Maintenance({
      records: metadata.maintenance,
      blobs: slowBlobs,
      processor,
      ladders,
      damagedRenditions,
    }).collect({ grace: 0 });
  };
  const store = async () => {
    await using file = await blobs.stage(Readable.from([Buffer.from(BYTES)]), { limit: 100 });
    await blobs.storeOriginal(file);
  };
  const account = accountOf();
  await uploader.accounts.create(account, BY);
  const images = uploader.forAccount(account.accountID, BY);
  await store();
  return {
    blobs,
    /** Pauses before the removal until `resume`. */
    collect,
    removalStarted: removalStarted.promise,
    resume: () => removalResumed.resolve(),
    loseConnection: () => postgres.query(url, END_CONNECTION),
    /** Removes the original as garbage collection does, without the commit: its process was killed. */
    async removeWithoutCommit() {
      const removal = blobs.createRemoval(digest);
      await removal.prepare();
      await removal.remove();
    },
    listRemoved: () => readdir(join(folder, 'removed')).catch(() => []),
    /** Adds an image as an upload does when its bytes are already stored. */
    async upload() {
      let outcome = await images.insert(newImage(BYTES), { defaultQuota: 9 });
      assert.equal(outcome.kind, 'collected');
      assert.ok(outcome.kind === 'collected');
      await store();
      outcome = await images.insert(newImage(BYTES), { defaultQuota: 9, markerToken: outcome.token });
      assert.equal(outcome.kind, 'inserted');
    },
    async isStored() {
      // A read would undo the removal.
      if ((await blobs.statOriginal(digest)) === undefined) return undefined;
      const original = await blobs.openOriginal(digest);
      return original && String(await buffer(original.stream)) === BYTES;
    },
  };
}

for (const [name, kind] of [
  ['local files', (driver: BlobDriver) => driver],
  ['remote blobs', withoutLocalPaths],
] as const) {
  describe(`garbage collection of ${name}`, { skip }, () => {
    test('an image that is added keeps its original when the connection ends during the removal', async (t) => {
      const library = await setUp(t, kind);
      const collecting = assert.rejects(library.collect(), { code: 'unavailable' });
      await library.removalStarted;
      await library.loseConnection();
      await library.upload();
      library.resume();
      await collecting;
      assert.equal(await library.isStored(), true);
      assert.deepEqual(await library.listRemoved(), []);
      // The next run keeps it too.
      assert.equal((await library.collect()).originals, 0);
      assert.equal(await library.isStored(), true);
    });

    test('a read of the original undoes the removal of a killed process', async (t) => {
      const { blobs, removeWithoutCommit, isStored } = await setUp(t, kind);
      await removeWithoutCommit();
      assert.equal(await isStored(), undefined);
      const read = async (path: string) => String(await readFile(path));
      assert.equal(await blobs.withOriginalFile(digest, read), BYTES);
      assert.equal(await isStored(), true);
    });

    test('the next run or start undoes the removal of a killed process', async (t) => {
      const library = await setUp(t, kind);
      await library.removeWithoutCommit();
      assert.equal(await library.isStored(), undefined);
      assert.equal(await library.blobs.undoUnfinishedRemovals(), 1);
      assert.equal(await library.isStored(), true);

      await library.removeWithoutCommit();
      library.resume();
      // The run undoes the removal first. Then it collects the original, because it is unreferenced.
      assert.equal((await library.collect()).originals, 1);
      assert.equal(await library.isStored(), undefined);
      // A process that removed it could still run, but not for more than a day.
      assert.equal((await library.listRemoved()).length, 2);
      assert.equal(
        await library.blobs.undoUnfinishedRemovals(new Date(Date.now() + 25 * 60 * 60 * 1_000)),
        2,
      );
      assert.deepEqual(await library.listRemoved(), []);
    });
  });
}
