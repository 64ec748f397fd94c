/**
 * Access: who a request speaks for and what it may do. Owns secrets: how they are made, stored (only as digests) and
 * compared (in constant time). Refuses to know HTTP beyond the text of an Authorization header.
 */
import { createHash, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { type Account, type ApiKey, mayActFor, type Principal, SCOPES, type Scope } from './account.ts';
import { AppError } from './errors.ts';
import { parseUUID } from './image.ts';
import type { MetadataStore } from './metadata/store.ts';
import { FailureThrottle } from './throttle.ts';

/** Marks our secrets for leak scanners. */
const SECRET_PREFIX = 'vitrine_sk_';
const PUBLIC_PREFIX = 'vitrine_pk_';

/** A key as it is shown to its owner, once. */
export interface IssuedKey {
  readonly accountID: string;
  readonly publicKey: string;
  readonly secretKey: string;
}

// What an unknown public key is compared with, so that it takes as long as a known one.
const NO_DIGEST = Buffer.alloc(32);

export class Access {
  readonly #metadata: MetadataStore;
  readonly #throttle = new FailureThrottle();

  constructor(dependencies: { metadata: MetadataStore }) {
    this.#metadata = dependencies.metadata;
  }

  /**
   * Who the credentials in an `Authorization: Basic` header belong to.
   * @param address what failures are counted by, beside the public key.
   * @throws AppError `unauthenticated`, with one text whatever is wrong with them; `rate-limited` after too many of
   * these.
   */
  async authenticate(authorization: string | undefined, address: string): Promise<Principal> {
    if (authorization === undefined) {
      throw new AppError(
        'unauthenticated',
        'credentials are required: HTTP Basic with public key and secret key',
      );
    }
    const credentials = parseBasic(authorization);
    const attempt = { address, publicKey: credentials?.publicKey };
    // Once before, to save the lookup; and once after, when nobody can come between the count and the comparison.
    this.#throttle.admit(attempt);
    const key = credentials && (await this.#metadata.findKey(credentials.publicKey));
    this.#throttle.admit(attempt);
    const given = digestOf(credentials?.secretKey ?? '');
    const matches = timingSafeEqual(given, key ? Buffer.from(key.secretDigest, 'hex') : NO_DIGEST);
    if (!key || !matches) {
      this.#throttle.failed(attempt);
      throw new AppError('unauthenticated', 'the credentials are not valid');
    }
    this.#throttle.succeeded(attempt);
    const { keyID, publicKey, accounts, scopes } = key;
    return { keyID, publicKey, accounts, scopes };
  }

  /** @throws AppError `forbidden` if the principal lacks the scope. */
  requireScope(principal: Principal, scope: Scope): void {
    if (!principal.scopes.includes(scope)) {
      throw new AppError('forbidden', `the credentials lack the scope for ${scope}`);
    }
  }

  /**
   * The canonical ID of an account that the principal may act for.
   * @throws AppError `forbidden`, the same whether or not the account exists, if the principal has no rights on it;
   * `not-found` if it may act for all accounts and there is no such one.
   */
  async requireAccount(principal: Principal, accountID: string): Promise<string> {
    const canonical = parseUUID(accountID) ?? '';
    if (!mayActFor(principal, canonical)) {
      throw new AppError('forbidden', 'the credentials have no rights on this account');
    }
    if (!canonical || !(await this.#metadata.findAccount(canonical))) {
      throw new AppError('not-found', 'account not found');
    }
    return canonical;
  }

  /**
   * Creates, where they are absent, an account and a key for all accounts with all scopes. Another secret for a
   * public key that exists replaces it.
   */
  async bootstrap(accountID: string, credentials: { publicKey: string; secretKey: string }): Promise<void> {
    await this.#metadata.createAccount(newAccount(accountID, 'Bootstrap account'));
    const known = await this.#metadata.findKey(credentials.publicKey);
    const secretDigest = digestOf(credentials.secretKey).toString('hex');
    const sameRights = known?.accounts === 'all' && SCOPES.every((scope) => known.scopes.includes(scope));
    if (known?.secretDigest === secretDigest && sameRights) return;
    const fresh = newKey('Bootstrap key', credentials.publicKey, secretDigest);
    await this.#metadata.putKey(known ? { ...fresh, keyID: known.keyID, createdOn: known.createdOn } : fresh);
  }

  /**
   * On the very first start, creates an account and a key for all accounts with all scopes.
   * @returns the key, whose secret is told only here; undefined if there are accounts already.
   */
  async firstStart(): Promise<IssuedKey | undefined> {
    if (!(await this.#metadata.isEmpty())) return undefined;
    const accountID = randomUUID();
    const publicKey = PUBLIC_PREFIX + randomBytes(16).toString('base64url');
    const secretKey = SECRET_PREFIX + randomBytes(32).toString('base64url');
    // The key first: an account whose key was lost to a crash between the two would never get another one.
    await this.#metadata.putKey(newKey('First key', publicKey, digestOf(secretKey).toString('hex')));
    await this.#metadata.createAccount(newAccount(accountID, 'First account'));
    return { accountID, publicKey, secretKey };
  }
}

function newAccount(accountID: string, displayName: string): Account {
  return { accountID, displayName, createdOn: new Date() };
}

function newKey(name: string, publicKey: string, secretDigest: string): ApiKey {
  const keyID = randomUUID();
  return { keyID, publicKey, secretDigest, name, accounts: 'all', scopes: SCOPES, createdOn: new Date() };
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret, 'utf8').digest();
}

/** The user-id and password of RFC 7617: split at the first colon; undefined if it is no Basic header. */
function parseBasic(authorization: string): { publicKey: string; secretKey: string } | undefined {
  const match = /^basic +([A-Za-z0-9+/_-]+={0,2}) *$/i.exec(authorization);
  if (!match?.[1]) return undefined;
  const text = Buffer.from(match[1], 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return undefined;
  const publicKey = text.slice(0, colon);
  // PostgreSQL cannot even be asked for a text with NUL in it.
  return publicKey.includes('\0') ? undefined : { publicKey, secretKey: text.slice(colon + 1) };
}
