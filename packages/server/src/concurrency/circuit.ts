/**
 * A circuit breaker for a remote service, such as a store or a database. It opens after a series of failures
 * without a success. While it is open, calls fail at once. Then one call is the trial that closes it or keeps
 * it open.
 */
import { AppError } from '../errors.ts';

/**
 * A failure counts this much. Calls that made a caller wait count more: two without an answer, or one whose
 * body stalled, open the circuit.
 */
const WEIGHTS = { error: 1, timeout: 3, stall: 5 } as const;
const LIMIT = 5;
/** Milliseconds for which the circuit stays open: doubled after each failed trial, up to the maximum. */
const FIRST_PAUSE = 1_000;
const MAX_PAUSE = 4_000;

export type FailureKind = keyof typeof WEIGHTS;

/** The permission of one call. The first report counts. */
export interface Permit {
  /** The service answered. Closes the circuit. */
  succeeded(): void;
  failed(kind: FailureKind, cause: unknown): void;
  /** The call ended without telling anything about the service, for example because it was cancelled. */
  released(): void;
}

export interface CircuitOptions {
  /** The message of refused calls, for clients. */
  readonly message: string;
  /** The longest pause between two trials, in milliseconds. */
  readonly maxPause?: number;
  /** Called when the circuit opens, with the last failure, and when it closes. */
  readonly onChange?: ((state: 'open' | 'closed', cause: unknown) => void) | undefined;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

export class Circuit {
  readonly #message: string;
  readonly #maxPause: number;
  readonly #onChange: CircuitOptions['onChange'];
  readonly #now: () => number;
  #failures = 0;
  #pause = FIRST_PAUSE;
  /** The time from which a trial is allowed; undefined while the circuit is closed. */
  #openUntil: number | undefined;
  #isTrialRunning = false;
  #lastFailure: unknown;

  constructor({ message, maxPause = MAX_PAUSE, onChange, now = () => performance.now() }: CircuitOptions) {
    this.#message = message;
    this.#maxPause = maxPause;
    this.#onChange = onChange;
    this.#now = now;
  }

  /** @throws AppError `unavailable` with `retryAfter` if the next `enter` would be refused. */
  check(): void {
    if (this.#openUntil === undefined) return;
    const left = this.#openUntil - this.#now();
    if (left <= 0 && !this.#isTrialRunning) return;
    throw new AppError('unavailable', this.#message, {
      cause: this.#lastFailure,
      retryAfter: Math.max(1, Math.ceil(left / 1_000)),
    });
  }

  /** Admits a call. @throws as `check`. */
  enter(): Permit {
    this.check();
    const isTrial = this.#openUntil !== undefined;
    if (isTrial) this.#isTrialRunning = true;
    let isReported = false;
    const report = (outcome: () => void) => () => {
      if (isReported) return;
      isReported = true;
      if (isTrial) this.#isTrialRunning = false;
      outcome();
    };
    return {
      succeeded: report(() => this.#close()),
      failed: (kind, cause) => report(() => this.#fail(WEIGHTS[kind], isTrial, cause))(),
      released: report(() => undefined),
    };
  }

  #close(): void {
    this.#failures = 0;
    this.#pause = FIRST_PAUSE;
    if (this.#openUntil === undefined) return;
    this.#openUntil = undefined;
    this.#onChange?.('closed', undefined);
  }

  #fail(weight: number, isTrial: boolean, cause: unknown): void {
    this.#lastFailure = cause;
    if (this.#openUntil !== undefined) {
      // Calls that were admitted earlier fail late. Only a trial says something new.
      if (!isTrial) return;
      this.#pause = Math.min(this.#maxPause, this.#pause * 2);
      this.#openUntil = this.#now() + this.#pause;
      return;
    }
    this.#failures += weight;
    if (this.#failures < LIMIT) return;
    this.#openUntil = this.#now() + this.#pause;
    this.#onChange?.('open', cause);
  }
}
