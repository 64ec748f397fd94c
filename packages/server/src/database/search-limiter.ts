/**
 * How many searches a database does at once, and for whom: whatever looks through many records of an account, and not only
 * for one or a page of them. Refuses to know what is looked for, and how.
 *
 * One account's searches hold up its own only. All others get theirs between them, and no account has all the places.
 */

import { Shares } from '../concurrency/concurrency-limit.ts';
import { type TurnRules, Turns } from '../concurrency/fair-queue.ts';
import { AppError } from '../errors.ts';
import { unavailable } from './dialect.ts';

/** Searches that may be waiting, of all accounts. */
const MAX_WAITING = 256;

/** Searches of one account at once, those that wait included: half of the places, as with uploads. */
export const MAX_SEARCHES_PER_ACCOUNT = 128;

export interface SearchRules extends Pick<TurnRules, 'atOnce'> {
  /** Milliseconds that a search waits for its turn. */
  readonly patience: number;
}

export class Searches {
  readonly #turns: Turns;
  readonly #patience: number;
  readonly #shares = new Shares(MAX_SEARCHES_PER_ACCOUNT);

  constructor({ atOnce, patience }: SearchRules) {
    this.#turns = new Turns({ atOnce, waiting: MAX_WAITING, unavailable });
    this.#patience = patience;
  }

  /**
   * Does the work when it is the account's turn. The turn is over with the work, whoever still waits for it.
   * @param signal gives up the place of a search that has not begun.
   * @throws what the work throws; AppError `rate-limited` if the account has its share; `unavailable` if too many wait, or
   * after having waited in vain; `cancelled` by the signal.
   */
  async run<T>(accountID: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const giveBack = this.#shares.take(accountID);
    if (giveBack === undefined) {
      const text = `one account may have ${MAX_SEARCHES_PER_ACCOUNT} searches at once at most`;
      throw new AppError('rate-limited', text, { retryAfter: 1, rejection: 'account-share' });
    }
    try {
      const turn = await this.#turns.take({ name: accountID, patience: this.#patience, signal });
      try {
        return await work();
      } finally {
        turn.end();
      }
    } finally {
      giveBack();
    }
  }
}
