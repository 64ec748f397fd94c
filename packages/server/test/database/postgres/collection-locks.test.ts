/**
 * Garbage collection beside uploads on PostgreSQL, with transactions held open at each step. Each test is one
 * row of the table in ADR 58. Real statements stop at locks that the test holds.
 */
import assert from 'node:assert/strict';
import { after, describe, type TestContext, test } from 'node:test';
import pg from 'pg';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import type { MetadataStore } from '../../../src/database/store.ts';
import type { AccountImages } from '../../../src/images/records.ts';
import {
  accountOf,
  BY,
  digestOf,
  later,
  newImage,
  originalOf,
  START,
} from '../../conformance/metadata-samples.ts';
import { startPostgres } from '../../support/postgres.ts';
import { waitFor } from '../../support/waiting.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const QUOTA = { defaultQuota: 300 };
const BYTES = 'the bytes';
const DIGEST = digestOf(BYTES);

/** The number of statements of Vitrine that wait for a lock. */
const WAITING = `select count(*)::int as count from pg_stat_activity
  where datname = current_database() and application_name = 'vitrine' and wait_event_type = 'Lock'`;

/** A text other than `BYTES` whose digest has the same lock row. */
const SIBLING = findSibling();

function findSibling(): string {
  for (let n = 0; ; n += 1) {
    const text = `sibling ${n}`;
    if (digestOf(text).slice(0, 2) === DIGEST.slice(0, 2)) return text;
  }
}

async function setUp(t: TestContext) {
  assert.ok(postgres);
  const { query } = postgres;
  const url = await postgres.createDatabase();
  const stores: MetadataStore[] = [];
  const clients: pg.Client[] = [];
  t.after(async () => {
    for (const client of clients) await client.end();
    for (const store of stores) await store.close();
  });
  const openStore = async () => {
    const store = await openPostgres({ url });
    stores.push(store);
    return store;
  };
  const store = await openStore();
  const another = await openStore();
  /** A transaction of the test. */
  const hold = async (...statements: string[]) => {
    const client = new pg.Client({ connectionString: url });
    clients.push(client);
    await client.connect();
    await client.query('begin');
    for (const statement of statements) await client.query(statement);
    return { release: () => client.query('rollback') };
  };
  const openAccount = async () => {
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    // Its line in the audit trail makes the row that `holdUpload` locks.
    const first = newImage(`first of ${account.accountID}`);
    await images.insert(first, QUOTA);
    return { ...account, images, first };
  };
  return {
    store,
    another,
    openAccount,
    /** Uploads of this account stop at their last statement. Their image is written, but not committed. */
    holdUpload: (accountID: string) =>
      hold(`select 1 from audit_heads where account_id = '${accountID}' for update`),
    /** A collector stops after it has found no reference, and before it writes its marker. */
    holdMarking: () => hold('lock table collection_holds in access exclusive mode'),
    waiting: (count: number) =>
      waitFor(
        `${count} statements wait for a lock`,
        async () => (await query(url, WAITING))[0]?.count,
        (value) => value === count,
      ),
    endConnections: () =>
      query(
        url,
        `select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and application_name = 'vitrine' and wait_event_type = 'Lock'`,
      ),
    query: (statement: string) => query(url, statement),
  };
}

/** A collector whose removal runs until `finish`. */
function startCollector(store: MetadataStore, digest = DIGEST) {
  const [started, finished] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let removals = 0;
  const outcome = store.maintenance.garbageCollect(digest, START, async () => {
    removals += 1;
    started.resolve();
    await finished.promise;
  });
  return { outcome, started: started.promise, finish: () => finished.resolve(), removals: () => removals };
}

/** A collector whose removal ends at once. */
function collect(store: MetadataStore, digest = DIGEST) {
  const collector = startCollector(store, digest);
  collector.finish();
  return collector;
}

