/**
 * The operations on sets of line items, and what each takes and gives. Owns their parameters. Refuses to know how calls
 * are made. The official SDK has none of them.
 */
import type { components } from './contract.ts';
import { genericRefusal, lineItemsRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, type CallOptions, type Given, pathOf } from './operation.ts';
import { listOf, readArray, readDate, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A set of line items, with the images that they show. Fields that a newer server adds are kept as they came. */
export type LineItemSet = WithDates<Schemas['LineItems'], 'createdOn'>;

/** Which sets of an account. */
export interface ListLineItemsRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
}

/** A set to write. */
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

/** The operations on sets of line items. All reject with the errors of `VitrineError`. */
export class LineItems {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The sets of an account, newest first: awaited one page (of at most 50), iterated all of them. */
  list(request: ListLineItemsRequest, options?: CallOptions): Listing<LineItemSet> {
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        { method: 'GET', path: pathOf(SETS, request), query: { skip, count }, repeatable: true },
        options,
        listOf(readSet),
      );
    return new Listing(request, fetchPage, ({ lineItemsID }) => lineItemsID);
  }

  /**
   * Writes a set, which never changes. Trying again might write it twice, so only a 429 is tried again.
   * @throws LineItemsValidationError if it is not accepted, images and products that are disabled or unknown included.
   */
  async create(request: CreateLineItemsRequest, options?: CallOptions): Promise<Answer<LineItemSet>> {
    const { items } = request;
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf(SETS, request),
        json: { items },
        repeatable: false,
        refusals: { 400: genericRefusal, 409: genericRefusal, 422: lineItemsRefusal },
      },
      options,
      readSet,
    );
  }

  /** A set of line items. */
  async get(request: GetLineItemsRequest, options?: CallOptions): Promise<Answer<LineItemSet>> {
    return this.#transport.json(
      {
        method: 'GET',
        path: pathOf('/accounts/{accountID}/line-items/{lineItemsID}', request),
        repeatable: true,
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
