/**
 * The operations on accounts and on audit trails. Only Vitrine servers have them; the official SDK does not.
 */
import type { components } from './contract.ts';
import { genericRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, buildPath, type CallOptions, type Given } from './operation.ts';
import {
  readDate,
  readDates,
  readListOf,
  readNumber,
  readObject,
  readText,
  type WithDates,
} from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A tenant. An absent quota means the server's default. Unknown fields of newer servers are kept. */
export type Account = WithDates<Schemas['Account'], 'createdOn' | 'suspendedOn'>;

/** An entry of an audit trail. */
export type AuditEntry = WithDates<Schemas['AuditEntry'], 'on'>;

/** An account to create. */
export type CreateAccountRequest = Given<Schemas['AccountRequest']>;

/** One account. */
export interface AccountRequest {
  /** The account, a UUID. */
  readonly accountID: string;
}

/** The changes to an account. Omitted fields stay. A quota of null resets to the server's default. */
export type UpdateAccountRequest = AccountRequest & Given<Schemas['AccountPatch']>;

/** Selects an audit trail and a range of it. Without an account: the trail of the whole server. */
export interface AuditRequest extends Range {
  /** The account, a UUID. */
  readonly accountID?: string;
}

const ACCOUNT = '/accounts/{accountID}';
const REFUSALS = { 400: genericRefusal, 409: genericRefusal };

/** The operations on accounts. All reject with a `VitrineError`. */
export class Accounts {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Lists the accounts of the credentials, newest first. Await it for one page, iterate it for all. */
  list(request: Range = {}, options?: CallOptions): Listing<Account> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: buildPath('/accounts', {}), query: { skip, count }, idempotent: true },
        options,
        readListOf(readAccount),
      );
    return new Listing(request, fetchPage, ({ accountID }) => accountID);
  }

  /**
   * Creates an account. Requires credentials for all accounts.
   * Only a 429 is retried, because another retry could create a second account.
   * @throws GenericError if an account with this ID exists.
   */
  async create(request: CreateAccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    const { accountID, displayName, imageQuota, byteQuota, disablePolicy } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath('/accounts', {}),
        json: { accountID, displayName, imageQuota, byteQuota, disablePolicy },
        idempotent: false,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /** Gets an account. */
  async get(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      { method: 'GET', path: buildPath(ACCOUNT, request), idempotent: true },
      options,
      readAccount,
    );
  }

  /** Changes an account's name, policy or quotas. Quotas require credentials for all accounts. */
  async update(request: UpdateAccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    const { displayName, imageQuota, byteQuota, disablePolicy } = request;
    return this.#transport.json(
      {
        method: 'PATCH',
        path: buildPath(ACCOUNT, request),
        json: { displayName, imageQuota, byteQuota, disablePolicy },
        idempotent: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /**
   * Suspends an account: its own keys and tokens get the same 403 as for an unknown account.
   * Public links and credentials for all accounts keep working. Requires credentials for all accounts.
   */
  async suspend(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath('/accounts/{accountID}/suspend', request),
        idempotent: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /** Resumes a suspended account. Requires credentials for all accounts. */
  async resume(request: AccountRequest, options?: CallOptions): Promise<Answer<Account>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath('/accounts/{accountID}/resume', request),
        idempotent: true,
        refusals: REFUSALS,
      },
      options,
      readAccount,
    );
  }

  /**
   * Lists the audit trail of an account, newest entry first. Await it for one page, iterate it for all.
   * Without an account it is the trail of the whole server, which requires credentials for all accounts.
   */
  audit(request: AuditRequest = {}, options?: CallOptions): Listing<AuditEntry> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: hasAccount(request)
            ? buildPath('/accounts/{accountID}/audit', request)
            : buildPath('/audit', {}),
          query: { skip, count },
          idempotent: true,
        },
        options,
        readListOf(readEntry),
      );
    return new Listing(request, fetchPage, ({ sequence }) => String(sequence));
  }
}

/** True if the field is present, even with the value undefined: a forgotten ID must not mean all accounts. */
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
  const entry = readObject(data, 'an entry of an audit trail') as unknown as Schemas['AuditEntry'];
  readObject(entry.subject, 'subject, an object,');
  readObject(entry.by, 'by, an object,');
  return {
    ...entry,
    sequence: readNumber(entry.sequence, 'sequence'),
    on: readDate(entry.on, 'on'),
  };
}
