/**
 * Owns how often a client may ask: what counts as one client, the two budgets that a request is charged to, and the
 * headers that tell of them, as draft-ietf-httpapi-ratelimit-headers-10 has them. Refuses to know which requests are
 * charged: the routes do.
 */
import type { FastifyReply } from 'fastify';
import ipaddr from 'ipaddr.js';
import { TokenBucket } from '../../concurrency/token-bucket.ts';
import { AppError } from '../../errors.ts';

/** How many seconds' worth of requests may come at once. */
const BURST_SECONDS = 2;
/** Bytes of an IPv6 address that name a network: whoever has one address of a /64 has all of them. */
const NETWORK_BYTES = 8;

export type Party = 'address' | 'key';

/**
 * What a client is called by its address: an IPv4 address, or the /64 of an IPv6 one. All that is no address, as a
 * proxy may send it, is one client.
 */
export function clientName(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return 'unknown';
  // Also takes an IPv4 address out of its IPv6 form.
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${Buffer.from(parsed.toByteArray().slice(0, NETWORK_BYTES)).toString('hex')}/64`;
}

export class RateLimits {
  readonly #perSecond: number;
  readonly #budgets: Readonly<Record<Party, TokenBucket>>;
  readonly #now: () => number;

  /**
   * @param perSecond requests per second for each key and for each address; 0: no limit.
   * @param now milliseconds of a clock that does not jump.
   */
  constructor(perSecond: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond;
    this.#now = now;
    const options = { burst: perSecond * BURST_SECONDS, perSecond };
    this.#budgets = { address: new TokenBucket(options), key: new TokenBucket(options) };
  }

  /**
   * Charges a request, and says in its headers how the client stands; `quietly`, only if it is refused: what anyone
   * may keep should not tell everyone how one of them stands.
   * @throws AppError `rate-limited`.
   */
  charge(reply: FastifyReply, party: Party, name: string, quietly = false): void {
    if (this.#perSecond === 0) return;
    const now = this.#now();
    const budget = this.#budgets[party];
    const wait = budget.take(name, now);
    if (wait === 0 && quietly) return;
    const { left, fullIn } = budget.status(name, now);
    // Two parties make a list of two.
    add(reply, 'ratelimit-policy', `"${party}";q=${budget.burst};w=${BURST_SECONDS}`);
    add(reply, 'ratelimit', `"${party}";r=${left};t=${wait || fullIn}`);
    if (wait === 0) return;
    const text = `too many requests by this ${party}: at most ${this.#perSecond} a second, and ${budget.burst} at once`;
    throw new AppError('rate-limited', text, { retryAfter: wait, rejection: `${party}-rate` });
  }
}

function add(reply: FastifyReply, header: string, item: string): void {
  const before = reply.getHeader(header);
  reply.header(header, before === undefined ? item : `${String(before)}, ${item}`);
}
