/**
 * The store over PostgreSQL. pg is loaded when a store is opened: a server on SQLite does not need it.
 */
import { Kysely, sql } from 'kysely';
import type pg from 'pg';
import type { Database } from '../dialect.ts';
import { migrate } from '../schema/migrate.ts';
import { migrationsFor } from '../schema/migrations.ts';
import type { Schema } from '../schema/tables.ts';
import { SearchLimiter } from '../search-limiter.ts';
import { SqlMetadataStore } from '../sql/store.ts';
import type { MetadataStore } from '../store.ts';
import { classifyPostgresError } from './errors.ts';
import { migrationLocks, RowLockDialect } from './migrating.ts';
import { TranslatingPool } from './pool.ts';
import { findText, postgresMigrations } from './search.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters of pg. */
  readonly url: string;
  /** True: changes that public links show add a purge of caches. */
  readonly purges?: boolean;
}

// All in milliseconds.
const STATEMENT_TIMEOUT = 5_000;
const IDLE_IN_TRANSACTION_TIMEOUT = 10_000;
// For a server that stops answering. It is longer than the statement timeout, which the server itself
// applies.
const ANSWER_TIMEOUT = 8_000;

const MAX_CONNECTIONS = 10;

/** One holds the lock of the migrations. The others are for parts that run while servers work. */
const MIGRATION_CONNECTIONS = 4;

/** Half of the connections. The others stay free for lookups and writes. */
const SEARCH_SLOTS = 5;

/** Opens a store over a pool of connections. The first call makes the first connection, and may fail. */
export async function openPostgres({ url, purges = false }: PostgresOptions): Promise<MetadataStore> {
  const { default: driver } = await import('pg');

  const kyselyOver = (settings: pg.PoolConfig): Kysely<Schema> => {
    const pool = new TranslatingPool(driver, { ...settings, connectionString: url });
    return new Kysely<Schema>({ dialect: new RowLockDialect({ pool }) });
  };

  const db = kyselyOver({
    max: MAX_CONNECTIONS,
    statement_timeout: STATEMENT_TIMEOUT,
    query_timeout: ANSWER_TIMEOUT,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT,
  });
  const withoutTimeouts = async <T>(work: (db: Kysely<Schema>) => Promise<T>, max = 1): Promise<T> => {
    const separate = kyselyOver({ max });
    try {
      return await work(separate);
    } finally {
      await separate.destroy();
    }
  };
  const searches = new SearchLimiter({ slots: SEARCH_SLOTS, timeout: ANSWER_TIMEOUT });
  const database: Database = {
    db,
    needsRowLocks: true,
    writesPurges: purges,
    classifyError: classifyPostgresError,
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(db)),
    // A migration may take long, and another process may have to wait for all of it.
    migrate: (options) =>
      withoutTimeouts(
        (separate) =>
          migrate(
            { db: separate, migrations: migrationsFor(postgresMigrations), locks: migrationLocks },
            options,
          ),
        MIGRATION_CONNECTIONS,
      ),
    async allowIdle(trx) {
      await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
    },
    findText,
    snapshot: (work) =>
      withoutTimeouts((separate) =>
        separate.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
      ),
    longTransaction: (work) => withoutTimeouts((separate) => separate.transaction().execute(work)),
    // PostgreSQL checks the pages that it reads, if its cluster has checksums.
    findDamage: async () => [],
    close: () => db.destroy(),
  };
  return new SqlMetadataStore(database);
}
