/**
 * A budget for what is expensive: a token bucket for each name. Pure logic; time is given by the caller.
 */
import { LRUCache } from 'lru-cache';

/** Names that are remembered. One that is forgotten has a full bucket again. */
const MAX_NAMES = 100_000;

interface Bucket {
  tokens: number;
  /** Milliseconds, of a clock that does not jump. */
  at: number;
}

export class Budget {
  readonly #burst: number;
  readonly #perMillisecond: number;
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_NAMES });

  /** `burst` at once, and as many again in the course of an hour. 0: no limit. */
  constructor(burst: number) {
    this.#burst = burst;
    this.#perMillisecond = burst / (60 * 60 * 1000);
  }

  /**
   * Takes one from the name's bucket.
   * @param now milliseconds of a clock that does not jump.
   * @returns 0 if there was one; else the whole seconds, at least 1, until there will be.
   */
  take(name: string, now: number): number {
    if (this.#burst === 0) return 0;
    const bucket = this.#buckets.get(name) ?? { tokens: this.#burst, at: now };
    const refilled = bucket.tokens + (now - bucket.at) * this.#perMillisecond;
    bucket.tokens = Math.min(this.#burst, refilled);
    bucket.at = now;
    this.#buckets.set(name, bucket);
    if (bucket.tokens < 1) {
      const seconds = (1 - bucket.tokens) / this.#perMillisecond / 1000;
      // Less a trifle: what is a whole second but for the rounding of floats is one.
      return Math.max(1, Math.ceil(seconds - 1e-6));
    }
    bucket.tokens -= 1;
    return 0;
  }
}
