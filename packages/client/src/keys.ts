/**
 * The operations on API keys. The official SDK does not have them: only Vitrine servers do.
 * Without an `accountID` they act on the keys of the whole server.
 */
import { type AccountRequest, hasAccount } from './accounts.ts';
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, buildPath, type CallOptions, type Done, type Optional } from './operation.ts';
import {
  readArray,
  readDate,
  readDates,
  readListOf,
  readObject,
  readText,
  type WithDates,
} from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];
type Times = 'createdOn' | 'expiresOn' | 'lastUsedOn' | 'revokedOn';

/** A key, without its secret. Unknown fields of newer servers are kept. */
export type ApiKey = WithDates<Schemas['ApiKey'], Times>;

/** A new key with its secret. The server returns the secret only once. */
export type IssuedApiKey = WithDates<Schemas['IssuedApiKey'], Times>;

/**
 * A rotated key with its new secret, which the server returns only once. The old secret ends at
 * `overlapUntil`.
 */
export type RotatedApiKey = WithDates<Schemas['RotatedApiKey'], Times | 'overlapUntil'>;

/** The client's own key, and its rights. */
export type Me = WithDates<Schemas['Me'], 'expiresOn'>;

/** A list request. With an account: its keys. Without: all keys. */
export interface ListKeysRequest extends Range {
  /** The account, a UUID. */
  readonly accountID?: string;
}

/** A key to create: for one account (`accountID`), or for several or all accounts (`accounts`). */
export type CreateKeyRequest = {
  /** The display name of the key, at most 200 characters. */
  readonly name: string;
  /**
   * Scopes, for example `/accounts/{accountID}/images.read`.
   * Default: the images, products and ping scopes that the caller's credentials have.
   */
  readonly scopes?: readonly string[] | undefined;
  /** The time at which the key expires. Default: never. */
  readonly expiresOn?: Date | undefined;
} & (
  | (AccountRequest & { readonly accounts?: never })
  | { readonly accounts: 'all' | readonly string[]; readonly accountID?: never }
);

/** One key: of an account or, without an account, of the whole server. */
export interface KeyRequest {
  /** The account, a UUID. */
  readonly accountID?: string;
  /** The key, a UUID. */
  readonly keyID: string;
}

/** The key to rotate, with the overlap of the old secret. */
export interface RotateKeyRequest extends KeyRequest, Optional<Schemas['RotationRequest']> {}

const REFUSALS = { 400: genericRefusal, 409: genericRefusal };

/**
 * The operations on keys. All reject with a `VitrineError`. Without an account: requires credentials for all.
 */
export class Keys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Lists keys, newest first, including revoked and expired keys. Await it for one page, iterate it for all.
   */
  list(request: ListKeysRequest = {}, options?: CallOptions): Listing<ApiKey> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: buildKeysPath(request), query: { skip, count }, idempotent: true },
        options,
        readListOf(readKey),
      );
    return new Listing(request, fetchPage, ({ keyID }) => keyID);
  }

  /**
   * Creates a key. Its rights cannot exceed those of the caller's credentials.
   * Only a 429 is retried, because another retry could create a second key.
   * @throws TypeError unless exactly one of `accountID` and `accounts` is present.
   * @throws TypeError if `expiresOn` is not a valid Date.
   */
  async create(request: CreateKeyRequest, options?: CallOptions): Promise<Answer<IssuedApiKey>> {
    const { name, scopes, expiresOn, accounts } = request;
    if (hasAccount(request) === (accounts !== undefined))
      throw new TypeError('exactly one of accountID and accounts is required');
    return this.#transport.json(
      {
        method: 'POST',
        path: buildKeysPath(request),
        json: {
          name,
          scopes,
          accounts,
          expiresOn: expiresOn === undefined ? undefined : formatDate(expiresOn),
        },
        idempotent: false,
        refusals: REFUSALS,
      },
      options,
      readIssuedKey,
    );
  }

  /** Gets the key of the client's own credentials, with its accounts and scopes. Requires no scope. */
  async me(options?: CallOptions): Promise<Answer<Me>> {
    return this.#transport.json(
      { method: 'GET', path: buildPath('/me', {}), idempotent: true },
      options,
      readMe,
    );
  }

  /** Gets a key. */
  async get(request: KeyRequest, options?: CallOptions): Promise<Answer<ApiKey>> {
    return this.#transport.json(
      { method: 'GET', path: buildKeyPath(request), idempotent: true },
      options,
      readKey,
    );
  }

  /**
   * Gives a key a new secret. The old secret stays valid for `overlapSeconds` (default one day, at most one
   * week). Only a 429 is retried, because another retry would lose the first new secret and end the old one.
   * @throws GenericError if the key is revoked or expired.
   */
  async rotate(request: RotateKeyRequest, options?: CallOptions): Promise<Answer<RotatedApiKey>> {
    const { overlapSeconds } = request;
    const path = hasAccount(request)
      ? buildPath('/accounts/{accountID}/keys/{keyID}/rotate', request)
      : buildPath('/keys/{keyID}/rotate', request);
    return this.#transport.json(
      { method: 'POST', path, json: { overlapSeconds }, idempotent: false, refusals: REFUSALS },
      options,
      readRotatedKey,
    );
  }

  /** Revokes a key and all of its tokens permanently. Revoking a revoked key is a success. */
  async revoke(request: KeyRequest, options?: CallOptions): Promise<Done> {
    return this.#transport.empty(
      { method: 'DELETE', path: buildKeyPath(request), idempotent: true, refusals: REFUSALS },
      options,
    );
  }
}

