/**
 * Decides whether and when a failed call is retried. Waiting is the only side effect here.
 */
import { APIError, ConnectionError, TimeoutError, type VitrineError } from './errors.ts';

/** The pauses between attempts. All times in milliseconds. */
export interface BackoffStrategy {
  /** The first pause. Default: 500. */
  readonly initialInterval: number;
  /** The longest pause. A Retry-After header of the server may exceed it. Default: 60 000. */
  readonly maxInterval: number;
  /** The factor from each pause to the next. Default: 1.5. */
  readonly exponent: number;
  /** The latest start of an attempt, counted from the first attempt. Default: 3 600 000, one hour. */
  readonly maxElapsedTime: number;
}

/**
 * The retries of calls. With `backoff`, the statuses 408, 429, 500, 502, 503 and 504 are retried.
 * Connection errors and timeouts are retried only with `retryConnectionErrors`.
 */
export type RetryConfig =
  | { readonly strategy: 'none' }
  | {
      readonly strategy: 'backoff';
      readonly backoff?: Partial<BackoffStrategy> | undefined;
      /** Default: false. */
      readonly retryConnectionErrors?: boolean | undefined;
      /**
       * Called before the pause of each retry. The next attempt waits for the returned promise, and then for
       * the pause. If it throws or rejects, the call ends with that error.
       * @param error the error of the last attempt
       * @param milliseconds the pause
       */
      readonly onRetry?:
        | ((error: VitrineError, milliseconds: number) => void | PromiseLike<void>)
        | undefined;
    };

const DEFAULT_BACKOFF: BackoffStrategy = {
  initialInterval: 500,
  maxInterval: 60_000,
  exponent: 1.5,
  maxElapsedTime: 3_600_000,
};

/** The statuses of transient failures. A server answers 408 if the request arrived too slowly. */
const TRANSIENT_STATUSES = new Set([408, 429, 500, 502, 503, 504]);

/** The longest timer of JavaScript, in milliseconds. */
const MAX_PAUSE = 2 ** 31 - 1;

/** The retries of one call. */
export interface Retries {
  /**
   * The pause before the next attempt in milliseconds. Undefined: no further attempt.
   * @param error the error of the last attempt
   * @param elapsed milliseconds since the start of the first attempt
   */
  pauseAfter(error: unknown, elapsed: number): number | undefined;
  /** Tells the caller of a retry. Rejects if the caller ends the call. */
  report(error: unknown, milliseconds: number): Promise<void>;
}

/**
 * @param idempotent false: only a 429 is retried, because only a 429 guarantees that the server did nothing
 * @throws RangeError with the name of the invalid number and its limit.
 */
export function startRetries(
  config: RetryConfig,
  idempotent: boolean,
  random: () => number = Math.random,
): Retries {
  if (config.strategy === 'none') return { pauseAfter: () => undefined, report: async () => undefined };
  const backoff = checkBackoff({ ...DEFAULT_BACKOFF, ...omitUndefined(config.backoff ?? {}) });
  const { retryConnectionErrors = false, onRetry } = config;
  let interval = Math.min(backoff.initialInterval, backoff.maxInterval);

  const isRetryable = (error: unknown) => {
    if (error instanceof APIError)
      return error.status === 429 || (idempotent && TRANSIENT_STATUSES.has(error.status));
    const hasNoResponse = error instanceof ConnectionError || error instanceof TimeoutError;
    return hasNoResponse && idempotent && retryConnectionErrors;
  };

  return {
    pauseAfter(error, elapsed) {
      if (!isRetryable(error)) return undefined;
      const minimum = error instanceof APIError ? parseRetryAfter(error.headers, Date.now()) : undefined;
      // Jitter: clients that were rejected together must not return together. The pause is 50 to 100 % of the
      // interval. With Retry-After it is that time plus up to one initial interval.
      const pause =
        minimum === undefined
          ? interval * (0.5 + random() / 2)
          : minimum + random() * backoff.initialInterval;
      interval = Math.min(interval * backoff.exponent, backoff.maxInterval);
      return elapsed + pause > backoff.maxElapsedTime ? undefined : pause;
    },
    // Only the errors of `isRetryable` are retried, and all of them are of the client.
    report: async (error, milliseconds) => onRetry?.(error as VitrineError, milliseconds),
  };
}

/**
 * The milliseconds of a Retry-After header, which has seconds or a date. Undefined without a valid header.
 */
export function parseRetryAfter(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  // Date.parse accepts almost any text, so check first that the value has the weekday of an HTTP date.
  const date = /^[a-z]{3,9}, /i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Waits. @throws the reason of the signal as soon as the signal aborts. */
export function pause(milliseconds: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const onTimeout = () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const timer = setTimeout(onTimeout, Math.min(milliseconds, MAX_PAUSE));
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** @throws RangeError with the name of the invalid number and its limit. */
export function checkRetryConfig(config: RetryConfig): void {
  startRetries(config, true);
}

function checkBackoff(backoff: BackoffStrategy): BackoffStrategy {
  for (const [field, min] of [
    ['initialInterval', 0],
    ['maxInterval', 0],
    ['exponent', 1],
    ['maxElapsedTime', 0],
  ] as const) {
    const value = backoff[field];
    if (typeof value !== 'number' || !(value >= min))
      throw new RangeError(`retries.backoff.${field} must be a number of at least ${min}, not ${value}`);
  }
  return backoff;
}

function omitUndefined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
