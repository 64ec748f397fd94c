/**
 * The meaning of the answers of S3, and of errors of the SDK.
 */

import type { FailureKind } from '../concurrency/circuit.ts';
import { AnswerTimeoutError } from '../concurrency/watchdog.ts';
import { AppError } from '../errors.ts';

/** Seconds after which clients may try again. */
export const RETRY_AFTER = 2;

/** An answer of the store that another try cannot change. */
export class RefusalError extends Error {
  readonly status: number;
  readonly code: string;

  constructor({ $metadata, name, message }: ServiceError) {
    super(`the store answers ${$metadata.httpStatusCode} ${name}: ${message}`);
    this.status = $metadata.httpStatusCode;
    this.code = name;
  }
}

/** An error of the SDK for an answer of the store. */
export interface ServiceError extends Error {
  readonly $metadata: { readonly httpStatusCode: number };
}

/** Another try may succeed, although the store works. */
const REPEATABLE = new Set([
  'ConditionalRequestConflict',
  'ExpiredToken',
  'OperationAborted',
  'RequestTimeTooSkewed',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'XAmzContentChecksumMismatch',
]);
const FULL = new Set(['QuotaExceeded', 'XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded']);

/**
 * - `refusal`: a final answer
 * - `repeatable`: an answer that another try may change, of a store that works
 * - `failure`: no answer, or one of a store in trouble
 * - `setting`: no request was sent, because the SDK lacks credentials or a region
 */
export function kindOf(error: unknown): 'refusal' | 'repeatable' | 'failure' | 'setting' {
  if (isServiceError(error)) {
    const { httpStatusCode: status } = error.$metadata;
    if (REPEATABLE.has(error.name)) return 'repeatable';
    if (status === 429 || error.name === 'RequestTimeout') return 'failure';
    return status >= 500 && status !== 501 && status !== 507 ? 'failure' : 'refusal';
  }
  if (error instanceof AnswerTimeoutError || (error instanceof Error && '$response' in error))
    return 'failure';
  const isOfSystem = error instanceof Error && 'code' in error && typeof error.code === 'string';
  const isOfSDK = error instanceof Error && /^(TimeoutError|AbortError|AggregateError)$/.test(error.name);
  return isOfSystem || isOfSDK ? 'failure' : 'setting';
}

function isServiceError(error: unknown): error is ServiceError {
  if (!(error instanceof Error) || !('$metadata' in error)) return false;
  const { httpStatusCode } = error.$metadata as { httpStatusCode?: unknown };
  return typeof httpStatusCode === 'number';
}

/** True if the store answered that it does not do this now, so the request has no effect later. */
export function isRejected(error: unknown): boolean {
  return isServiceError(error) && ['SlowDown', 'ServiceUnavailable', 'TooManyRequests'].includes(error.name);
}

export function weightOf(failure: unknown): FailureKind {
  if (!(failure instanceof AnswerTimeoutError)) return 'error';
  return failure.isStall ? 'stall' : 'timeout';
}

export function isRefusal(error: unknown, status: number): error is RefusalError {
  return error instanceof RefusalError && error.status === status;
}

/** True if the store closed the connection of the last try before its answer was read. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof AppError) || !(error.cause instanceof Error) || !('code' in error.cause))
    return false;
  return error.cause.code === 'ECONNRESET' || error.cause.code === 'EPIPE';
}

/** The message for clients. */
export const UNAVAILABLE = 'The storage cannot be used now';

export function unavailable(cause: unknown): AppError {
  const options = { cause, retryAfter: RETRY_AFTER };
  return new AppError('unavailable', UNAVAILABLE, options);
}

export function toAppError(error: unknown): unknown {
  if (!(error instanceof RefusalError)) return error;
  if (error.status !== 507 && !FULL.has(error.code)) return unavailable(error);
  return new AppError('storage-full', 'The storage is full', { cause: error });
}

export function rethrow(error: unknown): never {
  throw toAppError(error);
}

/** The message of the innermost cause, which says most. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}
