/**
 * The records of accounts, keys, tokens and the audit trail: the ports of this room, and their outcomes.
 * The ports get digests of secrets, never the secrets. The guarantees in `database/store.ts` hold here too.
 *
 * A method with an `Actor` writes its entry of the audit trail in the transaction of the change. A call that
 * changes nothing writes no entry. The database refuses to change or remove entries.
 */
import type { Account, AccountSet, ApiKey, DisablePolicy, Grants, KeySecret } from './account.ts';
import type { Actor, AuditEntry } from './audit.ts';

/** A range of a list. A `skip` past the end gives an empty page. */
export interface Page {
  /** The number of elements before the page, from 0. */
  readonly skip: number;
  /** The most elements on the page, from 1. */
  readonly count: number;
}

/** The accounts themselves. Their images are behind `ImageRecords.forAccount`. */
export interface AccountRecords {
  /** @returns `exists` if the ID is taken. Then nothing is changed. */
  create(account: Account, by: Actor): Promise<'created' | 'exists'>;
  /**
   * Creates the first account, and a key for all accounts, if there is no account. Of several calls at once,
   * one creates them. The library must have its ID.
   */
  createFirst(account: Account, key: ApiKey, secretDigest: string, by: Actor): Promise<'created' | 'exists'>;
  find(accountID: string): Promise<Account | undefined>;
  /** True if there is no account, as at the very first start. */
  isEmpty(): Promise<boolean>;
  /**
   * Lists accounts, newest first.
   * @param accounts `all` lists suspended accounts too. A list of IDs leaves them out.
   */
  list(page: Page, accounts: AccountSet): Promise<{ accounts: Account[]; total: number }>;
  /** @returns the account after the change; undefined if it does not exist. */
  change(accountID: string, change: AccountChange, on: Date, by: Actor): Promise<Account | undefined>;
}

export interface KeyRecords {
  /** @returns `exists` if the public key is taken. Then nothing is changed. */
  create(key: ApiKey, secretDigest: string, by: Actor): Promise<'created' | 'exists'>;
  /**
   * Creates the key. A key with the same public key is replaced with its secrets, and its tokens end. It
   * keeps its ID and its time of creation.
   * @param isCurrent decides by the stored key, under its lock, that it stays as it is. It may be called
   * again.
   */
  put(
    key: ApiKey,
    secretDigest: string,
    on: Date,
    by: Actor,
    isCurrent?: (stored: StoredKey) => boolean,
  ): Promise<'created' | 'replaced' | 'kept'>;
  find(publicKey: string): Promise<StoredKey | undefined>;
  findByID(keyID: string): Promise<ApiKey | undefined>;
  /**
   * Lists keys, newest first, including revoked and expired ones.
   * @param accountID selects the keys that name this account. Absent: every key, including keys for all
   * accounts.
   */
  list(page: Page, accountID?: string): Promise<{ keys: ApiKey[]; total: number }>;
  /**
   * Adds a secret. The previous secret stays valid until `overlapUntil`. Older secrets end at once.
   */
  rotate(keyID: string, rotation: Rotation, by: Actor): Promise<RotateOutcome>;
  /**
   * Revokes the key and all its tokens permanently. Idempotent.
   * @returns undefined if the key does not exist.
   */
  revoke(keyID: string, on: Date, by: Actor): Promise<ApiKey | undefined>;
  /** Records the last use of a key, unless a use after `recentSince` is recorded. Writes no audit entry. */
  touch(keyID: string, usedOn: Date, recentSince: Date): Promise<void>;
}

export interface TokenRecords {
  /** Stores a pair of tokens, and deletes the expired tokens of the same key. */
  issue(pair: TokenPair, by: Actor): Promise<void>;
  /** Finds an access or refresh token, with its key. The caller checks that both are still valid. */
  find(digest: string): Promise<StoredToken | undefined>;
  /**
   * Uses a refresh token, and stores the pair that replaces it. Of concurrent calls, only one gets a pair.
   * - `reused`: the token was used before. All tokens of its family are revoked.
   * - `gone`: the token was revoked, or the key has no such refresh token.
   */
  refresh(digest: string, pair: TokenPair, by: Actor): Promise<'refreshed' | 'reused' | 'gone'>;
  /** Revokes an access token, or a refresh token with its family. Ignores tokens of other keys. */
  revoke(digest: string, keyID: string, on: Date, by: Actor): Promise<void>;
}

export interface AuditRecords {
  /** Lists the entries of an account, newest first. Undefined: the entries of the server as a whole. */
  list(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }>;
}

export type AccountChange =
  /** Absent fields stay as they are. A quota of null means the default of the server. */
  | {
      readonly kind: 'settings';
      readonly displayName?: string;
      readonly imageQuota?: number | null;
      readonly byteQuota?: number | null;
      readonly disablePolicy?: DisablePolicy;
    }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume' };

/** A key with its secrets. */
export interface StoredKey {
  readonly key: ApiKey;
  /** Newest first. */
  readonly secrets: readonly KeySecret[];
}

export interface Rotation {
  readonly secretDigest: string;
  readonly createdOn: Date;
  /** The time at which the previous secret ends. */
  readonly overlapUntil: Date;
}

export type RotateOutcome =
  | { readonly kind: 'rotated'; readonly key: ApiKey }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'revoked' };

/** The fields of both kinds of token. */
export interface Token {
  readonly tokenID: string;
  readonly kind: 'access' | 'refresh';
  /** SHA-256 of the token, 64 lower-case hexadecimal digits. */
  readonly digest: string;
  readonly grants: Grants;
  readonly expiresOn: Date;
}

/** Two tokens that are issued together. */
export interface TokenPair {
  readonly keyID: string;
  /** The digest of the secret in the request. The tokens end with that secret. */
  readonly secretDigest: string;
  /** A UUID that all tokens of one `client_credentials` grant share. */
  readonly family: string;
  readonly createdOn: Date;
  readonly access: Token;
  readonly refresh: Token;
}

export interface StoredToken extends Token {
  readonly family: string;
  readonly secretDigest: string;
  /** Present on a refresh token that was used. */
  readonly usedOn?: Date;
  readonly revokedOn?: Date;
  readonly owner: StoredKey;
}
