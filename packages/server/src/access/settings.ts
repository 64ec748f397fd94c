/**
 * Owns how the settings of accounts and keys are read from what somebody gave, over HTTP or at the command line, and
 * what their limits are. Pure. Refuses to know who gave them and whether they may.
 */

import { AppError } from '../errors.ts';
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

/** How long the secret before it stays valid when a key is rotated, in seconds: the longest, and if nothing is said. */
export const MAX_OVERLAP = 7 * 24 * 60 * 60;
export const DEFAULT_OVERLAP = 24 * 60 * 60;

/** A key may act for at most this many accounts by name. */
export const MAX_KEY_ACCOUNTS = 100;

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
 * @throws AppError `invalid-request` that names the field and its limit. Fields that are not known are passed over.
 */
export function readAccountSettings(given: unknown): AccountSettings {
  const fields = objectOf(given);
  const { accountID, displayName, imageQuota, byteQuota, disablePolicy } = fields;
  return {
    ...(accountID !== undefined && { accountID: uuid('accountID', accountID) }),
    ...(displayName !== undefined && { displayName: nameOf('displayName', displayName) }),
    ...(imageQuota !== undefined && { imageQuota: quota('imageQuota', imageQuota, MAX_IMAGE_QUOTA) }),
    ...(byteQuota !== undefined && { byteQuota: quota('byteQuota', byteQuota, MAX_BYTE_QUOTA) }),
    ...(disablePolicy !== undefined && { disablePolicy: policyOf(disablePolicy) }),
  };
}

/**
 * @param accountID the account that scopes may name, if the key is to be for one.
 * @throws AppError `invalid-request` that names the field and its limit.
 */
export function readKeySettings(given: unknown, now: Date, accountID?: string): KeySettings {
  const { name, scopes, expiresOn, accounts } = objectOf(given);
  if (name === undefined) throw invalid('name must be given');
  return {
    name: nameOf('name', name),
    ...(scopes !== undefined && { scopes: scopesOf(scopes, accountID) }),
    ...(expiresOn !== undefined && expiresOn !== null && { expiresOn: expiry(expiresOn, now) }),
    ...(accounts !== undefined && accountID === undefined && { accounts: accountsOf(accounts) }),
  };
}

/** Seconds. @throws AppError `invalid-request`. */
export function readOverlap(given: unknown): number {
  const { overlapSeconds } = given === undefined ? {} : objectOf(given);
  if (overlapSeconds === undefined) return DEFAULT_OVERLAP;
  if (isWhole(overlapSeconds) && overlapSeconds <= MAX_OVERLAP) return overlapSeconds;
  throw invalid(`overlapSeconds must be a whole number from 0 to ${MAX_OVERLAP} (7 days)`);
}

function objectOf(given: unknown): Record<string, unknown> {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
    return given as Record<string, unknown>;
  }
  throw invalid('the body must be a JSON object');
}

function nameOf(field: string, value: unknown): string {
  const parsed = parseName(value);
  if ('name' in parsed) return parsed.name;
  throw invalid(`${field} ${parsed.reason}`);
}

function uuid(field: string, value: unknown): string {
  const parsed = typeof value === 'string' ? parseUUID(value) : undefined;
  if (parsed === undefined) throw invalid(`${field} must be a UUID`);
  return parsed;
}

function quota(field: string, value: unknown, limit: number): number | null {
  if (value === null || (isWhole(value) && value <= limit)) return value;
  throw invalid(`${field} must be a whole number from 0 to ${limit}, or null for the server's default`);
}

function policyOf(value: unknown): DisablePolicy {
  const policy = DISABLE_POLICIES.find((one) => one === value);
  if (policy === undefined) throw invalid(`disablePolicy must be one of ${DISABLE_POLICIES.join(', ')}`);
  return policy;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function scopesOf(value: unknown, accountID: string | undefined): Scope[] {
  const texts = Array.isArray(value) && value.length >= 1 && value.length <= 100 ? value : undefined;
  if (texts === undefined) throw invalid('scopes must be a list of 1 to 100 scopes');
  const scopes = texts.map((text: unknown) => {
    const parsed = typeof text === 'string' ? parseScope(text) : undefined;
    if (parsed === undefined) {
      throw invalid('scopes must be such as /accounts/{accountID}/images.read or /ping.read');
    }
    if (parsed.accountID !== undefined && parsed.accountID !== accountID) {
      throw invalid('scopes must not name another account than that of the key');
    }
    return parsed.scope;
  });
  return [...new Set(scopes)];
}

// RFC 3339, of which every engine reads the same.
const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

function expiry(value: unknown, now: Date): Date {
  const time = typeof value === 'string' && DATE_TIME.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) {
    throw invalid('expiresOn must be a date and time of RFC 3339, such as 2030-01-31T12:00:00Z');
  }
  if (time <= now.getTime()) throw invalid('expiresOn must be in the future');
  return new Date(time);
}

function accountsOf(value: unknown): 'all' | string[] {
  if (value === 'all') return 'all';
  if (!Array.isArray(value) || value.length < 1 || value.length > MAX_KEY_ACCOUNTS) {
    throw invalid(`accounts must be "all" or a list of 1 to ${MAX_KEY_ACCOUNTS} account IDs`);
  }
  return [...new Set(value.map((each: unknown) => uuid('accounts', each)))];
}

function invalid(message: string): AppError {
  return new AppError('invalid-request', message);
}
