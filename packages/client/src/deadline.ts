/**
 * When one attempt has to stop: its caller aborts it, or its time is over. Owns one signal for both, and what a failure
 * under it is called. Refuses to know what is being attempted.
 */
import { ConnectionError, TimeoutError } from './errors.ts';
import { SourceFailure } from './sender.ts';

/** Timers take no more milliseconds than this; a longer limit is none. */
const MAX_TIMER = 2 ** 31 - 1;

/** What can stop one attempt, as one signal. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#caller?.reason);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #passed: TimeoutError | undefined;

  /** @throws the reason of the caller's signal, if it is aborted already. */
  constructor(caller: AbortSignal | null | undefined, timeoutMs: number | undefined) {
    caller?.throwIfAborted();
    this.#caller = caller ?? undefined;
    caller?.addEventListener('abort', this.#onAbort, { once: true });
    if (timeoutMs !== undefined && timeoutMs <= MAX_TIMER) {
      this.#timer = setTimeout(() => {
        this.#passed = new TimeoutError(timeoutMs);
        this.#controller.abort(this.#passed);
      }, timeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The same promise, given up when the attempt has to stop: for what takes no signal. */
  async within<Result>(work: Promise<Result>): Promise<Result> {
    const { signal } = this;
    let leave = () => {};
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal.reason);
    });
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([work, left]);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** The time no longer counts; the caller can still abort. */
  stopClock(): void {
    clearTimeout(this.#timer);
  }

  /** Nothing more can stop it. Must be called, or the caller's signal keeps it alive. */
  end(): void {
    this.stopClock();
    this.#caller?.removeEventListener('abort', this.#onAbort);
  }

  /** What the caller is told about something that fetch, or a body that it gave, failed with. */
  explain(error: unknown, origin: string): unknown {
    if (this.#passed) return this.#passed;
    if (this.#caller?.aborted) return this.#caller.reason;
    if (error instanceof SourceFailure) return rootOf(error);
    return new ConnectionError(`no answer from ${origin}: ${detailOf(error)}`, { cause: error });
  }
}

function rootOf(error: unknown): unknown {
  return error instanceof SourceFailure ? rootOf(error.cause) : error;
}

/** Node says "fetch failed" and keeps the reason in the cause. */
function detailOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown };
  return [cause?.code, cause?.message, message, error].find(Boolean)?.toString() ?? '';
}
