/**
 * Owns a thread that only reads, made when it is needed, and the queue before it: what waits stays on this side, where it
 * can still be given up. Refuses to know what the statements are for.
 */

import { FairQueue, type FairQueueOptions } from '../../concurrency/fair-queue.ts';
import { unavailable } from '../dialect.ts';
import type { Result, Statement } from './messages.ts';
import type { SqliteThread } from './thread.ts';

export interface ReaderOptions extends FairQueueOptions {
  readonly newThread: () => SqliteThread;
  /** Milliseconds that a statement waits for its answer. */
  readonly patience: number;
}

export class SqliteReader {
  readonly #newThread: () => SqliteThread;
  readonly #patience: number;
  readonly #queue: FairQueue;
  #thread: SqliteThread | undefined;

  constructor({ newThread, patience, ...rules }: ReaderOptions) {
    this.#newThread = newThread;
    this.#patience = patience;
    this.#queue = new FairQueue({ ...rules, unavailable });
  }

  /** It was needed before. */
  get started(): boolean {
    return this.#thread !== undefined;
  }

  /** @throws SqliteError; AppError `unavailable` without an answer in time, or at once if too many wait for theirs. */
  run(statement: Statement): Promise<Result> {
    return answered(this.#queue, this.#patience, async () => {
      if (this.#thread?.usable !== true) this.#thread = this.#newThread();
      return this.#thread.run(statement);
    });
  }

  /** Waits for what runs and what waits, then ends the thread. */
  async close(): Promise<void> {
    await this.#queue.whenIdle();
    await this.#thread?.close();
  }
}

/**
 * What `read` gives in its turn, if it does so in time; a late answer is of no use, as nothing was changed. Whoever gives
 * up before it began is forgotten; what has begun has its turn for as long as it takes.
 * @throws AppError `unavailable` after `patience` ms, or at once if too many wait.
 */
export async function answered<T>(queue: FairQueue, patience: number, read: () => Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let begun = false;
  const slot = queue.request(() => {
    begun = true;
    // Only the start is within the asking, so the turn is known by then.
    const end = () => slot.release();
    read().then(resolve, reject).then(end);
  });
  const timer = setTimeout(() => {
    if (!begun) slot.release();
    reject(unavailable(new Error('The database took too long.')));
  }, patience);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
