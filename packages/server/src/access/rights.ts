/**
 * The rules of rights, as pure functions: grants of keys, narrower grants of tokens, and the text form of
 * scopes.
 */
import { AppError } from '../errors.ts';
import { parseUUID } from '../validation/uuid.ts';
import { type AccountSet, type ApiKey, type Grants, SCOPES, type Scope } from './account.ts';
import type { Actor } from './audit.ts';

/** The placeholder for "each account" in a scope without an account ID. */
const ANY_ACCOUNT = '{accountID}';

/** A scope in a request for a key or a token. Without an account it means all granted accounts. */
export interface RequestedScope {
  readonly scope: Scope;
  readonly accountID?: string;
}

/** The author of a change, with the rights for it. */
export interface Caller {
  readonly by: Actor;
  readonly grants: Grants;
  /** The latest expiry of a key that this caller creates. Absent: no limit. */
  readonly expiresOn?: Date;
}

/** The grants of a key: each of its scopes in each of its accounts. */
export function grantsOf(key: Pick<ApiKey, 'accounts' | 'scopes'>): Grants {
  return new Map(key.scopes.map((scope) => [scope, key.accounts]));
}

/** True if the grants have the scope for this account. */
export function isGranted(grants: Grants, scope: Scope, accountID: string): boolean {
  const accounts = grants.get(scope);
  return accounts === 'all' || accounts?.includes(accountID) === true;
}

/** True if the grants include everything that the key allows. */
export function covers(grants: Grants, key: Pick<ApiKey, 'accounts' | 'scopes'>): boolean {
  return key.scopes.every((scope) => {
    const granted = grants.get(scope);
    if (granted === undefined || granted === 'all') return granted === 'all';
    return key.accounts !== 'all' && key.accounts.every((accountID) => granted.includes(accountID));
  });
}

/** @throws AppError `forbidden` if the grants do not have the scope for all accounts. */
export function requireAllAccounts(grants: Grants, scope: Scope): void {
  if (grants.get(scope) === 'all') return;
  throw new AppError('forbidden', 'this operation requires credentials for all accounts');
}

/** The rights that are in both grants. */
export function intersectGrants(one: Grants, other: Grants): Grants {
  const both = new Map<Scope, AccountSet>();
  for (const [scope, accounts] of one) {
    const others = other.get(scope);
    if (others === undefined) continue;
    if (others === 'all') both.set(scope, accounts);
    else both.set(scope, accounts === 'all' ? others : accounts.filter((id) => others.includes(id)));
  }
  return both;
}

/** The requested part of the grants. Undefined if the request exceeds the grants. */
export function narrowGrants(grants: Grants, requested: readonly RequestedScope[]): Grants | undefined {
  const narrow = new Map<Scope, AccountSet>();
  for (const { scope, accountID } of requested) {
    const accounts = grants.get(scope);
    if (accounts === undefined) return undefined;
    if (accountID === undefined) {
      narrow.set(scope, accounts);
      continue;
    }
    if (!isGranted(grants, scope, accountID)) return undefined;
    const before = narrow.get(scope) ?? [];
    if (before !== 'all' && !before.includes(accountID)) narrow.set(scope, [...before, accountID]);
  }
  return narrow;
}

/** The account ID, if all grants are for the same single account. Else undefined. */
export function soleAccount(grants: Grants): string | undefined {
  const accounts = new Set([...grants.values()].flatMap((set) => (set === 'all' ? [''] : set)));
  const [first] = accounts;
  return accounts.size === 1 && first !== '' ? first : undefined;
}

/** True for scopes inside an account. The other scopes are for the server. */
function isOfAccount(scope: Scope): boolean {
  return scope.startsWith('images.') || scope.startsWith('products.');
}

/**
 * The text of a scope: `/accounts/{accountID}/images.read`, with the account ID if it is present, or
 * `/ping.read`.
 */
export function formatScope(scope: Scope, accountID: string = ANY_ACCOUNT): string {
  return isOfAccount(scope) ? `/accounts/${accountID}/${scope}` : `/${scope}`;
}

/** The scopes of a key as texts. They contain the account ID if the key has exactly one account. */
export function formatKeyScopes(key: Pick<ApiKey, 'accounts' | 'scopes'>): string[] {
  const sole = key.accounts !== 'all' && key.accounts.length === 1 ? key.accounts[0] : undefined;
  return key.scopes.map((scope) => formatScope(scope, sole));
}

/** The grants as an OAuth scope: scopes separated by spaces. */
export function formatGrants(grants: Grants): string {
  return [...grants]
    .flatMap(([scope, accounts]) =>
      accounts === 'all' || !isOfAccount(scope)
        ? [formatScope(scope)]
        : accounts.map((accountID) => formatScope(scope, accountID)),
    )
    .join(' ');
}

/**
 * Reads a scope in one of these forms: `/accounts/UUID/images.read`, `/accounts/{accountID}/images.read`
 * (each granted account), `/ping.read`, or the short `images.read`. Undefined for any other text.
 */
export function parseScope(text: string): RequestedScope | undefined {
  const [, account, ofAccount] = /^\/accounts\/([^/]+)\/([a-z.]+)$/.exec(text) ?? [];
  const name = ofAccount ?? (text.startsWith('/') ? text.slice(1) : text);
  const scope = SCOPES.find((each) => each === name);
  if (scope === undefined) return undefined;
  if (account === undefined) return text.startsWith('/') && isOfAccount(scope) ? undefined : { scope };
  if (!isOfAccount(scope)) return undefined;
  if (account === ANY_ACCOUNT) return { scope };
  const accountID = parseUUID(account);
  return accountID === undefined ? undefined : { scope, accountID };
}
