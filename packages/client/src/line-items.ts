/**
 * The operations on sets of line items. The official SDK does not have them: only Vitrine servers do.
 */
import type { components } from './contract.ts';
import { genericRefusal, lineItemsRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, buildPath, type CallOptions, type Given } from './operation.ts';
import { readArray, readDate, readListOf, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A set of line items with their images. Unknown fields of newer servers are kept. */
export type LineItemSet = WithDates<Schemas['LineItems'], 'createdOn'>;

/** A list request. */
export interface ListLineItemsRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
}

/** A set to create. */
export type CreateLineItemsRequest = {
  /** The account, a UUID. */
  readonly accountID: string;
} & Given<Schemas['CreateLineItems']>;

/** One set of an account. */
export interface GetLineItemsRequest {
  /** The account, a UUID. */
  readonly accountID: string;
  /** The set, a UUID. */
  readonly lineItemsID: string;
}

const SETS = '/accounts/{accountID}/line-items';

/** The operations on sets of line items. All reject with a `VitrineError`. */
export class LineItems {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Lists the sets of an account, newest first. Await it for one page (at most 50), iterate it for all. */
  list(request: ListLineItemsRequest, options?: CallOptions): Listing<LineItemSet> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: buildPath(SETS, request), query: { skip, count }, idempotent: true },
        options,
        readListOf(readSet),
      );
    return new Listing(request, fetchPage, ({ lineItemsID }) => lineItemsID);
  }

  /**
   * Creates a set. A set is immutable.
   * Only a 429 is retried, because another retry could create a second set.
   * @throws LineItemsValidationError if an item is invalid or has a disabled or unknown image or product.
   */
  async create(request: CreateLineItemsRequest, options?: CallOptions): Promise<Answer<LineItemSet>> {
    const { items } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath(SETS, request),
        json: { items },
        idempotent: false,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: lineItemsRefusal },
      },
      options,
      readSet,
    );
  }

  /** Gets a set of line items. */
  async get(request: GetLineItemsRequest, options?: CallOptions): Promise<Answer<LineItemSet>> {
    return this.#transport.json(
      {
        method: 'GET',
        path: buildPath('/accounts/{accountID}/line-items/{lineItemsID}', request),
        idempotent: true,
      },
      options,
      readSet,
    );
  }
}

function readSet(data: unknown): LineItemSet {
  const set = readObject(data, 'a set of line items') as unknown as Schemas['LineItems'];
  readArray(set.items, 'items, an array,');
  return {
    ...set,
    lineItemsID: readText(set.lineItemsID, 'lineItemsID'),
    createdOn: readDate(set.createdOn, 'createdOn'),
  };
}
