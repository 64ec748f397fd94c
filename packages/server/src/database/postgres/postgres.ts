/**
 * PostgreSQL: the connection pool, its timeouts, and the classes of its errors. The only file that imports
 * pg. pg is loaded when a store is opened, because a server on SQLite does not need it.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely';
import type pg from 'pg';
import { AppError } from '../../errors.ts';
import { type Database, type ErrorClass, storageFull, unavailable } from '../dialect.ts';
import { migrateToLatest } from '../schema/migrations.ts';
import type { Schema } from '../schema/tables.ts';
import { SearchLimiter } from '../search-limiter.ts';
import { SqlMetadataStore } from '../sql/store.ts';
import type { MetadataStore } from '../store.ts';
import { findText, postgresMigrations } from './search.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters of pg. */
  readonly url: string;
}

// All in milliseconds.
const CONNECTION_TIMEOUT = 3_000;
const STATEMENT_TIMEOUT = 5_000;
const IDLE_IN_TRANSACTION_TIMEOUT = 10_000;
// For a server that stops answering. It is longer than the statement timeout, which the server itself
// applies.
const ANSWER_TIMEOUT = 8_000;

const MAX_CONNECTIONS = 10;

/** Half of the connections. The others stay free for lookups and writes. */
const SEARCH_SLOTS = 5;

/** The type of counters and times. */
const INT8 = 20;

/** SQLSTATEs, or their classes, of a database that cannot serve now but may recover. */
const UNAVAILABLE = [
  '08', // connection exception
  '25006', // read-only transaction: a standby that has not been promoted
  '25P03', // idle in a transaction for too long
  '28', // credentials refused: the operator must fix them
  '3D', // no such database: the operator must create it
  '53', // too many connections, out of memory
  '55P03', // lock not available
  '57', // shutting down, starting up, cancelled by a timeout
  '58', // system error, such as I/O
] as const;

/** Opens a store over a pool of connections. The first call makes the first connection, and may fail. */
export async function openPostgres({ url }: PostgresOptions): Promise<MetadataStore> {
  const { default: driver } = await import('pg');

  const kyselyOver = (settings: pg.PoolConfig): Kysely<Schema> => {
    const pool = new TranslatingPool(driver, { ...settings, connectionString: url });
    return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  };

  const db = kyselyOver({
    max: MAX_CONNECTIONS,
    statement_timeout: STATEMENT_TIMEOUT,
    query_timeout: ANSWER_TIMEOUT,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT,
  });
  const withoutTimeouts = async <T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T> => {
    const separate = kyselyOver({ max: 1 });
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
    classifyError: classifyPostgresError,
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(db)),
    // A migration may take long, and another process may have to wait for all of it.
    migrate: (upTo) => withoutTimeouts((separate) => migrateToLatest(separate, postgresMigrations, upTo)),
    async lockName(trx, name, mayIdle) {
      if (mayIdle) await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
      // Two names with the same hash share a lock. They wait for each other, without harm.
      await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx);
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

/** Classifies an error of pg, or of the connection below it. */
export function classifyPostgresError(error: unknown): ErrorClass {
  if (error instanceof AppError) return error;
  const state = sqlState(error);
  if (state === undefined) return undefined;
  if (state === '23505') return 'unique-violation';
  if (state === '40001' || state === '40P01') return 'contention';
  if (state === '53100') return storageFull(error);
  return UNAVAILABLE.some((prefix) => state.startsWith(prefix)) ? unavailable(error) : undefined;
}

/** The five characters of an error code of PostgreSQL; undefined for errors from elsewhere. */
function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Translates an error of the connection: refused, reset, ended, timed out. Many of these have no code. In
 * this place only the server, the connection and a defect can throw, so errors without a code belong to the
 * connection.
 */
function translateConnectionError(error: unknown): unknown {
  const isOther = sqlState(error) !== undefined || error instanceof TypeError || error instanceof RangeError;
  return isOther ? error : unavailable(error);
}

/** A pg pool that translates errors of connections into AppErrors, and does not reuse a broken connection. */
class TranslatingPool implements PostgresPool {
  readonly options = {};
  readonly #pool: pg.Pool;

  constructor(driver: typeof pg, settings: pg.PoolConfig) {
    this.#pool = new driver.Pool({
      ...settings,
      application_name: 'vitrine',
      connectionTimeoutMillis: CONNECTION_TIMEOUT,
      keepAlive: true,
      types: {
        // Read as a number, because counters and milliseconds stay far below 2^53.
        getTypeParser: ((oid: number, format: 'text' | 'binary' = 'text') =>
          oid === INT8 && format === 'text'
            ? Number
            : driver.types.getTypeParser(oid, format as 'text')) as typeof driver.types.getTypeParser,
      },
    });
    // When an idle connection ends, the next call makes another one. Without a listener the event ends the
    // process.
    this.#pool.on('error', () => {});
    // The same for a connection in use. Its query is rejected as well, and reports the error.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  async connect(): Promise<PostgresPoolClient> {
    try {
      return new TranslatingClient(await this.#pool.connect());
    } catch (error) {
      throw translateConnectionError(error);
    }
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

class TranslatingClient implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  #fault: unknown;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<R>(sql: string, parameters: ReadonlyArray<unknown>): Promise<R>;
  query<R>(cursor: R): R;
  async query(sql: unknown, parameters: ReadonlyArray<unknown> = []): Promise<unknown> {
    // After a query without an answer, a rollback would get none either. Closing the connection also rolls
    // back.
    if (this.#fault !== undefined) throw this.#fault;
    try {
      return await this.#client.query(String(sql), [...parameters]);
    } catch (error) {
      const translated = translateConnectionError(error);
      if (translated !== error) this.#fault = translated;
      throw translated;
    }
  }

  release(destroy = false): void {
    this.#client.release(destroy || this.#fault !== undefined);
  }
}
