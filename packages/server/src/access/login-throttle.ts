/**
 * Rejects clients that fail to authenticate too often, before their secret is compared.
 * See docs/adr/0014 for the two budgets and why there is none for a public key alone.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { TokenBucket } from '../concurrency/token-bucket.ts';
import { AppError } from '../errors.ts';

/** Failures of one address with any public keys: this many at once, then one per second. */
const ADDRESS_BURST = 300;
const ADDRESS_PER_SECOND = 1;
/** Failures of one address with one public key: this many at once, then one in five seconds. */
const PAIR_BURST = 100;
const PAIR_PER_SECOND = 0.2;
/**
 * The pairs of address and public key that authenticated recently: their number, and how many milliseconds
 * they stay.
 */
const MAX_AUTHENTICATED = 20_000;
const AUTHENTICATED_TIME = 24 * 60 * 60 * 1000;

/** One attempt to authenticate. */
export interface LoginAttempt {
  /** The client name of the rate limits: an IPv4 address, or the /64 network of an IPv6 address. */
  readonly address: string;
  /** The public part of the credentials. Absent if the credentials have none or cannot be read. */
  readonly publicKey?: string | undefined;
}

export class LoginThrottle {
  readonly #byAddress = new TokenBucket({ burst: ADDRESS_BURST, perSecond: ADDRESS_PER_SECOND });
  readonly #byPair = new TokenBucket({ burst: PAIR_BURST, perSecond: PAIR_PER_SECOND });
  /** Pairs that authenticated. Failures of other clients at the same address do not affect them. */
  readonly #authenticated = new LRUCache<string, true>({ max: MAX_AUTHENTICATED, ttl: AUTHENTICATED_TIME });
  readonly #now: () => number;

  /** @param now milliseconds of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * Call this in the same turn of the event loop as the comparison of the secret. Otherwise many attempts at
   * once get more comparisons than the budget allows.
   * @throws AppError `rate-limited`. The text is the same for existing and unknown public keys.
   */
  admit(attempt: LoginAttempt): void {
    const now = this.#now();
    const pair = hashPair(attempt);
    const wait = Math.max(
      pair === undefined ? 0 : this.#byPair.secondsUntilToken(pair, now),
      this.#hasAuthenticated(pair) ? 0 : this.#byAddress.secondsUntilToken(attempt.address, now),
    );
    if (wait === 0) return;
    throw new AppError('rate-limited', 'too many failed attempts to authenticate; try again later', {
      retryAfter: wait,
      rejection: 'failed-authentication',
    });
  }

  recordFailure(attempt: LoginAttempt): void {
    const now = this.#now();
    const pair = hashPair(attempt);
    if (pair !== undefined) this.#byPair.take(pair, now);
    if (!this.#hasAuthenticated(pair)) this.#byAddress.take(attempt.address, now);
  }

  recordSuccess(attempt: LoginAttempt): void {
    const pair = hashPair(attempt);
    if (pair !== undefined) this.#authenticated.set(pair, true);
  }

  #hasAuthenticated(pair: string | undefined): boolean {
    return pair !== undefined && this.#authenticated.has(pair);
  }
}

/** A name of fixed length for the pair, because clients can send public keys of any length. */
function hashPair({ address, publicKey }: LoginAttempt): string | undefined {
  if (publicKey === undefined) return undefined;
  return createHash('sha256').update(`${address}\n${publicKey}`).digest('base64url');
}
