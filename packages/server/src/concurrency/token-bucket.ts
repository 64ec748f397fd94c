/**
 * A token bucket for each name. Callers pass the time, so that tests need no clock.
 */
import { LRUCache } from 'lru-cache';

/** The most names with a bucket in memory. An evicted name has a full bucket again. */
const MAX_NAMES = 20_000;

/** Subtracted from a wait in seconds before it is rounded up, so that float errors do not add a second. */
const ROUNDING_TOLERANCE = 1e-6;

export interface TokenBucketOptions {
  /** The tokens of a full bucket; 0: no limit. */
  readonly burst: number;
  /** The tokens that flow in per second, up to the burst. */
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  /** The time of `tokens`, in milliseconds of a monotonic clock. */
  at: number;
}

export class TokenBucket {
  readonly burst: number;
  readonly #perMillisecond: number;
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_NAMES });

  constructor({ burst, perSecond }: TokenBucketOptions) {
    this.burst = burst;
    this.#perMillisecond = perSecond / 1000;
  }

  /**
   * Takes one token from the bucket of the name. Names stay in memory, so callers must limit the length of
   * names that clients choose.
   * @param now milliseconds of a monotonic clock.
   * @returns 0 if there was a token; else the whole seconds, at least 1, until the next token.
   */
  take(name: string, now: number): number {
    if (this.burst === 0) return 0;
    const bucket = this.#refill(name, now);
    this.#buckets.set(name, bucket);
    const wait = this.#secondsUntil(bucket, 1);
    if (wait === 0) bucket.tokens -= 1;
    return wait;
  }

  /** The same as `take`, without taking a token. */
  secondsUntilToken(name: string, now: number): number {
    return this.burst === 0 ? 0 : this.#secondsUntil(this.#refill(name, now), 1);
  }

  /** The whole tokens in the bucket, and the whole seconds until it is full. Takes no token. */
  status(name: string, now: number): { readonly left: number; readonly fullIn: number } {
    const bucket = this.#refill(name, now);
    return { left: Math.floor(bucket.tokens), fullIn: this.#secondsUntil(bucket, this.burst) };
  }

  #refill(name: string, now: number): Bucket {
    const { tokens, at } = this.#buckets.peek(name) ?? { tokens: this.burst, at: now };
    return { tokens: Math.min(this.burst, tokens + (now - at) * this.#perMillisecond), at: now };
  }

  #secondsUntil({ tokens }: Bucket, needed: number): number {
    if (tokens >= needed) return 0;
    const seconds = (needed - tokens) / this.#perMillisecond / 1000;
    return Math.max(1, Math.ceil(seconds - ROUNDING_TOLERANCE));
  }
}
