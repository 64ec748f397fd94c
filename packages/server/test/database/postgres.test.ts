import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import pg from 'pg';
import { classifyPostgresError, openPostgres } from '../../src/database/postgres.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import { type MetadataHarness, metadataConformance } from '../conformance/metadata.ts';
import { assertCheckedOnceWhileItHangs } from '../conformance/metadata-check.ts';
import { assertMigratesInitial } from '../conformance/metadata-earlier.ts';
import {
  accountOf,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
  START,
} from '../conformance/metadata-samples.ts';
import { INITIAL_DATABASE } from '../support/initial-schema.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

const { postgres, skip } = await startPostgres();

after(async () => {
  await postgres?.stop();
});

function server(): TestPostgres {
  assert.ok(postgres !== undefined);
  return postgres;
}

/** A migrated store over a new database. */
async function openNew(): Promise<{ url: string; store: MetadataStore }> {
  const url = await server().createDatabase();
  const store = await openPostgres({ url });
  await store.migrate();
  return { url, store };
}

metadataConformance(
  'PostgreSQL',
  async (): Promise<MetadataHarness> => {
    const { url, store } = await openNew();
    const opened = [store];
    const another = async () => {
      const other = await openPostgres({ url });
      opened.push(other);
      return other;
    };
    return {
      store,
      another,
      async reopen() {
        opened.splice(opened.indexOf(store), 1);
        await store.close();
        return another();
      },
      async unused() {
        const other = await openPostgres({ url: await server().createDatabase() });
        opened.push(other);
        return other;
      },
      run: (statement) => server().query(url, statement),
      async destroy() {
        for (const each of opened) await each.close();
      },
    };
  },
  { skip },
);