function buildKeysPath(request: { readonly accountID?: string }): string {
  return hasAccount(request) ? buildPath('/accounts/{accountID}/keys', request) : buildPath('/keys', {});
}

function buildKeyPath(request: KeyRequest): string {
  return hasAccount(request)
    ? buildPath('/accounts/{accountID}/keys/{keyID}', request)
    : buildPath('/keys/{keyID}', request);
}

/** Rejects an invalid Date: JSON would turn it into null, which means that the key never expires. */
function formatDate(date: Date): string {
  if (date instanceof Date && !Number.isNaN(date.getTime())) return date.toISOString();
  throw new TypeError('expiresOn must be a valid Date');
}

function readKey(data: unknown): ApiKey {
  const key = readObject(data, 'a key') as unknown as Omit<Schemas['ApiKey'], Exclude<Times, 'createdOn'>>;
  return {
    ...key,
    keyID: readText(key.keyID, 'keyID'),
    publicKey: readText(key.publicKey, 'publicKey'),
    accounts: key.accounts === 'all' ? 'all' : readListOf((one) => readText(one, 'accounts'))(key.accounts),
    scopes: readArray(key.scopes, 'scopes, an array,').map((one) => readText(one, 'scopes')),
    createdOn: readDate(key.createdOn, 'createdOn'),
    ...readDates(key, ['expiresOn', 'lastUsedOn', 'revokedOn']),
  };
}

function readMe(data: unknown): Me {
  const me = readObject(data, 'a key') as unknown as Omit<Schemas['Me'], 'expiresOn'>;
  return {
    ...me,
    keyID: readText(me.keyID, 'keyID'),
    scopes: readArray(me.scopes, 'scopes, an array,').map((one) => readText(one, 'scopes')),
    accounts: readArray(me.accounts, 'accounts, an array,').map((one) => {
      const account = readObject(one, 'an account') as unknown as Me['accounts'][number];
      return {
        ...account,
        accountID: readText(account.accountID, 'accountID'),
        scopes: readArray(account.scopes, 'scopes, an array,').map((scope) => readText(scope, 'scopes')),
      };
    }),
    ...readDates(me, ['expiresOn']),
  };
}

function readIssuedKey(data: unknown): IssuedApiKey {
  const { secretKey } = readObject(data, 'a key');
  return { ...readKey(data), secretKey: readText(secretKey, 'secretKey') };
}

function readRotatedKey(data: unknown): RotatedApiKey {
  const { overlapUntil } = readObject(data, 'a key');
  return { ...readIssuedKey(data), overlapUntil: readDate(overlapUntil, 'overlapUntil') };
}
