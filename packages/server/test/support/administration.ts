/**
 * Creates accounts, keys and tokens over HTTP, as clients do.
 */
import assert from 'node:assert/strict';
import { basic, type JSONAnswer, type TestClient } from './client.ts';

export interface KeyJSON {
  readonly keyID: string;
  readonly publicKey: string;
  readonly secretKey: string;
  readonly accounts: 'all' | string[];
  readonly scopes: string[];
  readonly lastUsedOn?: string;
  readonly overlapUntil?: string;
}

export interface TokenJSON {
  readonly token_type: string;
  readonly access_token: string;
  readonly refresh_token: string;
  readonly expires_in: number;
  readonly scope: string;
}

/** Every scope, as a request for an account's key names it. */
export const ALL_SCOPES = [
  '/accounts/{accountID}/images.read',
  '/accounts/{accountID}/images.write',
  '/accounts/{accountID}/products.read',
  '/accounts/{accountID}/products.write',
  '/accounts.read',
  '/accounts.write',
  '/ping.read',
];

/** The body of an answer. Fails unless the status is 2xx. */
export async function successBody<T>(answer: Promise<JSONAnswer<T>>): Promise<T> {
  const { status, body } = await answer;
  assert.ok(status >= 200 && status < 300, `${status} ${JSON.stringify(body)}`);
  return body;
}

/** Creates an account and returns its ID. */
export async function createAccount(client: TestClient, displayName = 'An account'): Promise<string> {
  const answer = client.send<{ accountID: string }>('POST', '/accounts', { displayName });
  return (await successBody(answer)).accountID;
}

/** Creates a key of an account, with all scopes unless `request` names others. */
export function createKey(client: TestClient, accountID: string, request: object = {}): Promise<KeyJSON> {
  const body = { name: 'A key', scopes: ALL_SCOPES, ...request };
  return successBody(client.send<KeyJSON>('POST', `/accounts/${accountID}/keys`, body));
}

export function createToken(client: TestClient, key: KeyJSON, scope?: string): Promise<TokenJSON> {
  const body = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) };
  return successBody(client.send<TokenJSON>('POST', '/oauth2/token', body, basicOf(key)));
}

export function basicOf(key: { publicKey: string; secretKey: string }): string {
  return basic(key.publicKey, key.secretKey);
}

export function bearer(token: string): string {
  return `Bearer ${token}`;
}
