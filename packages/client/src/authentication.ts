/**
 * Access tokens: getting, renewing and ending them. Owns how the names of RFC 6749 become those of this client. Refuses to
 * remember any: `security` may be a function, which does.
 */
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import { type Answer, type CallOptions, type Done, type Given, type Optional, pathOf } from './operation.ts';
import { readNumber, readObject, readText } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

type Joined<Name> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<Joined<Rest>>}`
  : Name;
type CamelCase<Wire> = { [Key in keyof Wire as Joined<Key>]: Wire[Key] };

/** An access token and what belongs to it. `expiresIn` is in seconds; `scope` has its scopes, separated by spaces. */
export type AuthToken = CamelCase<Schemas['AuthToken']>;

/**
 * How a token is to be had: `client_credentials`, or `refresh_token` with one. With `clientId` and `clientSecret` (a public
 * and a secret key) it is they who ask; else the client's own credentials, which must be a key.
 */
export type AuthTokenRequest = Given<CamelCase<Schemas['AuthTokenRequest']>>;

/** The token to end, of either kind; and who asks, as for `AuthTokenRequest`. */
export type RevokeTokenRequest = Given<CamelCase<Schemas['RevokeTokenRequest']>>;

/** The operations on tokens. All reject with the errors of `VitrineError`. */
export class Authentication {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * A new access token. A refresh token is used up by it, and shown again it ends all that came of it: so then only a
   * 429 is tried again.
   * @throws GenericError if the scope or the refresh token is not good.
   */
  async createAccessToken(request: AuthTokenRequest, options?: CallOptions): Promise<Answer<AuthToken>> {
    const { grantType, clientId, clientSecret, scope, refreshToken } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf('/oauth2/token', {}),
        json: {
          grant_type: grantType,
          client_id: clientId,
          client_secret: clientSecret,
          scope,
          refresh_token: refreshToken,
        },
        hasCredentials: hasCredentials(request),
        repeatable: grantType === 'client_credentials',
        refusals: { 400: genericRefusal },
      },
      options,
      readToken,
    );
  }

  /** Ends an access token; or a refresh token, with all that came of it. That there is no such token is a success, too. */
  async revokeAccessToken(request: RevokeTokenRequest, options?: CallOptions): Promise<Done> {
    const { token, tokenTypeHint, clientId, clientSecret } = request;
    return this.#transport.empty(
      {
        method: 'POST',
        path: pathOf('/oauth2/revoke', {}),
        json: { token, token_type_hint: tokenTypeHint, client_id: clientId, client_secret: clientSecret },
        hasCredentials: hasCredentials(request),
        repeatable: true,
        refusals: { 400: genericRefusal },
      },
      options,
    );
  }
}

/** Then the client's own are not asked for, so that a function which gives them can get tokens by this same client. */
function hasCredentials({ clientId, clientSecret }: Optional<AuthTokenRequest>): boolean {
  return clientId !== undefined && clientSecret !== undefined;
}

function readToken(data: unknown): AuthToken {
  const token = readObject(data, 'a token');
  const { token_type, access_token, refresh_token, expires_in, scope, ...rest } = token;
  // RFC 6749 lets it be in any case.
  if (readText(token_type, 'token_type').toLowerCase() !== 'bearer')
    throw new TypeError(`token_type must be Bearer, not ${token_type}`);
  return {
    ...rest,
    tokenType: 'Bearer',
    accessToken: readText(access_token, 'access_token'),
    refreshToken: readText(refresh_token, 'refresh_token'),
    expiresIn: readNumber(expires_in, 'expires_in'),
    scope: readText(scope, 'scope'),
  };
}
