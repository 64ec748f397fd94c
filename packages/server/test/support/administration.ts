/**
 * Creates accounts, keys and tokens of a server under test through its API.
 */
import assert from 'node:assert/strict';
import { basic, type TestServer } from './server.ts';

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

/** The text of every scope, with the placeholder for each account of a key. */
export const ALL_SCOPES = [
  '/accounts/{accountID}/images.read',
  '/accounts/{accountID}/images.write',
  '/accounts/{accountID}/products.read',
  '/accounts/{accountID}/products.write',
  '/accounts.read',
  '/accounts.write',
  '/ping.read',
];

/** Sends JSON and returns the parsed response. */
export async function call<T = Record<string, unknown>>(
  server: TestServer,
  method: string,
  path: string,
  body?: unknown,
  authorization: string = server.authorization,
): Promise<{ status: number; body: T; headers: Headers }> {
  const response = await fetch(new URL(path, server.url), {
    method,
    headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    body: (text === '' ? undefined : JSON.parse(text)) as T,
    headers: response.headers,
  };
}

/** The body of the response. Fails the test if the status is not 2xx. */
export async function expectSuccess<T>(response: Promise<{ status: number; body: T }>): Promise<T> {
  const { status, body } = await response;
  assert.ok(status >= 200 && status < 300, `${status} ${JSON.stringify(body)}`);
  return body;
}

export async function newAccount(server: TestServer, displayName = 'An account'): Promise<string> {
  const { accountID } = await expectSuccess(
    call<{ accountID: string }>(server, 'POST', '/accounts', { displayName }),
  );
  return accountID;
}

/** Creates a key of an account, by default with all scopes. */
export function newKey(server: TestServer, accountID: string, request: object = {}): Promise<KeyJSON> {
  const body = { name: 'A key', scopes: ALL_SCOPES, ...request };
  return expectSuccess(call<KeyJSON>(server, 'POST', `/accounts/${accountID}/keys`, body));
}

export function newToken(server: TestServer, key: KeyJSON, scope?: string): Promise<TokenJSON> {
  const body = { grant_type: 'client_credentials', ...(scope !== undefined && { scope }) };
  return expectSuccess(call<TokenJSON>(server, 'POST', '/oauth2/token', body, basicOf(key)));
}

export function basicOf(key: { publicKey: string; secretKey: string }): string {
  return basic(key.publicKey, key.secretKey);
}

export function bearer(token: string): string {
  return `Bearer ${token}`;
}
