/**
 * The client class: its options and its resources.
 * To add a resource, write a file like images.ts and add a field here.
 */
import { Accounts } from './accounts.ts';
import { Authentication } from './authentication.ts';
import { Images } from './images.ts';
import { Keys } from './keys.ts';
import { LineItems } from './line-items.ts';
import { checkServerURL } from './operation.ts';
import { Ping } from './ping.ts';
import { Products } from './products.ts';
import { checkRetryConfig, type RetryConfig } from './retries.ts';
import type { Security } from './security.ts';
import type { Fetch } from './sender.ts';
import { checkTimeout, Transport } from './transport.ts';

/** The options of a client. */
export interface VitrineOptions {
  /** The address of the server, such as `https://images.example.com`. */
  readonly serverURL: string | URL;
  /**
   * The credentials. Two kinds of calls need none: `images.getPublic`, and token calls with `clientId` and
   * `clientSecret`.
   */
  readonly security?: Security | undefined;
  /** The API version. Default: v2026.10.00, the newest that this client supports. */
  readonly xMoovVersion?: string | undefined;
  /** How calls are retried. Default: no retries. */
  readonly retries?: RetryConfig | undefined;
  /** The official SDK's name for `retries`. */
  readonly retryConfig?: RetryConfig | undefined;
  /** The timeout of each attempt, in milliseconds. Default: the platform's limits. */
  readonly timeoutMs?: number | undefined;
  /** Replaces the platform's `fetch`, for example with a proxy, a logger or a test double. */
  readonly fetch?: Fetch | undefined;
}

/** The newest API version that this client supports. */
export const NEWEST_VERSION = 'v2026.10.00';

/** A client of a Vitrine server, or of any server with the same protocol. It needs no closing. */
export class Vitrine {
  /** Images of accounts. */
  readonly images: Images;
  /** Products, which show images. */
  readonly products: Products;
  /** Sets of sold line items, which show images. */
  readonly lineItems: LineItems;
  /** Access tokens. */
  readonly authentication: Authentication;
  /** Accounts and audit trails. */
  readonly accounts: Accounts;
  /** API keys. */
  readonly keys: Keys;
  /** The check of credentials. */
  readonly ping: Ping;

  /** @throws TypeError or RangeError with the name of the invalid option. */
  constructor({ serverURL, security, xMoovVersion, retries, retryConfig, timeoutMs, fetch }: VitrineOptions) {
    const config = retries ?? retryConfig ?? { strategy: 'none' };
    checkRetryConfig(config);
    const transport = new Transport({
      serverURL: checkServerURL(serverURL),
      security,
      version: xMoovVersion ?? NEWEST_VERSION,
      retries: config,
      timeoutMs: checkTimeout(timeoutMs),
      fetch,
    });
    this.images = new Images(transport);
    this.products = new Products(transport);
    this.lineItems = new LineItems(transport);
    this.authentication = new Authentication(transport);
    this.accounts = new Accounts(transport);
    this.keys = new Keys(transport);
    this.ping = new Ping(transport);
  }
}
