/**
 * Authenticates requests and checks their rights. Keys and tokens are read from the database for every
 * request and never cached. So a revocation, on any node, takes effect with the next request.
 */
import { LRUCache } from 'lru-cache';
import { AppError } from '../errors.ts';
import type { WarnLog } from '../telemetry/log.ts';
import { parseUUID } from '../validation/uuid.ts';
import {
  type ApiKey,
  isValidKey,
  isValidSecret,
  type KeySecret,
  type Principal,
  type Scope,
} from './account.ts';
import { LoginThrottle } from './login-throttle.ts';
import type { AccountRecords, KeyRecords, TokenRecords } from './records.ts';
import { grantsOf, intersectGrants, isGranted, requireAllAccounts } from './rights.ts';
import { digestOf, findBySecret } from './secrets.ts';

/** The shortest time between two records of the use of one key, in milliseconds. */
const USE_INTERVAL = 60_000;
/** Keys whose last use is cached in memory. The database keeps the interval for all other keys. */
const MAX_CACHED_USES = 10_000;

/** A public key and a secret key from a client. They are not checked. */
export interface Credentials {
  readonly publicKey: string;
  readonly secretKey: string;
}

/** A key, with the one of its secrets that the credentials contained. */
export interface KeyLogin {
  readonly key: ApiKey;
  readonly secret: KeySecret;
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
  readonly #throttle = new LoginThrottle();
  /** The last recorded use of each key, in milliseconds since the epoch. */
  readonly #lastUses = new LRUCache<string, number>({ max: MAX_CACHED_USES });
  readonly #pendingUses = new Set<Promise<void>>();

  constructor({ accounts, keys, tokens, now, log }: AccessDependencies) {
    this.#accounts = accounts;
    this.#keys = keys;
    this.#tokens = tokens;
    this.#now = now ?? (() => new Date());
    this.#log = log;
  }

  /** Waits until the uses of keys are recorded. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#pendingUses);
  }

  /**
   * Authenticates an Authorization header: `Basic` with a key, or `Bearer` with an access token.
   * @param address the client name for the login throttle.
   * @throws AppError `unauthenticated`, with one text for all invalid credentials; `rate-limited` after too
   * many failures.
   */
  async authenticate(authorization: string | undefined, address: string): Promise<Principal> {
    if (authorization === undefined) {
      throw new AppError(
        'unauthenticated',
        'credentials are required: HTTP Basic with public key and secret key, or a Bearer token',
      );
    }
    const token = parseBearer(authorization);
    if (token !== undefined) return this.#identifyToken(token, address);
    const { key } = await this.identifyKey(parseBasic(authorization), address);
    return principalOf(key);
  }

  /**
   * Finds the key of the credentials. Undefined credentials count as a failure of the address.
   * @param address the client name for the login throttle.
   * @throws AppError `unauthenticated`, with one text for all invalid credentials; `rate-limited` after too
   * many failures.
   */
  async identifyKey(credentials: Credentials | undefined, address: string): Promise<KeyLogin> {
    const attempt = { address, publicKey: credentials?.publicKey };
    // The first check saves the lookup. Attempts can fail during the lookup, so only the second check is
    // exact.
    this.#throttle.admit(attempt);
    const stored = credentials && (await this.#keys.find(credentials.publicKey));
    this.#throttle.admit(attempt);
    const secret = findBySecret(credentials?.secretKey ?? '', stored?.secrets ?? []);
    const now = this.#now();
    if (!stored || !secret || !isValidSecret(secret, now) || !isValidKey(stored.key, now)) {
      this.#throttle.recordFailure(attempt);
      throw invalidCredentials();
    }
    this.#throttle.recordSuccess(attempt);
    this.#recordUse(stored.key.keyID, now);
    return { key: stored.key, secret };
  }

  async #identifyToken(text: string, address: string): Promise<Principal> {
    this.#throttle.admit({ address });
    const token = await this.#tokens.find(digestOf(text));
    const now = this.#now();
    if (token === undefined) {
      this.#throttle.recordFailure({ address });
      throw invalidCredentials();
    }
    // Not a failure for the throttle: the token existed, so it was not guessed. Clients use tokens until they
    // end.
    if (token.kind !== 'access' || token.revokedOn !== undefined || token.expiresOn <= now) {
      throw invalidCredentials();
    }
    const { key, secrets } = token.owner;
    const secret = secrets.find(({ digest }) => digest === token.secretDigest);
    if (secret === undefined || !isValidSecret(secret, now) || !isValidKey(key, now)) {
      throw invalidCredentials();
    }
    this.#recordUse(key.keyID, now);
    const { tokenID } = token;
    return { ...principalOf(key), tokenID, grants: intersectGrants(token.grants, grantsOf(key)) };
  }

