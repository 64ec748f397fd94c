/**
 * The deadline of one attempt: one signal that the caller's abort and the timeout both trigger.
 * Call `end()` when the attempt is over, or the caller's signal keeps the attempt in memory.
 */
import { ConnectionError, TimeoutError } from './errors.ts';
import { SourceFailure } from './sender.ts';

/** The longest timer of JavaScript, in milliseconds. A longer timeout sets no timer. */
const MAX_TIMER = 2 ** 31 - 1;

/** Combines the caller's signal and the timeout of one attempt. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#caller?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timeout: TimeoutError | undefined;

  /** @throws the reason of the caller's signal, if it is already aborted. */
  constructor(caller: AbortSignal | null | undefined, timeoutMs: number | undefined) {
    caller?.throwIfAborted();
    this.#caller = caller ?? undefined;
    caller?.addEventListener('abort', this.#onAbort, { once: true });
    if (timeoutMs !== undefined && timeoutMs <= MAX_TIMER) {
      this.#timer = setTimeout(() => {
        this.#timeout = new TimeoutError(timeoutMs);
        this.#controller.abort(this.#timeout);
      }, timeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /**
   * Waits for `work`, which takes no signal itself. Rejects with the signal's reason when the signal aborts.
   */
  async race<Result>(work: Promise<Result>): Promise<Result> {
    const { signal } = this;
    let onAbort = () => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason);
    });
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([work, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Cancels the timeout. The caller can still abort. */
  stopTimer(): void {
    clearTimeout(this.#timer);
  }

  /** Cancels the timeout and stops listening to the caller's signal. */
  end(): void {
    this.stopTimer();
    this.#caller?.removeEventListener('abort', this.#onAbort);
  }

  /** The error for the caller, from an error of fetch or of the caller's own stream. */
  translateError(error: unknown, origin: string): unknown {
    if (this.#timeout) return this.#timeout;
    if (this.#caller?.aborted) return this.#caller.reason;
    if (error instanceof SourceFailure) return unwrapCause(error);
    return new ConnectionError(`no answer from ${origin}: ${describeCause(error)}`, { cause: error });
  }
}

function unwrapCause(error: unknown): unknown {
  return error instanceof SourceFailure ? unwrapCause(error.cause) : error;
}

/** Node's message is "fetch failed"; the reason is in the cause. */
function describeCause(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown };
  return [cause?.code, cause?.message, message, error].find(Boolean)?.toString() ?? '';
}
