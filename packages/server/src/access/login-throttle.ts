/**
 * Owns when somebody who keeps failing to authenticate is turned away before the secret is looked at. Pure logic over
 * budgets; refuses to know what credentials look like. docs/adr/0014 says why these buckets and no others.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { TokenBucket } from '../concurrency/token-bucket.ts';
import { AppError } from '../errors.ts';

/** Failures of one address, whatever it tries: a burst of these, and then one a second. */
const ADDRESS_BURST = 300;
const ADDRESS_PER_SECOND = 1;
/** Failures of one address with one public key: a burst of these, and then one in five seconds. */
const PAIR_BURST = 100;
const PAIR_PER_SECOND = 0.2;
/** Pairs of address and public key that are remembered to have authenticated, and for how many milliseconds. */
const MAX_ESTABLISHED = 20_000;
const ESTABLISHED_TIME = 24 * 60 * 60 * 1000;

/** Somebody who tries to authenticate. */
export interface Attempt {
  /** Where it comes from, as rate limits name it. */
  readonly address: string;
  /** The public part of the credentials; absent if they have none, or none that can be read. */
  readonly publicKey?: string | undefined;
}

export class FailureThrottle {
  readonly #byAddress = new TokenBucket({ burst: ADDRESS_BURST, perSecond: ADDRESS_PER_SECOND });
  readonly #byPair = new TokenBucket({ burst: PAIR_BURST, perSecond: PAIR_PER_SECOND });
  /** Who has authenticated from an address is not held up by what others fail to do there. */
  readonly #established = new LRUCache<string, true>({ max: MAX_ESTABLISHED, ttl: ESTABLISHED_TIME });
  readonly #now: () => number;

  /** @param now milliseconds of a clock that does not jump. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * To be asked in the same turn of the event loop in which the secret is compared, so that no number of attempts at
   * once gets more comparisons than one after another.
   * @throws AppError `rate-limited`, in one text whatever is known of the public key.
   */
  admit(attempt: Attempt): void {
    const now = this.#now();
    const pair = pairName(attempt);
    const wait = Math.max(
      pair === undefined ? 0 : this.#byPair.secondsUntilToken(pair, now),
      this.#isEstablished(pair) ? 0 : this.#byAddress.secondsUntilToken(attempt.address, now),
    );
    if (wait === 0) return;
    throw new AppError('rate-limited', 'too many failed attempts to authenticate; try again later', {
      retryAfter: wait,
      rejection: 'failed-authentication',
    });
  }

  failed(attempt: Attempt): void {
    const now = this.#now();
    const pair = pairName(attempt);
    if (pair !== undefined) this.#byPair.take(pair, now);
    if (!this.#isEstablished(pair)) this.#byAddress.take(attempt.address, now);
  }

  succeeded(attempt: Attempt): void {
    const pair = pairName(attempt);
    if (pair !== undefined) this.#established.set(pair, true);
  }

  #isEstablished(pair: string | undefined): boolean {
    return pair !== undefined && this.#established.has(pair);
  }
}

/** Of one length, however long a public key somebody makes up. */
function pairName({ address, publicKey }: Attempt): string | undefined {
  if (publicKey === undefined) return undefined;
  return createHash('sha256').update(`${address}\n${publicKey}`).digest('base64url');
}
