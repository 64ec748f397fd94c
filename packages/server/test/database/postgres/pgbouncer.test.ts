/**
 * The whole contract of the records through a real PgBouncer in transaction mode. It has fewer connections to
 * PostgreSQL than the stores have to it.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { metadataConformance } from '../../conformance/metadata.ts';
import { accountOf, BY, newImage } from '../../conformance/metadata-samples.ts';
import { pgBouncerMissing, startPgBouncer } from '../../faults/pgbouncer.ts';
import { startPostgres } from '../../support/postgres.ts';
import { createHarness } from './harness.ts';

const SERVER_CONNECTIONS = 4;

const missing = pgBouncerMissing();
const { postgres, skip } = missing ? { postgres: undefined, skip: missing } : await startPostgres();
const pooler =
  postgres && (await startPgBouncer({ port: postgres.port, serverConnections: SERVER_CONNECTIONS }));

after(async () => {
  await pooler?.stop();
  await postgres?.stop();
});

/** The PostgreSQL server of this run, and the pooler in front of it. */
function servers() {
  assert.ok(postgres && pooler);
  return { postgres, pooler };
}

metadataConformance(
  'PgBouncer in transaction mode',
  () => createHarness(servers().postgres, servers().pooler.through),
  { skip },
);

describe('a store through PgBouncer', { skip }, () => {
  it('adds images from sixty clients over four connections', async (t) => {
    const { postgres, pooler } = servers();
    const url = await postgres.createDatabase();
    const stores = await Promise.all(
      Array.from({ length: 6 }, () => openPostgres({ url: pooler.through(url) })),
    );
    t.after(() => Promise.all(stores.map((store) => store.close())));
    const accounts = Array.from({ length: 10 }, () => accountOf());
    for (const account of accounts) await stores[0]?.accounts.create(account, BY);
    const outcomes = await Promise.all(
      stores.flatMap((store, index) =>
        accounts.map(({ accountID }) =>
          store.forAccount(accountID, BY).insert(newImage(`image ${index}`), { defaultQuota: 100 }),
        ),
      ),
    );
    assert.equal(outcomes.filter(({ kind }) => kind === 'inserted').length, 60);
    const sessions = await postgres.query(
      url,
      `select count(*)::int as n from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid()`,
    );
    assert.ok(Number(sessions[0]?.n) <= SERVER_CONNECTIONS, JSON.stringify(sessions));
  });

  it('leaves no setting and no lock in the sessions that other clients get', async (t) => {
    const { postgres, pooler } = servers();
    const url = await postgres.createDatabase();
    const store = await openPostgres({ url: pooler.through(url) });
    t.after(() => store.close());
    const { accountID } = accountOf();
    await store.accounts.create({ ...accountOf(), accountID }, BY);
    await store.forAccount(accountID, BY).insert(newImage('a'), { defaultQuota: 9 });
    await store.migrate();
    const read = (statement: string) => postgres.query(pooler.through(url), statement);
    for (let i = 0; i < 2 * SERVER_CONNECTIONS; i += 1) {
      const [settings] = await read(
        `select current_setting('statement_timeout') as statement,
          current_setting('idle_in_transaction_session_timeout') as idle`,
      );
      assert.deepEqual(settings, { statement: '0', idle: '0' });
      assert.deepEqual(await read('select name from pg_prepared_statements'), []);
    }
    assert.deepEqual(await read(`select 1 from pg_locks where locktype = 'advisory'`), []);
  });
});
