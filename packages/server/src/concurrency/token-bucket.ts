/**
 * A budget for what is expensive: a token bucket for each name. Pure logic; time is given by the caller.
 */
import { LRUCache } from 'lru-cache';

/** Names that are remembered. One that is forgotten has a full bucket again. */
const MAX_NAMES = 20_000;

export interface BudgetOptions {
  /** What may be taken at once; 0: no limit. */
  readonly burst: number;
  /** What flows in again, up to the burst. */
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  /** Milliseconds, of a clock that does not jump. */
  at: number;
}

export class Budget {
  readonly burst: number;
  readonly #perMillisecond: number;
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_NAMES });

  constructor({ burst, perSecond }: BudgetOptions) {
    this.burst = burst;
    this.#perMillisecond = perSecond / 1000;
  }

  /**
   * Takes one from the name's bucket. Names are kept: whoever takes them from clients bounds their length.
   * @param now milliseconds of a clock that does not jump.
   * @returns 0 if there was one; else the whole seconds, at least 1, until there will be.
   */
  take(name: string, now: number): number {
    if (this.burst === 0) return 0;
    const bucket = this.#refilled(name, now);
    this.#buckets.set(name, bucket);
    const wait = this.#secondsUntil(bucket, 1);
    if (wait === 0) bucket.tokens -= 1;
    return wait;
  }

  /** As `take`, and takes nothing. */
  wait(name: string, now: number): number {
    return this.burst === 0 ? 0 : this.#secondsUntil(this.#refilled(name, now), 1);
  }

  /** How many could be taken now, and the whole seconds until the bucket is full. Takes nothing. */
  standing(name: string, now: number): { readonly left: number; readonly fullIn: number } {
    const bucket = this.#refilled(name, now);
    return { left: Math.floor(bucket.tokens), fullIn: this.#secondsUntil(bucket, this.burst) };
  }

  #refilled(name: string, now: number): Bucket {
    const { tokens, at } = this.#buckets.peek(name) ?? { tokens: this.burst, at: now };
    return { tokens: Math.min(this.burst, tokens + (now - at) * this.#perMillisecond), at: now };
  }

  #secondsUntil({ tokens }: Bucket, wanted: number): number {
    if (tokens >= wanted) return 0;
    // Less a trifle: what is a whole second but for the rounding of floats is one.
    return Math.max(1, Math.ceil((wanted - tokens) / this.#perMillisecond / 1000 - 1e-6));
  }
}
