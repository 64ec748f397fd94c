/**
 * Credentials: which kinds there are, and the Authorization header that each becomes. Refuses to know what they open.
 */

/** An API key: its public key as user name, its secret key as password. */
export interface BasicSecurity {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** An access token. */
export interface TokenSecurity {
  readonly accessToken: string;
}

/**
 * Who calls. A function is asked before every attempt of every call, so it should remember a token for as long as it
 * lasts; it may be the one place that knows how to get a new one.
 */
export type Security =
  | BasicSecurity
  | TokenSecurity
  | (() => Promise<string | BasicSecurity | TokenSecurity> | string | BasicSecurity | TokenSecurity);

/**
 * The value of the Authorization header; undefined if there are no credentials.
 * @throws TypeError if the credentials are of no known kind; what a function throws.
 */
export async function authorization(security: Security | undefined): Promise<string | undefined> {
  if (security === undefined) return undefined;
  const given = typeof security === 'function' ? await security() : security;
  const credentials = typeof given === 'string' ? { accessToken: given } : given;
  if ('accessToken' in credentials) return `Bearer ${checkText(credentials.accessToken, 'accessToken')}`;
  const { username, password } = credentials;
  if (username === undefined && password === undefined) return undefined;
  return `Basic ${base64(`${checkText(username ?? '', 'username')}:${checkText(password ?? '', 'password')}`)}`;
}

function checkText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`security.${field} must be a string`);
}

/** `btoa` takes one character per byte. */
function base64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}
