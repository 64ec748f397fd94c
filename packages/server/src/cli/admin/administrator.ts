/**
 * The port of the commands of accounts and keys. Local data and a server over its API implement it, and both
 * give the JSON of the API.
 */
import type { Static } from 'typebox';
import type { AccountSettings, KeySettings } from '../../access/settings.ts';
import type { AccountSchema, ApiKeySchema } from '../../http/access/schemas.ts';

export type AccountJSON = Static<typeof AccountSchema>;
export type KeyJSON = Static<typeof ApiKeySchema>;
export type IssuedKeyJSON = KeyJSON & { readonly secretKey: string; readonly overlapUntil?: string };

/** A range of a list. */
export interface Page {
  readonly skip: number;
  readonly count: number;
}

/** The operations on accounts and keys. `key` is the ID of a key or its public key. */
export interface Administrator {
  createAccount(settings: AccountSettings): Promise<AccountJSON>;
  listAccounts(page: Page): Promise<readonly AccountJSON[]>;
  getAccount(accountID: string): Promise<AccountJSON>;
  changeAccount(accountID: string, settings: AccountSettings): Promise<AccountJSON>;
  suspendAccount(accountID: string): Promise<AccountJSON>;
  resumeAccount(accountID: string): Promise<AccountJSON>;
  createKey(accounts: 'all' | readonly string[], settings: KeySettings): Promise<IssuedKeyJSON>;
  /** @param accountID only the keys that name this account. Undefined: all keys. */
  listKeys(accountID: string | undefined, page: Page): Promise<readonly KeyJSON[]>;
  /** @param overlap seconds. */
  rotateKey(key: string, overlap: number): Promise<IssuedKeyJSON>;
  revokeKey(key: string): Promise<KeyJSON>;
}
