/**
 * The operations on keys, and what each takes and gives: those of one account where it is named, else those of the server
 * as a whole. Owns their parameters. Refuses to know how calls are made. They are of Vitrine servers, and not in the
 * official SDK.
 */
import { type AccountRequest, hasAccount } from './accounts.ts';
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, type CallOptions, type Done, type Optional, pathOf } from './operation.ts';
import { listOf, readArray, readDate, readDates, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];
type Times = 'createdOn' | 'expiresOn' | 'lastUsedOn' | 'revokedOn';

/** A key, without its secret. Fields that a newer server adds are kept as they came. */
export type ApiKey = WithDates<Schemas['ApiKey'], Times>;

/** A new key, with its secret: it is told only now. */
export type IssuedApiKey = WithDates<Schemas['IssuedApiKey'], Times>;

/** A key with its new secret, which is told only now, and when the one before it ends. */
export type RotatedApiKey = WithDates<Schemas['RotatedApiKey'], Times | 'overlapUntil'>;

/** Which keys: those that name the account, or without one all there are. */
export interface ListKeysRequest extends Range {
  /** The account, a UUID. */
  readonly accountID?: string;
}

/** A key to create: for one account (`accountID`), or for several or all of them (`accounts`). */
export type CreateKeyRequest = {
  /** What people call the key, at most 200 characters. */
  readonly name: string;
  /** Such as `/accounts/{accountID}/images.read`. Default: images, products and ping, as far as the credentials have them. */
  readonly scopes?: readonly string[] | undefined;
  /** From when on the key is no longer good. Default: never. */
  readonly expiresOn?: Date | undefined;
} & (
  | (AccountRequest & { readonly accounts?: never })
  | { readonly accounts: 'all' | readonly string[]; readonly accountID?: never }
);

/** One key: of an account, or without one of those for several or all. */
export interface KeyRequest {
  /** The account, a UUID. */
  readonly accountID?: string;
  /** The key, a UUID. */
  readonly keyID: string;
}

/** How a key is to be rotated. */
export interface RotateKeyRequest extends KeyRequest, Optional<Schemas['RotationRequest']> {}

const REFUSALS = { 400: genericRefusal, 409: genericRefusal };

/** The operations on keys. All reject with the errors of `VitrineError`. Without an account they take credentials for all. */
export class Keys {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Keys, newest first, revoked and expired ones too: awaited one page, iterated all of them. */
  list(request: ListKeysRequest = {}, options?: CallOptions): Listing<ApiKey> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: keysPath(request), query: { skip, count }, repeatable: true },
        options,
        listOf(readKey),
      );
    return new Listing(request, fetchPage, ({ keyID }) => keyID);
  }

  /**
   * Creates a key, never wider than the credentials that create it. Trying again might create two, so only a 429 is tried
   * again.
   * @throws TypeError if neither `accountID` nor `accounts` is given, or both are, or `expiresOn` is no valid Date.
   */
  async create(request: CreateKeyRequest, options?: CallOptions): Promise<Answer<IssuedApiKey>> {
    const { name, scopes, expiresOn, accounts } = request;
    if (hasAccount(request) === (accounts !== undefined))
      throw new TypeError('either accountID or accounts must be given');
    return this.#transport.json(
      {
        method: 'POST',
        path: keysPath(request),
        json: {
          name,
          scopes,
          accounts,
          expiresOn: expiresOn === undefined ? undefined : writeDate(expiresOn),
        },
        repeatable: false,
        refusals: REFUSALS,
      },
      options,
      readIssuedKey,
    );
  }

  /** A key. */
  async get(request: KeyRequest, options?: CallOptions): Promise<Answer<ApiKey>> {
    return this.#transport.json(
      { method: 'GET', path: keyPath(request), repeatable: true },
      options,
      readKey,
    );
  }

  /**
   * Gives a key another secret; the one before it stays valid for `overlapSeconds` (a day if nothing is said, a week at
   * most). Trying again would lose the first new secret and end the old one, so only a 429 is tried again.
   * @throws GenericError if the key is revoked or has expired.
   */
  async rotate(request: RotateKeyRequest, options?: CallOptions): Promise<Answer<RotatedApiKey>> {
    const { overlapSeconds } = request;
    const path = hasAccount(request)
      ? pathOf('/accounts/{accountID}/keys/{keyID}/rotate', request)
      : pathOf('/keys/{keyID}/rotate', request);
    return this.#transport.json(
      { method: 'POST', path, json: { overlapSeconds }, repeatable: false, refusals: REFUSALS },
      options,
      readRotatedKey,
    );
  }

  /** Ends a key for good, with all of its tokens; again is a success. */
  async revoke(request: KeyRequest, options?: CallOptions): Promise<Done> {
    return this.#transport.empty(
      { method: 'DELETE', path: keyPath(request), repeatable: true, refusals: REFUSALS },
      options,
    );
  }
}

function keysPath(request: { readonly accountID?: string }): string {
  return hasAccount(request) ? pathOf('/accounts/{accountID}/keys', request) : pathOf('/keys', {});
}

function keyPath(request: KeyRequest): string {
  return hasAccount(request)
    ? pathOf('/accounts/{accountID}/keys/{keyID}', request)
    : pathOf('/keys/{keyID}', request);
}

/** An invalid Date would become null in JSON, and that a key which never ends. */
function writeDate(date: Date): string {
  if (date instanceof Date && !Number.isNaN(date.getTime())) return date.toISOString();
  throw new TypeError('expiresOn must be a valid Date');
}

function readKey(data: unknown): ApiKey {
  const key = readObject(data, 'a key') as unknown as Omit<Schemas['ApiKey'], Exclude<Times, 'createdOn'>>;
  return {
    ...key,
    keyID: readText(key.keyID, 'keyID'),
    publicKey: readText(key.publicKey, 'publicKey'),
    accounts: key.accounts === 'all' ? 'all' : listOf((one) => readText(one, 'accounts'))(key.accounts),
    scopes: readArray(key.scopes, 'scopes, an array,').map((one) => readText(one, 'scopes')),
    createdOn: readDate(key.createdOn, 'createdOn'),
    ...readDates(key, ['expiresOn', 'lastUsedOn', 'revokedOn']),
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
