/**
 * The operations on access tokens. The client stores no token: pass a `security` function that does.
 * The snake_case names of RFC 6749 become camelCase here.
 */
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import {
  type Answer,
  buildPath,
  type CallOptions,
  type Done,
  type Given,
  type Optional,
} from './operation.ts';
import { readNumber, readObject, readText } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

type Joined<Name> = Name extends `${infer First}_${infer Rest}`
  ? `${First}${Capitalize<Joined<Rest>>}`
  : Name;
type CamelCase<Wire> = { [Key in keyof Wire as Joined<Key>]: Wire[Key] };

/** An access token with its refresh token. `expiresIn` is in seconds. `scope` is separated by spaces. */
export type AuthToken = CamelCase<Schemas['AuthToken']>;

/**
 * A token request. `grantType` is `client_credentials`, or `refresh_token` with `refreshToken`. `clientId`
 * and `clientSecret` are a public and a secret key. Without both, the client's own key authenticates.
 */
export type AuthTokenRequest = Given<CamelCase<Schemas['AuthTokenRequest']>>;

/** The access or refresh token to revoke. `clientId` and `clientSecret` work as in `AuthTokenRequest`. */
export type RevokeTokenRequest = Given<CamelCase<Schemas['RevokeTokenRequest']>>;

/** The operations on tokens. All reject with a `VitrineError`. */
export class Authentication {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Creates an access token. A refresh token works once: reuse revokes every token that came from it.
   * So for a refresh token only a 429 is retried.
   * @throws GenericError if the scope or the refresh token is invalid.
   */
  async createAccessToken(request: AuthTokenRequest, options?: CallOptions): Promise<Answer<AuthToken>> {
    const { grantType, clientId, clientSecret, scope, refreshToken } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath('/oauth2/token', {}),
        json: {
          grant_type: grantType,
          client_id: clientId,
          client_secret: clientSecret,
          scope,
          refresh_token: refreshToken,
        },
        hasCredentials: hasCredentials(request),
        idempotent: grantType === 'client_credentials',
        refusals: { 400: genericRefusal },
      },
      options,
      readToken,
    );
  }

  /**
   * Revokes an access token, or a refresh token with every token that came from it.
   * Revoking an unknown token is a success.
   */
  async revokeAccessToken(request: RevokeTokenRequest, options?: CallOptions): Promise<Done> {
    const { token, tokenTypeHint, clientId, clientSecret } = request;
    return this.#transport.empty(
      {
        method: 'POST',
        path: buildPath('/oauth2/revoke', {}),
        json: { token, token_type_hint: tokenTypeHint, client_id: clientId, client_secret: clientSecret },
        hasCredentials: hasCredentials(request),
        idempotent: true,
        refusals: { 400: genericRefusal },
      },
      options,
    );
  }
}

/** If true, `security` is not called. So a `security` function can get its tokens through the same client. */
function hasCredentials({ clientId, clientSecret }: Optional<AuthTokenRequest>): boolean {
  return clientId !== undefined && clientSecret !== undefined;
}

function readToken(data: unknown): AuthToken {
  const token = readObject(data, 'a token');
  const { token_type, access_token, refresh_token, expires_in, scope, ...rest } = token;
  // RFC 6749: the token type is case-insensitive.
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
