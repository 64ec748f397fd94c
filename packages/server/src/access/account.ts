/**
 * Owns what an Account, an ApiKey and a Principal are, and what their names may be. Refuses to know how credentials
 * travel, where keys are stored, and what follows from rights (rights.ts).
 */

/** The images that may be enabled at once in an account that sets no limit of its own. */
export const DEFAULT_IMAGE_QUOTA = 300;

/** The largest limits an account may be given: images, and bytes (a pebibyte). */
export const MAX_IMAGE_QUOTA = 1_000_000_000;
export const MAX_BYTE_QUOTA = 2 ** 50;

/** The longest name of an account or a key, in Unicode code points. */
export const MAX_NAME_LENGTH = 200;

/** What a key may do inside each of its accounts, and, for the last three, on the server. */
export const SCOPES = [
  'images.read',
  'images.write',
  'products.read',
  'products.write',
  'accounts.read',
  'accounts.write',
  'ping.read',
] as const;

export type Scope = (typeof SCOPES)[number];

/** Accounts by their IDs; `all` is every account there is or will be. */
export type AccountSet = 'all' | readonly string[];
/** What an account lets happen to an image that is in use: disable it, or refuse to. */
export const DISABLE_POLICIES = ['allow', 'refuse-in-use'] as const;

export type DisablePolicy = (typeof DISABLE_POLICIES)[number];

/** The tenant: owns images. */
export interface Account {
  /** UUID, lower case. */
  readonly accountID: string;
  readonly displayName: string;
  readonly createdOn: Date;
  /** Present while the account is suspended: only keys for all accounts may act for it. Its public links stay. */
  readonly suspendedOn?: Date;
  /** How many images may be enabled at once; absent: the server's default. */
  readonly imageQuota?: number;
  /** How many bytes the originals of enabled images may have; 0: no limit; absent: the server's default. */
  readonly byteQuota?: number;
  /** Absent: `allow`. */
  readonly disablePolicy?: DisablePolicy;
}

/** A public key and what it may do. Its secrets are kept apart (KeySecret). */
export interface ApiKey {
  /** UUID, lower case. */
  readonly keyID: string;
  readonly publicKey: string;
  readonly name: string;
  readonly accounts: AccountSet;
  readonly scopes: readonly Scope[];
  readonly createdOn: Date;
  /** From this moment on the key is no longer good. */
  readonly expiresOn?: Date;
  /** When the key was last used, give or take a minute. */
  readonly lastUsedOn?: Date;
  /** Present once the key was revoked, which is for good. */
  readonly revokedOn?: Date;
}

/** One secret of a key, of which only the digest is kept. A key has two for a while after it was rotated. */
export interface KeySecret {
  /** SHA-256 of the secret, 64 lower-case hexadecimal digits. */
  readonly digest: string;
  readonly createdOn: Date;
  /** From this moment on the secret is no longer good; absent on the newest. */
  readonly validUntil?: Date;
}

/** For each scope that is held, the accounts it is held for. */
export type Grants = ReadonlyMap<Scope, AccountSet>;

/** Who a request speaks for. */
export interface Principal {
  readonly keyID: string;
  readonly publicKey: string;
  /** Present if an access token was shown instead of the secret. */
  readonly tokenID?: string;
  /** When the key expires, if it does. */
  readonly expiresOn?: Date;
  readonly grants: Grants;
}

/** True if the key is neither revoked nor expired. */
export function isGood(key: ApiKey, now: Date): boolean {
  return key.revokedOn === undefined && (key.expiresOn === undefined || now < key.expiresOn);
}

/** True if the secret may be used now. */
export function isCurrent(secret: KeySecret, now: Date): boolean {
  return secret.validUntil === undefined || now < secret.validUntil;
}

// C0, DEL and C1; and the marks that turn the direction of what follows, which could make a name look like another.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/**
 * A checked name of an account or a key, without blanks around it; or why it is refused, to follow the field's name.
 * Limits: 1 to 200 code points, well-formed Unicode, no control characters.
 */
export function parseName(value: unknown): { readonly name: string } | { readonly reason: string } {
  if (typeof value !== 'string') return { reason: 'must be a string' };
  if (!value.isWellFormed()) return { reason: 'must be valid Unicode: it holds a lone surrogate' };
  if (CONTROL.test(value)) return { reason: 'must not hold control characters or marks of direction' };
  const name = value.trim();
  const length = [...name].length;
  if (length >= 1 && length <= MAX_NAME_LENGTH) return { name };
  return { reason: `must be 1 to ${MAX_NAME_LENGTH} characters long` };
}
