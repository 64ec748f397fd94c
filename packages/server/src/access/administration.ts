/**
 * The service that creates and changes accounts and keys. One rule decides every right: a caller cannot
 * create, rotate or revoke a key that has more rights than the caller.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../errors.ts';
import { parseUUID } from '../validation/uuid.ts';
import type { Account, AccountSet, ApiKey, Principal, Scope } from './account.ts';
import { isValidKey } from './account.ts';
import type { AuditEntry } from './audit.ts';
import type { AccountChange, AccountRecords, AuditRecords, KeyRecords, Page } from './records.ts';
import { type Caller, covers, isGranted, requireAllAccounts } from './rights.ts';
import { digestOf, generatePublicKey, generateSecretKey } from './secrets.ts';
import type { AccountSettings, KeySettings } from './settings.ts';

/** The scopes of a new key when the request has none. Scopes that the caller lacks are left out. */
const DEFAULT_SCOPES: readonly Scope[] = [
  'images.read',
  'images.write',
  'products.read',
  'products.write',
  'ping.read',
];

/** A key with its new secret, which is shown once. */
export interface KeyWithSecret {
  readonly key: ApiKey;
  readonly secretKey: string;
}

/** The most accounts that the identity of a principal for all accounts lists. */
const MAX_LISTED_ACCOUNTS = 200;

/** A principal, and its accounts. */
export interface Identity {
  readonly principal: Principal;
  /**
   * Newest first. With grants for all accounts, the newest 200 of them. Otherwise those that the grants name,
   * without suspended accounts.
   */
  readonly accounts: readonly { readonly account: Account; readonly scopes: readonly Scope[] }[];
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

  /** The accounts and scopes of a principal. */
  async identify(principal: Principal): Promise<Identity> {
    // A ping concerns no account, so a grant of it for all accounts lists none.
    const sets = [...principal.grants].map(([scope, set]) =>
      set === 'all' && scope === 'ping.read' ? [] : set,
    );
    const named = sets.includes('all') ? 'all' : [...new Set(sets.flat())];
    const count = named === 'all' ? MAX_LISTED_ACCOUNTS : Math.max(1, named.length);
    const { accounts } = await this.#accounts.list({ skip: 0, count }, named);
    return {
      principal,
      accounts: accounts.map((account) => ({
        account,
        scopes: [...principal.grants.keys()].filter((scope) =>
          isGranted(principal.grants, scope, account.accountID),
        ),
      })),
    };
  }