  /** @throws AppError `forbidden` if the principal does not have the scope. */
  requireScope(principal: Principal, scope: Scope): void {
    if (!principal.grants.has(scope)) {
      throw new AppError('forbidden', `the credentials lack the scope ${scope}`);
    }
  }

  /** @throws AppError `forbidden` if the principal does not have the scope for all accounts. */
  requireAllAccounts(principal: Principal, scope: Scope): void {
    requireAllAccounts(principal.grants, scope);
  }

  /**
   * Checks that the principal has the scope for this account, and that the account exists.
   * @returns the account ID in lower case.
   * @throws AppError `forbidden` without rights on the account. The answer is the same for an unknown
   * account, an account of another principal and a suspended account. `not-found` if a principal with the
   * scope for all accounts names an unknown account.
   */
  async requireAccount(principal: Principal, scope: Scope, accountID: string): Promise<string> {
    const canonical = parseUUID(accountID) ?? '';
    if (!isGranted(principal.grants, scope, canonical)) throw noRightsOnAccount();
    const account = canonical ? await this.#accounts.find(canonical) : undefined;
    if (principal.grants.get(scope) === 'all') {
      if (!account) throw new AppError('not-found', 'account not found');
    } else if (!account || account.suspendedOn !== undefined) {
      throw noRightsOnAccount();
    }
    return canonical;
  }

  /**
   * Records the use of a key in the background. The request does not wait for it and does not fail with it.
   */
  #recordUse(keyID: string, now: Date): void {
    const recentSince = new Date(now.getTime() - USE_INTERVAL);
    const last = this.#lastUses.get(keyID);
    if (last !== undefined && last > recentSince.getTime() && last <= now.getTime()) return;
    this.#lastUses.set(keyID, now.getTime());
    const pending = this.#keys
      .touch(keyID, now, recentSince)
      .catch((error: unknown) =>
        this.#log?.warn({ err: error, keyID }, 'the last use of a key was not recorded'),
      )
      .finally(() => this.#pendingUses.delete(pending));
    this.#pendingUses.add(pending);
  }
}

/** The user-id and password of RFC 7617, split at the first colon. Undefined for any other header. */
export function parseBasic(authorization: string): Credentials | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(authorization)?.[1];
  if (!encoded) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const publicKey = text.slice(0, colon);
  // PostgreSQL does not accept NUL in a text, not even in a query.
  return publicKey.includes('\0') ? undefined : { publicKey, secretKey: text.slice(colon + 1) };
}

/** The token of RFC 6750. Undefined for any other header. */
function parseBearer(authorization: string): string | undefined {
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(authorization)?.[1];
}

function principalOf(key: ApiKey): Principal {
  const { keyID, publicKey, expiresOn } = key;
  return { keyID, publicKey, ...(expiresOn && { expiresOn }), grants: grantsOf(key) };
}

function invalidCredentials(): AppError {
  return new AppError('unauthenticated', 'the credentials are not valid');
}

function noRightsOnAccount(): AppError {
  return new AppError('forbidden', 'the credentials have no rights on this account');
}