describe('PostgreSQL in particular', { skip }, () => {
  test('migrates a new database from five stores at once', async () => {
    const url = await server().createDatabase();
    const stores = await Promise.all(Array.from({ length: 5 }, () => openPostgres({ url })));
    await Promise.all(stores.map((store) => store.migrate()));
    for (const store of stores) {
      await store.check();
      await store.close();
    }
  });

  test('brings a database of the first version up to this one', async () => {
    const url = await server().createDatabase();
    for (const statement of INITIAL_DATABASE) await server().query(url, statement);
    const store = await openPostgres({ url });
    await assertMigratesInitial(store);
    await store.close();
  });

  test('refuses a database of a newer version, and says so', async () => {
    const { url, store } = await openNew();
    await server().query(
      url,
      `insert into kysely_migration values ('9999-from-the-future', '2099-01-01T00:00:00.000Z')`,
    );
    await assert.rejects(store.migrate(), /newer version of Vitrine.*9999-from-the-future/);
    await store.close();
  });

  // The lock of the account keeps well-behaved writers apart; here one ignores it, and only the constraint is left.
  test('names the image that a writer without the lock has added meanwhile', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const [first, other] = [newImage('first'), newImage('other')];
    await images.insert(first, { defaultQuota: 300 });
    await images.insert(other, { defaultQuota: 300 });
    const rogue = new pg.Client({ connectionString: url });
    await rogue.connect();

    const attempts = {
      'wanted 1': () => images.insert(newImage('wanted 1'), { defaultQuota: 300 }),
      'wanted 2': () =>
        images.replace(first.imageID, { original: originalOf('wanted 2'), updatedOn: later(1) }),
    };
    for (const [wanted, attempt] of Object.entries(attempts)) {
      await rogue.query('begin');
      await rogue.query('update images set digest = $1 where image_id = $2', [
        originalOf(wanted).digest,
        other.imageID,
      ]);
      const outcome = attempt();
      await waitingForLock(url);
      await rogue.query('commit');
      const settled = await outcome;
      assert.equal(settled.kind, 'duplicate');
      assert.equal(settled.kind === 'duplicate' && settled.existing.imageID, other.imageID);
    }
    await rogue.end();
    await store.close();
  });

  test('tries again after a deadlock', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const image = newImage('a');
    await images.insert(image, { defaultQuota: 300 });
    const rogue = new pg.Client({ connectionString: url });
    await rogue.connect();
    // Locks in the wrong order: the image, then (while the store has the account and wants the image) the account.
    await rogue.query('begin');
    // Far longer than the store's own, so that the store is the one that finds the deadlock and gives way.
    await rogue.query(`set local deadlock_timeout = '60s'`);
    await rogue.query('select 1 from images where image_id = $1 for update', [image.imageID]);
    const outcome = images.disable(image.imageID, later(1));
    await waitingForLock(url);
    await rogue.query('update accounts set display_name = display_name');
    await rogue.query('commit');
    assert.equal((await outcome).kind, 'disabled');
    await rogue.end();
    await store.close();
  });

  test('collects nothing that was held while the collector looked whether it is named', async () => {
    const { url, store } = await openNew();
    const rogue = new pg.Client({ connectionString: url });
    await rogue.connect();
    await rogue.query('begin');
    await rogue.query('lock table images in access exclusive mode');
    let removed = false;
    const outcome = store.maintenance.garbageCollect(digestOf('gone'), START, async () => {
      removed = true;
    });
    await waitingForLock(url);
    await store.maintenance.pauseCollection('backup', later(1_000_000));
    await rogue.query('commit');
    assert.deepEqual([await outcome, removed], ['paused', false]);
    await rogue.end();
    await store.close();
  });

  test('keeps times and counters as numbers, and other users of pg their parsers', async () => {
    const { url, store } = await openNew();
    const [row] = await server().query(url, 'select 1::int8 as n');
    assert.equal(row?.n, '1');
    await store.close();
  });

  test('answers “unavailable” where no server or database is', async () => {
    for (const url of ['postgres://vitrine@127.0.0.1:1/none', `${await server().createDatabase()}_not`]) {
      const store = await openPostgres({ url });
      await assert.rejects(store.check(), { name: 'AppError', code: 'unavailable', retryAfter: 1 });
      await assert.rejects(store.migrate(), { name: 'AppError', code: 'unavailable' });
      await store.close();
    }
  });

  test('has one connection at most for its check, however long that hangs', async () => {
    const { url, store } = await openNew();
    const rogue = new pg.Client({ connectionString: url });
    await rogue.connect();
    await assertCheckedOnceWhileItHangs(store, async () => {
      await rogue.query('begin');
      await rogue.query('lock table accounts');
      return async () => {
        await rogue.query('commit');
      };
    });
    await rogue.end();
    await store.close();
  });

  test('fails its check where records can be read but not written, as on a standby', async () => {
    const { url, store } = await openNew();
    const readOnly = `${url}${url.includes('?') ? '&' : '?'}options=-c%20default_transaction_read_only%3Don`;
    const standby = await openPostgres({ url: readOnly });
    assert.equal(await standby.accounts.isEmpty(), true);
    await assert.rejects(standby.check(), { name: 'AppError', code: 'unavailable' });
    await store.check();
    await standby.close();
    await store.close();
  });

  test('survives a connection that is ended while idle and while in use', async () => {
    const { url, store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const endOthers =
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
    await server().query(url, endOthers);
    assert.equal((await recovered(() => images.insert(newImage('a'), { defaultQuota: 9 }))).kind, 'inserted');

    const rogue = new pg.Client({ connectionString: url });
    rogue.on('error', () => {});
    await rogue.connect();
    await rogue.query('begin');
    await rogue.query('select 1 from accounts for update');
    const waiting = assert.rejects(images.insert(newImage('b'), { defaultQuota: 9 }), {
      name: 'AppError',
      code: 'unavailable',
    });
    await waitingForLock(url);
    await server().query(url, endOthers);
    await waiting;
    await rogue.end().catch(() => {});
    assert.equal((await recovered(() => images.insert(newImage('b'), { defaultQuota: 9 }))).kind, 'inserted');
    await store.close();
  });

  test('answers “unavailable” while the server is down after a crash, and recovers by itself', async () => {
    const { store } = await openNew();
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    const acknowledged: string[] = [];
    // Kept busy, so that the crash finds connections both idle and in the middle of a transaction.
    let down = false;
    const writers = Array.from({ length: 5 }, async (_, writer) => {
      for (let i = 0; !down; i += 1) {
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
    await recovered(async () => assert.ok(acknowledged.length > 10));
    await server().crash();
    await Promise.all(writers);
    down = true;
    await assert.rejects(store.check(), { name: 'AppError', code: 'unavailable' });
    await assert.rejects(images.list({ skip: 0, count: 1 }), { name: 'AppError', code: 'unavailable' });
    await assert.rejects(images.insert(newImage('x'), { defaultQuota: 9 }), { code: 'unavailable' });

    await server().start();
    await recovered(() => store.check());
    for (const imageID of acknowledged) assert.ok((await images.find(imageID)) !== undefined);
    const { total } = await images.list({ skip: 0, count: 1 });
    // A commit whose answer the crash cut off may have been made as well: one for each writer at most.
    assert.ok(total >= acknowledged.length && total <= acknowledged.length + 5);
    await store.close();
  });

  test('tells errors by their codes', async () => {
    const raised = async (state: string) =>
      server()
        .query(await anyURL(), `do $$ begin raise exception using errcode = '${state}'; end $$`)
        .then(() => assert.fail('Nothing was raised.'), classifyPostgresError);
    const codeOf = async (state: string) => (await raised(state)) as { code?: string };
    assert.equal((await codeOf('53100')).code, 'storage-full');
    for (const state of ['08006', '25006', '53300', '57014', '57P01', '57P03', '58030']) {
      assert.equal((await codeOf(state)).code, 'unavailable', state);
    }
    assert.equal(await raised('40001'), 'contention');
    assert.equal(await raised('40P01'), 'contention');
    assert.equal(await raised('23505'), 'unique-violation');
    assert.equal(await raised('42601'), undefined);
    assert.equal(classifyPostgresError(new TypeError('a defect')), undefined);
  });
});

let any: string | undefined;
async function anyURL(): Promise<string> {
  any ??= await server().createDatabase();
  return any;
}

/** Resolves once some backend of this database waits for a lock. */
async function waitingForLock(url: string): Promise<void> {
  const query = `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
  while ((await server().query(url, query)).length === 0);
}

/** The result of the work as soon as it succeeds. */
async function recovered<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 500) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