  /** @throws AppError `invalid-request` without a name; `conflict` if the ID exists; `forbidden`. */
  async createAccount(caller: Caller, settings: AccountSettings): Promise<Account> {
    requireAllAccounts(caller.grants, 'accounts.write');
    const { displayName, imageQuota, byteQuota, disablePolicy, accountID = randomUUID() } = settings;
    if (displayName === undefined) throw new AppError('invalid-request', 'displayName is required');
    const account: Account = {
      accountID,
      displayName,
      createdOn: this.#now(),
      ...(typeof imageQuota === 'number' && { imageQuota }),
      ...(typeof byteQuota === 'number' && { byteQuota }),
      ...(disablePolicy !== undefined && disablePolicy !== 'allow' && { disablePolicy }),
    };
    if ((await this.#accounts.create(account, caller.by)) === 'exists') {
      throw new AppError('conflict', 'an account with this accountID already exists');
    }
    return account;
  }

  /**
   * The accounts that the caller may read, newest first. A caller without rights on all accounts does not get
   * suspended accounts.
   */
  listAccounts(caller: Caller, page: Page): Promise<{ accounts: Account[]; total: number }> {
    return this.#accounts.list(page, caller.grants.get('accounts.read') ?? []);
  }

  /** @throws AppError `not-found`. */
  async getAccount(accountID: string): Promise<Account> {
    const account = await this.#accounts.find(canonicalID(accountID));
    if (!account) throw unknownAccount();
    return account;
  }

  /**
   * Changes the settings of an account. Absent settings stay as they are. Only a caller with rights on all
   * accounts may set quotas.
   * @throws AppError `not-found`, `forbidden`.
   */
  async changeAccount(caller: Caller, accountID: string, settings: AccountSettings): Promise<Account> {
    const { displayName, imageQuota, byteQuota, disablePolicy } = settings;
    if (imageQuota !== undefined || byteQuota !== undefined) {
      requireAllAccounts(caller.grants, 'accounts.write');
    }
    return this.#change(caller, accountID, {
      kind: 'settings',
      ...(displayName !== undefined && { displayName }),
      ...(imageQuota !== undefined && { imageQuota }),
      ...(byteQuota !== undefined && { byteQuota }),
      ...(disablePolicy !== undefined && { disablePolicy }),
    });
  }

  /**
   * Suspends an account. Succeeds without a change if it is suspended.
   * @throws AppError `not-found`, `forbidden`.
   */
  async suspendAccount(caller: Caller, accountID: string): Promise<Account> {
    requireAllAccounts(caller.grants, 'accounts.write');
    return this.#change(caller, accountID, { kind: 'suspend' });
  }

  /**
   * Resumes an account. Succeeds without a change if it is not suspended.
   * @throws AppError `not-found`, `forbidden`.
   */
  async resumeAccount(caller: Caller, accountID: string): Promise<Account> {
    requireAllAccounts(caller.grants, 'accounts.write');
    return this.#change(caller, accountID, { kind: 'resume' });
  }

  async #change(caller: Caller, accountID: string, change: AccountChange): Promise<Account> {
    const id = canonicalID(accountID);
    const account = await this.#accounts.change(id, change, this.#now(), caller.by);
    if (!account) throw unknownAccount();
    return account;
  }

  /**
   * Creates a key. It cannot have more accounts or scopes than the caller, and cannot expire later.
   * @throws AppError `forbidden`; `invalid-request` if an account does not exist.
   */
  async createKey(caller: Caller, accounts: AccountSet, settings: KeySettings): Promise<KeyWithSecret> {
    const { name, expiresOn = caller.expiresOn } = settings;
    const scopes = settings.scopes ?? DEFAULT_SCOPES.filter((scope) => caller.grants.has(scope));
    const key: ApiKey = {
      keyID: randomUUID(),
      publicKey: generatePublicKey(),
      name,
      accounts,
      scopes,
      createdOn: this.#now(),
      ...(expiresOn && { expiresOn }),
    };
    requireCovered(caller, key);
    if (caller.expiresOn && expiresOn && expiresOn > caller.expiresOn) {
      const limit = caller.expiresOn.toISOString();
      const message = `expiresOn must not be later than ${limit}, when the credentials of this request expire`;
      throw new AppError('forbidden', message);
    }
    for (const accountID of accounts === 'all' ? [] : accounts) {
      if (!(await this.#accounts.find(accountID))) {
        throw new AppError('invalid-request', `accounts names ${accountID}, but this account does not exist`);
      }
    }
    const secretKey = generateSecretKey();
    // The outcome is not checked: two public keys of 128 random bits are never equal.
    await this.#keys.create(key, digestOf(secretKey), caller.by);
    return { key, secretKey };
  }

  /**
   * Keys, newest first, including revoked and expired keys.
   * @param accountID only keys that name this account. Undefined: all keys.
   */
  listKeys(accountID: string | undefined, page: Page): Promise<{ keys: ApiKey[]; total: number }> {
    return this.#keys.list(page, accountID);
  }

  /**
   * One key, also if it is revoked or expired.
   * @param accountID the key must name this account. Undefined: any key.
   * @throws AppError `not-found`.
   */
  async getKey(accountID: string | undefined, keyID: string): Promise<ApiKey> {
    const id = parseUUID(keyID);
    const key = id && (await this.#keys.findByID(id));
    if (!key) throw unknownKey();
    const isOfAccount =
      accountID === undefined || (key.accounts !== 'all' && key.accounts.includes(accountID));
    if (!isOfAccount) throw unknownKey();
    return key;
  }

  /**
   * Gives a key another secret. The current secret stays valid for the overlap. An older secret ends at once.
   * @param accountID the key must name this account. Undefined: any key.
   * @param overlap seconds.
   * @throws AppError `not-found`; `forbidden` if the key has more rights than the caller; `conflict` if the
   * key is revoked or expired.
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
    if (!isValidKey(key, createdOn)) throw endedKey();
    const secretKey = generateSecretKey();
    const overlapUntil = new Date(createdOn.getTime() + overlap * 1000);
    const rotation = { secretDigest: digestOf(secretKey), createdOn, overlapUntil };
    const outcome = await this.#keys.rotate(key.keyID, rotation, caller.by);
    switch (outcome.kind) {
      case 'rotated':
        return { key: outcome.key, secretKey, overlapUntil };
      case 'revoked':
        throw endedKey();
      case 'not-found':
        throw unknownKey();
    }
  }

  /**
   * Revokes a key permanently and ends its tokens. Succeeds without a change if the key is revoked.
   * @param accountID the key must name this account. Undefined: any key.
   * @throws AppError `not-found`; `forbidden` if the key has more rights than the caller.
   */
  async revokeKey(caller: Caller, accountID: string | undefined, keyID: string): Promise<ApiKey> {
    const key = await this.getKey(accountID, keyID);
    requireCovered(caller, key);
    const revoked = await this.#keys.revoke(key.keyID, this.#now(), caller.by);
    if (!revoked) throw unknownKey();
    return revoked;
  }

  /**
   * Entries of the audit trail, newest first.
   * @param accountID the account of the changes. Undefined: changes that affect the server as a whole.
   */
  listAudit(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }> {
    return this.#audit.list(accountID, page);
  }
}

function requireCovered({ grants }: Caller, key: Pick<ApiKey, 'accounts' | 'scopes'>): void {
  if (covers(grants, key)) return;
  throw new AppError('forbidden', 'the key has rights that the credentials of this request do not have');
}

function canonicalID(accountID: string): string {
  const id = parseUUID(accountID);
  if (id === undefined) throw unknownAccount();
  return id;
}

function unknownAccount(): AppError {
  return new AppError('not-found', 'account not found');
}

function unknownKey(): AppError {
  return new AppError('not-found', 'key not found');
}

function endedKey(): AppError {
  return new AppError('conflict', 'the key was revoked or has expired, and cannot be rotated');
}
