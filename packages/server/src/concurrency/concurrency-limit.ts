/**
 * Limits how many slots one key, such as an account, may hold at the same time.
 * A full key gets no slot and does not wait; see `fair-queue.ts` for a queue.
 */
import { AppError } from '../errors.ts';

export class ConcurrencyLimit {
  readonly #max: number;
  readonly #counts = new Map<string, number>();

  /** @param max the most slots of one key. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a slot. @returns a function that releases it, once; undefined if the key has no free slot. */
  acquire(key: string): (() => void) | undefined {
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#max) return undefined;
    this.#counts.set(key, count + 1);
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
  }
}

/**
 * The error for a key without a free slot: `rate-limited`, with the limit in its text.
 * @param party the kind of the key.
 * @param subject names the slots, in the plural, such as `uploads`.
 */
export function concurrencyLimitError(party: 'account' | 'address', max: number, subject: string): AppError {
  const text = `one ${party} may have at most ${max} ${subject} at once`;
  return new AppError('rate-limited', text, { retryAfter: 1, rejection: `${party}-share` });
}
