/**
 * Owns SQLite: opening the file, its settings, transactions over the one connection, and what its error codes mean.
 * Refuses to know any statement about records. The only file that imports node:sqlite.
 *
 * node:sqlite is synchronous, so a statement holds the event loop while it runs; waiting for another process
 * does not: the lock is asked for again after a pause, for as long as a busy timeout would last.
 */
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely';
import { type Database, type Meaning, storageFull, unavailable } from './database.ts';
import { type MigrationDialect, migrateToLatest } from './migrations.ts';
import type { Schema } from './schema.ts';
import { SqlMetadataStore } from './sql.ts';
import type { MetadataStore } from './store.ts';

export interface SqliteOptions {
  /** The database file; its folder is made if it is absent. `:memory:` for one that goes with the store. */
  readonly path: string;
  /** Milliseconds to wait for other processes that write, before `unavailable`. */
  readonly busyTimeout?: number;
}

const DEFAULT_BUSY_TIMEOUT = 5_000;

// The longest pause between two attempts to get the lock, in milliseconds. Transactions take a few.
const LONGEST_PAUSE = 20;

// Statements are few, but a list of digests has a statement for each length.
const MAX_PREPARED = 256;

// Primary result codes of SQLite; an extended code has its primary one in the low byte.
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const FULL = 13;
const CANTOPEN = 14;
const CONSTRAINT_PRIMARYKEY = 1_555;
const CONSTRAINT_UNIQUE = 2_067;

/** Opens, or creates, the database in a file. The schema is `migrate`'s to make. */
export async function openSqlite(options: SqliteOptions): Promise<MetadataStore> {
  const connection = await openConnection(options);
  const db = kyselyOver(connection);
  const database: Database = {
    db,
    locksRows: false,
    explain: explainSqlite,
    migrate: (upTo) => migrateToLatest(db, sqliteMigrations, upTo),
    snapshot: (work) => overCopy(db, options.path, work),
    longTransaction: (work) => db.transaction().execute(work),
    damage: () => findDamage(db),
    async close() {
      await db.destroy();
      // Kysely destroys only what it has used.
      connection.close();
    },
  };
  return new SqlMetadataStore(database);
}

