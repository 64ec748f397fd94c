/**
 * Rate limits: one budget for each address, one for each key, and the headers that report them
 * (draft-ietf-httpapi-ratelimit-headers-10). The routes decide which requests are charged.
 */
import type { FastifyReply } from 'fastify';
import ipaddr from 'ipaddr.js';
import { TokenBucket } from '../../concurrency/token-bucket.ts';
import { AppError } from '../../errors.ts';

/** The burst of a budget, in seconds of its rate. */
const BURST_SECONDS = 2;
/** Bytes of an IPv6 address that identify a network. A client with one address of a /64 has all of them. */
const NETWORK_BYTES = 8;

export type Party = 'address' | 'key';

/**
 * The name of a client by its address: an IPv4 address, or the /64 of an IPv6 address. All texts that are no
 * address, as a proxy may send them, have one common name.
 */
export function clientName(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return 'unknown';
  // Converts an IPv4 address in its IPv6 form to IPv4.
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
   * Charges a request and reports the budget in its headers. With `quietly`, only a refusal has the headers:
   * a cacheable answer must not show the budget of one client to others.
   * @throws AppError `rate-limited`.
   */
  charge(reply: FastifyReply, party: Party, name: string, quietly = false): void {
    if (this.#perSecond === 0) return;
    const now = this.#now();
    const budget = this.#budgets[party];
    const wait = budget.take(name, now);
    if (wait === 0 && quietly) return;
    const { left, fullIn } = budget.status(name, now);
    appendToList(reply, 'ratelimit-policy', `"${party}";q=${budget.burst};w=${BURST_SECONDS}`);
    appendToList(reply, 'ratelimit', `"${party}";r=${left};t=${wait || fullIn}`);
    if (wait === 0) return;
    const text = `too many requests by this ${party}: at most ${this.#perSecond} a second, and ${budget.burst} at once`;
    throw new AppError('rate-limited', text, { retryAfter: wait, rejection: `${party}-rate` });
  }
}

/** Adds an item to a header that is a list, with one item for each party. */
function appendToList(reply: FastifyReply, header: string, item: string): void {
  const list = reply.getHeader(header);
  reply.header(header, list === undefined ? item : `${String(list)}, ${item}`);
}
