/**
 * The store over PostgreSQL. pg is loaded when a store is opened: a server on SQLite does not need it.
 */
import { type Kysely, sql } from 'kysely';
import type { WarnLog } from '../../telemetry/log.ts';
import type { Database } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';
import { SearchLimiter } from '../search-limiter.ts';
import { SqlMetadataStore } from '../sql/store.ts';
import type { MetadataStore } from '../store.ts';
import { classifyPostgresError } from './errors.ts';
import { PostgresListener } from './listener.ts';
import { migratePostgres } from './migrating.ts';
import { nativeTypesFor } from './native/native.ts';
import { ConnectionPool, type PoolLimits, type Use } from './pool.ts';
import { sealStatements } from './seal.ts';
import { findText, postgresMigrations } from './search.ts';
import type { Statements } from './statements.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters of pg. */
  readonly url: string;
  /** True: changes that public links show add a purge of caches. */
  readonly purges?: boolean;
  /** The most connections for requests. Default: 10. */
  readonly connections?: number;
  readonly log?: WarnLog | undefined;
  /** Overrides of the deadlines; for tests. */
  readonly limits?: Partial<PostgresLimits>;
}

/** Deadlines in milliseconds. */
export interface PostgresLimits extends PoolLimits {
  /** For a single statement of a request, and for a commit. */
  readonly statement: number;
  /** For a statement in a transaction of a request: it may wait for the lock of an account. */
  readonly transaction: number;
  /** For a statement of a search, of maintenance or of a background task. */
  readonly longStatement: number;
}

/**
 * A server that hangs is noticed after `suspicion` and `probe`. So a request is answered within two seconds,
 * also if it waits for a synchronous standby. Many uploads into one account wait for each other, on a slow
 * machine for longer.
 */
export const POSTGRES_LIMITS: PostgresLimits = {
  wait: 5_000,
  statement: 1_600,
  transaction: 2_500,
  longStatement: 5_000,
  suspicion: 700,
  probe: 700,
};

const IDLE_IN_TRANSACTION_TIMEOUT = 10_000;
const DEFAULT_CONNECTIONS = 10;

/** One holds the lock of the migrations. The others are for parts that run while servers work. */
const MIGRATION_CONNECTIONS = 4;

const NO_LIMIT = 2 ** 31 - 1;

/** Opens a store over a pool of connections. The first call makes the first connection, and may fail. */
export async function openPostgres({
  url,
  purges = false,
  connections = DEFAULT_CONNECTIONS,
  log,
  limits: overrides,
}: PostgresOptions): Promise<MetadataStore> {
  const { default: driver } = await import('pg');
  const limits = { ...POSTGRES_LIMITS, ...overrides };
  const pool = new ConnectionPool(driver, { url, size: connections, limits, log });
  const idleInTransaction = IDLE_IN_TRANSACTION_TIMEOUT;
  const uses = {
    lookup: { name: 'lookup', isLong: false, statement: limits.statement },
    transaction: {
      name: 'transaction',
      isLong: true,
      statement: limits.transaction,
      commit: limits.statement,
      idleInTransaction,
    },
    search: { name: 'search', isLong: true, statement: limits.longStatement },
    maintenance: { name: 'maintenance', isLong: true, statement: limits.longStatement, idleInTransaction },
  } satisfies Record<string, Use>;

  const withoutTimeouts = async <T>(
    work: (db: Kysely<Schema>, statements: Statements) => Promise<T>,
    size = 1,
  ): Promise<T> => {
    const separate = new ConnectionPool(driver, { url, size, limits: { ...limits, wait: NO_LIMIT }, log });
    try {
      return await work(separate.kyselyFor({ name: 'unlimited', isLong: false }), separate.statements);
    } finally {
      await separate.close();
    }
  };
  // Half of the connections. The others stay free for lookups and writes.
  const slots = Math.max(1, Math.floor(connections / 2));
  const searches = new SearchLimiter({ slots, timeout: limits.longStatement });
  const searching = pool.kyselyFor(uses.search);
  const database: Database = {
    db: pool.kyselyFor(uses.lookup),
    needsRowLocks: true,
    writesPurges: purges,
    classifyError: classifyPostgresError,
    transact: (work, accountID) => pool.transact(uses.transaction, accountID, work),
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(searching)),
    // A migration may take long, and another process may have to wait for all of it.
    migrate: async (options) => {
      const outcome = await withoutTimeouts((separate, statements) => {
        const dialect = { ...postgresMigrations, nativeTypes: nativeTypesFor(statements) };
        return migratePostgres(separate, dialect, options);
      }, MIGRATION_CONNECTIONS);
      pool.statements.forget();
      return outcome;
    },
    async allowIdle(trx) {
      await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
    },
    listen: ({ url: own = url, log }) =>
      new PostgresListener({
        driver,
        url: own,
        log,
        notify: (channel, payload) => sql`select pg_notify(${channel}, ${payload})`.execute(database.db),
      }),
    findText,
    snapshot: (work) =>
      withoutTimeouts((separate) =>
        separate.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
      ),
    longTransaction: (work) => withoutTimeouts((separate) => separate.transaction().execute(work)),
    blobsEpoch: {},
    seal: sealStatements,
    // PostgreSQL checks the pages that it reads, if its cluster has checksums.
    findDamage: async () => [],
    close: () => pool.close(),
  };
  return new SqlMetadataStore(database, {
    ...database,
    db: pool.kyselyFor(uses.maintenance),
    transact: (work, accountID) => pool.transact(uses.maintenance, accountID, work),
  });
}
