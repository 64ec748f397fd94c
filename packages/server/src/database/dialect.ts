/**
 * The interface of a database dialect, and the helpers that every statement uses: error translation,
 * transactions with retries, the lock of an account, and batches.
 */
import type { Kysely, RawBuilder, Transaction } from 'kysely';
import type { ListenOptions, RecordChanges } from '../delivery/records.ts';
import { AppError } from '../errors.ts';
import type { DatabaseDamage } from '../maintenance/records.ts';
import type { MigrateOptions, MigrateOutcome } from './schema/migrate.ts';
import type { AccountRow, Schema } from './schema/tables.ts';

/**
 * The class of a native error.
 * - an AppError: a fault of the database. It is thrown as it is.
 * - `contention`: the transaction lost against another one, and can be retried from its start.
 * - `unique-violation`: a unique constraint refused a row that an earlier check allowed. A retry makes the
 *   check fail.
 * - undefined: unexpected, so a defect.
 */
export type ErrorClass = AppError | 'contention' | 'unique-violation' | undefined;

/**
 * A table expression whose rows are images of one account: those that contain a text. The expressions use the
 * alias `found`.
 */
export interface TextMatches {
  readonly table: RawBuilder<unknown>;
  readonly condition: RawBuilder<boolean>;
  /** `images.sequence` of a row. */
  readonly sequence: RawBuilder<number>;
  /** In this order, the database reads the rows by their sequence without sorting them. */
  readonly order: RawBuilder<number>;
}

/** Statements with which a database refuses every change of some tables, by any client. */
export interface SealStatements {
  /** Run once before `close`. */
  readonly prepare: readonly RawBuilder<unknown>[];
  /** Refuses changes of the table: they fail with the message SEALED. Repeatable. */
  close(table: string): readonly RawBuilder<unknown>[];
  /** Allows changes again. Repeatable. */
  open(table: string): readonly RawBuilder<unknown>[];
}

/** The text of the native error for a change of a sealed table. */
export const SEALED = 'this library is sealed';

/** An open database of some dialect. */
export interface Database {
  readonly db: Kysely<Schema>;
  /**
   * True if transactions lock rows one by one. False if a transaction excludes all other writers from its
   * start.
   */
  readonly needsRowLocks: boolean;
  /** True if changes that public links show add a purge of caches. */
  readonly writesPurges: boolean;
  classifyError(error: unknown): ErrorClass;
  /**
   * Runs `work` in one transaction, without a retry.
   * @param accountID transactions of different accounts take turns; absent: they form one group.
   * @throws the native errors; AppError `unavailable` if no connection is free in time.
   */
  transact<T>(work: (trx: Transaction<Schema>) => Promise<T>, accountID?: string): Promise<T>;
  /** Turns off the idle timeout of the transaction. Absent where transactions have none. */
  allowIdle?(trx: Transaction<Schema>): Promise<void>;
  /**
   * Runs a search: work that reads many records of one account. Accounts take turns, and lookups do not wait
   * for it.
   * @param signal cancels a search that has not started.
   * @throws AppError `rate-limited` if the account has too many searches; `unavailable`; `cancelled` by the
   * signal.
   */
  search<T>(
    accountID: string,
    signal: AbortSignal | undefined,
    work: (db: Kysely<Schema>) => Promise<T>,
  ): Promise<T>;
  /**
   * Finds images by the texts of `image_search`.
   * @param text folded, not empty.
   */
  findText(db: Kysely<Schema>, accountID: string, text: string): Promise<TextMatches>;
  /** See MetadataStore. Absent where changes by other processes cannot be heard. */
  listen?(options: ListenOptions): RecordChanges;
  /**
   * Runs `work` with the records of one moment, while other clients write. It has no timeout.
   * @param isSealed no client can write, so a database without snapshots need not be copied.
   */
  snapshot<T>(work: (db: Kysely<Schema>) => Promise<T>, isSealed?: boolean): Promise<T>;
  /** Runs `work` in one transaction without a timeout. Other writers may have to wait for it. */
  longTransaction<T>(work: (trx: Transaction<Schema>) => Promise<T>): Promise<T>;
  /** The blobs that this process uses: see moves/blobs-epoch.ts. Without a value, it adds no originals. */
  readonly blobsEpoch: { value?: string | null };
  /** Statements that refuse and allow changes of tables again. */
  readonly seal: SealStatements;
  /** Finds damage in the files of the database. Empty where the database cannot report it. */
  findDamage(): Promise<readonly DatabaseDamage[]>;
  migrate(options?: MigrateOptions): Promise<MigrateOutcome>;
  close(): Promise<void>;
}

