/**
 * Access and refresh tokens: how a key gets, refreshes and revokes them. A token never allows more than its
 * key. It ends at the latest with its key and with the secret that was used to get it.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../errors.ts';
import { type ApiKey, type Grants, isValidSecret } from './account.ts';
import type { Actor } from './audit.ts';
import type { Access, Credentials, KeyLogin } from './authentication.ts';
import type { Token, TokenPair, TokenRecords } from './records.ts';
import {
  formatGrants,
  grantsOf,
  intersectGrants,
  narrowGrants,
  parseScope,
  type RequestedScope,
} from './rights.ts';
import { digestOf, generateToken } from './secrets.ts';

/** How long an access token is valid, in milliseconds. */
const ACCESS_LIFETIME = 60 * 60 * 1000;
/** How long a refresh token is valid, in milliseconds. After that the client uses its key again. */
const REFRESH_LIFETIME = 24 * 60 * 60 * 1000;

/** The most scopes in one request for a token. It bounds the work for a hostile request. */
const MAX_SCOPES = 1_000;

/** The origin of a request, for the audit trail and the login throttle. */
export interface Origin {
  readonly requestID: string;
  readonly address: string;
  /** The client name for the login throttle. See `clientName`. */
  readonly client: string;
}

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Whole seconds until the access token expires. */
  readonly expiresIn: number;
  /** The scopes of the access token, separated by spaces. */
  readonly scope: string;
}

export class Tokens {
  readonly #tokens: TokenRecords;
  readonly #access: Access;
  readonly #now: () => Date;

  constructor(dependencies: { tokens: TokenRecords; access: Access; now?: () => Date }) {
    this.#tokens = dependencies.tokens;
    this.#access = dependencies.access;
    this.#now = dependencies.now ?? (() => new Date());
  }

  /**
   * Issues the first tokens for a key. Without a scope they allow everything that the key allows.
   * @throws AppError `unauthenticated`; `rate-limited`; `invalid-scope` for a malformed scope or one that
   * exceeds the key.
   */
  async issue(
    credentials: Credentials | undefined,
    scope: string | undefined,
    origin: Origin,
  ): Promise<IssuedTokens> {
    const login = await this.#access.identifyKey(credentials, origin.client);
    const grants = narrowToScope(grantsOf(login.key), scope);
    const { pair, issued } = this.#createPair(login, randomUUID(), { access: grants, refresh: grants });
    await this.#tokens.issue(pair, actorOf(login.key, origin));
    return issued;
  }

  /**
   * Uses up a refresh token and issues new tokens. The scope narrows the access token, not the refresh token.
   * A second use of a refresh token means that it was stolen or that the first answer was lost. The server
   * cannot distinguish the two, so all tokens of the same family end.
   * @throws AppError `unauthenticated`; `rate-limited`; `invalid-scope`; `invalid-grant` if the refresh token
   * is unknown, used, revoked or expired, or if it belongs to another key.
   */
  async refresh(
    credentials: Credentials | undefined,
    refreshToken: string,
    scope: string | undefined,
    origin: Origin,
  ): Promise<IssuedTokens> {
    const login = await this.#access.identifyKey(credentials, origin.client);
    const now = this.#now();
    const digest = digestOf(refreshToken);
    const token = await this.#tokens.find(digest);
    const { key: owner, secrets } = token?.owner ?? {};
    const source = secrets?.find((secret) => secret.digest === token?.secretDigest);
    const isValid =
      token?.kind === 'refresh' &&
      owner?.keyID === login.key.keyID &&
      token.expiresOn > now &&
      source !== undefined &&
      isValidSecret(source, now);
    if (!isValid) throw invalidRefreshToken();
    const refreshGrants = intersectGrants(token.grants, grantsOf(login.key));
    const grants = { access: narrowToScope(refreshGrants, scope), refresh: refreshGrants };
    const { pair, issued } = this.#createPair(login, token.family, grants);
    const outcome = await this.#tokens.refresh(digest, pair, actorOf(login.key, origin));
    if (outcome !== 'refreshed') throw invalidRefreshToken();
    return issued;
  }

  /**
   * Ends an access token of this key, or a refresh token with its whole family. For any other token it does
   * nothing and reports success, as RFC 7009 requires. So a caller cannot learn whose token it is.
   * @throws AppError `unauthenticated`; `rate-limited`.
   */
  async revoke(credentials: Credentials | undefined, token: string, origin: Origin): Promise<void> {
    const { key } = await this.#access.identifyKey(credentials, origin.client);
    await this.#tokens.revoke(digestOf(token), key.keyID, this.#now(), actorOf(key, origin));
  }

  #createPair(
    { key, secret }: KeyLogin,
    family: string,
    grants: Readonly<Record<Token['kind'], Grants>>,
  ): { pair: TokenPair; issued: IssuedTokens } {
    const createdOn = this.#now();
    const end = Math.min(key.expiresOn?.getTime() ?? Infinity, secret.validUntil?.getTime() ?? Infinity);
    const createToken = (kind: Token['kind'], lifetime: number) => {
      const text = generateToken(kind);
      const expiresOn = new Date(Math.min(createdOn.getTime() + lifetime, end));
      const record: Token = {
        tokenID: randomUUID(),
        kind,
        digest: digestOf(text),
        grants: grants[kind],
        expiresOn,
      };
      return { text, record };
    };
    const access = createToken('access', ACCESS_LIFETIME);
    const refresh = createToken('refresh', REFRESH_LIFETIME);
    return {
      pair: {
        keyID: key.keyID,
        secretDigest: secret.digest,
        family,
        createdOn,
        access: access.record,
        refresh: refresh.record,
      },
      issued: {
        accessToken: access.text,
        refreshToken: refresh.text,
        expiresIn: Math.floor((access.record.expiresOn.getTime() - createdOn.getTime()) / 1000),
        scope: formatGrants(grants.access),
      },
    };
  }
}

/** The part of the grants that an OAuth scope requests. Without a scope, all grants. */
function narrowToScope(grants: Grants, scope: string | undefined): Grants {
  const texts = scope?.split(' ').filter((text) => text !== '') ?? [];
  if (texts.length === 0) return grants;
  if (texts.length > MAX_SCOPES) throw invalidScope(`scope must have at most ${MAX_SCOPES} scopes`);
  const requested = texts.map((text): RequestedScope => {
    const parsed = parseScope(text);
    if (parsed === undefined) {
      throw invalidScope(
        'scope must contain only scopes such as /accounts/{accountID}/images.read or /ping.read',
      );
    }
    return parsed;
  });
  const narrow = narrowGrants(grants, requested);
  if (narrow === undefined) throw invalidScope('scope requests more than the key allows');
  return narrow;
}

function actorOf({ keyID }: ApiKey, { requestID, address }: Origin): Actor {
  return { kind: 'key', keyID, requestID, address };
}

function invalidScope(message: string): AppError {
  return new AppError('invalid-scope', message);
}

function invalidRefreshToken(): AppError {
  return new AppError('invalid-grant', 'the refresh token is not valid');
}
