/**
 * The part of the MetadataStore port about accounts, keys, tokens and the audit trail: its vocabulary and what every
 * backend guarantees. Refuses to know SQL, HTTP, and secrets: it is only ever given their digests.
 *
 * What changes something takes an Actor, and writes the line of the audit trail in the same transaction as the change:
 * either both are there or neither. What turns out to change nothing writes none. Lines can be added, and by no means
 * of the database be changed or removed.
 */
import type { Account, AccountSet, ApiKey, DisablePolicy, Grants, KeySecret } from './account.ts';
import type { Actor, AuditEntry } from './audit.ts';

/** `skip` from 0, `count` from 1. A skip past the end gives nothing. */
export interface Page {
  readonly skip: number;
  readonly count: number;
}

/** The accounts themselves. What is in them is behind `forAccount`. */
export interface AccountRecords {
  /** `exists` (and nothing changed) if the ID is taken. */
  create(account: Account, by: Actor): Promise<'created' | 'exists'>;
  find(accountID: string): Promise<Account | undefined>;
  /** True while no account exists: the very first start. */
  isEmpty(): Promise<boolean>;
  /** Newest first. Among a list of accounts, those that are suspended are left out. */
  list(page: Page, among: AccountSet): Promise<{ accounts: Account[]; total: number }>;
  /** The account as it is then; undefined if there is none. */
  change(accountID: string, change: AccountChange, on: Date, by: Actor): Promise<Account | undefined>;
}

export interface KeyRecords {
  /** `exists` (and nothing changed) if the public key is taken. */
  create(key: ApiKey, secretDigest: string, by: Actor): Promise<'created' | 'exists'>;
  /** Creates the key; a key with the same public key is replaced as a whole, its secrets too. */
  put(key: ApiKey, secretDigest: string, on: Date, by: Actor): Promise<void>;
  find(publicKey: string): Promise<StoredKey | undefined>;
  findByID(keyID: string): Promise<ApiKey | undefined>;
  /** Newest first, revoked and expired ones too: those that name the account, or all there are. */
  list(page: Page, accountID?: string): Promise<{ keys: ApiKey[]; total: number }>;
  /** Gives the key another secret. The newest one before it stays valid until then, older ones end at once. */
  rotate(keyID: string, rotation: Rotation, by: Actor): Promise<RotateOutcome>;
  /** Ends the key and all of its tokens for good. Again is a success. Undefined if there is no such key. */
  revoke(keyID: string, on: Date, by: Actor): Promise<ApiKey | undefined>;
  /** Notes that a key was used, unless a use after `unlessAfter` is noted already. Not audited. */
  touch(keyID: string, usedOn: Date, unlessAfter: Date): Promise<void>;
}

export interface TokenRecords {
  /** Keeps a new pair of tokens; those of the same key that have expired are forgotten. */
  issue(pair: TokenPair, by: Actor): Promise<void>;
  /** An access or refresh token by its digest, with its key; whether they are still good is not looked at. */
  find(digest: string): Promise<StoredToken | undefined>;
  /**
   * Uses up a refresh token and keeps the pair that takes its place; settled in one transaction, so that of any number
   * who use it at once, one gets a pair. To all others it is `reused`, which ends its family. `gone`: it was revoked,
   * or there is none.
   */
  refresh(digest: string, pair: TokenPair, by: Actor): Promise<'refreshed' | 'reused' | 'gone'>;
  /** Ends an access token, or a refresh token with its family. Nothing if it is not a token of this key. */
  revoke(digest: string, keyID: string, on: Date, by: Actor): Promise<void>;
}

export interface AuditRecords {
  /** Newest first: what concerns the account, or (undefined) the server as a whole. */
  list(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }>;
}

export type AccountChange =
  /** Absent: as it is. A quota of null: the server's default. */
  | {
      readonly kind: 'settings';
      readonly displayName?: string;
      readonly imageQuota?: number | null;
      readonly byteQuota?: number | null;
      readonly disablePolicy?: DisablePolicy;
    }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'resume' };

/** A key with the secrets it has. */
export interface StoredKey {
  readonly key: ApiKey;
  /** Newest first. */
  readonly secrets: readonly KeySecret[];
}

export interface Rotation {
  readonly secretDigest: string;
  readonly createdOn: Date;
  /** When the secret that is the newest now ends. */
  readonly overlapUntil: Date;
}

export type RotateOutcome =
  | { readonly kind: 'rotated'; readonly key: ApiKey }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'revoked' };

/** What an access and a refresh token have in common. */
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
  /** The secret that was shown to get them: they end with it. */
  readonly secretDigest: string;
  /** All that came of one `client_credentials` have the same one, a UUID. */
  readonly family: string;
  readonly createdOn: Date;
  readonly access: Token;
  readonly refresh: Token;
}

export interface StoredToken extends Token {
  readonly family: string;
  readonly secretDigest: string;
  /** A refresh token that was used up. */
  readonly usedOn?: Date;
  readonly revokedOn?: Date;
  readonly owner: StoredKey;
}
