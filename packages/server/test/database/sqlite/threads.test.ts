/**
 * The threads of SQLite: the calls that a waiting write delays, the queues, and the outcome of transactions
 * whose thread ends.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../../../src/database/schema/tables.ts';
import { type KyselyOverThreads, kyselyOver } from '../../../src/database/sqlite/driver.ts';
import type { Statement } from '../../../src/database/sqlite/messages.ts';
import { classifySqliteError, openSqlite, type SqliteOptions } from '../../../src/database/sqlite/sqlite.ts';
import { SqliteThread } from '../../../src/database/sqlite/thread.ts';
import { AppError } from '../../../src/errors.ts';
import { assertOneCheckWhileHanging } from '../../conformance/metadata-check.ts';
import { accountOf, accountWithImage, BY, newImage } from '../../conformance/metadata-samples.ts';

/** A timeout that is longer than any test, in milliseconds. */
const NO_TIMEOUT = 60_000;

const QUOTA = { defaultQuota: 300 };
const UNAVAILABLE = { name: 'AppError', code: 'unavailable', retryAfter: 1 };

let folder: string;
let files = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vitrine-threads-'));
});
after(() => rm(folder, { recursive: true }));

function newPath(): string {
  files += 1;
  return join(folder, `${files}.db`);
}

/**
 * A migrated store with an account. `blockWrites` makes its writes wait, and returns a function that ends
 * this.
 */
async function openStore(options: Partial<SqliteOptions> = {}) {
  const path = newPath();
  const store = await openSqlite({ path, busyTimeout: NO_TIMEOUT, ...options });
  await store.migrate();
  const { images, first } = await accountWithImage(store);
  const blockWrites = () => {
    const other = new DatabaseSync(path);
    other.exec('begin immediate');
    return () => {
      other.exec('commit');
      other.close();
    };
  };
  return { path, store, images, first, blockWrites };
}

/** The state of a promise. It changes in the turn of the event loop in which the promise settles. */
function stateOf<T>(promise: Promise<T>) {
  const state = { isSettled: false };
  const settle = () => {
    state.isSettled = true;
  };
  promise.then(settle, settle);
  return state;
}

describe('a waiting write', () => {
  test('delays neither the event loop nor reads', async () => {
    const { store, images, first, blockWrites } = await openStore();
    const release = blockWrites();
    const write = images.insert(newImage('a'), QUOTA);
    const state = stateOf(write);
    for (let i = 0; i < 100; i += 1) await nextTurn();
    assert.equal((await images.list({ skip: 0, count: 20 })).total, 1);
    assert.equal((await store.findPublicImage(first.publicID))?.imageID, first.imageID);
    assert.equal(state.isSettled, false);
    release();
    assert.equal((await write).kind, 'inserted');
    assert.equal((await images.list({ skip: 0, count: 20 })).total, 2);
    await store.close();
  });

  test('makes other writes fail after their timeout, and then continues', async () => {
    const { store, images, blockWrites } = await openStore({ timeout: 100 });
    const release = blockWrites();
    const write = images.insert(newImage('a'), QUOTA);
    const state = stateOf(write);
    await assert.rejects(images.insert(newImage('b'), QUOTA), UNAVAILABLE);
    await assert.rejects(store.keys.touch('a key', new Date(), new Date()), UNAVAILABLE);
    assert.equal(state.isSettled, false);
    release();
    assert.equal((await write).kind, 'inserted');
    assert.equal((await images.insert(newImage('b'), QUOTA)).kind, 'inserted');
    await store.close();
  });

  test('delays the close of the store, which also waits for the writes behind it', async () => {
    const { path, store, images, blockWrites } = await openStore();
    const release = blockWrites();
    const writes = ['a', 'b', 'c'].map((bytes) => images.insert(newImage(bytes), QUOTA));
    await images.list({ skip: 0, count: 1 });
    const closing = store.close();
    const state = stateOf(closing);
    for (let i = 0; i < 100; i += 1) await nextTurn();
    assert.equal(state.isSettled, false);
    await assert.rejects(images.insert(newImage('d'), QUOTA));
    await assert.rejects(images.list({ skip: 0, count: 1 }));
    release();
    for (const outcome of await Promise.all(writes)) assert.equal(outcome.kind, 'inserted');
    await closing;
    assert.equal(existsSync(`${path}-wal`), false, 'the log was written back');
  });
});

