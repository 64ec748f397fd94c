/**
 * Reads the settings of accounts and keys from untyped input, and checks their limits.
 * HTTP and the command line share these rules. The rights of the caller are checked in administration.ts.
 */
import { AppError } from '../errors.ts';
import { asObject } from '../validation/json.ts';
import { parseUUID } from '../validation/uuid.ts';
import {
  DISABLE_POLICIES,
  type DisablePolicy,
  MAX_BYTE_QUOTA,
  MAX_IMAGE_QUOTA,
  parseName,
  type Scope,
} from './account.ts';
import { parseScope } from './rights.ts';

/** How long the previous secret of a rotated key stays valid, in seconds: at most, and by default. */
export const MAX_OVERLAP = 7 * 24 * 60 * 60;
export const DEFAULT_OVERLAP = 24 * 60 * 60;

/** The most accounts in the list of a key. */
export const MAX_KEY_ACCOUNTS = 100;

/** The most scopes in a request for a key. */
const MAX_KEY_SCOPES = 100;

export interface AccountSettings {
  readonly accountID?: string;
  readonly displayName?: string;
  /** Null: the server's default. */
  readonly imageQuota?: number | null;
  /** Null: the server's default. */
  readonly byteQuota?: number | null;
  readonly disablePolicy?: DisablePolicy;
}

export interface KeySettings {
  readonly name: string;
  readonly scopes?: readonly Scope[];
  readonly expiresOn?: Date;
  readonly accounts?: 'all' | readonly string[];
}

/**
 * Reads the settings of an account. Unknown fields are ignored.
 * @throws AppError `invalid-request` with the field and its limit.
 */
export function readAccountSettings(input: unknown): AccountSettings {
  const { accountID, displayName, imageQuota, byteQuota, disablePolicy } = requireObject(input);
  return {
    ...(accountID !== undefined && { accountID: readUUID('accountID', accountID) }),
    ...(displayName !== undefined && { displayName: readName('displayName', displayName) }),
    ...(imageQuota !== undefined && { imageQuota: readQuota('imageQuota', imageQuota, MAX_IMAGE_QUOTA) }),
    ...(byteQuota !== undefined && { byteQuota: readQuota('byteQuota', byteQuota, MAX_BYTE_QUOTA) }),
    ...(disablePolicy !== undefined && { disablePolicy: readDisablePolicy(disablePolicy) }),
  };
}

/**
 * Reads the settings of a key. Unknown fields are ignored.
 * @param accountID the account of the key, which its scopes may name. Absent for a key of the server.
 * @throws AppError `invalid-request` with the field and its limit.
 */
export function readKeySettings(input: unknown, now: Date, accountID?: string): KeySettings {
  const { name, scopes, expiresOn, accounts } = requireObject(input);
  if (name === undefined) throw invalid('name is required');
  return {
    name: readName('name', name),
    ...(scopes !== undefined && { scopes: readScopes(scopes, accountID) }),
    ...(expiresOn !== undefined && expiresOn !== null && { expiresOn: readExpiry(expiresOn, now) }),
    ...(accounts !== undefined && accountID === undefined && { accounts: readAccounts(accounts) }),
  };
}

/**
 * Reads the overlap of a rotation.
 * @returns seconds. Without input, the default.
 * @throws AppError `invalid-request`.
 */
export function readOverlap(input: unknown): number {
  const { overlapSeconds } = input === undefined ? {} : requireObject(input);
  if (overlapSeconds === undefined) return DEFAULT_OVERLAP;
  if (isWhole(overlapSeconds) && overlapSeconds <= MAX_OVERLAP) return overlapSeconds;
  throw invalid(`overlapSeconds must be a whole number from 0 to ${MAX_OVERLAP} (7 days)`);
}

function requireObject(input: unknown): Readonly<Record<string, unknown>> {
  const object = asObject(input);
  if (object === undefined) throw invalid('the body must be a JSON object');
  return object;
}

function readName(field: string, value: unknown): string {
  const result = parseName(value);
  if ('name' in result) return result.name;
  throw invalid(`${field} ${result.reason}`);
}

function readUUID(field: string, value: unknown): string {
  const uuid = typeof value === 'string' ? parseUUID(value) : undefined;
  if (uuid === undefined) throw invalid(`${field} must be a UUID`);
  return uuid;
}

function readQuota(field: string, value: unknown, limit: number): number | null {
  if (value === null || (isWhole(value) && value <= limit)) return value;
  throw invalid(`${field} must be a whole number from 0 to ${limit}, or null for the server's default`);
}

function readDisablePolicy(value: unknown): DisablePolicy {
  const policy = DISABLE_POLICIES.find((each) => each === value);
  if (policy === undefined) throw invalid(`disablePolicy must be one of ${DISABLE_POLICIES.join(', ')}`);
  return policy;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function readScopes(value: unknown, accountID: string | undefined): Scope[] {
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_KEY_SCOPES) {
    throw invalid(`scopes must be a list of 1 to ${MAX_KEY_SCOPES} scopes`);
  }
  const scopes = value.map((text: unknown) => {
    const requested = typeof text === 'string' ? parseScope(text) : undefined;
    if (requested === undefined) {
      throw invalid('scopes must have a form such as /accounts/{accountID}/images.read or /ping.read');
    }
    if (requested.accountID !== undefined && requested.accountID !== accountID) {
      throw invalid('scopes must not name another account: {accountID} stands for each account of the key');
    }
    return requested.scope;
  });
  return [...new Set(scopes)];
}

// The form of RFC 3339. JavaScript engines read other forms differently.
const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

function readExpiry(value: unknown, now: Date): Date {
  const time = typeof value === 'string' && DATE_TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    throw invalid('expiresOn must be a date and time of RFC 3339, such as 2030-01-31T12:00:00Z');
  }
  if (time <= now.getTime()) throw invalid('expiresOn must be in the future');
  return new Date(time);
}

function readAccounts(value: unknown): 'all' | string[] {
  if (value === 'all') return 'all';
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_KEY_ACCOUNTS) {
    throw invalid(`accounts must be "all" or a list of 1 to ${MAX_KEY_ACCOUNTS} account IDs`);
  }
  return [...new Set(value.map((each: unknown) => readUUID('accounts', each)))];
}

function invalid(message: string): AppError {
  return new AppError('invalid-request', message);
}
