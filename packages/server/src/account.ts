/**
 * Owns what an Account, an ApiKey and a Principal are, and the rules about rights that need only their values.
 * Refuses to know how credentials travel and where keys are stored.
 */

/** The images that may be enabled at once in an account that sets no limit of its own. */
export const DEFAULT_IMAGE_QUOTA = 300;

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

/** What an account lets happen to an image that is in use: disable it, or refuse to. */
export const DISABLE_POLICIES = ['allow', 'refuse-in-use'] as const;

export type DisablePolicy = (typeof DISABLE_POLICIES)[number];

/** The tenant: owns images. */
export interface Account {
  /** UUID, lower case. */
  readonly accountID: string;
  readonly displayName: string;
  readonly createdOn: Date;
  /** How many images may be enabled at once; absent: the server's default. */
  readonly imageQuota?: number;
  /** Absent: `allow`. */
  readonly disablePolicy?: DisablePolicy;
}

/** A public key and the digest of its secret. The secret itself is shown once and never stored. */
export interface ApiKey {
  /** UUID, lower case. */
  readonly keyID: string;
  readonly publicKey: string;
  /** SHA-256 of the secret, 64 lower-case hexadecimal digits. */
  readonly secretDigest: string;
  readonly name: string;
  /** The accounts the key may act for; `all` is every account there is or will be. */
  readonly accounts: 'all' | readonly string[];
  readonly scopes: readonly Scope[];
  readonly createdOn: Date;
}

/** Who a request speaks for. */
export interface Principal {
  readonly keyID: string;
  readonly publicKey: string;
  readonly accounts: 'all' | readonly string[];
  readonly scopes: readonly Scope[];
}

/** True if the principal may act for this account at all. `.write` does not imply `.read`. */
export function mayActFor(principal: Principal, accountID: string): boolean {
  return principal.accounts === 'all' || principal.accounts.includes(accountID);
}
