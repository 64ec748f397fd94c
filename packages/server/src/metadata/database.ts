/**
 * Owns what a dialect brings to the statements written in sql.ts and images.ts, and how often a transaction is
 * tried. Refuses to know any dialect: a native error means what the dialect's `explain` says it means.
 */
import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../errors.ts';
import type { Schema } from './schema.ts';

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
  migrate(): Promise<void>;
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

function translated(meaning: Meaning, error: unknown): unknown {
  if (meaning instanceof AppError) return meaning;
  if (meaning === 'contended') return unavailable(error);
  return error;
}
