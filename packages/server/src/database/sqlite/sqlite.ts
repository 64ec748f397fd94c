/**
 * SQLite: opens a store over its threads, and classifies its errors. driver.ts distributes statements to the
 * threads.
 */
import { AppError } from '../../errors.ts';
import { type Database, type ErrorClass, SEALED, sealed, storageFull, unavailable } from '../dialect.ts';
import { SearchLimiter } from '../search-limiter.ts';
import type { MetadataStore } from '../store.ts';
import {
  BUSY,
  CANTOPEN,
  CONSTRAINT_PRIMARYKEY,
  CONSTRAINT_TRIGGER,
  CONSTRAINT_UNIQUE,
  FULL,
  IOERR,
  isDamage,
  LOCKED,
  primaryCode,
  READONLY,
  resultCode,
} from './codes.ts';
import type { KyselyOverThreads } from './driver.ts';
import { sealStatements } from './seal.ts';
import { SqliteThread } from './thread.ts';

export interface SqliteOptions {
  /**
   * The database file. Its folder is made if it is absent. `:memory:` is a database that is lost at close.
   */
  readonly path: string;
  /** Milliseconds to wait for other processes that write, before `unavailable`. */
  readonly busyTimeout?: number;
  /**
   * Milliseconds to wait for other writes of this process, or for the result of a read, before `unavailable`.
   */
  readonly timeout?: number;
  /** True: changes that public links show add a purge of caches. */
  readonly purges?: boolean;
}

const DEFAULT_BUSY_TIMEOUT = 5_000;

/** The same as ANSWER_TIMEOUT of PostgreSQL. */
const DEFAULT_TIMEOUT = 8_000;

/** The longest delay of a timer, about 25 days. It means no timeout. */
const MAX_TIMEOUT = 2 ** 31 - 1;

/**
 * Opens or creates the database in a file. Call `migrate` to make its schema.
 * @throws AppError `unavailable`.
 */
export async function openSqlite(options: SqliteOptions): Promise<MetadataStore> {
  const [threads, { SqlMetadataStore }, { migrate }, { migrationsFor }, { findText, sqliteMigrations }] =
    await Promise.all([
      openThreads(options),
      import('../sql/store.ts'),
      import('../schema/migrate.ts'),
      import('../schema/migrations.ts'),
      // After the threads too, because it loads Kysely.
      import('./search.ts'),
    ]);
  const { kysely: db, searching, close } = threads;
  // One slot, because there is one thread for searches, and a running search cannot be cancelled.
  const searches = new SearchLimiter({ slots: 1, timeout: options.timeout ?? DEFAULT_TIMEOUT });
  const database: Database = {
    db,
    needsRowLocks: false,
    writesPurges: options.purges ?? false,
    classifyError: classifySqliteError,
    transact: (work) => db.transaction().execute(work),
    search: (accountID, signal, work) => searches.run(accountID, signal, () => work(searching)),
    migrate: (options) => migrate({ db, migrations: migrationsFor(sqliteMigrations) }, options),
    findText,
    async snapshot(work, isSealed = false) {
      if (isSealed) return work(db);
      const { withCopy } = await import('./maintenance.ts');
      return withCopy(db, options.path, (path) => openThreads({ path, timeout: MAX_TIMEOUT }), work);
    },
    longTransaction: (work) => db.transaction().execute(work),
    blobsEpoch: {},
    seal: sealStatements,
    async findDamage() {
      const { findDamage } = await import('./maintenance.ts');
      return findDamage(db);
    },
    close,
  };
  return new SqlMetadataStore(database);
}

async function openThreads(options: SqliteOptions): Promise<KyselyOverThreads> {
  const { path, busyTimeout = DEFAULT_BUSY_TIMEOUT, timeout = DEFAULT_TIMEOUT } = options;
  const newThread = (readOnly: boolean) => new SqliteThread({ path, busyTimeout, readOnly });
  const writer = newThread(false);
  // At the same time, because loading Kysely takes about as long as starting the thread and opening the file.
  const [{ kyselyOver }] = await Promise.all([import('./driver.ts'), openFile(writer)]);
  return kyselyOver({
    writer,
    newWriter: () => newThread(false),
    newReader: path === ':memory:' ? undefined : () => newThread(true),
    timeout,
  });
}

/** Classifies an error of node:sqlite, or of the threads. */
export function classifySqliteError(error: unknown): ErrorClass {
  if (error instanceof AppError) return error;
  const code = resultCode(error);
  if (code === CONSTRAINT_UNIQUE || code === CONSTRAINT_PRIMARYKEY) return 'unique-violation';
  if (code === CONSTRAINT_TRIGGER && (error as Error).message.includes(SEALED)) return sealed(error);
  if (isDamage(error)) return unavailable(error);
  switch (primaryCode(error)) {
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

/** Opens the file with a first statement, so that a start fails if the file cannot be opened. */
async function openFile(writer: SqliteThread): Promise<void> {
  try {
    await writer.run({ sql: 'select 1', parameters: [], inTransaction: false });
  } catch (error) {
    await writer.close();
    throw classifySqliteError(error) ?? unavailable(error);
  }
}
