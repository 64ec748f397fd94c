/**
 * Collectors that lose their lock in the middle of a removal: the database ends their connection, or the process ends, while
 * an upload of the same bytes is told that it has them.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, describe, type TestContext, test } from 'node:test';
import type { BlobDriver } from '../../src/blobs/driver.ts';
import { openFileBlobs } from '../../src/blobs/fs.ts';
import { BlobStore, originalKey } from '../../src/blobs/store.ts';
import { openPostgres } from '../../src/database/postgres.ts';
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
const END_COLLECTOR =
  "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'";

/** A library on PostgreSQL with an original that nothing names, and a collector that stops before it removes that. */
async function setUp(t: TestContext, kind: (driver: BlobDriver) => BlobDriver) {
  assert.ok(postgres);
  const url = await postgres.createDatabase();
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-lost-lock-'));
  const driver = kind(await openFileBlobs({ folder }));
  const [removing, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const slow = withChanges(driver, {
    async delete(key, signal) {
      if (key === KEY) {
        removing.resolve();
        await goOn.promise;
      }
      await driver.delete(key, signal);
    },
  });
  const metadata = await openPostgres({ url });
  const theirs = await openPostgres({ url });
  const processor = createPool({ size: 1 });
  t.after(async () => {
    await processor.close();
    await metadata.close();
    await theirs.close();
    await rm(folder, { recursive: true });
  });
  await metadata.migrate();
  const blobs = new BlobStore(driver);
  await joinLibrary({ records: metadata.maintenance, blobs });
  const collector = (over: BlobDriver) => {
    const store = new BlobStore(over);
    const ladders = new Ladders({ blobs: store, processor });
    const damagedRenditions = async function* () {};
    return new Maintenance({
      records: metadata.maintenance,
      blobs: store,
      processor,
      ladders,
      damagedRenditions,
    });
  };
  const store = async () => {
    await using file = await blobs.stage(Readable.from([Buffer.from(BYTES)]), { limit: 100 });
    await blobs.storeOriginal(file);
  };
  const account = accountOf();
  await theirs.accounts.create(account, BY);
  const images = theirs.forAccount(account.accountID, BY);
  await store();
  return {
    blobs,
    collector,
    slow,
    removing: removing.promise,
    goOn: () => goOn.resolve(),
    loseConnection: () => postgres.query(url, END_COLLECTOR),
    /** What a collector does until it is killed. */
    async killed() {
      const removal = blobs.createRemoval(digest);
      await removal.prepare();
      await removal.remove();
    },
    left: () => readdir(join(folder, 'removed')).catch(() => []),
    /** What the library does for an upload of bytes that are stored already. */
    async upload() {
      let outcome = await images.insert(newImage(BYTES), { defaultQuota: 9 });
      assert.equal(outcome.kind, 'collected');
      assert.ok(outcome.kind === 'collected');
      await store();
      outcome = await images.insert(newImage(BYTES), { defaultQuota: 9, markerToken: outcome.token });
      assert.equal(outcome.kind, 'inserted');
    },
    async has() {
      const original = await blobs.openOriginal(digest);
      return original && String(await buffer(original.stream)) === BYTES;
    },
  };
}

for (const [name, kind] of [
  ['files', (driver: BlobDriver) => driver],
  ['blobs that are no local files', withoutLocalPaths],
] as const) {
  describe(`over ${name}`, { skip }, () => {
    test('a collector whose connection ends in a removal takes nothing from who adds the image meanwhile', async (t) => {
      const library = await setUp(t, kind);
      const collecting = assert.rejects(library.collector(library.slow).collect({ grace: 0 }), {
        code: 'unavailable',
      });
      await library.removing;
      await library.loseConnection();
      await library.upload();
      library.goOn();
      await collecting;
      assert.equal(await library.has(), true);
      assert.deepEqual(await library.left(), []);
      // Nor does one that comes after it.
      assert.equal((await library.collector(library.slow).collect({ grace: 0 })).originals, 0);
      assert.equal(await library.has(), true);
    });

    test('what a collector took that was killed then is there again after the next collection, or start', async (t) => {
      const library = await setUp(t, kind);
      await library.killed();
      assert.equal(await library.has(), undefined);
      assert.equal(await library.blobs.undoUnfinishedRemovals(), 1);
      assert.equal(await library.has(), true);

      await library.killed();
      library.goOn();
      // It is taken back first, and then collected as what nothing names.
      assert.equal((await library.collector(library.slow).collect({ grace: 0 })).originals, 1);
      assert.equal(await library.has(), undefined);
      // Whoever removed it might still be at work, but not for a day.
      assert.equal((await library.left()).length, 2);
      assert.equal(
        await library.blobs.undoUnfinishedRemovals(new Date(Date.now() + 25 * 60 * 60 * 1_000)),
        2,
      );
      assert.deepEqual(await library.left(), []);
    });
  });
}