function kyselyOver(connection: SqliteConnection): Kysely<Schema> {
  return new Kysely<Schema>({
    dialect: {
      createAdapter: () => new OneConnectionAdapter(),
      createDriver: () => new SqliteDriver(connection),
      createIntrospector: (introspected) => new SqliteIntrospector(introspected),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
}

/**
 * A copy, because a transaction that only reads would hold the one connection, and one of ours excludes all that write.
 * Beside the database, where there is room for it or else for nothing, and for nobody but this user.
 */
async function overCopy<T>(
  db: Kysely<Schema>,
  path: string,
  work: (db: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  const beside = path === ':memory:' ? tmpdir() : dirname(path);
  const folder = await mkdtemp(join(beside, 'vitrine-snapshot-'));
  try {
    const copy = join(folder, 'copy.db');
    await sql`vacuum into ${copy}`.execute(db);
    const connection = await openConnection({ path: copy });
    try {
      return await work(kyselyOver(connection));
    } finally {
      connection.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What SQLite finds wrong: with its pages and indexes, and with references that lead nowhere. */
async function findDamage(db: Kysely<Schema>): Promise<string[]> {
  const pages = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db);
  const references = await sql<{
    table: string;
    rowid: number | null;
    parent: string;
  }>`pragma foreign_key_check`.execute(db);
  return [
    ...pages.rows.map(({ integrity_check }) => integrity_check).filter((text) => text !== 'ok'),
    ...references.rows.map(
      ({ table, rowid, parent }) => `row ${rowid} of ${table} refers to nothing in ${parent}`,
    ),
  ];
}

export const sqliteMigrations: MigrationDialect = {
  appendOnly: (table) =>
    ['update', 'delete'].map(
      (event) =>
        `create trigger ${table}_no_${event} before ${event} on ${table} ` +
        `begin select raise(abort, '${table} is append-only'); end`,
    ),
};

/** What an error of node:sqlite means. */
export function explainSqlite(error: unknown): Meaning {
  const code = resultCode(error);
  if (code === undefined) return undefined;
  if (code === CONSTRAINT_UNIQUE || code === CONSTRAINT_PRIMARYKEY) return 'violated';
  switch (code & 0xff) {
    case FULL:
      return storageFull(error);
    case BUSY:
    case LOCKED:
    case READONLY:
    case IOERR:
    case CANTOPEN:
      return unavailable(error);
    default:
      return undefined;
  }
}

async function openConnection({ path, busyTimeout = DEFAULT_BUSY_TIMEOUT }: SqliteOptions) {
  try {
    if (path !== ':memory:') await createPrivately(path);
    const connection = new SqliteConnection(path, busyTimeout);
    try {
      // Changing to WAL needs the file for itself for a moment, and SQLite does not wait for that on its own.
      await connection.executeQuery(CompiledQuery.raw('pragma journal_mode = wal'));
      // Without FULL, a commit in WAL mode is not yet durable against a loss of power.
      await connection.executeQuery(CompiledQuery.raw('pragma synchronous = full'));
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  } catch (error) {
    throw explainSqlite(error) ?? unavailable(error);
  }
}

/**
 * Makes the file, and its folder, where they are absent, for nobody but this user: SQLite itself would let everyone
 * read it. The files that it puts beside the database get the same permissions. What exists stays as it is.
 */
async function createPrivately(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  try {
    // In one go: to close a file that another connection of this process has opened would undo its locks.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

function isBusy(error: unknown): boolean {
  return ((resultCode(error) ?? 0) & 0xff) === BUSY;
}

class SqliteConnection implements DatabaseConnection {
  readonly #sqlite: DatabaseSync;
  readonly #busyTimeout: number;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(path: string, busyTimeout: number) {
    this.#busyTimeout = busyTimeout;
    this.#sqlite = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 0 });
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const patience = Date.now() + this.#busyTimeout;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.#execute(query);
      } catch (error) {
        // Within a transaction the lock is held, so waiting would not help.
        if (!isBusy(error) || this.#sqlite.isTransaction || Date.now() >= patience) throw error;
      }
      // Chance keeps two processes from asking in step.
      await pause(1 + Math.random() * Math.min(attempt, LONGEST_PAUSE));
    }
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield; nobody streams.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('Streaming is not supported.');
  }

  /** After a failed commit SQLite may have rolled back by itself. */
  get isTransaction(): boolean {
    return this.#sqlite.isTransaction;
  }

  close(): void {
    this.#prepared.clear();
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  #execute<R>({ sql, parameters }: CompiledQuery): QueryResult<R> {
    const statement = this.#prepare(sql);
    const values = parameters as SQLInputValue[];
    if (statement.columns().length > 0) return { rows: statement.all(...values) as R[] };
    const { changes } = statement.run(...values);
    return { numAffectedRows: BigInt(changes), rows: [] };
  }

  #prepare(sql: string): StatementSync {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear();
    const statement = this.#sqlite.prepare(sql);
    this.#prepared.set(sql, statement);
    return statement;
  }
}

/** Kysely hands the one connection to one transaction, or one statement, at a time; see OneConnectionAdapter. */
class SqliteDriver implements Driver {
  readonly #connection: SqliteConnection;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // Immediate: whoever reads first and writes later would be refused if another had written in between.
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#connection.isTransaction) await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {
    this.#connection.close();
  }
}

/**
 * Says what Kysely may expect. `supportsMultipleConnections` is false (inherited): it is what makes Kysely queue
 * transactions, which span awaits and would otherwise mix on the one connection.
 */
class OneConnectionAdapter extends SqliteAdapter {
  /** True, so that migrations run in one transaction. As that is immediate, it is their lock too. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}
