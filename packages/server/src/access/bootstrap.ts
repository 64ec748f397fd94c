/**
 * Creates accounts and keys when the server starts. They are the first ones of a new installation, and those
 * of VITRINE_BOOTSTRAP_ACCOUNT and VITRINE_BOOTSTRAP_KEY.
 */
import { randomUUID } from 'node:crypto';
import { type ApiKey, SCOPES } from './account.ts';
import type { Credentials } from './authentication.ts';
import type { AccountRecords, KeyRecords, StoredKey } from './records.ts';
import { digestOf, generatePublicKey, generateSecretKey } from './secrets.ts';

/** A new key with its secret, which is shown once. */
export interface IssuedKey extends Credentials {
  readonly accountID: string;
}

export interface BootstrapRecords {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
}

/** The actor in the audit trail for changes that the start makes. */
const SERVER = { kind: 'server' } as const;

/**
 * Creates an account, and a key for all accounts with all scopes, unless they exist. Another secret for an
 * existing public key replaces the old secret at once. Of several servers that start at once, one makes the
 * change.
 * @returns `revoked` if the key has this secret and was revoked. Only another secret makes it valid again.
 */
export async function ensureBootstrapKey(
  { accounts, keys }: BootstrapRecords,
  accountID: string,
  credentials: Credentials,
  createdOn: Date,
): Promise<'ready' | 'revoked'> {
  if ((await accounts.find(accountID)) === undefined) {
    await accounts.create({ accountID, displayName: 'Bootstrap account', createdOn }, SERVER);
  }
  const digest = digestOf(credentials.secretKey);
  const stored = await keys.find(credentials.publicKey);
  if (stored === undefined || !isCurrent(stored, digest)) {
    const key = newKey('Bootstrap key', credentials.publicKey, createdOn);
    // Another server may have made the change since the read.
    await keys.put(key, digest, createdOn, SERVER, (other) => isCurrent(other, digest));
    return 'ready';
  }
  return stored.key.revokedOn === undefined ? 'ready' : 'revoked';
}

/** True if the key has this secret and all rights, or if it was revoked with this secret. */
function isCurrent({ key, secrets }: StoredKey, digest: string): boolean {
  if (key.revokedOn !== undefined) return secrets.some((secret) => secret.digest === digest);
  const hasAllRights =
    key.accounts === 'all' &&
    key.expiresOn === undefined &&
    SCOPES.every((scope) => key.scopes.includes(scope));
  return secrets[0]?.digest === digest && hasAllRights;
}

/**
 * On the very first start, creates an account, and a key for all accounts. Of several servers that start at
 * once, one creates them.
 * @returns the key with its secret. Undefined if an account exists.
 */
export async function createFirstKey(
  { accounts }: Pick<BootstrapRecords, 'accounts'>,
  createdOn: Date,
): Promise<IssuedKey | undefined> {
  if (!(await accounts.isEmpty())) return undefined;
  const accountID = randomUUID();
  const publicKey = generatePublicKey();
  const secretKey = generateSecretKey();
  const account = { accountID, displayName: 'First account', createdOn };
  const key = newKey('First key', publicKey, createdOn);
  const outcome = await accounts.createFirst(account, key, digestOf(secretKey), SERVER);
  return outcome === 'created' ? { accountID, publicKey, secretKey } : undefined;
}

function newKey(name: string, publicKey: string, createdOn: Date): ApiKey {
  return { keyID: randomUUID(), publicKey, name, accounts: 'all', scopes: SCOPES, createdOn };
}
