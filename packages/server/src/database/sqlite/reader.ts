/**
 * Owns a thread that only reads, made when it is needed, and the queue before it: what waits stays on this side, where it
 * can still be given up. Refuses to know what the statements are for.
 */

import { type TurnRules, Turns } from '../../concurrency/fair-queue.ts';
import { unavailable } from '../dialect.ts';
import type { Result, Statement } from './messages.ts';
import type { SqliteThread } from './thread.ts';

export interface ReaderOptions extends TurnRules {
  readonly newThread: () => SqliteThread;
  /** Milliseconds that a statement waits for its answer. */
  readonly patience: number;
}

export class SqliteReader {
  readonly #newThread: () => SqliteThread;
  readonly #patience: number;
  readonly #turns: Turns;
  #thread: SqliteThread | undefined;

  constructor({ newThread, patience, ...rules }: ReaderOptions) {
    this.#newThread = newThread;
    this.#patience = patience;
    this.#turns = new Turns({ ...rules, unavailable });
  }

  /** It was needed before. */
  get started(): boolean {
    return this.#thread !== undefined;
  }

  /** @throws SqliteError; AppError `unavailable` without an answer in time, or at once if too many wait for theirs. */
  run(statement: Statement): Promise<Result> {
    return answered(this.#turns, this.#patience, async () => {
      if (this.#thread?.usable !== true) this.#thread = this.#newThread();
      return this.#thread.run(statement);
    });
  }

  /** Waits for what runs and what waits, then ends the thread. */
  async close(): Promise<void> {
    await this.#turns.idle();
    await this.#thread?.close();
  }
}

/**
 * What `read` gives in its turn, if it does so in time; a late answer is of no use, as nothing was changed. Whoever gives
 * up before it began is forgotten; what has begun has its turn for as long as it takes.
 * @throws AppError `unavailable` after `patience` ms, or at once if too many wait.
 */
export async function answered<T>(turns: Turns, patience: number, read: () => Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let begun = false;
  const turn = turns.ask(() => {
    begun = true;
    // Only the start is within the asking, so the turn is known by then.
    const end = () => turn.end();
    read().then(resolve, reject).then(end);
  });
  const timer = setTimeout(() => {
    if (!begun) turn.end();
    reject(unavailable(new Error('The database took too long.')));
  }, patience);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
