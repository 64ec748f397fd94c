import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import pg from 'pg';
import { classifyPostgresError } from '../../../src/database/postgres/errors.ts';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import type { MetadataStore } from '../../../src/database/store.ts';
import { metadataConformance } from '../../conformance/metadata.ts';
import { assertOneCheckWhileHanging } from '../../conformance/metadata-check.ts';
import { assertMigratesInitial } from '../../conformance/metadata-earlier.ts';
import {
  accountOf,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
  START,
} from '../../conformance/metadata-samples.ts';
import { INITIAL_DATABASE } from '../../support/initial-schema.ts';
import { startOwnPostgres, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { createHarness } from './harness.ts';

const { postgres, skip } = await startPostgres();

after(async () => {
  await postgres?.stop();
});

/** The PostgreSQL server of this run. */
function server(): TestPostgres {
  assert.ok(postgres !== undefined);
  return postgres;
}

/** Opens a migrated store over a new database. */
async function openNew(): Promise<{ url: string; store: MetadataStore }> {
  const url = await server().createDatabase();
  return { url, store: await openPostgres({ url }) };
}

metadataConformance('PostgreSQL', () => createHarness(server()), { skip });

describe('the PostgreSQL store', { skip }, () => {
  test('migrates a new database from five concurrent stores', async () => {
    const url = await server().createEmptyDatabase();
    const stores = await Promise.all(Array.from({ length: 5 }, () => openPostgres({ url })));
    await Promise.all(stores.map((store) => store.migrate()));
    for (const store of stores) {
      await store.check();
      await store.close();
    }
  });

  test('migrates a database of the first version', async () => {
    const url = await server().createEmptyDatabase();
    for (const statement of INITIAL_DATABASE) await server().query(url, statement);
    const store = await openPostgres({ url });
    await assertMigratesInitial(store);
    await store.close();
  });

  test('migrates and searches without the right to create an extension', async () => {
    const url = await server().createEmptyDatabase();
    const name = new URL(url).pathname.slice(1);
    const role = `role_${name}`;
    for (const statement of [
      `create role ${role} login`,
      `revoke create on database ${name} from public`,
      `grant create, usage on schema public to ${role}`,
      // As the error message of the migration says.
      `create schema vitrine_records authorization ${role}`,
    ]) {
      await server().query(url, statement);
    }
    const ownURL = new URL(url);
    ownURL.username = role;
    const store = await openPostgres({ url: ownURL.href });
    await store.migrate();
    assert.deepEqual(await server().query(url, `select 1 from pg_extension where extname = 'pg_trgm'`), []);
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const added = newImage('first', { altText: 'İstanbul 100%' });
    await images.insert(added, { defaultQuota: 300 });
    for (const [search, total] of [
      ['ISTANBUL 100%', 1],
      ['istanbul_', 0],
      ['l', 1],
    ] as const) {
      assert.equal((await images.list({ skip: 0, count: 9 }, { search })).total, total, search);
    }
    // An administrator adds the index later, as docs/finding.md says.
    await server().query(url, 'create extension pg_trgm');
    await server().query(
      url,
      'create index image_search_by_text on image_search using gin (content gin_trgm_ops)',
    );
    assert.equal((await images.list({ skip: 0, count: 9 }, { search: 'stanb' })).total, 1);
    await store.close();
    await server().query(url, `drop owned by ${role} cascade`);
    await server().query(url, `drop role ${role}`);
  });

  test('refuses a database of a newer version with its migration in the message', async () => {
    const { url, store } = await openNew();
    await server().query(
      url,
      `insert into kysely_migration values ('9999-from-the-future', '2099-01-01T00:00:00.000Z')`,
    );
    await assert.rejects(store.migrate(), /newer version of Vitrine.*9999-from-the-future/);
    await store.close();
  });

  // A writer that ignores the lock of the account. Only the unique constraint prevents the duplicate.
  test('returns the image that a writer without the lock has changed at the same time', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const [first, other] = [newImage('first'), newImage('other')];
    await images.insert(first, { defaultQuota: 300 });
    await images.insert(other, { defaultQuota: 300 });
    const client = new pg.Client({ connectionString: url });
    await client.connect();

    const attempts = {
      'bytes 1': () => images.insert(newImage('bytes 1'), { defaultQuota: 300 }),
      'bytes 2': () =>
        images.replace(first.imageID, { original: originalOf('bytes 2'), updatedOn: later(1) }),
    };
    for (const [bytes, attempt] of Object.entries(attempts)) {
      await client.query('begin');
      await client.query(`update images set digest = decode($1, 'hex') where image_id = $2`, [
        originalOf(bytes).digest,
        other.imageID,
      ]);
      const pending = attempt();
      await untilWaitingForLock(url);
      await client.query('commit');
      const outcome = await pending;
      assert.equal(outcome.kind, 'duplicate');
      assert.equal(outcome.kind === 'duplicate' && outcome.existing.imageID, other.imageID);
    }
    await client.end();
    await store.close();
  });

  test('retries a transaction after a deadlock', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const image = newImage('a');
    await images.insert(image, { defaultQuota: 300 });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    // The client locks in the wrong order: first the image, and then the account. The store has the lock of
    // the account by then, and waits for the image.
    await client.query('begin');
    // Longer than the timeout of the store, so that the store notices the deadlock and its transaction fails.
    await client.query(`set local deadlock_timeout = '60s'`);
    await client.query('select 1 from images where image_id = $1 for update', [image.imageID]);
    const outcome = images.disable(image.imageID, later(1));
    await untilWaitingForLock(url);
    await client.query('update accounts set display_name = display_name');
    await client.query('commit');
    assert.equal((await outcome).kind, 'disabled');
    await client.end();
    await store.close();
  });

  test('does not collect an original if a pause starts during the check for references', async () => {
    const { url, store } = await openNew();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('begin');
    await client.query('lock table images in access exclusive mode');
    let isRemoved = false;
    const outcome = store.maintenance.garbageCollect(digestOf('unreferenced'), START, async () => {
      isRemoved = true;
    });
    await untilWaitingForLock(url);
    await store.maintenance.pauseCollection('backup', later(1_000_000));
    await client.query('commit');
    assert.deepEqual([await outcome, isRemoved], ['paused', false]);
    await client.end();
    await store.close();
  });

  test('does not change the type parsers of other pg clients', async () => {
    const { url, store } = await openNew();
    const [row] = await server().query(url, 'select 1::int8 as n');
    assert.equal(row?.n, '1');
    await store.close();
  });

  test('rejects with “unavailable” without a server or a database', async () => {
    for (const url of ['postgres://vitrine@127.0.0.1:1/none', `${await server().createDatabase()}_not`]) {
      const store = await openPostgres({ url });
      await assert.rejects(store.check(), { name: 'AppError', code: 'unavailable', retryAfter: 1 });
      await assert.rejects(store.migrate(), { name: 'AppError', code: 'unavailable' });
      await store.close();
    }
  });

  test('runs one check at a time while the check hangs', async () => {
    const { url, store } = await openNew();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await assertOneCheckWhileHanging(store, async () => {
      await client.query('begin');
      await client.query('lock table accounts');
      return async () => {
        await client.query('commit');
      };
    });
    await client.end();
    await store.close();
  });

  test('fails its check if records can be read but not written, as on a standby', async () => {
    const { url, store } = await openNew();
    const readOnly = `${url}${url.includes('?') ? '&' : '?'}options=-c%20default_transaction_read_only%3Don`;
    const standby = await openPostgres({ url: readOnly });
    assert.equal(await standby.accounts.isEmpty(), true);
    await assert.rejects(standby.check(), { name: 'AppError', code: 'unavailable' });
    await store.check();
    await standby.close();
    await store.close();
  });

  test('recovers from a connection that ends while idle and while in use', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const endOthers =
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
    await server().query(url, endOthers);
    assert.equal((await retry(() => images.insert(newImage('a'), { defaultQuota: 9 }))).kind, 'inserted');

    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    await client.connect();
    await client.query('begin');
    await client.query('select 1 from accounts for update');
    const rejection = assert.rejects(images.insert(newImage('b'), { defaultQuota: 9 }), {
      name: 'AppError',
      code: 'unavailable',
    });
    await untilWaitingForLock(url);
    await server().query(url, endOthers);
    await rejection;
    await client.end().catch(() => {});
    assert.equal((await retry(() => images.insert(newImage('b'), { defaultQuota: 9 }))).kind, 'inserted');
    await store.close();
  });

  test('rejects with “unavailable” while the server is down after a crash, and then recovers', async (t) => {
    const { postgres: own } = await startOwnPostgres();
    assert.ok(own);
    t.after(() => own.stop());
    const store = await openPostgres({ url: await own.createDatabase() });
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const acknowledged: string[] = [];
    // The writers keep the store busy. So the crash ends idle connections and connections in a transaction.
    let isDown = false;
    const writers = Array.from({ length: 5 }, async (_, writer) => {
      for (let i = 0; !isDown; i += 1) {
        const image = newImage(`${writer} ${i}`);
        try {
          if ((await images.insert(image, { defaultQuota: 1e6 })).kind === 'inserted') {
            acknowledged.push(image.imageID);
          }
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'unavailable');
          return;
        }
      }
    });
    await retry(async () => assert.ok(acknowledged.length > 10));
    await own.crash();
    await Promise.all(writers);
    isDown = true;
    await assert.rejects(store.check(), { name: 'AppError', code: 'unavailable' });
    await assert.rejects(images.list({ skip: 0, count: 1 }), { name: 'AppError', code: 'unavailable' });
    await assert.rejects(images.insert(newImage('x'), { defaultQuota: 9 }), { code: 'unavailable' });

    await own.start();
    await retry(() => store.check());
    for (const imageID of acknowledged) assert.ok((await images.find(imageID)) !== undefined);
    const { total } = await images.list({ skip: 0, count: 1 });
    // The crash may also cut off the answer of a commit that was made: at most one for each writer.
    assert.ok(total >= acknowledged.length && total <= acknowledged.length + 5);
    await store.close();
  });

  test('classifies errors by their codes', async () => {
    const raise = async (state: string) =>
      server()
        .query(await sharedDatabase(), `do $$ begin raise exception using errcode = '${state}'; end $$`)
        .then(() => assert.fail('Nothing was raised.'), classifyPostgresError);
    const codeOf = async (state: string) => (await raise(state)) as { code?: string };
    assert.equal((await codeOf('53100')).code, 'storage-full');
    for (const state of ['08006', '25006', '53300', '57014', '57P01', '57P03', '58030']) {
      assert.equal((await codeOf(state)).code, 'unavailable', state);
    }
    assert.equal(await raise('40001'), 'contention');
    assert.equal(await raise('40P01'), 'contention');
    assert.equal(await raise('23505'), 'unique-violation');
    assert.equal(await raise('42601'), undefined);
    assert.equal(classifyPostgresError(new TypeError('a defect')), undefined);
  });
});

let sharedURL: string | undefined;
/** The URL of a database for statements that store nothing. */
async function sharedDatabase(): Promise<string> {
  sharedURL ??= await server().createDatabase();
  return sharedURL;
}

/** Resolves when a session of this database waits for a lock. */
async function untilWaitingForLock(url: string): Promise<void> {
  const query = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await server().query(url, query)).length === 0);
}

/** Repeats the work until it succeeds, at most 500 times. */
async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