describe('a read', () => {
  test('has all changes that were acknowledged before, also from another thread', async () => {
    const { store, images, blockWrites } = await openStore();
    // This lookup has to wait, so it starts the thread for lookups.
    const release = blockWrites();
    const write = images.insert(newImage('first'), QUOTA);
    await images.list({ skip: 0, count: 1 });
    release();
    await write;
    for (let i = 0; i < 30; i += 1) {
      const image = newImage(`image ${i}`);
      await images.insert(image, QUOTA);
      assert.equal((await images.find(image.imageID))?.publicID, image.publicID);
    }
    await store.close();
  });

  test('of a cancelled check does not prevent later writes', async () => {
    const { store, images } = await openStore();
    for (let i = 0; i < 50; i += 1) {
      const control = new AbortController();
      const checked = store.check(control.signal);
      if (i % 2 === 0) await Promise.resolve();
      control.abort();
      await assert.rejects(checked, { name: 'AppError', code: 'cancelled' });
    }
    assert.equal((await images.insert(newImage('a'), QUOTA)).kind, 'inserted');
    await store.close();
  });

  for (const [lane, atOnce] of [
    ['kysely', 8],
    ['searching', 1],
  ] as const) {
    test(`is not run if its timeout ends before its start: ${lane}`, async (t) => {
      // The timeout is shorter than the start of a thread.
      const over = await openThreads(t, newPath(), 1);
      // While the transaction has the write slot, reads go to the reader threads.
      await over.kysely.transaction().execute(async () => {
        const slow = Array.from({ length: 50 }, () => slowQuery(over[lane]).execute());
        for (const each of slow) await assert.rejects(each, UNAVAILABLE);
      });
      await over.close();
      assert.ok(over.reads() >= 1 && over.reads() <= atOnce, `${over.reads()} were run`);
    });
  }

  test('is not delayed by searches', async (t) => {
    const over = await openThreads(t);
    await insert('a').execute(over.kysely);
    // The first statement of Kysely takes longer.
    await slowQuery(over.searching).execute();
    await over.kysely.transaction().execute(async () => {
      const searches = Array.from({ length: 20 }, () => stateOf(slowQuery(over.searching).execute()));
      assert.deepEqual(await over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(), [{ a: 'a' }]);
      assert.equal(searches.at(-1)?.isSettled, false);
    });
  });

  test('is rejected at once if the queue is full', async (t) => {
    const over = await openThreads(t);
    await over.kysely.transaction().execute(async () => {
      const reads = Array.from({ length: 5_000 }, () =>
        over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(),
      );
      const outcomes = await Promise.allSettled(reads);
      const rejected = outcomes.filter(({ status }) => status === 'rejected');
      assert.ok(rejected.length > 0 && rejected.length < 1_000, `${rejected.length} were rejected`);
    });
  });
});

