/**
 * Tokens: what OAuth2 clients get for a key, and how they end. A token is opaque, never allows more than its key, and
 * ends with the key, and with the secret that was shown for it. Refuses to know forms, JSON and the names of RFC 6749.
 */
import { randomUUID } from 'node:crypto';
import { AppError } from '../errors.ts';
import { type ApiKey, type Grants, isCurrent, type KeySecret } from './account.ts';
import type { Actor } from './audit.ts';
import type { Access, Credentials } from './authentication.ts';
import type { TokenPair, TokenRecords } from './records.ts';
import { grantsOf, grantsText, intersection, narrowed, parseScope, type RequestedScope } from './rights.ts';
import { digestOf, newToken } from './secrets.ts';

/** How long an access token is good for, in milliseconds. */
export const ACCESS_LIFETIME = 60 * 60 * 1000;
/** How long a refresh token is good for, in milliseconds. Whoever refreshes has the key, and can begin anew with it. */
export const REFRESH_LIFETIME = 24 * 60 * 60 * 1000;

/** More scopes than there can be reason to ask for. */
const MAX_SCOPES = 1_000;

/** Where a request comes from, for the audit trail. */
export interface Origin {
  readonly requestID: string;
  readonly address: string;
  /** What failures to authenticate are counted by. */
  readonly client: string;
}

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Whole seconds until the access token expires. */
  readonly expiresIn: number;
  /** What the access token is good for, separated by spaces. */
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
   * New tokens for a key. Without a scope they allow all that the key does.
   * @throws AppError `unauthenticated`; `invalid-scope` if more is asked for than the key allows.
   */
  async issue(
    credentials: Credentials | undefined,
    scope: string | undefined,
    origin: Origin,
  ): Promise<IssuedTokens> {
    const { key, secret } = await this.#access.identify(credentials, origin.client);
    const grants = chosen(grantsOf(key), scope);
    const made = this.#makePair(key, secret, randomUUID(), grants, grants);
    await this.#tokens.issue(made.pair, actor(key, origin));
    return made.issued;
  }

  /**
   * New tokens for a refresh token, which is used up by it. A scope narrows the access token, not the refresh token.
   * @throws AppError `unauthenticated`; `invalid-grant` if the refresh token is not, or no longer, good. One that is
   * shown a second time was stolen, or its answer was lost: nobody can tell, so all that came of it ends.
   */
  async refresh(
    credentials: Credentials | undefined,
    refreshToken: string,
    scope: string | undefined,
    origin: Origin,
  ): Promise<IssuedTokens> {
    const { key, secret } = await this.#access.identify(credentials, origin.client);
    const now = this.#now();
    const digest = digestOf(refreshToken);
    const token = await this.#tokens.find(digest);
    const { key: owner, secrets } = token?.owner ?? {};
    const source = secrets?.find((each) => each.digest === token?.secretDigest);
    const good =
      token?.kind === 'refresh' &&
      owner?.keyID === key.keyID &&
      token.expiresOn > now &&
      source !== undefined &&
      isCurrent(source, now);
    if (!good) return notGood();
    const held = intersection(token.grants, grantsOf(key));
    const made = this.#makePair(key, secret, token.family, chosen(held, scope), held);
    const outcome = await this.#tokens.refresh(digest, made.pair, actor(key, origin));
    return outcome === 'refreshed' ? made.issued : notGood();
  }

  /**
   * Ends a token of this key; a refresh token with all that came of it. What is no token of this key is no error: its
   * caller could do nothing about it, and should not learn whose it is.
   * @throws AppError `unauthenticated`.
   */
  async revoke(credentials: Credentials | undefined, token: string, origin: Origin): Promise<void> {
    const { key } = await this.#access.identify(credentials, origin.client);
    await this.#tokens.revoke(digestOf(token), key.keyID, this.#now(), actor(key, origin));
  }

  #makePair(
    key: ApiKey,
    secret: KeySecret,
    family: string,
    access: Grants,
    refresh: Grants,
  ): { pair: TokenPair; issued: IssuedTokens } {
    const createdOn = this.#now();
    const end = Math.min(key.expiresOn?.getTime() ?? Infinity, secret.validUntil?.getTime() ?? Infinity);
    const until = (lifetime: number) => new Date(Math.min(createdOn.getTime() + lifetime, end));
    const accessToken = newToken('access');
    const refreshToken = newToken('refresh');
    const expiresOn = until(ACCESS_LIFETIME);
    return {
      pair: {
        keyID: key.keyID,
        secretDigest: secret.digest,
        family,
        createdOn,
        access: {
          tokenID: randomUUID(),
          kind: 'access',
          digest: digestOf(accessToken),
          grants: access,
          expiresOn,
        },
        refresh: {
          tokenID: randomUUID(),
          kind: 'refresh',
          digest: digestOf(refreshToken),
          grants: refresh,
          expiresOn: until(REFRESH_LIFETIME),
        },
      },
      issued: {
        accessToken,
        refreshToken,
        expiresIn: Math.floor((expiresOn.getTime() - createdOn.getTime()) / 1000),
        scope: grantsText(access),
      },
    };
  }
}

/** The part of what is held that a scope asks for. */
function chosen(held: Grants, scope: string | undefined): Grants {
  const texts = scope?.split(' ').filter((text) => text !== '') ?? [];
  if (texts.length === 0) return held;
  if (texts.length > MAX_SCOPES)
    throw new AppError('invalid-scope', `scope has more than ${MAX_SCOPES} parts`);
  const requested = texts.map((text): RequestedScope => {
    const parsed = parseScope(text);
    if (parsed === undefined) throw new AppError('invalid-scope', 'scope has a part that is no scope');
    return parsed;
  });
  const grants = narrowed(held, requested);
  if (grants === undefined) throw new AppError('invalid-scope', 'scope asks for more than the key allows');
  return grants;
}

function actor({ keyID }: ApiKey, { requestID, address }: Origin): Actor {
  return { kind: 'key', keyID, requestID, address };
}

function notGood(): never {
  throw new AppError('invalid-grant', 'the refresh token is not valid');
}
