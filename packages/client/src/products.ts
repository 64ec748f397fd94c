/**
 * The operations on products.
 */
import type { components } from './contract.ts';
import { genericRefusal, productRefusal } from './errors.ts';
import { Listing, type Range } from './listing.ts';
import { type Answer, buildPath, type CallOptions, type Done, type Given } from './operation.ts';
import {
  readArray,
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

/** A product of the catalogue. Unknown fields of newer servers are kept. */
export type Product = WithDates<Schemas['Product'], 'createdOn' | 'updatedOn' | 'disabledOn'>;

/** A product category of the server. The categories form a tree, which is the same for all accounts. */
export type ProductCategory = Schemas['ProductCategory'];

/** The content of a product. */
export type ProductRequest = Given<Schemas['ProductRequest']>;

/** A list request. The list has only enabled products. */
export interface ListProductsRequest extends Range {
  /** The account, a UUID. */
  readonly accountID: string;
  /** Only products whose title contains this text. Case-insensitive. */
  readonly title?: string | undefined;
  /** Only products of the category with this ID, and of all categories below it. */
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

/** The new content of a product. It replaces the whole content, but an absent `isTaxable` stays. */
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
   * @throws ProductRequestValidationError if a field is invalid, or refers to a disabled or unknown image or
   * to an unknown category.
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
   * Replaces the content of a product. It may keep disabled images that it already shows. A product that the
   * server returned can be sent back with changes: it keeps its category unless there is a `categoryID`.
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

  /** Lists all product categories, in the order of the operator's file. */
  async listCategories(options?: CallOptions): Promise<Answer<{ categories: ProductCategory[] }>> {
    return this.#transport.json(
      { method: 'GET', path: buildPath('/product-categories', {}), idempotent: true },
      options,
      readCategories,
    );
  }
}

function buildBody(request: CreateProductRequest): ProductRequest {
  const content = 'productRequest' in request ? request.productRequest : request;
  const { title, description, basePrice, isTaxable, images, optionGroups } = content;
  // A returned product has its category instead of a categoryID.
  const { category } = content as { readonly category?: Partial<ProductCategory> };
  const categoryID = 'categoryID' in content ? content.categoryID : category?.categoryID;
  return { title, description, basePrice, isTaxable, images, optionGroups, categoryID };
}

function readCategories(data: unknown): { categories: ProductCategory[] } {
  const { categories } = readObject(data, 'an object with categories');
  return { categories: readArray(categories, 'categories, an array,').map(readCategory) };
}

function readCategory(data: unknown): ProductCategory {
  const category = readObject(data, 'a category') as unknown as ProductCategory;
  readText(category.categoryID, 'categoryID');
  readText(category.name, 'name');
  readText(category.fullName, 'fullName');
  readNumber(category.level, 'level');
  return category;
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
