/**
 * The client: what it is made with, and the resources that it has. A new resource is a file like images.ts and a line here.
 */
import { Accounts } from './accounts.ts';
import { Authentication } from './authentication.ts';
import { Images } from './images.ts';
import { Keys } from './keys.ts';
import { LineItems } from './line-items.ts';
import { checkServerURL } from './operation.ts';
import { Ping } from './ping.ts';
import { Products } from './products.ts';
import { checkRetries, type RetryConfig } from './retries.ts';
import type { Security } from './security.ts';
import type { Fetch } from './sender.ts';
import { checkTimeout, Transport } from './transport.ts';

/** What a client is made with. */
export interface VitrineOptions {
  /** The address of the server, such as `https://images.example.com`. */
  readonly serverURL: string | URL;
  /** Who calls. Only `images.getPublic`, and tokens that are asked for with a `clientId` and `clientSecret`, need nobody. */
  readonly security?: Security | undefined;
  /** The version of the API. Default: v2026.10.00, the newest that this client knows. */
  readonly xMoovVersion?: string | undefined;
  /** Whether and how calls are tried again. Default: not at all. */
  readonly retries?: RetryConfig | undefined;
  /** `retries`, under the name that the official SDK gives it. */
  readonly retryConfig?: RetryConfig | undefined;
  /** Milliseconds for each attempt of a call. Default: no limit but the platform's. */
  readonly timeoutMs?: number | undefined;
  /** Makes the requests, in place of the platform's `fetch`: for a proxy, a log, a test. */
  readonly fetch?: Fetch | undefined;
}

/** The newest version of the API whose answers this client knows. */
export const NEWEST_VERSION = 'v2026.10.00';

/** A client of a Vitrine server, or of any other that speaks its protocol. Holds no connection and needs no end. */
export class Vitrine {
  /** The pictures of accounts. */
  readonly images: Images;
  /** What is sold, and shows images. */
  readonly products: Products;
  /** What was sold, and showed images. */
  readonly lineItems: LineItems;
  /** Access tokens. */
  readonly authentication: Authentication;
  /** Tenants, and what happened to them. */
  readonly accounts: Accounts;
  /** Who may act for which accounts. */
  readonly keys: Keys;
  /** The check of credentials. */
  readonly ping: Ping;

  /** @throws TypeError or RangeError that names the option which is wrong. */
  constructor({ serverURL, security, xMoovVersion, retries, retryConfig, timeoutMs, fetch }: VitrineOptions) {
    const config = retries ?? retryConfig ?? { strategy: 'none' };
    checkRetries(config);
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
