/**
 * The operations on products.
 */
import type { components } from './contract.ts';
import { genericRefusal, productRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, buildPath, type CallOptions, type Done, type Given } from './operation.ts';
import { readDate, readDates, readListOf, readObject, readText, type WithDates } from './reading.ts';
import type { Transport } from './transport.ts';

type Schemas = components['schemas'];

/** A product of the catalogue. Unknown fields of newer servers are kept. */
export type Product = WithDates<Schemas['Product'], 'createdOn' | 'updatedOn' | 'disabledOn'>;

/** The content of a product. */
export type ProductRequest = Given<Schemas['ProductRequest']>;

/** A list request. The list has only enabled products. */
export interface ListProductsRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
  /** Only products whose title contains this text. Case-insensitive. */
  readonly title?: string | undefined;
  /** Only products of this category. Vitrine servers have no categories and return an empty list. */
  readonly category?: string | undefined;
}

/** A product to create: flat, or nested as in the official SDK. */
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

/** The new content of a product. It replaces the whole content. */
export type UpdateProductRequest = GetProductRequest & CreateProductRequest;

const PRODUCTS = '/accounts/{accountID}/products';
const PRODUCT = '/accounts/{accountID}/products/{productID}';
const REFUSALS = { 400: genericRefusal, 409: genericRefusal, 422: productRefusal };

/** The operations on products. All reject with a `VitrineError`. */
export class Products {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Lists the enabled products of an account, newest first. Await it for one page, iterate it for all. */
  list(request: ListProductsRequest, options?: CallOptions): Listing<Product> {
    const { title, category } = request;
    const fetchPage = async ({ skip, count }: Range) =>
      this.#transport.json(
        {
          method: 'GET',
          path: buildPath(PRODUCTS, request),
          query: { title, category, skip, count },
          idempotent: true,
        },
        options,
        readListOf(readProduct),
      );
    return new Listing(request, fetchPage, ({ productID }) => productID);
  }

  /**
   * Creates a product. Only a 429 is retried, because another retry could create a second product.
   * @throws ProductRequestValidationError if a field is invalid, or refers to a disabled or unknown image.
   */
  async create(request: CreateProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      {
        method: 'POST',
        path: buildPath(PRODUCTS, request),
        json: buildBody(request),
        idempotent: false,
        refusals: REFUSALS,
      },
      options,
      readProduct,
    );
  }

  /** Gets an enabled or disabled product. */
  async get(request: GetProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      { method: 'GET', path: buildPath(PRODUCT, request), idempotent: true },
      options,
      readProduct,
    );
  }

  /**
   * Replaces the content of a product. It may keep disabled images that it already shows.
   * @throws ProductRequestValidationError as `create`.
   * @throws GenericError if the product is disabled.
   */
  async update(request: UpdateProductRequest, options?: CallOptions): Promise<Answer<Product>> {
    return this.#transport.json(
      {
        method: 'PUT',
        path: buildPath(PRODUCT, request),
        json: buildBody(request),
        idempotent: true,
        refusals: REFUSALS,
      },
      options,
      readProduct,
    );
  }

  /** Disables a product. It stays readable, but it is not listed and cannot be changed. */
  async disable(request: GetProductRequest, options?: CallOptions): Promise<Done> {
    return this.#transport.empty(
      { method: 'DELETE', path: buildPath(PRODUCT, request), idempotent: true, refusals: REFUSALS },
      options,
    );
  }
}

function buildBody(request: CreateProductRequest): ProductRequest {
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
