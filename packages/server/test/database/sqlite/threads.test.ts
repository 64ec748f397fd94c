/**
 * SQLite beside the event loop: what a writer that waits holds up and what not, and what becomes of transactions whose
 * thread, or whose caller, is gone.
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
import { setImmediate as turn } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../../../src/database/schema/tables.ts';
import { type KyselyOverThreads, kyselyOver } from '../../../src/database/sqlite/driver.ts';
import type { Statement } from '../../../src/database/sqlite/messages.ts';
import { classifySqliteError, openSqlite, type SqliteOptions } from '../../../src/database/sqlite/sqlite.ts';
import { SqliteThread } from '../../../src/database/sqlite/thread.ts';
import { AppError } from '../../../src/errors.ts';
import { assertCheckedOnceWhileItHangs } from '../../conformance/metadata-check.ts';
import { accountOf, BY, furnishedAccount, newImage } from '../../conformance/metadata-samples.ts';

/** Far longer than any test: who waits this long would fail it. */
const FOREVER = 60_000;

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

/** A migrated store with an account, and a function that makes its writes wait until the one that it returns is called. */
async function furnished(options: Partial<SqliteOptions> = {}) {
  const path = newPath();
  const store = await openSqlite({ path, busyTimeout: FOREVER, ...options });
  await store.migrate();
  const { images, first } = await furnishedAccount(store);
  const holdWrites = () => {
    const other = new DatabaseSync(path);
    other.exec('begin immediate');
    return () => {
      other.exec('commit');
      other.close();
    };
  };
  return { path, store, images, first, holdWrites };
}

/** Whether a promise is settled, as far as this turn of the event loop knows. */
function watched<T>(promise: Promise<T>) {
  const state = { settled: false };
  const settle = () => {
    state.settled = true;
  };
  promise.then(settle, settle);
  return state;
}

describe('a write that waits', () => {
  test('holds up neither the event loop nor whoever reads', async () => {
    const { store, images, first, holdWrites } = await furnished();
    const release = holdWrites();
    const written = images.insert(newImage('a'), QUOTA);
    const state = watched(written);
    for (let i = 0; i < 100; i += 1) await turn();
    assert.equal((await images.list({ skip: 0, count: 20 })).total, 1);
    assert.equal((await store.findPublicImage(first.publicID))?.imageID, first.imageID);
    assert.equal(state.settled, false);
    release();
    assert.equal((await written).kind, 'inserted');
    assert.equal((await images.list({ skip: 0, count: 20 })).total, 2);
    await store.close();
  });

  test('makes other writes wait no longer than they are ready to, and then goes on', async () => {
    const { store, images, holdWrites } = await furnished({ timeout: 100 });
    const release = holdWrites();
    const written = images.insert(newImage('a'), QUOTA);
    const state = watched(written);
    await assert.rejects(images.insert(newImage('b'), QUOTA), UNAVAILABLE);
    await assert.rejects(store.keys.touch('a key', new Date(), new Date()), UNAVAILABLE);
    assert.equal(state.settled, false);
    release();
    assert.equal((await written).kind, 'inserted');
    assert.equal((await images.insert(newImage('b'), QUOTA)).kind, 'inserted');
    await store.close();
  });

  test('is ended by the close of the store, which waits for it and for those behind it', async () => {
    const { path, store, images, holdWrites } = await furnished();
    const release = holdWrites();
    const written = ['a', 'b', 'c'].map((bytes) => images.insert(newImage(bytes), QUOTA));
    await images.list({ skip: 0, count: 1 });
    const closed = store.close();
    const state = watched(closed);
    for (let i = 0; i < 100; i += 1) await turn();
    assert.equal(state.settled, false);
    await assert.rejects(images.insert(newImage('d'), QUOTA));
    await assert.rejects(images.list({ skip: 0, count: 1 }));
    release();
    for (const outcome of await Promise.all(written)) assert.equal(outcome.kind, 'inserted');
    await closed;
    assert.equal(existsSync(`${path}-wal`), false, 'the log was written back');
  });
});

