/**
 * Limits the concurrent searches of a database. Accounts take turns, and no account can use all places in the
 * queue. A search reads many records of one account, and not only one record or one page.
 */

import { ConcurrencyLimit, concurrencyLimitError } from '../concurrency/concurrency-limit.ts';
import { FairQueue } from '../concurrency/fair-queue.ts';
import { unavailable } from './dialect.ts';

/** The most waiting searches of all accounts. */
const MAX_WAITING = 256;

/** The most searches of one account, including waiting ones: half of the queue, as for uploads. */
export const MAX_SEARCHES_PER_ACCOUNT = 128;

export interface SearchLimits {
  /** The most searches that run at the same time. */
  readonly slots: number;
  /** Milliseconds that a search waits for its start. */
  readonly timeout: number;
}

export class SearchLimiter {
  readonly #queue: FairQueue;
  readonly #timeout: number;
  readonly #accountLimit = new ConcurrencyLimit(MAX_SEARCHES_PER_ACCOUNT);

  constructor({ slots, timeout }: SearchLimits) {
    this.#queue = new FairQueue({ slots, maxWaiting: MAX_WAITING, unavailable });
    this.#timeout = timeout;
  }

  /**
   * Runs a search when it is the account's turn. It keeps its slot until it ends, also if its caller is gone.
   * @param signal removes a waiting search from the queue. A running search continues.
   * @throws AppError `rate-limited` if the account has too many searches.
   * @throws AppError `unavailable` if the queue is full, or after the timeout.
   * @throws AppError `cancelled` by the signal; and the errors of the search.
   */
  async run<T>(accountID: string, signal: AbortSignal | undefined, search: () => Promise<T>): Promise<T> {
    const release = this.#accountLimit.acquire(accountID);
    if (!release) throw concurrencyLimitError('account', MAX_SEARCHES_PER_ACCOUNT, 'searches');
    try {
      const slot = await this.#queue.acquire({ key: accountID, timeout: this.#timeout, signal });
      try {
        return await search();
      } finally {
        slot.release();
      }
    } finally {
      release();
    }
  }
}