describe('garbage collection on PostgreSQL', { skip }, () => {
  const changes = {
    upload: (images: AccountImages) => images.insert(newImage(BYTES), QUOTA),
    replace: (images: AccountImages, imageID: string) =>
      images.replace(imageID, { original: originalOf(BYTES), updatedOn: later(1) }),
  };
  for (const [name, change] of Object.entries(changes)) {
    test(`waits for an open ${name} of the same bytes, and keeps them`, async (t) => {
      const { another, openAccount, holdUpload, waiting } = await setUp(t);
      const { accountID, images, first } = await openAccount();
      const held = await holdUpload(accountID);
      const changing = change(images, first.imageID);
      await waiting(1);
      const collector = collect(another);
      await waiting(2);
      await held.release();
      assert.match((await changing).kind, /^(inserted|changed)$/);
      assert.equal(await collector.outcome, 'referenced');
      assert.equal(collector.removals(), 0);
    });

    test(`stops each ${name} that begins while it marks the bytes, until they were stored again`, async (t) => {
      const { another, openAccount, holdMarking, waiting } = await setUp(t);
      const { images, first } = await openAccount();
      const held = await holdMarking();
      const collector = startCollector(another);
      await waiting(1);
      const changing = change(images, first.imageID);
      await waiting(2);
      await held.release();
      // Either of them locks the marker first.
      const outcome = await Promise.race([changing, collector.started]);
      collector.finish();
      const changed = outcome ?? (await changing);
      assert.ok(changed.kind === 'collected');
      assert.ok(['collected', 'busy'].includes(await collector.outcome));
      assert.equal((await change(images, first.imageID)).kind, 'collected');
    });
  }

  test('collects the bytes of an open upload whose connection ends', async (t) => {
    const { another, openAccount, holdUpload, waiting, endConnections } = await setUp(t);
    const { accountID, images } = await openAccount();
    await holdUpload(accountID);
    const uploading = assert.rejects(images.insert(newImage(BYTES), QUOTA), { code: 'unavailable' });
    await waiting(1);
    await endConnections();
    await uploading;
    const collector = collect(another);
    assert.equal(await collector.outcome, 'collected');
    assert.equal(collector.removals(), 1);
  });

  test('makes an upload wait for a removal of the same bytes, and of no others', async (t) => {
    const { store, another, openAccount, waiting } = await setUp(t);
    const [one, two] = [await openAccount(), await openAccount()];
    const collector = startCollector(another);
    await collector.started;
    // A second collector does not wait, because it would stop the uploads of other originals meanwhile.
    assert.equal(await collect(store).outcome, 'busy');
    assert.equal(await collect(store, digestOf(SIBLING)).outcome, 'collected');
    const uploading = one.images.insert(newImage(BYTES), QUOTA);
    await waiting(1);
    const sibling = await two.images.insert(newImage(SIBLING), QUOTA);
    assert.equal(sibling.kind, 'collected');
    collector.finish();
    assert.equal(await collector.outcome, 'collected');
    const outcome = await uploading;
    assert.ok(outcome.kind === 'collected');
    const { token: markerToken } = outcome;
    assert.equal((await one.images.insert(newImage(BYTES), { ...QUOTA, markerToken })).kind, 'inserted');
  });

  test('waits for an open upload that has stored the bytes again, and keeps them', async (t) => {
    const { another, openAccount, holdUpload, waiting } = await setUp(t);
    const { accountID, images } = await openAccount();
    assert.equal(await collect(another).outcome, 'collected');
    const outcome = await images.insert(newImage(BYTES), QUOTA);
    assert.ok(outcome.kind === 'collected');
    const { token: markerToken } = outcome;
    const held = await holdUpload(accountID);
    const uploading = images.insert(newImage(BYTES), { ...QUOTA, markerToken });
    await waiting(1);
    const collector = collect(another);
    await waiting(2);
    await held.release();
    assert.equal((await uploading).kind, 'inserted');
    assert.equal(await collector.outcome, 'referenced');
    assert.equal(collector.removals(), 0);
  });

  test('makes an upload store the bytes a third time, if they were collected in between', async (t) => {
    const { another, openAccount, holdMarking, waiting } = await setUp(t);
    const { images } = await openAccount();
    assert.equal(await collect(another).outcome, 'collected');
    const first = await images.insert(newImage(BYTES), QUOTA);
    assert.ok(first.kind === 'collected');
    const held = await holdMarking();
    const collector = collect(another);
    await waiting(1);
    const uploading = images.insert(newImage(BYTES), { ...QUOTA, markerToken: first.token });
    await waiting(2);
    await held.release();
    const second = await uploading;
    assert.ok(second.kind === 'collected');
    assert.notEqual(second.token, first.token);
    assert.ok(['collected', 'busy'].includes(await collector.outcome));
  });

  test('refuses uploads when its lock rows are missing', async (t) => {
    const { another, openAccount, query } = await setUp(t);
    const { images } = await openAccount();
    await query('delete from collection_locks');
    const missing = { message: `the table collection_locks lacks its row ${DIGEST.slice(0, 2)}` };
    await assert.rejects(images.insert(newImage(BYTES), QUOTA), missing);
    await assert.rejects(collect(another).outcome, missing);
  });

  test('lets uploads of the same bytes by two accounts run at once', async (t) => {
    const { openAccount, holdUpload, waiting } = await setUp(t);
    const [one, two] = [await openAccount(), await openAccount()];
    const held = await holdUpload(one.accountID);
    const uploading = one.images.insert(newImage(BYTES), QUOTA);
    await waiting(1);
    assert.equal((await two.images.insert(newImage(BYTES), QUOTA)).kind, 'inserted');
    await held.release();
    assert.equal((await uploading).kind, 'inserted');
  });

  test('works with another default isolation level of the database', async (t) => {
    const { store, openAccount, holdUpload, waiting, query } = await setUp(t);
    const [{ name } = {}] = await query('select current_database() as name');
    await query(`alter database ${name} set default_transaction_isolation = 'repeatable read'`);
    const { accountID, images } = await openAccount();
    const held = await holdUpload(accountID);
    const uploading = images.insert(newImage(BYTES), QUOTA);
    await waiting(1);
    const collector = collect(store);
    await waiting(2);
    await held.release();
    assert.equal((await uploading).kind, 'inserted');
    assert.equal(await collector.outcome, 'referenced');
  });
});