describe('what is read', () => {
  test('is what was acknowledged before, by whichever thread it was written', async () => {
    const { store, images, holdWrites } = await furnished();
    // From here on there is a thread that reads.
    const release = holdWrites();
    const written = images.insert(newImage('first of them'), QUOTA);
    await images.list({ skip: 0, count: 1 });
    release();
    await written;
    for (let i = 0; i < 30; i += 1) {
      const image = newImage(`image ${i}`);
      await images.insert(image, QUOTA);
      assert.equal((await images.find(image.imageID))?.publicID, image.publicID);
    }
    await store.close();
  });

  test('to check may be given up, which leaves nothing behind', async () => {
    const { store, images } = await furnished();
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
    test(`and given up before it began is not run: ${lane}`, async (t) => {
      // Less than it takes a thread to start.
      const over = await openThreads(t, newPath(), 1);
      // While this has the turn to write, whatever is read is read elsewhere.
      await over.kysely.transaction().execute(async () => {
        const slow = Array.from({ length: 50 }, () => slowly(over[lane]).execute());
        for (const each of slow) await assert.rejects(each, UNAVAILABLE);
      });
      await over.close();
      assert.ok(over.reads() >= 1 && over.reads() <= atOnce, `${over.reads()} were run`);
    });
  }

  test('is not held up by searches', async (t) => {
    const over = await openThreads(t);
    await insert('a').execute(over.kysely);
    // Kysely takes its time over the first of its statements.
    await slowly(over.searching).execute();
    await over.kysely.transaction().execute(async () => {
      const searches = Array.from({ length: 20 }, () => watched(slowly(over.searching).execute()));
      assert.deepEqual(await over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(), [{ a: 'a' }]);
      assert.equal(searches.at(-1)?.settled, false);
    });
  });

  test('beyond what may wait is refused at once', async (t) => {
    const over = await openThreads(t);
    await over.kysely.transaction().execute(async () => {
      const reads = Array.from({ length: 5_000 }, () =>
        over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(),
      );
      const outcomes = await Promise.allSettled(reads);
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      assert.ok(refused.length > 0 && refused.length < 1_000, `${refused.length} were refused`);
    });
  });
});

describe('the check', () => {
  test('fails when only who writes can still read', async () => {
    const { path, store } = await furnished();
    await store.check();
    // The writer has the file open; whoever opens it from now on finds none.
    await rename(path, `${path}-elsewhere`);
    // At once, so that somebody would have to wait, and there is a thread that reads.
    const read = await Promise.allSettled([store.accounts.isEmpty(), store.accounts.isEmpty()]);
    assert.deepEqual(
      read.map(({ status }) => status),
      ['fulfilled', 'rejected'],
    );
    await assert.rejects(store.check(), UNAVAILABLE);
    await rename(`${path}-elsewhere`, path);
    await store.check();
    await store.close();
  });

  test('that hangs is not begun again before it has ended, though it is told to stop', async () => {
    const { store, holdWrites } = await furnished();
    await assertCheckedOnceWhileItHangs(store, async () => {
      const release = holdWrites();
      return async () => release();
    });
    await store.close();
  });
});

/** Some milliseconds of work for a thread before it gives one row. */
function slowly(kysely: Kysely<Schema>) {
  const numbers = sql<{ n: number }>`(with recursive n (n) as
    (select 1 union all select n + 1 from n where n < 100000) select max(n) as n from n)`;
  return kysely.selectFrom(numbers.as('numbers')).selectAll();
}

/** Kysely over threads that the test can end, and all of them so far. */
async function openThreads(
  t: TestContext,
  path = newPath(),
  timeout = FOREVER,
): Promise<KyselyOverThreads & { threads: SqliteThread[]; reads: () => number }> {
  const threads: SqliteThread[] = [];
  let reads = 0;
  class CountingThread extends SqliteThread {
    override run(statement: Statement) {
      reads += 1;
      return super.run(statement);
    }
  }
  const thread = (readOnly: boolean) => {
    const kind = readOnly ? CountingThread : SqliteThread;
    const started = new kind({ path, busyTimeout: FOREVER, readOnly });
    threads.push(started);
    return started;
  };
  const writer = thread(false);
  const over = kyselyOver({
    writer,
    newWriter: () => thread(false),
    newReader: () => thread(true),
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

describe('a thread that ends', () => {
  test('fails the transaction that it had, and whoever comes next gets another', async (t) => {
    const over = await openThreads(t);
    const outcome = over.kysely.transaction().execute(async (trx) => {
      await insert('lost').execute(trx);
      await over.threads[0]?.kill(new Error('killed'));
      // Were this one done on its own, half a transaction would stay.
      await insert('half').execute(trx);
    });
    await assert.rejects(outcome, UNAVAILABLE);
    await insert('next').execute(over.kysely);
    assert.deepEqual(await values(over), ['next']);
    assert.equal(over.threads.length, 2);
  });

  test('fails whoever waits for its answer, with the cause', async (t) => {
    const over = await openThreads(t);
    await over.kysely.transaction().execute(async (trx) => {
      // Of another thread, because this one has its transaction.
      const read = over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute();
      const failed = assert.rejects(read, (error) => {
        assert.equal(((classifySqliteError(error) as Error).cause as Error).message, 'killed');
        return true;
      });
      while (over.threads.length < 2) await turn();
      await Promise.all([failed, over.threads[1]?.kill(new Error('killed'))]);
      await insert('a').execute(trx);
    });
    assert.deepEqual(await over.kysely.selectFrom(sql`t`.as('t')).selectAll().execute(), [{ a: 'a' }]);
    assert.equal(over.threads.length, 3);
  });

  test('is not needed for a file that cannot be opened, which is tried again with each statement', async () => {
    const below = newPath();
    await writeFile(below, '');
    const thread = new SqliteThread({
      path: join(below, 'folder', 'a.db'),
      busyTimeout: FOREVER,
      readOnly: false,
    });
    const statement = { sql: 'select 1 as one', parameters: [], inTransaction: false };
    const refused = await thread.run(statement).catch((error: unknown) => classifySqliteError(error));
    assert.equal(refused instanceof AppError && refused.code, 'unavailable');
    await rm(below);
    assert.deepEqual(await thread.run(statement), { columns: ['one'], rows: [[1]], changes: 0 });
    await thread.close();
  });
});

describe('a transaction', () => {
  test('that SQLite took back is not continued outside of one', async (t) => {
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

  test('that cannot be committed is taken back, and the next one begins', async (t) => {
    const over = await openThreads(t);
    await sql`create table child (a text references t (a) deferrable initially deferred)`.execute(
      over.kysely,
    );
    const outcome = over.kysely.transaction().execute(async (trx) => {
      await insert('a').execute(trx);
      await sql`insert into child values ('nobody')`.execute(trx);
    });
    await assert.rejects(outcome, { errcode: 787 });
    await over.kysely.transaction().execute((trx) => insert('b').execute(trx));
    assert.deepEqual(await values(over), ['b']);
  });

  test('has its turn alone, and in the order of asking', async (t) => {
    const over = await openThreads(t);
    const order: string[] = [];
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        over.kysely.transaction().execute(async (trx) => {
          order.push(`${name} begins`);
          await insert(name).execute(trx);
          await turn();
          order.push(`${name} ends`);
        }),
      ),
    );
    const expected = ['a', 'b', 'c', 'd'].flatMap((name) => [`${name} begins`, `${name} ends`]);
    assert.deepEqual(order, expected);
    assert.equal(over.threads.length, 1, 'nobody read meanwhile');
  });
});

test('values and errors cross as they are', async (t) => {
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

test('columns keep their names when another process takes one away', async (t) => {
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
  for (const [what, end] of [
    ['that closed its store', 'await store.close();'],
    ['that forgot to', ''],
  ] as const) {
    test(`${what} ends by itself`, async () => {
      const path = newPath();
      const source = new URL('../../../src/database/sqlite/sqlite.ts', import.meta.url);
      const code = `
        import { openSqlite } from '${source}';
        const store = await openSqlite({ path: process.argv[1] });
        await store.migrate();
        // At once, so that there is a thread for each.
        await Promise.all([store.accounts.isEmpty(), store.accounts.isEmpty(), store.keys.touch('a', new Date(), new Date())]);
        ${end}
        console.log('done');`;
      const options = ['--conditions=vitrine-source', '--input-type=module', '-e', code, path];
      const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
      });
      assert.deepEqual(await once(child, 'close'), [0, null]);
      assert.equal(said, 'done\n');
    });
  }
});

test('an account is there for all stores of a process, and for those after it', async () => {
  const path = newPath();
  const [one, two] = await Promise.all([openSqlite({ path }), openSqlite({ path })]);
  await one.migrate();
  const account = accountOf();
  await one.accounts.create(account, BY);
  await one.close();
  assert.equal((await two.accounts.find(account.accountID))?.displayName, account.displayName);
  await two.close();
});
