/**
 * How many searches a database does at once, and for whom: whatever looks through many records of an account, and not only
 * for one or a page of them. Refuses to know what is looked for, and how.
 *
 * One account's searches hold up its own only. All others get theirs between them, and no account has all the places.
 */

import { ConcurrencyLimit, concurrencyLimitError } from '../concurrency/concurrency-limit.ts';
import { FairQueue, type FairQueueOptions } from '../concurrency/fair-queue.ts';
import { unavailable } from './dialect.ts';

/** Searches that may be waiting, of all accounts. */
const MAX_WAITING = 256;

/** Searches of one account at once, those that wait included: half of the places, as with uploads. */
export const MAX_SEARCHES_PER_ACCOUNT = 128;

export interface SearchRules extends Pick<FairQueueOptions, 'slots'> {
  /** Milliseconds that a search waits for its turn. */
  readonly patience: number;
}

export class Searches {
  readonly #queue: FairQueue;
  readonly #patience: number;
  readonly #limit = new ConcurrencyLimit(MAX_SEARCHES_PER_ACCOUNT);

  constructor({ slots, patience }: SearchRules) {
    this.#queue = new FairQueue({ slots, maxWaiting: MAX_WAITING, unavailable });
    this.#patience = patience;
  }

  /**
   * Does the work when it is the account's turn. The turn is over with the work, whoever still waits for it.
   * @param signal gives up the place of a search that has not begun.
   * @throws what the work throws; AppError `rate-limited` if the account has its share; `unavailable` if too many wait, or
   * after having waited in vain; `cancelled` by the signal.
   */
  async run<T>(accountID: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const release = this.#limit.acquire(accountID);
    if (!release) throw concurrencyLimitError('account', MAX_SEARCHES_PER_ACCOUNT, 'searches');
    try {
      const slot = await this.#queue.acquire({ key: accountID, timeout: this.#patience, signal });
      try {
        return await work();
      } finally {
        slot.release();
      }
    } finally {
      release();
    }
  }
}