const MAX_ATTEMPTS = 5;

/** Seconds. Contention and restarts are over in about this time. */
const RETRY_AFTER = 1;

/** The error for a database that does not answer, or not in time. */
export function unavailable(cause: unknown): AppError {
  return new AppError('unavailable', 'The database does not answer. Try again.', {
    cause,
    retryAfter: RETRY_AFTER,
  });
}

/** Seconds. A move ends in minutes, and a library that was moved gets another address. */
const RETRY_AFTER_SEALED = 10;

/** The error for a change of a sealed library. */
export function sealed(cause: unknown): AppError {
  return new AppError(
    'unavailable',
    'This library cannot be changed here now, because it is being moved or was moved. Try again.',
    { cause, retryAfter: RETRY_AFTER_SEALED },
  );
}

/** The error for a full disk. */
export function storageFull(cause: unknown): AppError {
  return new AppError('storage-full', 'The database has no disk space left.', { cause });
}

/**
 * Runs statements outside a transaction, and translates their errors.
 * @throws AppError, or a defect as it is.
 */
export async function translateErrors<T>(database: Database, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translated(database.classifyError(error), error);
  }
}

/**
 * Runs `work` in one transaction, and retries it from its start when it lost against another transaction.
 * So `work` must change nothing outside the database.
 * @throws AppError, or a defect as it is.
 */
export async function runTransaction<T>(
  database: Database,
  work: (trx: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.transact(work);
    } catch (error) {
      const errorClass = database.classifyError(error);
      const isRetryable = errorClass === 'contention' || errorClass === 'unique-violation';
      if (!isRetryable || attempt === MAX_ATTEMPTS) throw translated(errorClass, error);
    }
  }
}

/**
 * Reads and locks the row of the account until the transaction ends. Every transaction that changes counters,
 * digests or assignments takes this lock first. The common first lock prevents deadlocks.
 */
export function lockAccount(
  database: Database,
  trx: Transaction<Schema>,
  accountID: string,
): Promise<AccountRow | undefined> {
  return trx
    .selectFrom('accounts')
    .selectAll()
    .where('account_id', '=', accountID)
    .$if(database.needsRowLocks, (query) => query.forNoKeyUpdate())
    .executeTakeFirst();
}

/**
 * Rows or values in one statement. With ten parameters each, this is below the limit of every database
 * (SQLite: 32 766 parameters).
 */
export const BATCH_SIZE = 500;

/** Splits a list into batches that fit into one statement. */
export function* batchesOf<V>(values: readonly V[], size = BATCH_SIZE): Generator<readonly V[]> {
  for (let start = 0; start < values.length; start += size) yield values.slice(start, start + size);
}

/** Reads rows for any number of values, one batch of values after the other. */
export async function readInBatches<V, R>(
  values: readonly V[],
  read: (batch: readonly V[]) => Promise<readonly R[]>,
): Promise<R[]> {
  const rows: R[] = [];
  for (const batch of batchesOf(values)) rows.push(...(await read(batch)));
  return rows;
}

/**
 * Reads all rows of an ordered query in batches.
 * @param read reads the batch that follows a row, or the first batch. The empty batch ends the scan.
 */
export async function* scanInBatches<R>(
  read: (last: R | undefined) => Promise<readonly R[]>,
): AsyncGenerator<readonly R[]> {
  for (let last: R | undefined; ; ) {
    const rows = await read(last);
    last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
  }
}

function translated(errorClass: ErrorClass, error: unknown): unknown {
  if (errorClass instanceof AppError) return errorClass;
  if (errorClass === 'contention') return unavailable(error);
  return error;
}
