/**
 * When a call is tried again, and after how long. Pure but for the pause; refuses to know what is tried.
 */
import { APIError, ConnectionError, TimeoutError } from './errors.ts';

/** How the pauses between attempts grow. All times in milliseconds. */
export interface BackoffStrategy {
  /** The first pause. Default: 500. */
  readonly initialInterval: number;
  /** No pause is longer, unless the server asks for it. Default: 60 000. */
  readonly maxInterval: number;
  /** Each pause is this many times as long as the one before. Default: 1.5. */
  readonly exponent: number;
  /** After this time no further attempt begins. Default: 3 600 000, one hour. */
  readonly maxElapsedTime: number;
}

/**
 * Whether a call that failed in passing is tried again: after the statuses 429, 500, 502, 503 and 504, and after
 * connection errors and timeouts if `retryConnectionErrors` says so.
 */
export type RetryConfig =
  | { readonly strategy: 'none' }
  | {
      readonly strategy: 'backoff';
      readonly backoff?: Partial<BackoffStrategy> | undefined;
      /** Default: false. */
      readonly retryConnectionErrors?: boolean | undefined;
    };

const DEFAULT_BACKOFF: BackoffStrategy = {
  initialInterval: 500,
  maxInterval: 60_000,
  exponent: 1.5,
  maxElapsedTime: 3_600_000,
};

/** Statuses that may be another the next time. */
const PASSING = new Set([429, 500, 502, 503, 504]);

/** Timers take no more milliseconds than this. */
const MAX_PAUSE = 2 ** 31 - 1;

/** The retries of one call, made when it begins. */
export interface Retries {
  /**
   * Milliseconds to pause before the next attempt; undefined if there is to be none.
   * @param error what the last attempt failed with
   * @param elapsed milliseconds since the first attempt began
   */
  pauseAfter(error: unknown, elapsed: number): number | undefined;
}

/**
 * @param repeatable whether doing it twice is as good as once. If not, only a 429 is tried again: it says that nothing was done.
 * @throws RangeError that names the number which is out of range.
 */
export function startRetries(
  config: RetryConfig,
  repeatable: boolean,
  random: () => number = Math.random,
): Retries {
  if (config.strategy === 'none') return { pauseAfter: () => undefined };
  const backoff = checkBackoff({ ...DEFAULT_BACKOFF, ...withoutUndefined(config.backoff ?? {}) });
  const { retryConnectionErrors = false } = config;
  let interval = Math.min(backoff.initialInterval, backoff.maxInterval);

  const isPassing = (error: unknown) => {
    if (error instanceof APIError) return error.status === 429 || (repeatable && PASSING.has(error.status));
    const noAnswer = error instanceof ConnectionError || error instanceof TimeoutError;
    return noAnswer && repeatable && retryConnectionErrors;
  };

  return {
    pauseAfter(error, elapsed) {
      if (!isPassing(error)) return undefined;
      const asked = error instanceof APIError ? retryAfter(error.headers, Date.now()) : undefined;
      // Jitter, so that clients that were refused together do not come back together: the longer half of the interval
      // is drawn, or, where the server says when, some time behind that.
      const pause =
        asked === undefined ? interval * (0.5 + random() / 2) : asked + random() * backoff.initialInterval;
      interval = Math.min(interval * backoff.exponent, backoff.maxInterval);
      return elapsed + pause > backoff.maxElapsedTime ? undefined : pause;
    },
  };
}

/** Milliseconds that a Retry-After header asks for, be it in seconds or as a date; undefined without a valid one. */
export function retryAfter(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  // A date begins with its weekday; parsers make dates of nearly anything.
  const date = /^[a-z]{3,9}, /i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Resolves after so many milliseconds. @throws the reason of the signal as soon as it is aborted. */
export function pause(milliseconds: number, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const onTime = () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    };
    const timer = setTimeout(onTime, Math.min(milliseconds, MAX_PAUSE));
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** @throws RangeError naming the number and its limit. */
export function checkRetries(config: RetryConfig): void {
  startRetries(config, true);
}

function checkBackoff(backoff: BackoffStrategy): BackoffStrategy {
  for (const [field, least] of [
    ['initialInterval', 0],
    ['maxInterval', 0],
    ['exponent', 1],
    ['maxElapsedTime', 0],
  ] as const) {
    const value = backoff[field];
    if (typeof value !== 'number' || !(value >= least))
      throw new RangeError(`retries.backoff.${field} must be a number from ${least} on, not ${value}`);
  }
  return backoff;
}

function withoutUndefined<T extends object>(given: T): Partial<T> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Partial<T>;
}
