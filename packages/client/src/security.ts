/**
 * The kinds of credentials, and the Authorization header of each.
 */

/** An API key: the public key is the user name, the secret key is the password. */
export interface BasicSecurity {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** An access token. */
export interface TokenSecurity {
  readonly accessToken: string;
}

/**
 * The credentials of a client, or a function that returns them. A string is an access token.
 * The function is called before every attempt, so it should cache the token until it expires.
 */
export type Security =
  | BasicSecurity
  | TokenSecurity
  | (() => Promise<string | BasicSecurity | TokenSecurity> | string | BasicSecurity | TokenSecurity);

/**
 * Builds the value of the Authorization header. Returns undefined without credentials.
 * @throws TypeError if a credential is not a string.
 * @throws the error of the `security` function, if it fails.
 */
export async function buildAuthorization(security: Security | undefined): Promise<string | undefined> {
  if (security === undefined) return undefined;
  const value = typeof security === 'function' ? await security() : security;
  const credentials = typeof value === 'string' ? { accessToken: value } : value;
  if ('accessToken' in credentials) return `Bearer ${checkText(credentials.accessToken, 'accessToken')}`;
  const { username, password } = credentials;
  if (username === undefined && password === undefined) return undefined;
  const pair = `${checkText(username ?? '', 'username')}:${checkText(password ?? '', 'password')}`;
  return `Basic ${encodeBase64(pair)}`;
}

function checkText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`security.${field} must be a string`);
}

/** Base64 of the UTF-8 bytes. `btoa` itself accepts only characters up to U+00FF. */
function encodeBase64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}
