/**
 * Decides how many pictures are sent at once. Uploads share the link, so on a slow link each of several
 * uploads may be too slow for the server. The number starts at 1, grows while uploads end soon, and shrinks
 * when they take long or the server stops waiting for them.
 */
import type { RetryConfig, UploadOptions, VitrineError } from '@vitrine/client';

/** An upload that takes less time leaves room for another one beside it. Milliseconds. */
const SHORT = 5_000;

/** An upload that takes more time should not share the link. Milliseconds. */
const LONG = 20_000;

/**
 * The most calls for one upload that the server stops because it is slow. Each call has retries of its own,
 * as long as their time allows.
 */
const MAX_CALLS = 4;

export interface UploadPaceOptions {
  /** The most uploads at once. */
  readonly max: number;
  /** The retries of each upload. */
  readonly retries: Extract<RetryConfig, { strategy: 'backoff' }>;
  /** Called with a sentence when an upload was too slow or broke off, before it is sent again. */
  readonly onSlow: (message: string) => void;
  readonly signal?: AbortSignal;
  /** The current time in milliseconds. */
  readonly now?: () => number;
}

/** One upload, from its first attempt to its result. */
interface Upload {
  readonly name: string;
  /** The time at which the current attempt started. */
  start: number;
  /** The number of reductions before the current attempt. */
  reductions: number;
  /** Bytes of the file that the current attempt has sent. */
  sent: number;
}

export class UploadPace {
  readonly #options: UploadPaceOptions;
  readonly #now: () => number;
  #limit = 1;
  #ceiling: number;
  #active = 0;
  #reductions = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: UploadPaceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#ceiling = options.max;
  }

  /** The number of uploads that may run at once now. */
  get limit(): number {
    return this.#limit;
  }

  /**
   * Waits for a turn and runs an upload. Sends it again if it was too slow.
   * @param name the name of the picture in messages.
   * @param send sends the picture with these options.
   */
  async run<T>(name: string, send: (options: UploadOptions) => Promise<T>): Promise<T> {
    const { signal, retries } = this.#options;
    const upload: Upload = { name, start: 0, reductions: 0, sent: 0 };
    await this.#enter(upload);
    try {
      for (let call = 1; ; call += 1) {
        try {
          const result = await send({
            ...(signal && { signal }),
            retries: { ...retries, onRetry: (error) => this.#retry(upload, error) },
            onProgress: ({ sent }) => {
              upload.sent = sent;
            },
          });
          this.#adapt(this.#now() - upload.start);
          return result;
        } catch (error) {
          // The retries ended because the attempts took all of their time.
          if (call === MAX_CALLS || !isTooSlow(error, upload)) throw error;
          await this.#retry(upload, error as VitrineError);
        }
      }
    } finally {
      this.#leave();
    }
  }

  /** Lets waiting uploads run first if fewer may run now. */
  async #retry(upload: Upload, error: VitrineError): Promise<void> {
    if (isTooSlow(error, upload)) this.#reduce(upload, error);
    this.#leave();
    await this.#enter(upload);
  }

  #reduce(upload: Upload, error: VitrineError): void {
    // Uploads that ran side by side fail together, and one reduction is enough for them.
    if (upload.reductions === this.#reductions) {
      this.#reductions += 1;
      this.#limit = Math.max(1, Math.floor(Math.min(this.#limit, this.#active) / 2));
      // The server has a limit that more uploads at once would reach again.
      if (statusOf(error) === 408) this.#ceiling = this.#limit;
      this.#wakeWaiting();
    }
    const reason =
      statusOf(error) === 408
        ? `the link is too slow: the server stopped waiting for ${upload.name}`
        : `the connection broke while ${upload.name} was sent`;
    const number = this.#limit === 1 ? 'one file' : `${this.#limit} files`;
    this.#options.onSlow(`${reason}; sending it again, with ${number} at a time`);
  }

  #adapt(duration: number): void {
    if (duration < SHORT) this.#limit = Math.min(this.#ceiling, this.#limit + 1);
    else if (duration > LONG) this.#limit = Math.max(1, this.#limit - 1);
    this.#wakeWaiting();
  }

  async #enter(upload: Upload): Promise<void> {
    if (this.#active >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#active += 1;
    upload.start = this.#now();
    upload.reductions = this.#reductions;
    upload.sent = 0;
  }

  #leave(): void {
    this.#active -= 1;
    this.#wakeWaiting();
  }

  /** Gives free turns to waiting uploads, in their order. */
  #wakeWaiting(): void {
    while (this.#active < this.#limit) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#active += 1;
      next();
    }
  }
}

/** Whether the server or the network ended an attempt during its body. */
function isTooSlow(error: unknown, { sent }: Upload): boolean {
  if (statusOf(error) === 408) return true;
  const { name } = error as { name?: unknown };
  return sent > 0 && (name === 'ConnectionError' || name === 'TimeoutError');
}

function statusOf(error: unknown): number | undefined {
  return (error as { status?: number }).status;
}
