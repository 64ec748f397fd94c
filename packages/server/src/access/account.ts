/**
 * Account, ApiKey and Principal: their shapes, their limits and the rule for names.
 * The rights that follow from a key are in rights.ts.
 */

/** The most enabled images of an account that sets no limit of its own. */
export const DEFAULT_IMAGE_QUOTA = 300;

/** The largest limits of an account, in images and in bytes (one pebibyte). */
export const MAX_IMAGE_QUOTA = 1_000_000_000;
export const MAX_BYTE_QUOTA = 2 ** 50;

/** The longest name of an account or a key, in Unicode code points. */
export const MAX_NAME_LENGTH = 200;

/** The operations that a key allows: the first four in each of its accounts, the last three on the server. */
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

/** Account IDs, or `all`: every account, including accounts that are created later. */
export type AccountSet = 'all' | readonly string[];

/**
 * What happens when a client disables an image in use: `allow` disables it, `refuse-in-use` returns an error.
 */
export const DISABLE_POLICIES = ['allow', 'refuse-in-use'] as const;

export type DisablePolicy = (typeof DISABLE_POLICIES)[number];

/** The tenant: it owns images, products and line items. */
export interface Account {
  /** UUID, lower case. */
  readonly accountID: string;
  readonly displayName: string;
  readonly createdOn: Date;
  /**
   * Present while the account is suspended. Then only keys for all accounts work. Public links stay valid.
   */
  readonly suspendedOn?: Date;
  /** The most enabled images. Absent: the server's default. */
  readonly imageQuota?: number;
  /** The most bytes of the originals of enabled images. 0: no limit. Absent: the server's default. */
  readonly byteQuota?: number;
  /** Absent: `allow`. */
  readonly disablePolicy?: DisablePolicy;
}

/** A public key with its rights. Its secrets are separate (KeySecret). */
export interface ApiKey {
  /** UUID, lower case. */
  readonly keyID: string;
  readonly publicKey: string;
  readonly name: string;
  readonly accounts: AccountSet;
  readonly scopes: readonly Scope[];
  readonly createdOn: Date;
  /** From this moment the key is not valid. */
  readonly expiresOn?: Date;
  /** The last use of the key, to within a minute. */
  readonly lastUsedOn?: Date;
  /** Present once the key was revoked. A revoked key never becomes valid again. */
  readonly revokedOn?: Date;
}

/**
 * One secret of a key. Only its digest is stored. A rotated key has two secrets until the older one expires.
 */
export interface KeySecret {
  /** SHA-256 of the secret, 64 lower-case hexadecimal digits. */
  readonly digest: string;
  readonly createdOn: Date;
  /** From this moment the secret is not valid. Absent on the newest secret. */
  readonly validUntil?: Date;
}

/** Each granted scope with the accounts it is granted for. */
export type Grants = ReadonlyMap<Scope, AccountSet>;

/** The key behind a request, with the rights that the request has. */
export interface Principal {
  readonly keyID: string;
  readonly publicKey: string;
  /** Present if the request used an access token instead of the secret key. */
  readonly tokenID?: string;
  /** When the key expires. Absent: never. */
  readonly expiresOn?: Date;
  readonly grants: Grants;
}

/** True if the key is neither revoked nor expired. */
export function isValidKey(key: ApiKey, now: Date): boolean {
  return key.revokedOn === undefined && (key.expiresOn === undefined || now < key.expiresOn);
}

/** True if the secret has not expired. */
export function isValidSecret(secret: KeySecret, now: Date): boolean {
  return secret.validUntil === undefined || now < secret.validUntil;
}

// C0, DEL and C1, and the marks that change the text direction. Such a mark can make one name look like
// another.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/**
 * Checks the name of an account or a key. Limits: 1 to 200 code points, well-formed Unicode, no control
 * characters, no text direction marks.
 * @returns the name without surrounding white space, or the reason, which continues a sentence that starts
 * with the name of the field.
 */
export function parseName(value: unknown): { readonly name: string } | { readonly reason: string } {
  if (typeof value !== 'string') return { reason: 'must be a string' };
  if (!value.isWellFormed()) return { reason: 'must be valid Unicode: it contains a lone surrogate' };
  const name = value.trim();
  if (/[\r\n]/.test(name)) return { reason: 'must be one line: it has a line break' };
  if (CONTROL.test(name)) return { reason: 'must not contain control characters or text direction marks' };
  const length = [...name].length;
  if (length >= 1 && length <= MAX_NAME_LENGTH) return { name };
  return { reason: `must be 1 to ${MAX_NAME_LENGTH} characters long` };
}
