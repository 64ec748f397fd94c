/**
 * Administration: accounts and keys as people manage them. Owns who may make what of whom, which is one rule: nobody
 * gives, renews or takes what they do not hold themselves. Refuses to know HTTP, the command line and SQL.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../errors.ts';
import { parseUUID } from '../validation/uuid.ts';
import type { Account, AccountSet, ApiKey, Scope } from './account.ts';
import { isGood } from './account.ts';
import type { AuditEntry } from './audit.ts';
import type { AccountChange, AccountRecords, AuditRecords, KeyRecords, Page } from './records.ts';
import { type Caller, covers } from './rights.ts';
import { digestOf, newPublicKey, newSecretKey } from './secrets.ts';
import type { AccountSettings, KeySettings } from './settings.ts';

/** What a key may do if nothing is said, as far as its maker may: the pictures, not the administration. */
const DEFAULT_SCOPES: readonly Scope[] = [
  'images.read',
  'images.write',
  'products.read',
  'products.write',
  'ping.read',
];

/** A key with a secret that is told only now. */
export interface KeyWithSecret {
  readonly key: ApiKey;
  readonly secretKey: string;
}

export interface AdministrationDependencies {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly audit: AuditRecords;
  readonly now?: () => Date;
}

export class Administration {
  readonly #accounts: AccountRecords;
  readonly #keys: KeyRecords;
  readonly #audit: AuditRecords;
  readonly #now: () => Date;

  constructor(dependencies: AdministrationDependencies) {
    this.#accounts = dependencies.accounts;
    this.#keys = dependencies.keys;
    this.#audit = dependencies.audit;
    this.#now = dependencies.now ?? (() => new Date());
  }

  /** @throws AppError `invalid-request` without a name; `conflict` if the ID is taken; `forbidden`. */
  async createAccount(caller: Caller, settings: AccountSettings): Promise<Account> {
    this.#requireAll(caller);
    const { displayName, imageQuota, byteQuota, disablePolicy, accountID = randomUUID() } = settings;
    if (displayName === undefined) throw new AppError('invalid-request', 'displayName must be given');
    const account: Account = {
      accountID,
      displayName,
      createdOn: this.#now(),
      ...(typeof imageQuota === 'number' && { imageQuota }),
      ...(typeof byteQuota === 'number' && { byteQuota }),
      ...(disablePolicy !== undefined && disablePolicy !== 'allow' && { disablePolicy }),
    };
    if ((await this.#accounts.create(account, caller.by)) === 'exists') {
      throw new AppError('conflict', 'there is an account with this accountID already');
    }
    return account;
  }

  /** Newest first: all accounts, or those that the caller is good for and that are not suspended. */
  listAccounts(caller: Caller, page: Page): Promise<{ accounts: Account[]; total: number }> {
    return this.#accounts.list(page, caller.grants.get('accounts.read') ?? []);
  }

  /** @throws AppError `not-found`. */
  async getAccount(accountID: string): Promise<Account> {
    return (await this.#accounts.find(canonical(accountID))) ?? unknownAccount();
  }

  /**
   * What is absent stays as it is. Quotas are the operator's: only who may act for all accounts sets them.
   * @throws AppError `not-found`, `forbidden`.
   */
  async changeAccount(caller: Caller, accountID: string, settings: AccountSettings): Promise<Account> {
    const { displayName, imageQuota, byteQuota, disablePolicy } = settings;
    if (imageQuota !== undefined || byteQuota !== undefined) this.#requireAll(caller);
    return this.#change(caller, accountID, {
      kind: 'settings',
      ...(displayName !== undefined && { displayName }),
      ...(imageQuota !== undefined && { imageQuota }),
      ...(byteQuota !== undefined && { byteQuota }),
      ...(disablePolicy !== undefined && { disablePolicy }),
    });
  }

  /** Again is a success. @throws AppError `not-found`, `forbidden`. */
  async suspendAccount(caller: Caller, accountID: string): Promise<Account> {
    this.#requireAll(caller);
    return this.#change(caller, accountID, { kind: 'suspend' });
  }

  /** Again is a success. @throws AppError `not-found`, `forbidden`. */
  async resumeAccount(caller: Caller, accountID: string): Promise<Account> {
    this.#requireAll(caller);
    return this.#change(caller, accountID, { kind: 'resume' });
  }

  async #change(caller: Caller, accountID: string, change: AccountChange): Promise<Account> {
    const id = canonical(accountID);
    return (await this.#accounts.change(id, change, this.#now(), caller.by)) ?? unknownAccount();
  }

