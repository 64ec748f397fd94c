/**
 * The JSON of accounts, keys and audit entries, for HTTP and for the output of the command line.
 * Absent fields are left out. Times are RFC 3339.
 */
import type { Static } from 'typebox';
import type { Account, ApiKey } from '../../access/account.ts';
import type { AuditEntry } from '../../access/audit.ts';
import { formatKeyScopes } from '../../access/rights.ts';
import type { AccountSchema, ApiKeySchema, AuditEntrySchema } from './schemas.ts';

export function accountJSON(account: Account): Static<typeof AccountSchema> {
  const { accountID, displayName, createdOn, suspendedOn, imageQuota, byteQuota, disablePolicy } = account;
  return {
    accountID,
    displayName,
    createdOn: createdOn.toISOString(),
    ...(suspendedOn && { suspendedOn: suspendedOn.toISOString() }),
    ...(imageQuota !== undefined && { imageQuota }),
    ...(byteQuota !== undefined && { byteQuota }),
    ...(disablePolicy !== undefined && { disablePolicy }),
  };
}

export function keyJSON(key: ApiKey): Static<typeof ApiKeySchema> {
  const { keyID, publicKey, name, accounts, createdOn, expiresOn, lastUsedOn, revokedOn } = key;
  return {
    keyID,
    publicKey,
    name,
    accounts: accounts === 'all' ? 'all' : [...accounts],
    scopes: formatKeyScopes(key),
    createdOn: createdOn.toISOString(),
    ...(expiresOn && { expiresOn: expiresOn.toISOString() }),
    ...(lastUsedOn && { lastUsedOn: lastUsedOn.toISOString() }),
    ...(revokedOn && { revokedOn: revokedOn.toISOString() }),
  };
}

export function auditJSON(entry: AuditEntry): Static<typeof AuditEntrySchema> {
  const { sequence, on, action, accountID, subjectID, by, before, after, details } = entry;
  return {
    sequence,
    on: on.toISOString(),
    action,
    ...(accountID !== undefined && { accountID }),
    subject: { kind: action.split('.', 1)[0] ?? '', id: subjectID },
    by: { ...by },
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
    ...(details !== undefined && { details }),
  };
}
