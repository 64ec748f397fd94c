/**
 * The store while PostgreSQL is in trouble. A proxy harms the connections to a real server, or another client
 * holds its locks.
 */
import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import {
  openPostgres,
  POSTGRES_LIMITS,
  type PostgresLimits,
} from '../../../src/database/postgres/postgres.ts';
import { isAppError } from '../../../src/errors.ts';
import { accountOf, BY, newImage } from '../../conformance/metadata-samples.ts';
import { pgBouncerMissing, startPgBouncer } from '../../faults/pgbouncer.ts';
import { startTCPProxy } from '../../faults/tcp-proxy.ts';
import { startPostgres } from '../../support/postgres.ts';
import { waitFor } from '../../support/waiting.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

const NEVER = 600_000;
/** No busy machine reaches them. Tests of deadlines set their own. */
/** The message to the server, which ends with a zero. A transaction also begins with “read committed”. */
const COMMIT = 'commit\0';
const PATIENT = {
  wait: NEVER,
  statement: NEVER,
  transaction: NEVER,
  longStatement: NEVER,
  suspicion: NEVER,
  probe: NEVER,
};
const QUOTA = { defaultQuota: 1_000_000 };

const away = (error: unknown) => isAppError(error, 'unavailable') && (error.retryAfter ?? 0) > 0;

