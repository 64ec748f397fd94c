/**
 * Databases and blobs of different libraries: `gc`, `verify` and a start must reject them.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { withNewStores } from '../../src/cli/admin/stores.ts';
import { writeBackup } from '../../src/maintenance/backup.ts';
import { joinLibrary } from '../../src/maintenance/installation.ts';
import { restoreBackup } from '../../src/maintenance/restore.ts';
import { addPictures, envOf, runMaintenance, runWithStores, verifyLibrary } from '../support/libraries.ts';
import { startPostgres } from '../support/postgres.ts';
import { startServer, type TestServer } from '../support/server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const collect = (env: Record<string, string>, dryRun = false) =>
  runMaintenance(env, (maintenance) => maintenance.collect({ grace: 0, dryRun }));

const readBlobsID = async ({ folder }: TestServer) =>
  (await readFile(join(folder, 'blobs/library'), 'utf8')).trim();

const readDatabaseID = (env: Record<string, string>) =>
  runWithStores(env, ({ metadata }) => metadata.maintenance.libraryID());

async function countOriginals(env: Record<string, string>): Promise<number> {
  return runWithStores(env, async ({ blobs }) => {
    let count = 0;
    for await (const _ of blobs.listOriginals()) count += 1;
    return count;
  });
}

describe('a library ID', () => {
  let server: TestServer;
  let elsewhere: string;
  let env: Record<string, string>;

  beforeEach(async () => {
    server = await startServer();
    elsewhere = await mkdtemp(join(tmpdir(), 'vitrine-belonging-'));
    env = envOf(server);
    await addPictures(server, 0, 2);
  });
  afterEach(async () => {
    await server.close();
    await rm(elsewhere, { recursive: true, force: true });
  });

  /** The configuration of a command with the blobs of this library and another database. */
  const mismatched = () => ({
    VITRINE_DATA: elsewhere,
    VITRINE_BLOBS: `file:${join(server.folder, 'blobs')}`,
  });

  test('gc, verify and a start reject the blobs with another database, empty or of another library', async () => {
    await withNewStores({ env: mismatched() }, ({ metadata }) => metadata.migrate());
    const blobsID = await readBlobsID(server);
    for (const dryRun of [false, true]) {
      await assert.rejects(collect(mismatched(), dryRun), {
        code: 'conflict',
        message: new RegExp(`never used with any blobs.*library ${blobsID}`),
      });
    }
    const [finding, ...others] = await verifyLibrary(mismatched());
    assert.deepEqual([finding?.kind, others], ['library', []]);

    const other = await startServer({ VITRINE_DATA: elsewhere });
    const otherID = await readBlobsID(other);
    await other.close();
    const bothIDs = new RegExp(`library ${otherID}, and the blobs belong to the library ${blobsID}`);
    await assert.rejects(collect(mismatched()), { code: 'conflict', message: bothIDs });
    await assert.rejects(startServer(mismatched()), bothIDs);
    assert.equal(await countOriginals(env), 2);
    assert.deepEqual(await verifyLibrary(env, { rungs: false }), []);
  });

  test('a start rejects the blobs with an empty database', async () => {
    await assert.rejects(startServer(mismatched()), /never used with any blobs/);
    server = await server.restart();
    assert.equal((await collect(env)).originals, 0);
  });

  test('gc rejects a database with the schema of a newer version', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec("insert into kysely_migration values ('9999-later', '2030-01-01T00:00:00.000Z')");
    raw.close();
    await assert.rejects(collect(env), { code: 'conflict', message: /9999-later/ });
  });

  test('a library without an ID gets one at its next start, in the database and the blobs', async () => {
    const raw = new DatabaseSync(join(server.folder, 'vitrine.db'));
    raw.exec('delete from library');
    raw.close();
    await rm(join(server.folder, 'blobs/library'));
    await assert.rejects(collect(env), { code: 'conflict', message: /start the server once/ });
    server = await server.restart();
    assert.equal(await readBlobsID(server), await readDatabaseID(env));
    assert.equal((await collect(env)).originals, 0);
  });

  test('a restored library gets a new ID', async () => {
    const path = join(elsewhere, 'backup.tar');
    await runWithStores(env, ({ metadata, blobs }) =>
      writeBackup({ records: metadata.maintenance, blobs, path }),
    );
    const target = { VITRINE_DATA: join(elsewhere, 'restored'), VITRINE_RENDER_CONCURRENCY: '1' };
    await withNewStores({ env: target }, ({ metadata, blobs }) => restoreBackup({ metadata, blobs, path }));
    assert.notEqual(await readDatabaseID(target), await readDatabaseID(env));
    assert.deepEqual(await verifyLibrary(target, { rungs: false }), []);
    assert.equal((await collect(target)).originals, 0);
  });
});

test('servers that start at the same time with a new library agree on its ID', { skip }, async () => {
  assert.ok(postgres);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-belonging-'));
  const env = { VITRINE_DATA: folder, VITRINE_DATABASE: await postgres.createEmptyDatabase() };
  try {
    await withNewStores({ env }, ({ metadata }) => metadata.migrate());
    const joining = Array.from({ length: 6 }, () =>
      withNewStores({ env }, ({ metadata, blobs }) => joinLibrary({ records: metadata.maintenance, blobs })),
    );
    await Promise.all(joining);
    assert.match((await readDatabaseID(env)) ?? '', /^[0-9a-f-]{36}$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
