/**
 * Creates accounts and keys when the server starts. They are the first ones of a new installation, and those
 * of VITRINE_BOOTSTRAP_ACCOUNT and VITRINE_BOOTSTRAP_KEY.
 */
import { randomUUID } from 'node:crypto';
import { type ApiKey, SCOPES } from './account.ts';
import type { Credentials } from './authentication.ts';
import type { AccountRecords, KeyRecords } from './records.ts';
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
 * existing public key replaces the old secret at once.
 * @returns `revoked` if the key has this secret and was revoked. Only another secret makes it valid again.
 */
export async function ensureBootstrapKey(
  { accounts, keys }: BootstrapRecords,
  accountID: string,
  credentials: Credentials,
  createdOn: Date,
): Promise<'ready' | 'revoked'> {
  await accounts.create({ accountID, displayName: 'Bootstrap account', createdOn }, SERVER);
  const stored = await keys.find(credentials.publicKey);
  const digest = digestOf(credentials.secretKey);
  if (stored?.key.revokedOn && stored.secrets.some((secret) => secret.digest === digest)) return 'revoked';
  const hasAllRights =
    stored?.key.accounts === 'all' &&
    stored.key.expiresOn === undefined &&
    SCOPES.every((scope) => stored.key.scopes.includes(scope));
  if (stored?.secrets[0]?.digest === digest && hasAllRights) return 'ready';
  const key = newKey('Bootstrap key', credentials.publicKey, createdOn);
  const { keyID, createdOn: since } = stored?.key ?? key;
  await keys.put({ ...key, keyID, createdOn: since }, digest, createdOn, SERVER);
  return 'ready';
}

/**
 * On the very first start, creates an account, and a key for all accounts with all scopes.
 * @returns the key with its secret. Undefined if an account exists.
 */
export async function createFirstKey(
  { accounts, keys }: BootstrapRecords,
  createdOn: Date,
): Promise<IssuedKey | undefined> {
  if (!(await accounts.isEmpty())) return undefined;
  const accountID = randomUUID();
  const publicKey = generatePublicKey();
  const secretKey = generateSecretKey();
  // The key comes first. After a crash between the two, the next start still finds no account and tries
  // again.
  await keys.create(newKey('First key', publicKey, createdOn), digestOf(secretKey), SERVER);
  await accounts.create({ accountID, displayName: 'First account', createdOn }, SERVER);
  return { accountID, publicKey, secretKey };
}

function newKey(name: string, publicKey: string, createdOn: Date): ApiKey {
  return { keyID: randomUUID(), publicKey, name, accounts: 'all', scopes: SCOPES, createdOn };
}
