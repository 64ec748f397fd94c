/**
 * Owns the arithmetic of rights: what a key grants, what a token may be narrowed to, whether one is wider than another;
 * and how scopes are written. Pure. Refuses to know who asks and what for.
 */

import { parseUUID } from '../validation/uuid.ts';
import { type AccountSet, type ApiKey, type Grants, SCOPES, type Scope } from './account.ts';
import type { Actor } from './audit.ts';

/** What stands for "each of the accounts" in a scope that names no account. */
const ANY_ACCOUNT = '{accountID}';

/** A scope as it was asked for: of one account, or of all that there is a right to. */
export interface RequestedScope {
  readonly scope: Scope;
  readonly accountID?: string;
}

/** Who asks for a change, and what they may do. */
export interface Caller {
  readonly by: Actor;
  readonly grants: Grants;
  /** Nothing they make may outlive this. */
  readonly expiresOn?: Date;
}

/** What a key may do: each of its scopes in each of its accounts. */
export function grantsOf(key: Pick<ApiKey, 'accounts' | 'scopes'>): Grants {
  return new Map(key.scopes.map((scope) => [scope, key.accounts]));
}

/** True if the scope is held for this account. */
export function isGranted(grants: Grants, scope: Scope, accountID: string): boolean {
  const accounts = grants.get(scope);
  return accounts === 'all' || accounts?.includes(accountID) === true;
}

/** True if nothing of what the key may do is beyond the grants. */
export function covers(grants: Grants, key: Pick<ApiKey, 'accounts' | 'scopes'>): boolean {
  return key.scopes.every((scope) => {
    const held = grants.get(scope);
    if (held === undefined || held === 'all') return held === 'all';
    return key.accounts !== 'all' && key.accounts.every((accountID) => held.includes(accountID));
  });
}

/** What is in both. */
export function intersection(one: Grants, other: Grants): Grants {
  const both = new Map<Scope, AccountSet>();
  for (const [scope, accounts] of one) {
    const others = other.get(scope);
    if (others === undefined) continue;
    if (others === 'all') both.set(scope, accounts);
    else both.set(scope, accounts === 'all' ? others : accounts.filter((id) => others.includes(id)));
  }
  return both;
}

/** The requested part of what is held; undefined if more is requested than held. */
export function narrowed(held: Grants, requested: readonly RequestedScope[]): Grants | undefined {
  const narrow = new Map<Scope, AccountSet>();
  for (const { scope, accountID } of requested) {
    const accounts = held.get(scope);
    if (accounts === undefined) return undefined;
    if (accountID === undefined) {
      narrow.set(scope, accounts);
      continue;
    }
    if (!isGranted(held, scope, accountID)) return undefined;
    const before = narrow.get(scope) ?? [];
    if (before !== 'all' && !before.includes(accountID)) narrow.set(scope, [...before, accountID]);
  }
  return narrow;
}

/** The one account that all of the grants are for; undefined if there are several, or none. */
export function soleAccount(grants: Grants): string | undefined {
  const accounts = new Set([...grants.values()].flatMap((set) => (set === 'all' ? [''] : set)));
  const [first] = accounts;
  return accounts.size === 1 && first !== '' ? first : undefined;
}

/** Scopes of things in an account; the others are of the server. */
function isOfAccount(scope: Scope): boolean {
  return scope.startsWith('images.') || scope.startsWith('products.');
}

/** `/accounts/{accountID}/images.read`, with the account's ID if one is given; or `/ping.read`. */
export function scopeText(scope: Scope, accountID: string = ANY_ACCOUNT): string {
  return isOfAccount(scope) ? `/accounts/${accountID}/${scope}` : `/${scope}`;
}

/** The scopes of a key as they are written: with the account's ID if the key has one account only. */
export function scopeTextsOf(key: Pick<ApiKey, 'accounts' | 'scopes'>): string[] {
  const sole = key.accounts !== 'all' && key.accounts.length === 1 ? key.accounts[0] : undefined;
  return key.scopes.map((scope) => scopeText(scope, sole));
}

/** Grants as an OAuth scope: separated by spaces. */
export function grantsText(grants: Grants): string {
  return [...grants]
    .flatMap(([scope, accounts]) =>
      accounts === 'all' || !isOfAccount(scope)
        ? [scopeText(scope)]
        : accounts.map((accountID) => scopeText(scope, accountID)),
    )
    .join(' ');
}

/**
 * What a scope means: `/accounts/UUID/images.read`, `/accounts/{accountID}/images.read` (each account there is a right
 * to), `/ping.read`; the short `images.read` is accepted as well. Undefined if it is none.
 */
export function parseScope(text: string): RequestedScope | undefined {
  const [, account, ofAccount] = /^\/accounts\/([^/]+)\/([a-z.]+)$/.exec(text) ?? [];
  const name = ofAccount ?? (text.startsWith('/') ? text.slice(1) : text);
  const scope = SCOPES.find((known) => known === name);
  if (scope === undefined) return undefined;
  if (account === undefined) return text.startsWith('/') && isOfAccount(scope) ? undefined : { scope };
  if (!isOfAccount(scope)) return undefined;
  if (account === ANY_ACCOUNT) return { scope };
  const accountID = parseUUID(account);
  return accountID === undefined ? undefined : { scope, accountID };
}
