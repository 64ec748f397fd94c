/**
 * Owns how an Account, an ApiKey and an AuditEntry look on the wire, and in the output of the command line.
 * Refuses to know routes.
 */
import type { Static } from 'typebox';
import type { Account, ApiKey } from '../../access/account.ts';
import type { AuditEntry } from '../../access/audit.ts';
import { scopeTextsOf } from '../../access/rights.ts';
import type { AccountSchema, ApiKeySchema, AuditEntrySchema } from './schemas.ts';

/** An Account as the contract has it: absent fields are left out, times are RFC 3339. */
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

/** An ApiKey as the contract has it. */
export function keyJSON(key: ApiKey): Static<typeof ApiKeySchema> {
  const { keyID, publicKey, name, accounts, createdOn, expiresOn, lastUsedOn, revokedOn } = key;
  return {
    keyID,
    publicKey,
    name,
    accounts: accounts === 'all' ? 'all' : [...accounts],
    scopes: scopeTextsOf(key),
    createdOn: createdOn.toISOString(),
    ...(expiresOn && { expiresOn: expiresOn.toISOString() }),
    ...(lastUsedOn && { lastUsedOn: lastUsedOn.toISOString() }),
    ...(revokedOn && { revokedOn: revokedOn.toISOString() }),
  };
}

/** An AuditEntry as the contract has it. */
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
