/**
 * Owns PostgreSQL: the pool, its timeouts, and what its error codes mean. Refuses to know any statement about
 * records. The only file that imports pg, and only once a store is opened, because loading it takes time that
 * a server on SQLite need not spend.
 */
import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient, sql } from 'kysely';
import type pg from 'pg';
import { AppError } from '../errors.ts';
import { type Database, type Meaning, storageFull, unavailable } from './dialect.ts';
import type { MigrationDialect } from './schema/migration.ts';
import { migrateToLatest } from './schema/migrations.ts';
import type { Schema } from './schema/tables.ts';
import { Searches } from './search-limiter.ts';
import { SqlMetadataStore } from './sql/store.ts';
import type { MetadataStore } from './store.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with the parameters that pg knows. */
  readonly url: string;
}

// All in milliseconds.
const CONNECTION_TIMEOUT = 3_000;
const STATEMENT_TIMEOUT = 5_000;
const IDLE_IN_TRANSACTION_TIMEOUT = 10_000;
// For a server that has gone without a word: longer than its own timeout, which it can no longer keep.
const ANSWER_TIMEOUT = 8_000;

const MAX_CONNECTIONS = 10;

/** Half of the connections: the others are there for who looks something up, or writes. */
const SEARCHES_AT_ONCE = 5;

/** The type of counters and times. */
const INT8 = 20;

/** SQLSTATEs, or classes of them, of a database that cannot serve now but may again. */
const UNAVAILABLE = [
  '08', // connection exception
  '25006', // read-only transaction: a standby that has not been promoted
  '25P03', // idle in a transaction for too long
  '28', // credentials refused: the operator's to mend
  '3D', // no such database: likewise
  '53', // too many connections, out of memory
  '55P03', // lock not available
  '57', // shutting down, starting up, cancelled by a timeout
  '58', // system error, such as I/O
] as const;

/** Makes a store over a pool of connections. They are made when needed: the first call finds out if any can be. */
export async function openPostgres({ url }: PostgresOptions): Promise<MetadataStore> {
  const { default: driver } = await import('pg');

  const kyselyOver = (settings: pg.PoolConfig): Kysely<Schema> => {
    const pool = new FaultTellingPool(driver, { ...settings, connectionString: url });
    return new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) });
  };

  const db = kyselyOver({
    max: MAX_CONNECTIONS,
    statement_timeout: STATEMENT_TIMEOUT,
    query_timeout: ANSWER_TIMEOUT,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT,
  });
  const patiently = async <T>(work: (patient: Kysely<Schema>) => Promise<T>): Promise<T> => {
    const patient = kyselyOver({ max: 1 });
    try {
      return await work(patient);
    } finally {
      await patient.destroy();
    }
  };
  const searches = new Searches({ slots: SEARCHES_AT_ONCE, patience: ANSWER_TIMEOUT });
  const database: Database = {
    db,
    locksRows: true,
    explain: explainPostgres,
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(db)),
    // Without timeouts: a migration may take long, and another process may have to wait for all of it.
    migrate: (upTo) => patiently((patient) => migrateToLatest(patient, postgresMigrations, upTo)),
    async lockName(trx, name, patientlyHeld) {
      if (patientlyHeld) await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
      // Two names with one hash wait for each other, and that is all.
      await sql`select pg_advisory_xact_lock(hashtextextended(${name}, 0))`.execute(trx);
    },
    snapshot: (work) =>
      patiently((patient) =>
        patient.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work),
      ),
    longTransaction: (work) => patiently((patient) => patient.transaction().execute(work)),
    // PostgreSQL checks what it reads by itself, where it was made with checksums.
    damage: async () => [],
    close: () => db.destroy(),
  };
  return new SqlMetadataStore(database);
}

export const postgresMigrations: MigrationDialect = {
  appendOnly: (table) => [
    `create function ${table}_append_only() returns trigger language plpgsql as ` +
      `$$ begin raise exception '${table} is append-only'; end $$`,
    `create trigger ${table}_no_change before update or delete or truncate on ${table} ` +
      `for each statement execute function ${table}_append_only()`,
  ],
};

/** What an error of pg, or of the connection below it, means. */
export function explainPostgres(error: unknown): Meaning {
  if (error instanceof AppError) return error;
  const state = sqlState(error);
  if (state === undefined) return undefined;
  if (state === '23505') return 'violated';
  if (state === '40001' || state === '40P01') return 'contended';
  if (state === '53100') return storageFull(error);
  return UNAVAILABLE.some((prefix) => state.startsWith(prefix)) ? unavailable(error) : undefined;
}

/** The five characters by which PostgreSQL names an error; undefined for errors that are not the server's. */
function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * An error that is not the server's is the connection's: refused, reset, ended, timed out. Many of these carry no
 * code, so they are told here, where nothing else can throw them; but for errors of the language, which are defects.
 */
function connectionFault(error: unknown): unknown {
  const told = sqlState(error) !== undefined || error instanceof TypeError || error instanceof RangeError;
  return told ? error : unavailable(error);
}

/** A pg pool whose connection faults are AppErrors, and which gives no broken connection to the next one. */
class FaultTellingPool implements PostgresPool {
  readonly options = {};
  readonly #pool: pg.Pool;

  constructor(driver: typeof pg, settings: pg.PoolConfig) {
    this.#pool = new driver.Pool({
      ...settings,
      application_name: 'vitrine',
      connectionTimeoutMillis: CONNECTION_TIMEOUT,
      keepAlive: true,
      types: {
        // As a number: counters and milliseconds stay far below 2^53.
        getTypeParser: ((oid: number, format: 'text' | 'binary' = 'text') =>
          oid === INT8 && format === 'text'
            ? Number
            : driver.types.getTypeParser(oid, format as 'text')) as typeof driver.types.getTypeParser,
      },
    });
    // An idle connection that ends is no event: the next call makes another. Unheard, it would end the process.
    this.#pool.on('error', () => {});
    // The same for a connection in use; its query is rejected as well, and tells.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  async connect(): Promise<PostgresPoolClient> {
    try {
      return new FaultTellingClient(await this.#pool.connect());
    } catch (error) {
      throw connectionFault(error);
    }
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

class FaultTellingClient implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  #fault: unknown;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<R>(sql: string, parameters: ReadonlyArray<unknown>): Promise<R>;
  query<R>(cursor: R): R;
  async query(sql: unknown, parameters: ReadonlyArray<unknown> = []): Promise<unknown> {
    // After an unanswered query even a rollback would wait in vain; giving up the connection rolls back too.
    if (this.#fault !== undefined) throw this.#fault;
    try {
      return await this.#client.query(String(sql), [...parameters]);
    } catch (error) {
      const told = connectionFault(error);
      if (told !== error) this.#fault = told;
      throw told;
    }
  }

  release(destroy = false): void {
    this.#client.release(destroy || this.#fault !== undefined);
  }
}
