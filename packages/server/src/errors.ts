/**
 * Owns the closed list of ways a request can fail, and the one class that carries them.
 * Refuses to know HTTP: the table from code to status lives in http/problems.ts.
 */
import type { Image } from './image.ts';
import type { ImageUsage } from './images/usage.ts';
import type { ViolationTree } from './validation/violations.ts';

/**
 * Every failure a service or an adapter may report on purpose. Anything else that is thrown is a defect
 * and is answered as `internal` with a fixed text.
 */
export const ERROR_CODES = [
  /** The request itself is malformed: a parameter, the form, the JSON. */
  'invalid-request',
  /** No credentials, or credentials that do not hold. */
  'unauthenticated',
  /** The refresh token is not, or no longer, good. */
  'invalid-grant',
  /** More is asked for than the key allows, or something that is no scope. */
  'invalid-scope',
  /** A way to get a token that is not offered. */
  'unsupported-grant-type',
  /** Good credentials without the right to do this. The same answer whether or not the target exists. */
  'forbidden',
  /** The named thing does not exist in what the principal may see. */
  'not-found',
  /** The state of the target does not allow it (a disabled image, an idempotency key used for something else). */
  'conflict',
  /** What the request is to be done on condition of is not so: the bytes are others by now. */
  'precondition-failed',
  /** The account already holds an image with these bytes; `existing` says which. */
  'duplicate',
  /** The account may not hold more images, or more bytes of them. */
  'quota-exceeded',
  /** More bytes than the limit. */
  'too-large',
  /** The request body is in an encoding or of a type that is not accepted. */
  'unsupported-media',
  /** The uploaded bytes are not a picture that is accepted; `fields` says why. */
  'invalid-image',
  /** The metadata is well-formed but not acceptable; `fields` says why. */
  'invalid-metadata',
  /** A product or a set of line items is not acceptable; `violations` says what is wrong, and where. */
  'invalid-record',
  /** The account refuses to disable an image that is in use; `usage` says where it is. */
  'in-use',
  /** The client sent its body too slowly. */
  'too-slow',
  /** Too many requests. */
  'rate-limited',
  /** A dependency or a worker cannot serve this now; trying again may work. */
  'unavailable',
  /** The disk or bucket is full. Reads go on. */
  'storage-full',
  /** The client went away; nobody reads the answer. */
  'cancelled',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * Why a good request was turned away, finer than its code: for those who watch the server, not for clients.
 * - `address-rate`, `key-rate`, `failed-authentication`, `size-budget`: the client, or what it asks for, had its share
 * - `address-share`, `account-share`: it has as many renditions in the making, or uploads or searches, as one may have at once
 * - `queue-full`, `queue-wait`: more work than the decoding processes can do
 * - `no-workers`, `worker-crash`, `worker-deadline`, `worker-memory`: the decoding process itself
 * - `stopping`: the server is on its way out
 */
export type ShedReason =
  | 'address-rate'
  | 'key-rate'
  | 'address-share'
  | 'account-share'
  | 'failed-authentication'
  | 'size-budget'
  | 'queue-full'
  | 'queue-wait'
  | 'no-workers'
  | 'worker-crash'
  | 'worker-deadline'
  | 'worker-memory'
  | 'stopping';

/** Messages by the input field they concern, as the 422 bodies of the contract show them. */
export interface FieldErrors {
  readonly image?: string;
  readonly altText?: string;
  readonly focalPoint?: string;
}

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** For `invalid-image` and `invalid-metadata`: which input, and why. */
  readonly fields?: FieldErrors;
  /** For `duplicate`: the image that holds these bytes already. */
  readonly existing?: Image;
  /** For `invalid-record`: everything that is wrong with it, in its shape. */
  readonly violations?: ViolationTree;
  /** For `in-use`: what shows the image. */
  readonly usage?: ImageUsage;
  /** For `unavailable` and `rate-limited`: whole seconds after which trying again makes sense. */
  readonly retryAfter?: number;
  /** For `unavailable` and `rate-limited`: why, for the metrics. */
  readonly shed?: ShedReason;
}

/** A failure that is part of the design. `message` is written for the client and safe to send. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly fields: FieldErrors | undefined;
  readonly existing: Image | undefined;
  readonly violations: ViolationTree | undefined;
  readonly usage: ImageUsage | undefined;
  readonly retryAfter: number | undefined;
  readonly shed: ShedReason | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields;
    this.existing = options.existing;
    this.violations = options.violations;
    this.usage = options.usage;
    this.retryAfter = options.retryAfter;
    this.shed = options.shed;
  }
}

/** True for an AppError of this code. */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** What to throw when the signal has fired: its reason if that says more than "cancelled". */
export function cancellation(signal: AbortSignal): AppError {
  const reason: unknown = signal.reason;
  return reason instanceof AppError
    ? reason
    : new AppError('cancelled', 'The request was cancelled', { cause: reason });
}

/** @throws AppError `cancelled`, or the signal's reason, if it has fired. */
export function throwIfFired(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancellation(signal);
}
