/**
 * Access: who a request speaks for and what it may do. Every request asks the records anew; nothing about keys and
 * tokens is cached, so that what was revoked, on this node or another, ends with the next request.
 * Refuses to know HTTP beyond the text of an Authorization header.
 */
import { LRUCache } from 'lru-cache';
import { AppError } from '../errors.ts';
import type { WarnLog } from '../telemetry/log.ts';
import { parseUUID } from '../validation/uuid.ts';
import { type ApiKey, isCurrent, isGood, type KeySecret, type Principal, type Scope } from './account.ts';
import { FailureThrottle } from './login-throttle.ts';
import type { AccountRecords, KeyRecords, TokenRecords } from './records.ts';
import { grantsOf, intersection, isGranted } from './rights.ts';
import { digestOf, matching } from './secrets.ts';

/** How often the last use of a key is noted at most, in milliseconds. */
const TOUCH_INTERVAL = 60_000;
/** Keys whose last use is kept in mind; others are noted again, no more than once a minute by the record itself. */
const MAX_TOUCHED = 10_000;

/** A public key and a secret, as they were shown. */
export interface Credentials {
  readonly publicKey: string;
  readonly secretKey: string;
}

export interface AccessDependencies {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly now?: () => Date;
  readonly log?: WarnLog;
}

export class Access {
  readonly #accounts: AccountRecords;
  readonly #keys: KeyRecords;
  readonly #tokens: TokenRecords;
  readonly #now: () => Date;
  readonly #log: WarnLog | undefined;
  readonly #touched = new LRUCache<string, number>({ max: MAX_TOUCHED });
  readonly #touching = new Set<Promise<void>>();
  readonly #throttle = new FailureThrottle();

  constructor({ accounts, keys, tokens, now, log }: AccessDependencies) {
    this.#accounts = accounts;
    this.#keys = keys;
    this.#tokens = tokens;
    this.#now = now ?? (() => new Date());
    this.#log = log;
  }

  /** Waits for what is still being noted about the use of keys. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#touching);
  }

  /**
   * Who the credentials in an Authorization header belong to: `Basic` with a key, or `Bearer` with an access token.
   * @param address what failures are counted by, beside the public key.
   * @throws AppError `unauthenticated`, with one text whatever is wrong with them; `rate-limited` after too many of
   * these.
   */
  async authenticate(authorization: string | undefined, address: string): Promise<Principal> {
    if (authorization === undefined) {
      throw new AppError(
        'unauthenticated',
        'credentials are required: HTTP Basic with public key and secret key, or a Bearer token',
      );
    }
    const token = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorization)?.[1];
    if (token !== undefined) return this.#bearer(token, address);
    const { key } = await this.identify(parseBasic(authorization), address);
    return principalOf(key);
  }

  /**
   * The key that the credentials belong to, and which of its secrets they show.
   * @param address what failures are counted by, beside the public key.
   * @throws AppError `unauthenticated`, with one text whatever is wrong with them; `rate-limited` after too many of
   * these.
   */
  async identify(
    credentials: Credentials | undefined,
    address: string,
  ): Promise<{ key: ApiKey; secret: KeySecret }> {
    const attempt = { address, publicKey: credentials?.publicKey };
    // Once before, to save the lookup; and once after, when nobody can come between the count and the comparison.
    this.#throttle.admit(attempt);
    const stored = credentials && (await this.#keys.find(credentials.publicKey));
    this.#throttle.admit(attempt);
    const secret = matching(credentials?.secretKey ?? '', stored?.secrets ?? []);
    const now = this.#now();
    if (!stored || !secret || !isCurrent(secret, now) || !isGood(stored.key, now)) {
      this.#throttle.failed(attempt);
      return invalid();
    }
    this.#throttle.succeeded(attempt);
    this.#touch(stored.key.keyID, now);
    return { key: stored.key, secret };
  }

  async #bearer(text: string, address: string): Promise<Principal> {
    this.#throttle.admit({ address });
    const token = await this.#tokens.find(digestOf(text));
    const now = this.#now();
    if (token === undefined) {
      // One that was good once is no guess: clients learn from its refusal that it has ended.
      this.#throttle.failed({ address });
      return invalid();
    }
    if (token.kind !== 'access' || token.revokedOn !== undefined || token.expiresOn <= now) return invalid();
    const { key, secrets } = token.owner;
    // A token is never good for longer than what it was got for.
    const secret = secrets.find(({ digest }) => digest === token.secretDigest);
    if (secret === undefined || !isCurrent(secret, now) || !isGood(key, now)) return invalid();
    this.#touch(key.keyID, now);
    const { tokenID } = token;
    return { ...principalOf(key), tokenID, grants: intersection(token.grants, grantsOf(key)) };
  }

  /** @throws AppError `forbidden` if the principal lacks the scope. */
  requireScope(principal: Principal, scope: Scope): void {
    if (!principal.grants.has(scope)) {
      throw new AppError('forbidden', `the credentials lack the scope for ${scope}`);
    }
  }

  /** @throws AppError `forbidden` unless the principal holds the scope for all accounts. */
  requireAllAccounts(principal: Principal, scope: Scope): void {
    if (principal.grants.get(scope) !== 'all') {
      throw new AppError('forbidden', 'only credentials for all accounts may do this');
    }
  }

  /**
   * The canonical ID of an account that the principal holds the scope for.
   * @throws AppError `forbidden`, the same whether the account does not exist, is another's or is suspended, if the
   * principal has no rights on it; `not-found` if it may act for all accounts and there is no such one.
   */
  async requireAccount(principal: Principal, scope: Scope, accountID: string): Promise<string> {
    const canonical = parseUUID(accountID) ?? '';
    if (!isGranted(principal.grants, scope, canonical)) return noRights();
    const account = canonical ? await this.#accounts.find(canonical) : undefined;
    if (principal.grants.get(scope) === 'all') {
      if (!account) throw new AppError('not-found', 'account not found');
    } else if (!account || account.suspendedOn !== undefined) {
      return noRights();
    }
    return canonical;
  }

  /** Notes the use of a key beside the request, which neither waits for it nor fails with it. */
  #touch(keyID: string, now: Date): void {
    const unlessAfter = new Date(now.getTime() - TOUCH_INTERVAL);
    const last = this.#touched.get(keyID);
    if (last !== undefined && last > unlessAfter.getTime() && last <= now.getTime()) return;
    this.#touched.set(keyID, now.getTime());
    const touching = this.#keys
      .touch(keyID, now, unlessAfter)
      .catch((error: unknown) => this.#log?.warn({ err: error, keyID }, 'the use of a key was not noted'))
      .finally(() => this.#touching.delete(touching));
    this.#touching.add(touching);
  }
}

function principalOf(key: ApiKey): Principal {
  const { keyID, publicKey, expiresOn } = key;
  return { keyID, publicKey, ...(expiresOn && { expiresOn }), grants: grantsOf(key) };
}

function invalid(): never {
  throw new AppError('unauthenticated', 'the credentials are not valid');
}

function noRights(): never {
  throw new AppError('forbidden', 'the credentials have no rights on this account');
}

/** The user-id and password of RFC 7617: split at the first colon; undefined if it is no Basic header. */
export function parseBasic(authorization: string): Credentials | undefined {
  const match = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(authorization);
  if (!match?.[1]) return undefined;
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const publicKey = text.slice(0, colon);
  // PostgreSQL cannot even be asked for a text with NUL in it.
  return publicKey.includes('\0') ? undefined : { publicKey, secretKey: text.slice(colon + 1) };
}
