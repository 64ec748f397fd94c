import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, test } from 'node:test';
import { classifySqliteError, openSqlite } from '../../../src/database/sqlite/sqlite.ts';
import { AppError } from '../../../src/errors.ts';
import { metadataConformance } from '../../conformance/metadata.ts';
import { assertMigratesInitial } from '../../conformance/metadata-earlier.ts';
import { accountOf, BY, newImage } from '../../conformance/metadata-samples.ts';
import { createSqliteHarness } from '../../conformance/sqlite-harness.ts';
import { INITIAL_DATABASE } from '../../support/initial-schema.ts';

metadataConformance('SQLite', () => createSqliteHarness({ subfolder: join('made', 'on demand') }));

describe('the SQLite store', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-sqlite-'));
  });
  after(async () => {
    await rm(folder, { recursive: true });
  });

  test('opens files in WAL mode', async () => {
    const path = join(folder, 'wal.db');
    const store = await openSqlite({ path });
    const other = new DatabaseSync(path);
    assert.equal(other.prepare('pragma journal_mode').get()?.journal_mode, 'wal');
    other.close();
    await store.close();
  });

  test('migrates a database of the first version', async () => {
    const path = join(folder, 'initial.db');
    const earlier = new DatabaseSync(path);
    for (const statement of INITIAL_DATABASE) earlier.exec(statement);
    earlier.close();
    const store = await openSqlite({ path });
    await assertMigratesInitial(store);
    await store.close();
  });

  test('works in memory', async () => {
    const store = await openSqlite({ path: ':memory:' });
    await store.migrate();
    await store.accounts.create(accountOf(), BY);
    assert.equal(await store.accounts.isEmpty(), false);
    await store.close();
  });

  test('can be closed twice, and without use', async () => {
    const store = await openSqlite({ path: join(folder, 'unused.db') });
    await store.close();
    await store.close();
  });

  test('opens and migrates a new file from five concurrent stores', async () => {
    const path = join(folder, 'at once.db');
    const stores = await Promise.all(Array.from({ length: 5 }, () => openSqlite({ path })));
    await Promise.all(stores.map((store) => store.migrate()));
    for (const store of stores) {
      await store.check();
      await store.close();
    }
  });

  test('refuses a database of a newer version with its migration in the message', async () => {
    const path = join(folder, 'newer.db');
    const store = await openSqlite({ path });
    await store.migrate();
    const other = new DatabaseSync(path);
    other.exec(`insert into kysely_migration values ('9999-from-the-future', '2099-01-01T00:00:00.000Z')`);
    other.close();
    await assert.rejects(store.migrate(), /newer version of Vitrine.*9999-from-the-future/);
    await store.close();
  });

  test('rejects with “unavailable” when another process writes for too long, and then recovers', async () => {
    const path = join(folder, 'busy.db');
    const store = await openSqlite({ path, busyTimeout: 100 });
    await store.migrate();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const other = new DatabaseSync(path);
    other.exec('begin immediate');
    const images = store.forAccount(account.accountID, BY);
    const busy = { name: 'AppError', code: 'unavailable', retryAfter: 1 };
    await assert.rejects(images.insert(newImage('a'), { defaultQuota: 300 }), busy);
    await assert.rejects(store.accounts.create(accountOf(), BY), busy);
    // Readers do not wait for writers.
    assert.deepEqual(await images.list({ skip: 0, count: 20 }), { images: [], total: 0 });
    other.exec('rollback');
    other.close();
    assert.equal((await images.insert(newImage('a'), { defaultQuota: 300 })).kind, 'inserted');
    await store.close();
  });

  test('waits for another process that writes, without blocking the event loop', async () => {
    const path = join(folder, 'wait.db');
    const store = await openSqlite({ path });
    await store.migrate();
    const other = new DatabaseSync(path);
    other.exec('begin immediate');
    const creation = store.accounts.create(accountOf(), BY);
    // The event loop ends the other transaction. If it were blocked, the creation would fail.
    setTimeout(() => {
      other.exec('commit');
      other.close();
    }, 50);
    assert.equal(await creation, 'created');
    await store.close();
  });

  test('rejects with “unavailable” for a path that cannot be opened', async () => {
    const file = join(folder, 'a file');
    await writeFile(file, '');
    await assert.rejects(openSqlite({ path: join(file, 'vitrine.db') }), { code: 'unavailable' });
    await assert.rejects(openSqlite({ path: folder }), { code: 'unavailable' });
  });

  test('classifies a full disk, a read-only file and a duplicate by their codes', () => {
    const path = join(folder, 'codes.db');
    const database = new DatabaseSync(path);
    database.exec('create table t (a text unique)');
    database.exec('pragma max_page_count = 3');
    const full = thrownBy(() => database.exec(`insert into t values ('${'x'.repeat(100_000)}')`));
    assert.equal(codeOf(classifySqliteError(full)), 'storage-full');
    database.exec(`insert into t values ('a')`);
    assert.equal(
      classifySqliteError(thrownBy(() => database.exec(`insert into t values ('a')`))),
      'unique-violation',
    );
    assert.equal(classifySqliteError(thrownBy(() => database.exec('select nonsense'))), undefined);
    database.close();
    const readOnly = new DatabaseSync(path, { readOnly: true });
    const refusal = thrownBy(() => readOnly.exec(`insert into t values ('b')`));
    assert.equal(codeOf(classifySqliteError(refusal)), 'unavailable');
    readOnly.close();
  });
});

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('Nothing was thrown.');
}

function codeOf(errorClass: unknown): string | undefined {
  return errorClass instanceof AppError ? errorClass.code : undefined;
}