  /**
   * A new key, never wider than the caller: neither in accounts, nor in scopes, nor in time.
   * @throws AppError `forbidden`; `invalid-request` if an account does not exist.
   */
  async createKey(caller: Caller, accounts: AccountSet, settings: KeySettings): Promise<KeyWithSecret> {
    const { name, expiresOn = caller.expiresOn } = settings;
    const scopes = settings.scopes ?? DEFAULT_SCOPES.filter((scope) => caller.grants.has(scope));
    const key: ApiKey = {
      keyID: randomUUID(),
      publicKey: newPublicKey(),
      name,
      accounts,
      scopes,
      createdOn: this.#now(),
      ...(expiresOn && { expiresOn }),
    };
    requireCovered(caller, key);
    if (caller.expiresOn && expiresOn && expiresOn > caller.expiresOn) {
      throw new AppError('forbidden', 'the key must not expire later than the credentials that make it');
    }
    for (const accountID of accounts === 'all' ? [] : accounts) {
      if (!(await this.#accounts.find(accountID))) {
        throw new AppError('invalid-request', `accounts names ${accountID}, which does not exist`);
      }
    }
    const secretKey = newSecretKey();
    // A new public key of 128 random bits is taken by nobody.
    await this.#keys.create(key, digestOf(secretKey), caller.by);
    return { key, secretKey };
  }

  /** Newest first, revoked and expired ones too: those that name the account, or (undefined) all there are. */
  listKeys(accountID: string | undefined, page: Page): Promise<{ keys: ApiKey[]; total: number }> {
    return this.#keys.list(page, accountID);
  }

  /** A key that names the account, or (undefined) any. @throws AppError `not-found`. */
  async getKey(accountID: string | undefined, keyID: string): Promise<ApiKey> {
    const id = parseUUID(keyID);
    const key = id && (await this.#keys.findByID(id));
    if (!key) return unknownKey();
    const named = accountID === undefined || (key.accounts !== 'all' && key.accounts.includes(accountID));
    return named ? key : unknownKey();
  }

  /**
   * Gives a key another secret. The one it has now stays valid for the overlap, one that it had before ends at once.
   * @param overlap seconds.
   * @throws AppError `not-found`; `forbidden` if the key may do more than the caller; `conflict` if it has ended.
   */
  async rotateKey(
    caller: Caller,
    accountID: string | undefined,
    keyID: string,
    overlap: number,
  ): Promise<KeyWithSecret & { readonly overlapUntil: Date }> {
    const key = await this.getKey(accountID, keyID);
    requireCovered(caller, key);
    const createdOn = this.#now();
    if (!isGood(key, createdOn)) return endedKey();
    const secretKey = newSecretKey();
    const overlapUntil = new Date(createdOn.getTime() + overlap * 1000);
    const rotation = { secretDigest: digestOf(secretKey), createdOn, overlapUntil };
    const outcome = await this.#keys.rotate(key.keyID, rotation, caller.by);
    switch (outcome.kind) {
      case 'rotated':
        return { key: outcome.key, secretKey, overlapUntil };
      case 'revoked':
        return endedKey();
      case 'not-found':
        return unknownKey();
    }
  }

  /**
   * Ends a key and its tokens for good. Again is a success.
   * @throws AppError `not-found`; `forbidden` if the key may do more than the caller.
   */
  async revokeKey(caller: Caller, accountID: string | undefined, keyID: string): Promise<ApiKey> {
    const key = await this.getKey(accountID, keyID);
    requireCovered(caller, key);
    return (await this.#keys.revoke(key.keyID, this.#now(), caller.by)) ?? unknownKey();
  }

  /** Newest first: what happened in an account, or (undefined) to the server as a whole. */
  listAudit(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }> {
    return this.#audit.list(accountID, page);
  }

  #requireAll({ grants }: Caller): void {
    if (grants.get('accounts.write') === 'all') return;
    throw new AppError('forbidden', 'only credentials for all accounts may do this');
  }
}

function requireCovered({ grants }: Caller, key: Pick<ApiKey, 'accounts' | 'scopes'>): void {
  if (covers(grants, key)) return;
  throw new AppError('forbidden', 'the key may do more than the credentials');
}

function canonical(accountID: string): string {
  return parseUUID(accountID) ?? unknownAccount();
}

function unknownAccount(): never {
  throw new AppError('not-found', 'account not found');
}

function unknownKey(): never {
  throw new AppError('not-found', 'key not found');
}

function endedKey(): never {
  throw new AppError('conflict', 'the key was revoked or has expired, and cannot be rotated');
}
