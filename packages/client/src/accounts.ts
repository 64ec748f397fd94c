/**
 * The operations on accounts and on the audit trail, and what each takes and gives. Owns their parameters. Refuses to know
 * how calls are made. They are of Vitrine servers, and not in the official SDK.
 */
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, type CallOptions, type Given, pathOf } from './operation.ts';
import { listOf, readDate, readDates, readNumber, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A tenant. A quota that is absent is the server's default. Fields that a newer server adds are kept as they came. */
export type Account = WithDates<Schemas['Account'], 'createdOn' | 'suspendedOn'>;

/** A line of an audit trail. */
export type AuditEntry = WithDates<Schemas['AuditEntry'], 'on'>;

/** An account to create. */
export type CreateAccountRequest = Given<Schemas['AccountRequest']>;

/** One account. */
export interface AccountRequest {
  /** The account, a UUID. */
  readonly accountID: string;
}

/** What to change about an account. What is left out stays; a quota of null becomes the server's default. */
export type UpdateAccountRequest = AccountRequest & Given<Schemas['AccountPatch']>;

/** Which lines of which trail: without an account, that of the server as a whole. */
export interface AuditRequest extends Range {
  /** The account, a UUID. */
  readonly accountID?: string;
}

const ACCOUNT = '/accounts/{accountID}';
const REFUSALS = { 400: genericRefusal, 409: genericRefusal };

/** The operations on accounts. All reject with the errors of `VitrineError`. */
export class Accounts {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The accounts that the credentials are good for, newest first: awaited one page, iterated all of them. */
  list(request: Range = {}, options?: CallOptions): Listing<Account> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: pathOf('/accounts', {}), query: { skip, count }, repeatable: true },
        options,
        listOf(readAccount),
      );
    return new Listing(request, fetchPage, ({ accountID }) => accountID);
  }

  /**
   * Creates an account; takes credentials for all accounts. Trying again might create two, so only a 429 is tried again.
   * @throws GenericError if there is one with this ID.
   */
  async create(request: CreateAccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    const { accountID, displayName, imageQuota, byteQuota, disablePolicy } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf('/accounts', {}),
        json: { accountID, displayName, imageQuota, byteQuota, disablePolicy },
        repeatable: false,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /** An account. */
  async get(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      { method: 'GET', path: pathOf(ACCOUNT, request), repeatable: true },
      options,
      readAccount,
    );
  }

  /** Renames an account, or sets its policy or quotas; quotas take credentials for all accounts. */
  async update(request: UpdateAccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    const { displayName, imageQuota, byteQuota, disablePolicy } = request;
    return this.#transport.json(
      {
        method: 'PATCH',
        path: pathOf(ACCOUNT, request),
        json: { displayName, imageQuota, byteQuota, disablePolicy },
        repeatable: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /**
   * Suspends an account: its own keys and tokens are answered as if it did not exist. Credentials for all accounts, which
   * this takes, go on, and so do public links.
   */
  async suspend(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf('/accounts/{accountID}/suspend', request),
        repeatable: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /** Resumes an account that was suspended; takes credentials for all accounts. */
  async resume(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf('/accounts/{accountID}/resume', request),
        repeatable: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /**
   * What happened in an account or, without one, to the server as a whole (which takes credentials for all accounts),
   * newest first: awaited one page, iterated everything.
   */
  audit(request: AuditRequest = {}, options?: CallOptions): Listing<AuditEntry> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: hasAccount(request) ? pathOf('/accounts/{accountID}/audit', request) : pathOf('/audit', {}),
          query: { skip, count },
          repeatable: true,
        },
        options,
        listOf(readEntry),
      );
    return new Listing(request, fetchPage, ({ sequence }) => String(sequence));
  }
}

/** Whether an account is meant. One that is undefined is: it was forgotten, and must not come to mean all of them. */
export function hasAccount<Request extends { readonly accountID?: string }>(
  request: Request,
): request is Request & AccountRequest {
  return 'accountID' in request;
}

function readAccount(data: unknown): Account {
  const account = readObject(data, 'an account');
  return {
    ...account,
    accountID: readText(account.accountID, 'accountID'),
    displayName: readText(account.displayName, 'displayName'),
    createdOn: readDate(account.createdOn, 'createdOn'),
    ...readDates(account, ['suspendedOn']),
  };
}

function readEntry(data: unknown): AuditEntry {
  const entry = readObject(data, 'a line of an audit trail') as unknown as Schemas['AuditEntry'];
  readObject(entry.subject, 'subject, an object,');
  readObject(entry.by, 'by, an object,');
  return {
    ...entry,
    sequence: readNumber(entry.sequence, 'sequence'),
    on: readDate(entry.on, 'on'),
  };
}
