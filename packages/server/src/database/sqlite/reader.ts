/**
 * A thread that only reads, and the queue in front of it. The thread starts with its first statement.
 * Statements wait on this side, because a statement that was sent to the thread cannot be cancelled.
 */

import { FairQueue, type FairQueueOptions } from '../../concurrency/fair-queue.ts';
import { unavailable } from '../dialect.ts';
import type { Result, Statement } from './messages.ts';
import type { SqliteThread } from './thread.ts';

export interface ReaderOptions extends FairQueueOptions {
  readonly newThread: () => SqliteThread;
  /** Milliseconds that a statement waits for its result. */
  readonly timeout: number;
}

export class SqliteReader {
  readonly #newThread: () => SqliteThread;
  readonly #timeout: number;
  readonly #queue: FairQueue;
  #thread: SqliteThread | undefined;

  constructor({ newThread, timeout, ...rules }: ReaderOptions) {
    this.#newThread = newThread;
    this.#timeout = timeout;
    this.#queue = new FairQueue({ ...rules, unavailable });
  }

  /** True once a statement has started the thread. */
  get isStarted(): boolean {
    return this.#thread !== undefined;
  }

  /** @throws SqliteError; AppError `unavailable` after the timeout, or at once if the queue is full. */
  run(statement: Statement): Promise<Result> {
    return readInTurn(this.#queue, this.#timeout, async () => {
      if (this.#thread?.isUsable !== true) this.#thread = this.#newThread();
      return this.#thread.run(statement);
    });
  }

  /** Waits for running and waiting statements, then ends the thread. */
  async close(): Promise<void> {
    await this.#queue.whenIdle();
    await this.#thread?.close();
  }
}

/**
 * Reads when the queue grants a slot. After the timeout, a waiting read leaves the queue. A running read
 * keeps its slot until it ends, and its result is ignored.
 * @throws AppError `unavailable` after the timeout, or at once if the queue is full; the errors of `read`.
 */
export async function readInTurn<T>(queue: FairQueue, timeout: number, read: () => Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let isStarted = false;
  const slot = queue.request(() => {
    isStarted = true;
    // The read ends after `request` has returned, so `slot` is assigned by then.
    const end = () => slot.release();
    read().then(resolve, reject).then(end);
  });
  const timer = setTimeout(() => {
    if (!isStarted) slot.release();
    reject(unavailable(new Error(`no result from the database within ${timeout} ms`)));
  }, timeout);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
