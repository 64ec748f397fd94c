/**
 * The classes of PostgreSQL's errors, and of errors of the connection.
 */
import { AppError } from '../../errors.ts';
import { type ErrorClass, sealed, storageFull, unavailable } from '../dialect.ts';
import { SEALED_STATE } from './seal.ts';
import { TablesMoved } from './statements.ts';

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

/** Classifies an error of pg, or of the connection below it. */
export function classifyPostgresError(error: unknown): ErrorClass {
  if (error instanceof AppError) return error;
  if (error instanceof TablesMoved) return 'contention';
  const state = sqlState(error);
  if (state === undefined) return undefined;
  if (state === '23505') return 'unique-violation';
  if (state === '40001' || state === '40P01') return 'contention';
  if (state === SEALED_STATE) return sealed(error);
  if (state === '53100') return storageFull(error);
  return UNAVAILABLE.some((prefix) => state.startsWith(prefix)) ? unavailable(error) : undefined;
}

/** The five characters of an error code of PostgreSQL; undefined for errors from elsewhere. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('severity' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Translates an error of the connection: refused, reset, ended, timed out. Many of these have no code. In
 * this place only the server, the connection and a defect can throw, so errors without a code belong to the
 * connection.
 */
export function translateConnectionError(error: unknown): unknown {
  const isOther =
    sqlState(error) !== undefined ||
    [AppError, TypeError, RangeError, TablesMoved].some((other) => error instanceof other);
  return isOther ? error : unavailable(error);
}
