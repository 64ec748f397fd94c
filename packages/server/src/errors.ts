/**
 * The closed list of ways in which a request can fail, and the class that carries them.
 * This file imports nothing. Errors with a payload of a domain are subclasses in their rooms.
 * The table from code to HTTP status is in `http/shared/problems.ts`.
 */

/**
 * Every failure that a service or an adapter reports on purpose. Any other thrown value is a defect: it is
 * logged and answered with status 500 and a fixed text.
 */
export const ERROR_CODES = [
  /** The request itself is malformed: a parameter, the form, the JSON. */
  'invalid-request',
  /** Credentials are missing or not valid. */
  'unauthenticated',
  /** The refresh token is not valid, or was used, revoked or expired. */
  'invalid-grant',
  /** The requested scope is malformed or exceeds the key. */
  'invalid-scope',
  /** The OAuth grant type is not supported. */
  'unsupported-grant-type',
  /**
   * Valid credentials without the right to do this. The answer is the same whether or not the target exists.
   */
  'forbidden',
  /** The target does not exist within the rights of the principal. */
  'not-found',
  /**
   * The state of the target forbids the change: a disabled image, an idempotency key used for another upload.
   */
  'conflict',
  /** A condition of the request, such as `If-Match`, does not hold. */
  'precondition-failed',
  /** The account already has an image with these bytes. See `DuplicateImageError`. */
  'duplicate',
  /** The account has reached its limit of images or bytes. */
  'quota-exceeded',
  /** The body or the file has more bytes than the limit. */
  'too-large',
  /** The content type or content encoding of the body is not accepted. */
  'unsupported-media',
  /** The uploaded bytes are not an accepted picture; `fields` has the reason. */
  'invalid-image',
  /** The metadata is well-formed but not acceptable; `fields` has the reasons. */
  'invalid-metadata',
  /** A product or a set of line items is not acceptable. See `InvalidRecordError`. */
  'invalid-record',
  /** The account does not allow disabling an image in use. See `ImageInUseError`. */
  'in-use',
  /** The client sent its body too slowly. */
  'too-slow',
  /** Too many requests. */
  'rate-limited',
  /** A dependency or a worker cannot do this now; a retry may work. */
  'unavailable',
  /** The disk or the bucket is full. Reads still work. */
  'storage-full',
  /** The client closed the connection before the answer. */
  'cancelled',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * Why a valid request was rejected, for metrics and logs. It is finer than the error code and not sent to
 * clients.
 * - `address-rate`, `key-rate`, `failed-authentication`: a rate limit of the client
 * - `size-budget`: too many different renditions of one image
 * - `address-share`: too many renders of one address wait, or one waited too long
 * - `account-share`: too many uploads or searches of one account at once
 * - `slow-bodies`: too many slow request bodies of one address at once
 * - `queue-full`, `queue-wait`: the workers have too much to do
 * - `no-workers`, `worker-crash`, `worker-deadline`, `worker-memory`: a worker failed
 * - `stopping`: the server is stopping
 */
export type RejectionReason =
  | 'address-rate'
  | 'key-rate'
  | 'address-share'
  | 'account-share'
  | 'slow-bodies'
  | 'failed-authentication'
  | 'size-budget'
  | 'queue-full'
  | 'queue-wait'
  | 'no-workers'
  | 'worker-crash'
  | 'worker-deadline'
  | 'worker-memory'
  | 'stopping';

/** Reasons by input field, as the 422 bodies of the contract have them. */
export type FieldErrors = Readonly<Record<string, string>>;

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** For `invalid-image` and `invalid-metadata`: the reason for each field. */
  readonly fields?: FieldErrors;
  /** For `unavailable` and `rate-limited`: whole seconds until a retry makes sense. */
  readonly retryAfter?: number;
  /** For `unavailable` and `rate-limited`: the reason for metrics and logs. */
  readonly rejection?: RejectionReason;
}

/** A failure that is part of the design. `message` is written for clients and contains no secrets. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly code: ErrorCode;
  readonly fields: FieldErrors | undefined;
  readonly retryAfter: number | undefined;
  readonly rejection: RejectionReason | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields;
    this.retryAfter = options.retryAfter;
    this.rejection = options.rejection;
  }
}

/** True for an AppError of this code. */
export function isAppError(error: unknown, code?: ErrorCode): error is AppError {
  return error instanceof AppError && (code === undefined || error.code === code);
}

/** The error of a fired signal: its reason if that is an AppError, else `cancelled`. */
export function cancellation(signal: AbortSignal): AppError {
  const reason: unknown = signal.reason;
  return reason instanceof AppError
    ? reason
    : new AppError('cancelled', 'The request was cancelled', { cause: reason });
}

/** @throws AppError `cancelled`, or the reason of the signal if that is an AppError. */
export function throwIfFired(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancellation(signal);
}