describe('the check', () => {
  test('fails if only the writer thread can read', async () => {
    const { path, store } = await openStore();
    await store.check();
    // The writer has the file open. A new connection cannot open it any more.
    await rename(path, `${path}-elsewhere`);
    // Two reads at the same time, so that the second one starts the thread for lookups.
    const reads = await Promise.allSettled([store.accounts.isEmpty(), store.accounts.isEmpty()]);
    assert.deepEqual(
      reads.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    await assert.rejects(store.check(), UNAVAILABLE);
    await rename(`${path}-elsewhere`, path);
    await store.check();
    await store.close();
  });

  test('that hangs is started again only after it has ended', async () => {
    const { store, blockWrites } = await openStore();
    await assertOneCheckWhileHanging(store, async () => {
      const release = blockWrites();
      return async () => release();
    });
    await store.close();
  });
});

/** A query that takes a thread some milliseconds and returns one row. */
function slowQuery(kysely: Kysely<Schema>) {
  const numbers = sql<{ n: number }>`(with recursive n (n) as
    (select 1 union all select n + 1 from n where n < 100000) select max(n) as n from n)`;
  return kysely.selectFrom(numbers.as('numbers')).selectAll();
}

/** Kysely over threads that the test can end. `threads` has all threads that were started. */
async function openThreads(
  t: TestContext,
  path = newPath(),
  timeout = NO_TIMEOUT,
): Promise<KyselyOverThreads & { threads: SqliteThread[]; reads: () => number }> {
  const threads: SqliteThread[] = [];
  let reads = 0;
  class CountingThread extends SqliteThread {
    override run(statement: Statement) {
      reads += 1;
      return super.run(statement);
    }
  }
  const newThread = (readOnly: boolean) => {
    const Thread = readOnly ? CountingThread : SqliteThread;
    const thread = new Thread({ path, busyTimeout: NO_TIMEOUT, readOnly });
    threads.push(thread);
    return thread;
  };
  const writer = newThread(false);
  const over = kyselyOver({
    writer,
    newWriter: () => newThread(false),
    newReader: () => newThread(true),
    timeout,
  });
  t.after(() => over.close());
  await sql`create table t (a text not null unique)`.execute(over.kysely);
  return { ...over, threads, reads: () => reads };
}

const insert = (a: string) => sql`insert into t values (${a})`;

async function values({ kysely }: KyselyOverThreads): Promise<string[]> {
  const { rows } = await sql<{ a: string }>`select a from t order by a`.execute(kysely);
  return rows.map(({ a }) => a);
}

describe('a thread', () => {
  test('that ends fails its transaction, and the next statement gets a new thread', async (t) => {
    const over = await openThreads(t);
    const outcome = over.kysely.transaction().execute(async (trx) => {
      await insert('lost').execute(trx);
      await over.threads[0]?.kill(new Error('killed'));
      // If this statement ran alone, half of the transaction would be stored.
      await insert('half').execute(trx);
    });
    await assert.rejects(outcome, UNAVAILABLE);
    await insert('next').execute(over.kysely);
    assert.deepEqual(await values(over), ['next']);
    assert.equal(over.threads.length, 2);
  });

  test('that ends fails its pending statements with the cause', async (t) => {
    const over = await openThreads(t);
    await over.kysely.transaction().execute(async (trx) => {
      // A lookup in another thread, because the writer has the transaction.
      const read = over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute();
      const failed = assert.rejects(read, (error) => {
        assert.equal(((classifySqliteError(error) as Error).cause as Error).message, 'killed');
        return true;
      });
      while (over.threads.length < 2) await nextTurn();
      await Promise.all([failed, over.threads[1]?.kill(new Error('killed'))]);
      await insert('a').execute(trx);
    });
    assert.deepEqual(await over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(), [{ a: 'a' }]);
    assert.equal(over.threads.length, 3);
  });

  test('opens the file again with each statement until it can be opened', async () => {
    const blocker = newPath();
    await writeFile(blocker, '');
    const thread = new SqliteThread({
      path: join(blocker, 'folder', 'a.db'),
      busyTimeout: NO_TIMEOUT,
      readOnly: false,
    });
    const statement = { sql: 'select 1 as one', parameters: [], inTransaction: false };
    const refusal = await thread.run(statement).catch((error: unknown) => classifySqliteError(error));
    assert.equal(refusal instanceof AppError && refusal.code, 'unavailable');
    await rm(blocker);
    assert.deepEqual(await thread.run(statement), { columns: ['one'], rows: [[1]], changes: 0 });
    await thread.close();
  });
});

describe('a transaction', () => {
  test('that SQLite rolled back runs no more statements', async (t) => {
    const over = await openThreads(t);
    const outcome = over.kysely.transaction().execute(async (trx) => {
      await insert('a').execute(trx);
      await sql`rollback`.execute(trx);
      await insert('b').execute(trx);
    });
    await assert.rejects(outcome, /no longer open/);
    await insert('c').execute(over.kysely);
    assert.deepEqual(await values(over), ['c']);
  });

  test('that cannot be committed is rolled back, and the next one runs', async (t) => {
    const over = await openThreads(t);
    await sql`create table child (a text references t (a) deferrable initially deferred)`.execute(
      over.kysely,
    );
    const outcome = over.kysely.transaction().execute(async (trx) => {
      await insert('a').execute(trx);
      await sql`insert into child values ('missing')`.execute(trx);
    });
    await assert.rejects(outcome, { errcode: 787 });
    await over.kysely.transaction().execute((trx) => insert('b').execute(trx));
    assert.deepEqual(await values(over), ['b']);
  });

  test('runs alone, in the order of arrival', async (t) => {
    const over = await openThreads(t);
    const order: string[] = [];
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        over.kysely.transaction().execute(async (trx) => {
          order.push(`${name} begins`);
          await insert(name).execute(trx);
          await nextTurn();
          order.push(`${name} ends`);
        }),
      ),
    );
    const expected = ['a', 'b', 'c', 'd'].flatMap((name) => [`${name} begins`, `${name} ends`]);
    assert.deepEqual(order, expected);
    assert.equal(over.threads.length, 1, 'no lookup had to wait');
  });
});

