/**
 * Owns what a dialect brings to the statements, how often a transaction is tried, and the lock that it begins with.
 * Refuses to know any dialect: a native error means what the dialect's `explain` says it means.
 */
import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../errors.ts';
import type { DatabaseDamage } from '../maintenance/records.ts';
import type { AccountRow, Schema } from './schema/tables.ts';

/**
 * What a native error means.
 * - an AppError: a fault of the database, to be thrown as it is
 * - `contended`: the transaction lost against another one, and may be tried again from its start
 * - `violated`: a unique constraint refused a row that a check before it allowed. Tried again, the check sees it
 * - undefined: not foreseen, that is, a defect
 */
export type Meaning = AppError | 'contended' | 'violated' | undefined;

/** An open database of some dialect. */
export interface Database {
  readonly db: Kysely<Schema>;
  /**
   * True if rows must be locked one by one; false if a transaction excludes all other writers from its start.
   */
  readonly locksRows: boolean;
  explain(error: unknown): Meaning;
  /**
   * Locks a name that is no row, until the transaction ends. Absent where a transaction excludes all others anyway.
   * @param patiently the transaction may then be idle for as long as it likes.
   */
  lockName?(trx: Transaction<Schema>, name: string, patiently: boolean): Promise<void>;
  /**
   * Runs `work`, which looks through many records of one account, when it is the account's turn: others who search get
   * theirs between, and who looks something up waits for none of them.
   * @param signal gives up the place of one that has not begun.
   * @throws AppError `rate-limited` if the account has as many as it may; `unavailable`; `cancelled` by the signal.
   */
  search<T>(
    accountID: string,
    signal: AbortSignal | undefined,
    work: (db: Kysely<Schema>) => Promise<T>,
  ): Promise<T>;
  /** Runs `work` over the records as they are at one moment, whatever is written meanwhile, and for however long. */
  snapshot<T>(work: (db: Kysely<Schema>) => Promise<T>): Promise<T>;
  /** Runs `work` in one transaction that may take long, and hold up others that write. */
  longTransaction<T>(work: (trx: Transaction<Schema>) => Promise<T>): Promise<T>;
  /** What the database finds wrong with its own files; none where it has no way to say. */
  damage(): Promise<readonly DatabaseDamage[]>;
  /** @param upTo the name of a migration; absent: to this version's. */
  migrate(upTo?: string): Promise<void>;
  close(): Promise<void>;
}

const MAX_ATTEMPTS = 5;

/** Seconds after which a caller may try again. Contention and restarts are over in about this time. */
const RETRY_AFTER = 1;

/** The error for a database that does not answer, or not in time. */
export function unavailable(cause: unknown): AppError {
  return new AppError('unavailable', 'The database does not answer. Try again.', {
    cause,
    retryAfter: RETRY_AFTER,
  });
}

/** The error for a database that has no room left. */
export function storageFull(cause: unknown): AppError {
  return new AppError('storage-full', 'The database has no room left.', { cause });
}

/** Runs single statements, so that only AppErrors and defects come out. */
export async function guarded<T>(database: Database, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translated(database.explain(error), error);
  }
}

/**
 * Runs `work` in one transaction, from its start again when it lost against another one; so `work` must change
 * nothing but the database.
 */
export async function transact<T>(
  database: Database,
  work: (trx: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await database.db.transaction().execute(work);
    } catch (error) {
      const meaning = database.explain(error);
      const again = meaning === 'contended' || meaning === 'violated';
      if (!again || attempt === MAX_ATTEMPTS) throw translated(meaning, error);
    }
  }
}

/**
 * The account's row, locked until the transaction ends. Every transaction that changes counters, digests, or what is
 * assigned begins with it; always the same first lock is also what keeps them from deadlocks.
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
    .$if(database.locksRows, (query) => query.forNoKeyUpdate())
    .executeTakeFirst();
}

// Below the number of parameters that every dialect allows in one statement (SQLite: 32 766), at ten a value.
const VALUES_A_STATEMENT = 500;

/** What `read` finds for all values, of which there may be more than fit into one statement. */
export async function inBatches<V, R>(
  values: readonly V[],
  read: (batch: readonly V[]) => Promise<readonly R[]>,
): Promise<R[]> {
  const found: R[] = [];
  for (let start = 0; start < values.length; start += VALUES_A_STATEMENT) {
    found.push(...(await read(values.slice(start, start + VALUES_A_STATEMENT))));
  }
  return found;
}

function translated(meaning: Meaning, error: unknown): unknown {
  if (meaning instanceof AppError) return meaning;
  if (meaning === 'contended') return unavailable(error);
  return error;
}
