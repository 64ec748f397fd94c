/**
 * Owns SQLite: opening a store over its threads, and what its error codes mean. Refuses to know any statement about
 * records, and how statements come to the threads (sqlite-driver.ts).
 */
import { AppError } from '../../errors.ts';
import { type Database, type Meaning, storageFull, unavailable } from '../dialect.ts';
import type { MigrationDialect } from '../schema/migration.ts';
import { Searches } from '../search-limiter.ts';
import type { MetadataStore } from '../store.ts';
import { isDamage, resultCode } from './codes.ts';
import type { KyselyOverThreads } from './driver.ts';
import { SqliteThread } from './thread.ts';

export interface SqliteOptions {
  /** The database file; its folder is made if it is absent. `:memory:` for one that goes with the store. */
  readonly path: string;
  /** Milliseconds to wait for other processes that write, before `unavailable`. */
  readonly busyTimeout?: number;
  /** Milliseconds to wait for other writes of this process, or for what is read, before `unavailable`. */
  readonly patience?: number;
}

const DEFAULT_BUSY_TIMEOUT = 5_000;

/** About as long as PostgreSQL is waited for. */
const DEFAULT_PATIENCE = 8_000;

/** For what reads all of it, with nobody else to wait for: the longest that a timer can wait. */
const MAX_PATIENCE = 2 ** 31 - 1;

// Primary result codes of SQLite; an extended code has its primary one in the low byte.
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const FULL = 13;
const CANTOPEN = 14;
const CONSTRAINT_PRIMARYKEY = 1_555;
const CONSTRAINT_UNIQUE = 2_067;

/**
 * Opens, or creates, the database in a file. The schema is `migrate`'s to make.
 * @throws AppError `unavailable`.
 */
export async function openSqlite(options: SqliteOptions): Promise<MetadataStore> {
  const [{ kysely: db, searching, close }, { SqlMetadataStore }, { migrateToLatest }] = await Promise.all([
    openThreads(options),
    import('../sql/store.ts'),
    import('../schema/migrations.ts'),
  ]);
  // One at once: there is one thread for them, and what it has begun can not be given up.
  const searches = new Searches({ slots: 1, patience: options.patience ?? DEFAULT_PATIENCE });
  const database: Database = {
    db,
    locksRows: false,
    explain: explainSqlite,
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(searching)),
    migrate: (upTo) => migrateToLatest(db, sqliteMigrations, upTo),
    async snapshot(work) {
      const { overCopy } = await import('./maintenance.ts');
      return overCopy(db, options.path, (path) => openThreads({ path, patience: MAX_PATIENCE }), work);
    },
    longTransaction: (work) => db.transaction().execute(work),
    async damage() {
      const { findDamage } = await import('./maintenance.ts');
      return findDamage(db);
    },
    close,
  };
  return new SqlMetadataStore(database);
}

/** Kysely over the threads of an open database. */
async function openThreads(options: SqliteOptions): Promise<KyselyOverThreads> {
  const { path, busyTimeout = DEFAULT_BUSY_TIMEOUT, patience = DEFAULT_PATIENCE } = options;
  const thread = (readOnly: boolean) => new SqliteThread({ path, busyTimeout, readOnly });
  const writer = thread(false);
  // Kysely takes about as long to load as the thread to start and to open the file: so both at once.
  const [{ kyselyOver }] = await Promise.all([import('./driver.ts'), opened(writer)]);
  return kyselyOver({
    writer,
    newWriter: () => thread(false),
    newReader: path === ':memory:' ? undefined : () => thread(true),
    patience,
  });
}

export const sqliteMigrations: MigrationDialect = {
  appendOnly: (table) =>
    ['update', 'delete'].map(
      (event) =>
        `create trigger ${table}_no_${event} before ${event} on ${table} ` +
        `begin select raise(abort, '${table} is append-only'); end`,
    ),
};

/** What an error of node:sqlite means, or of the threads. */
export function explainSqlite(error: unknown): Meaning {
  if (error instanceof AppError) return error;
  const code = resultCode(error);
  if (code === undefined) return undefined;
  if (code === CONSTRAINT_UNIQUE || code === CONSTRAINT_PRIMARYKEY) return 'violated';
  if (isDamage(error)) return unavailable(error);
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

/** Resolves once the file is open, so that whoever starts learns at once that it cannot be. */
async function opened(writer: SqliteThread): Promise<void> {
  try {
    await writer.run({ sql: 'select 1', parameters: [], within: false });
  } catch (error) {
    await writer.close();
    throw explainSqlite(error) ?? unavailable(error);
  }
}