async function setUp(t: TestContext, limits: Partial<PostgresLimits> = {}, connections = 10) {
  assert.ok(postgres);
  const server = postgres;
  const direct = await server.createDatabase();
  const proxy = await startTCPProxy(server.port);
  const warnings: string[] = [];
  const log = { warn: (_fields: unknown, message: string) => void warnings.push(message) };
  const url = proxy.through(direct);
  const store = await openPostgres({ url, connections, log, limits: { ...PATIENT, ...limits } });
  const account = accountOf();
  const helper = await openPostgres({ url: direct });
  await helper.accounts.create(account, BY);
  const image = newImage('an image');
  await helper.forAccount(account.accountID, BY).insert(image, QUOTA);
  await helper.close();
  t.after(async () => {
    await store.close();
    await proxy.close();
  });
  return {
    proxy,
    store,
    warnings,
    account,
    image,
    images: store.forAccount(account.accountID, BY),
    query: (statement: string) => server.query(direct, statement),
    look: () => store.findPublicImage(image.publicID),
    isAnswering: () =>
      store.findPublicImage(image.publicID).then(
        () => true,
        () => false,
      ),
    /** Holds a lock in another session. @returns a function that releases it. */
    async lock(statement: string) {
      const client = new pg.Client({ connectionString: direct });
      await client.connect();
      await client.query('begin');
      await client.query(statement);
      let isReleased = false;
      const release = async () => {
        if (!isReleased) await client.end();
        isReleased = true;
      };
      t.after(release);
      return release;
    },
    /** The number of sessions of the store that wait for a lock. */
    async waiters() {
      const rows = await server.query(
        direct,
        `select 1 from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rows.length;
    },
  };
}

describe('a store whose PostgreSQL hangs', { skip }, () => {
  it('keeps the notice of a server that hangs, and each statement, within two seconds', () => {
    const { suspicion, probe, statement } = POSTGRES_LIMITS;
    assert.ok(suspicion + probe < 1_500);
    assert.ok(statement + 200 < 2_000);
  });

  it('gives up all waiting statements, then fails at once, and recovers by itself', async (t) => {
    const { proxy, store, images, look, isAnswering, warnings } = await setUp(t, {
      suspicion: 200,
      probe: 300,
    });
    await look();
    proxy.fault = 'silence';
    await Promise.all([
      ...Array.from({ length: 30 }, () => assert.rejects(look(), away)),
      ...Array.from({ length: 30 }, (_, i) => assert.rejects(images.insert(newImage(`${i}`), QUOTA), away)),
      assert.rejects(images.list({ skip: 0, count: 1 }, { search: 'a' }), away),
      assert.rejects(store.check(), away),
    ]);
    assert.deepEqual(warnings, ['the database hangs: calls fail at once']);
    const { total } = proxy.connections();
    for (let i = 0; i < 50; i += 1) await assert.rejects(look(), away);
    assert.ok(proxy.connections().total <= total + 2, 'at most one trial and its probe went to the server');
    await waitFor(
      'the connections are closed',
      () => proxy.connections().now,
      (now) => now <= 2,
    );
    proxy.fault = undefined;
    await waitFor('the store answers again', isAnswering);
    assert.equal(warnings.at(-1), 'the database answers again');
    assert.equal((await images.insert(newImage('after'), QUOTA)).kind, 'inserted');
  });

  it('notices a server that hangs while the only statement has no deadline', async (t) => {
    const { proxy, store, lock, waiters } = await setUp(t, { suspicion: 200, probe: 300 });
    const release = await lock('lock table images in access exclusive mode');
    const counting = store.maintenance.snapshot((snapshot) => snapshot.countOriginals());
    const rejection = assert.rejects(counting, away);
    await waitFor('the snapshot waits', async () => (await waiters()) === 1);
    proxy.fault = 'silence';
    await rejection;
    await release();
  });

  it('takes neither a slow statement nor a busy process for a server that hangs', async (t) => {
    const { images, lock, waiters, warnings } = await setUp(t, { suspicion: 50 });
    const release = await lock('select 1 from accounts for update');
    const insertion = images.insert(newImage('slow'), QUOTA);
    await waitFor('the insertion waits', async () => (await waiters()) === 1);
    // Longer than many suspicions, with a process that does nothing else for half of the time.
    for (let i = 0; i < 5; i += 1) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      await pause(100);
    }
    await release();
    assert.equal((await insertion).kind, 'inserted');
    assert.deepEqual(warnings, []);
  });

  it('gives up only a dead connection when the server answers on others', async (t) => {
    const { proxy, look, images, isAnswering, warnings } = await setUp(t, { suspicion: 200 });
    await Promise.all(Array.from({ length: 10 }, look));
    proxy.silenceOpen();
    const outcomes = await Promise.allSettled([look(), images.insert(newImage('b'), QUOTA)]);
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
    // The others of the pool are dead too, and are not tried one after the other.
    assert.equal(await isAnswering(), true);
    assert.equal((await images.insert(newImage('c'), QUOTA)).kind, 'inserted');
    assert.deepEqual(warnings, [], 'the circuit stays closed');
    await waitFor(
      'the dead connections are closed',
      () => proxy.connections().now,
      (now) => now <= 3,
    );
  });

  it('gives up a connection that cannot be made', async (t) => {
    const { proxy, look, isAnswering } = await setUp(t, { suspicion: 200, probe: 300 });
    proxy.fault = 'silence';
    await assert.rejects(look(), away);
    proxy.fault = 'trickle';
    await assert.rejects(look(), away);
    await proxy.refuse();
    await assert.rejects(look(), away);
    await proxy.accept();
    proxy.fault = undefined;
    await waitFor('the store answers again', isAnswering);
  });

  it('lets a bounded number of callers wait', async (t) => {
    const { proxy, look } = await setUp(t, { suspicion: 500, probe: 500 });
    await look();
    proxy.fault = 'silence';
    let refusals = 0;
    const lookups = Array.from({ length: 3_000 }, () =>
      look().catch((error: Error) => {
        if (/queue is full/.test(String(error.cause))) refusals += 1;
      }),
    );
    await Promise.all(lookups);
    assert.equal(refusals, 3_000 - 1_000 - 10);
  });
});

describe('a store whose PostgreSQL is slow', { skip }, () => {
  it('leaves connections free for lookups while writers and searches wait', async (t) => {
    const { images, lock, waiters, look } = await setUp(t);
    const release = await lock('select 1 from accounts for update');
    const writes = Array.from({ length: 20 }, (_, i) => images.insert(newImage(`w${i}`), QUOTA));
    await waitFor('eight of ten connections wait for the lock', async () => (await waiters()) === 8);
    await Promise.all(Array.from({ length: 100 }, look));
    assert.equal(await waiters(), 8);
    await release();
    for (const outcome of await Promise.all(writes)) assert.equal(outcome.kind, 'inserted');
  });

  it('lets accounts take turns', async (t) => {
    const { store, images, lock, waiters, account } = await setUp(t, {}, 2);
    const other = accountOf();
    await store.accounts.create(other, BY);
    const release = await lock(`select 1 from accounts where account_id = '${account.accountID}' for update`);
    const order: string[] = [];
    const writes = Array.from({ length: 20 }, (_, i) =>
      images.insert(newImage(`w${i}`), QUOTA).then(() => order.push('busy')),
    );
    await waitFor('the only connection for writers waits for the lock', async () => (await waiters()) === 1);
    const write = store
      .forAccount(other.accountID, BY)
      .insert(newImage('x'), QUOTA)
      .then(() => order.push('other'));
    await release();
    await Promise.all([...writes, write]);
    assert.ok(order.indexOf('other') <= 2, order.join(' '));
  });

  it('refuses a writer that gets no connection in time', async (t) => {
    const { images, lock, waiters, look } = await setUp(t, { wait: 200 }, 2);
    const release = await lock('select 1 from accounts for update');
    const first = images.insert(newImage('first'), QUOTA);
    await waitFor('the first writer waits for the lock', async () => (await waiters()) === 1);
    await assert.rejects(images.insert(newImage('second'), QUOTA), away);
    assert.ok(await look());
    await release();
    assert.equal((await first).kind, 'inserted');
  });

  it('ends a transaction and a single statement that take too long, also on the server', async (t) => {
    const { images, look, lock, waiters, warnings } = await setUp(t, { statement: 300, transaction: 300 });
    const release = await lock('lock table images in access exclusive mode');
    await Promise.all([
      assert.rejects(look(), away),
      assert.rejects(images.insert(newImage('late'), QUOTA), away),
    ]);
    await waitFor('no statement runs on the server', async () => (await waiters()) === 0);
    await release();
    assert.ok(await look());
    assert.equal((await images.insert(newImage('late'), QUOTA)).kind, 'inserted');
    assert.deepEqual(warnings, []);
  });

  it('ends a transaction whose client is gone, although it holds a lock', async (t) => {
    const { proxy, images, look, query, lock, waiters } = await setUp(t, {
      statement: 500,
      transaction: 500,
    });
    const release = await lock('lock table images in access exclusive mode');
    const insertion = assert.rejects(images.insert(newImage('gone'), QUOTA), away);
    await waitFor('the insertion waits', async () => (await waiters()) === 1);
    // The server never hears from the client again, as when its machine loses power.
    proxy.silenceOpen();
    proxy.fault = 'silence';
    await insertion;
    await waitFor('the statement ends by its own timeout', async () => (await waiters()) === 0);
    proxy.fault = undefined;
    await release();
    await waitFor('the lock of the account is free', () =>
      query('select 1 from accounts for update nowait').then(
        () => true,
        () => false,
      ),
    );
    assert.ok(await look());
  });
});

describe('a store whose PostgreSQL fails', { skip }, () => {
  it('does not acknowledge a commit without an answer, and does not repeat it', async (t) => {
    const { proxy, images, account, query, isAnswering } = await setUp(t, { suspicion: 200 });
    const image = newImage('unknown');
    proxy.losesAnswer = (sent) => sent.includes(COMMIT);
    await assert.rejects(images.insert(image, QUOTA), away);
    proxy.losesAnswer = undefined;
    await waitFor('the store answers again', isAnswering);
    assert.equal((await images.find(image.imageID))?.imageID, image.imageID, 'it was committed');
    const [counters] = await query(
      `select image_count as n from accounts where account_id = '${account.accountID}'`,
    );
    assert.equal(Number(counters?.n), 2);
    // The client learns the truth from its retry.
    const retry = await images.insert(newImage('unknown'), QUOTA);
    assert.equal(retry.kind === 'duplicate' && retry.existing.imageID, image.imageID);
  });

  it('gives a retry with an idempotency key the image of a commit without an answer', async (t) => {
    const { proxy, images, isAnswering } = await setUp(t, { suspicion: 200 });
    const image = newImage('keyed');
    const idempotency = { key: 'k', fingerprint: 'f', notBefore: new Date(0) };
    proxy.losesAnswer = (sent) => sent.includes(COMMIT);
    await assert.rejects(images.insert(image, { ...QUOTA, idempotency }), away);
    proxy.losesAnswer = undefined;
    await waitFor('the store answers again', isAnswering);
    const retry = await images.insert(newImage('keyed'), { ...QUOTA, idempotency });
    assert.equal(retry.kind === 'replayed' && retry.image.imageID, image.imageID);
  });

  it('rejects statements in use and recovers after connections break', async (t) => {
    const { proxy, images, look, lock, waiters } = await setUp(t);
    const release = await lock('select 1 from accounts for update');
    const insertion = assert.rejects(images.insert(newImage('broken'), QUOTA), away);
    await waitFor('the insertion waits', async () => (await waiters()) === 1);
    proxy.reset();
    await insertion;
    await release();
    assert.ok(await look());
  });

  it('uses its connections on while the server refuses further ones', async (t) => {
    const { query, store, look } = await setUp(t, { suspicion: 200 }, 4);
    const [row] = await query('select current_database() as name');
    await look();
    await query(`alter database ${row?.name} connection limit 1`);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, look));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    assert.ok(refused.length < 20, 'the one connection is used');
    for (const { reason } of refused) assert.ok(away(reason), String(reason));
    assert.ok(await look());
    await query(`alter database ${row?.name} connection limit -1`);
    await store.check();
  });

  it('replaces all connections when one of them is read-only', async (t) => {
    const { proxy, query, look, images } = await setUp(t);
    const [row] = await query('select current_database() as name');
    await query(`alter database ${row?.name} set default_transaction_read_only = on`);
    await Promise.all(Array.from({ length: 10 }, look));
    await query(`begin read write; alter database ${row?.name} reset default_transaction_read_only; commit`);
    await assert.rejects(images.insert(newImage('refused'), QUOTA), away);
    // No session has the old setting any more.
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) => images.insert(newImage(`ok ${i}`), QUOTA)),
    );
    assert.ok(outcomes.every(({ kind }) => kind === 'inserted'));
    assert.ok(proxy.connections().total >= 18);
  });

  it('opens a bounded number of connections, and none leaks', async (t) => {
    const { proxy, store, images, look, isAnswering } = await setUp(t, { suspicion: 100, probe: 200 });
    const burst = () =>
      Promise.allSettled([
        ...Array.from({ length: 100 }, look),
        ...Array.from({ length: 50 }, () => images.insert(newImage(String(Math.random())), QUOTA)),
        ...Array.from({ length: 20 }, () => images.list({ skip: 0, count: 1 }, { search: 'a' })),
      ]);
    for (const harm of [
      () => {
        proxy.fault = 'silence';
      },
      () => proxy.silenceOpen(),
      () => proxy.reset(),
      () => proxy.refuse(),
      () => {
        proxy.fault = 'trickle';
      },
    ]) {
      await burst();
      const running = burst();
      await harm();
      await running;
      await burst();
      proxy.fault = undefined;
      await proxy.accept().catch(() => undefined);
      await waitFor('the store answers again', isAnswering);
    }
    // Ten and a probe. The proxy notices the end of a connection later than the client, which opens the next.
    assert.ok(proxy.connections().most <= 25, `${proxy.connections().most} connections`);
    await store.close();
    await waitFor('all connections are closed', () => proxy.connections().now === 0);
  });
});

describe('a store through PgBouncer whose PostgreSQL hangs', { skip: skip || pgBouncerMissing() }, () => {
  it('gives up waiting statements, and recovers by itself', async (t) => {
    assert.ok(postgres);
    const direct = await postgres.createDatabase();
    const proxy = await startTCPProxy(postgres.port);
    const pooler = await startPgBouncer({ port: proxy.port, serverConnections: 4 });
    const limits = { ...PATIENT, suspicion: 200, probe: 500 };
    const store = await openPostgres({ url: pooler.through(direct), limits, connections: 4 });
    t.after(async () => {
      await store.close();
      await pooler.stop();
      await proxy.close();
    });
    const account = accountOf();
    await store.accounts.create(account, BY);
    const images = store.forAccount(account.accountID, BY);
    proxy.fault = 'silence';
    await Promise.all([
      assert.rejects(store.accounts.isEmpty(), away),
      assert.rejects(images.insert(newImage('a'), QUOTA), away),
    ]);
    proxy.fault = undefined;
    await waitFor('the store answers again', () =>
      images.insert(newImage('b'), QUOTA).then(
        ({ kind }) => kind === 'inserted',
        () => false,
      ),
    );
  });

  it('cancels a statement that takes too long', async (t) => {
    assert.ok(postgres);
    const server = postgres;
    const direct = await server.createDatabase();
    const pooler = await startPgBouncer({ port: server.port, serverConnections: 4 });
    const limits = { ...PATIENT, statement: 300 };
    const store = await openPostgres({ url: pooler.through(direct), limits });
    t.after(async () => {
      await store.close();
      await pooler.stop();
    });
    const client = new pg.Client({ connectionString: direct });
    await client.connect();
    await client.query('begin');
    await client.query('lock table accounts in access exclusive mode');
    await assert.rejects(store.accounts.isEmpty(), away);
    const waiters = `select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`;
    await waitFor('no statement runs on the server', async () => {
      return (await server.query(direct, waiters)).length === 0;
    });
    await client.query('rollback');
    await client.end();
    assert.equal(await store.accounts.isEmpty(), true);
  });
});
