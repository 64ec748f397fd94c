/**
 * The operations on products, and what each takes and gives. Owns their parameters. Refuses to know how calls are made.
 */
import type { components } from './contract.ts';
import { genericRefusal, productRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, type CallOptions, type Done, type Given, pathOf } from './operation.ts';
import { listOf, readDate, readDates, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A product of the catalogue. Fields that a newer server adds are kept as they came. */
export type Product = WithDates<Schemas['Product'], 'createdOn' | 'updatedOn' | 'disabledOn'>;

/** What a product is to be. */
export type ProductRequest = Given<Schemas['ProductRequest']>;

/** Which products of an account; none that is disabled. */
export interface ListProductsRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
  /** Only those with this in their title, in whatever case. */
  readonly title?: string | undefined;
  /** Only those of this category. A Vitrine server has no categories, so none. */
  readonly category?: string | undefined;
}

/** A product to add, flat or nested as the official SDK has it. */
export type CreateProductRequest = {
  /** The account, a UUID. */
  readonly accountID: string;
} & (ProductRequest | { readonly productRequest: ProductRequest });

/** One product of an account. */
export interface GetProductRequest {
  /** The account, a UUID. */
  readonly accountID: string;
  /** The product, a UUID. */
  readonly productID: string;
}

/** All that a product is to be from now on. */
export type UpdateProductRequest = GetProductRequest & CreateProductRequest;

const PRODUCTS = '/accounts/{accountID}/products';
const PRODUCT = '/accounts/{accountID}/products/{productID}';
const REFUSALS = { 400: genericRefusal, 409: genericRefusal, 422: productRefusal };

/** The operations on products. All reject with the errors of `VitrineError`. */
export class Products {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** The products of an account that are not disabled, newest first: awaited one page, iterated all of them. */
  list(request: ListProductsRequest, options?: CallOptions): Listing<Product> {
    const { title, category } = request;
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: pathOf(PRODUCTS, request),
          query: { title, category, skip, count },
          repeatable: true,
        },
        options,
        listOf(readProduct),
      );
    return new Listing(request, fetchPage, ({ productID }) => productID);
  }

  /**
   * Adds a product. Trying again might add it twice, so only a 429 is tried again.
   * @throws ProductRequestValidationError if it is not accepted, images that are disabled or unknown included.
   */
  async create(request: CreateProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: pathOf(PRODUCTS, request),
        json: bodyOf(request),
        repeatable: false,
        refusals: REFUSALS,
      },
      options,
      readProduct,
    );
  }

  /** A product, also if it is disabled. */
  async get(request: GetProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      { method: 'GET', path: pathOf(PRODUCT, request), repeatable: true },
      options,
      readProduct,
    );
  }

  /**
   * Replaces all that a product says of itself. A disabled image that it shows may stay.
   * @throws ProductRequestValidationError as `create`.
   * @throws GenericError if the product is disabled.
   */
  async update(request: UpdateProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      {
        method: 'PUT',
        path: pathOf(PRODUCT, request),
        json: bodyOf(request),
        repeatable: true,
        refusals: REFUSALS,
      },
      options,
      readProduct,
    );
  }

  /** Disables a product. It is still readable, but no longer listed, and cannot be changed. */
  async disable(request: GetProductRequest, options?: CallOptions): Promise<Done> {
    return this.#transport.empty(
      { method: 'DELETE', path: pathOf(PRODUCT, request), repeatable: true, refusals: REFUSALS },
      options,
    );
  }
}

function bodyOf(request: CreateProductRequest): ProductRequest {
  const { title, description, basePrice, images, optionGroups, categoryID } =
    'productRequest' in request ? request.productRequest : request;
  return { title, description, basePrice, images, optionGroups, categoryID };
}

function readProduct(data: unknown): Product {
  const product = readObject(data, 'a product') as unknown as Omit<Schemas['Product'], 'disabledOn'>;
  readText(readObject(product.basePrice, 'basePrice, an object,').valueDecimal, 'basePrice.valueDecimal');
  return {
    ...product,
    productID: readText(product.productID, 'productID'),
    title: readText(product.title, 'title'),
    createdOn: readDate(product.createdOn, 'createdOn'),
    updatedOn: readDate(product.updatedOn, 'updatedOn'),
    ...readDates(product, ['disabledOn']),
  };
}