test('values and errors cross the thread boundary unchanged', async (t) => {
  const over = await openThreads(t);
  const bytes = new Uint8Array([0, 255]);
  const { rows } =
    await sql`select ${bytes} as bytes, ${null} as none, ${1.5} as number, ${2n ** 40n} as whole`.execute(
      over.kysely,
    );
  assert.deepEqual(rows, [{ bytes, none: null, number: 1.5, whole: 2 ** 40 }]);
  await insert('a').execute(over.kysely);
  const { numAffectedRows } = await sql`update t set a = 'b'`.execute(over.kysely);
  assert.equal(numAffectedRows, 1n);
  const twice = await insert('b')
    .execute(over.kysely)
    .catch((error: unknown) => error);
  assert.equal(classifySqliteError(twice), 'unique-violation');
  assert.match(String((twice as Error).stack), /sqlite\/worker/);
  await assert.rejects(sql`select ${{ not: () => 'data' }}`.execute(over.kysely), { name: 'DataCloneError' });
  await assert.rejects(sql`select ${1}, ${new Date()}`.execute(over.kysely), {
    code: 'ERR_INVALID_ARG_TYPE',
  });
  await assert.rejects(sql`select nonsense`.execute(over.kysely), /no such column: nonsense/);
});

test('columns keep their names when another process drops one', async (t) => {
  const path = newPath();
  const { kysely } = await openThreads(t, path);
  await sql`create table u (a text, b text)`.execute(kysely);
  await sql`insert into u values ('a', 'b')`.execute(kysely);
  const all = () => kysely.selectFrom(sql`u`.as('u')).selectAll().execute();
  assert.deepEqual(await all(), [{ a: 'a', b: 'b' }]);
  const other = new DatabaseSync(path);
  other.exec('alter table u drop column a');
  other.close();
  assert.deepEqual(await all(), [{ b: 'b' }]);
});

describe('a process', () => {
  for (const [name, end] of [
    ['with a closed store', 'await store.close();'],
    ['with an open store', ''],
  ] as const) {
    test(`${name} ends when it has nothing to do`, async () => {
      const path = newPath();
      const source = new URL('../../../src/database/sqlite/sqlite.ts', import.meta.url);
      const code = `
        import { openSqlite } from '${source}';
        const store = await openSqlite({ path: process.argv[1] });
        await store.migrate();
        // At the same time, so that each kind of thread starts.
        await Promise.all([store.accounts.isEmpty(), store.accounts.isEmpty(), store.keys.touch('a', new Date(), new Date())]);
        ${end}
        console.log('done');`;
      const options = ['--conditions=vitrine-source', '--input-type=module', '-e', code, path];
      const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.on('data', (chunk) => {
        output += chunk;
      });
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert.equal(output, 'done\n');
    });
  }
});

test('a second store of the process sees an account after the first store was closed', async () => {
  const path = newPath();
  const [one, two] = await Promise.all([openSqlite({ path }), openSqlite({ path })]);
  await one.migrate();
  const account = accountOf();
  await one.accounts.create(account, BY);
  await one.close();
  assert.equal((await two.accounts.find(account.accountID))?.displayName, account.displayName);
  await two.close();
});
