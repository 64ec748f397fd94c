/**
 * The service of products and line items of one account. A rejected request gets one answer with all
 * violations: those of its fields and those of its images.
 */
import { randomUUID } from 'node:crypto';
import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import { AppError } from '../errors.ts';
import type { Image } from '../image.ts';
import type { ImageRecords } from '../images/records.ts';
import { asObject, type JSONObject } from '../validation/json.ts';
import { parseUUID } from '../validation/uuid.ts';
import { InvalidRecordError, type Violations } from '../validation/violations.ts';
import { type AssignmentRefusals, addRefusals, type ImageReference } from './assignment.ts';
import type { Categories } from './categories.ts';
import {
  DISABLED_PRODUCT,
  type LineItems,
  MAX_IMAGES_PER_SET,
  type ParsedLineItems,
  parseLineItems,
  UNKNOWN_PRODUCT,
} from './line-items.ts';
import { DEFAULT_IS_TAXABLE, imagesOf, type ParsedProduct, type Product, parseProduct } from './product.ts';
import type { CatalogRecords } from './records.ts';

/** The images that products or line items show, by image ID. */
export type ShownImages = ReadonlyMap<string, Image>;

/** A product or a set of line items, with the current state of its images. */
export interface WithImages<T> {
  readonly record: T;
  readonly images: ShownImages;
}

export interface ListWithImages<T> {
  readonly records: readonly T[];
  readonly images: ShownImages;
  readonly total: number;
}

export interface CatalogDependencies {
  readonly records: CatalogRecords;
  readonly images: ImageRecords;
  readonly categories: Categories;
  readonly now?: () => Date;
}

/** Which products a list has. Absent fields select every product. */
export interface ProductSearch {
  /** A part of the title. Case does not matter. */
  readonly title?: string | undefined;
  /** A category: also selects the products of all categories below it. An unknown one selects none. */
  readonly category?: string | undefined;
}

export class Catalog {
  readonly #records: CatalogRecords;
  readonly #imageRecords: ImageRecords;
  readonly #now: () => Date;
  /** The product categories of the operator's file. */
  readonly categories: Categories;

  constructor(dependencies: CatalogDependencies) {
    this.#records = dependencies.records;
    this.#imageRecords = dependencies.images;
    this.categories = dependencies.categories;
    this.#now = dependencies.now ?? (() => new Date());
  }

  /**
   * Adds a product.
   * @param body the product as parsed JSON.
   * @throws AppError `invalid-request` (not an object), `invalid-record`, `not-found` (the account).
   */
  async createProduct(accountID: string, by: Actor, body: unknown): Promise<WithImages<Product>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const parsed = await this.#parseProduct(requireObject(body, 'title and basePrice'));
    if (parsed.violations.any) await this.#reject(accountID, parsed);
    const { isTaxable = DEFAULT_IS_TAXABLE } = parsed.content;
    const outcome = await catalog.insertProduct({
      productID: randomUUID(),
      content: { ...parsed.content, isTaxable },
      createdOn: this.#now(),
    });
    switch (outcome.kind) {
      case 'inserted':
        return this.#withImages(accountID, outcome.product);
      case 'refused':
        throw invalidImages(parsed, outcome.refusals);
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /** The product, also if it is disabled. @throws AppError `not-found`. */
  async getProduct(accountID: string, productID: string): Promise<WithImages<Product>> {
    const product = await this.#records.catalogOf(accountID).findProduct(canonicalID(productID));
    if (product === undefined) throw unknownProduct();
    return this.#withImages(accountID, product);
  }

  /** The products that are not disabled, newest first. */
  async listProducts(
    accountID: string,
    page: Page,
    { title, category }: ProductSearch = {},
    signal?: AbortSignal,
  ): Promise<ListWithImages<Product>> {
    const categoryIDs = category === undefined ? undefined : this.categories.subtreeOf(category);
    if (categoryIDs?.length === 0) return { records: [], images: new Map(), total: 0 };
    const filter = { title, categoryIDs };
    const { products, total } = await this.#records.catalogOf(accountID).listProducts(page, filter, signal);
    const imageIDs = products.flatMap(({ content }) => [...imagesOf(content)]);
    return { records: products, images: await this.#findImages(accountID, imageIDs), total };
  }

  /**
   * Replaces the whole content of a product, but keeps `isTaxable` if the request omits it. The product may
   * keep a disabled image that it already shows.
   * @param body the product as parsed JSON.
   * @throws AppError `invalid-request` (not an object), `not-found`, `conflict` (disabled), `invalid-record`.
   */
  async updateProduct(
    accountID: string,
    by: Actor,
    productID: string,
    body: unknown,
  ): Promise<WithImages<Product>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const object = requireObject(body, 'title and basePrice');
    const before = await catalog.findProduct(canonicalID(productID));
    if (before === undefined) throw unknownProduct();
    if (before.disabledOn !== undefined) throw disabledProduct();
    const parsed = await this.#parseProduct(object);
    if (parsed.violations.any) await this.#reject(accountID, parsed, before.productID);
    const outcome = await catalog.replaceProduct(before.productID, parsed.content, this.#now());
    switch (outcome.kind) {
      case 'changed':
        return this.#withImages(accountID, outcome.product);
      case 'refused':
        throw invalidImages(parsed, outcome.refusals);
      case 'disabled':
        throw disabledProduct();
      case 'not-found':
        throw unknownProduct();
    }
  }

  /**
   * Disables a product. It stays readable, but is not listed any more. Succeeds without a change if it is
   * disabled.
   * @throws AppError `not-found`.
   */
  async disableProduct(accountID: string, by: Actor, productID: string): Promise<void> {
    const catalog = this.#records.catalogOf(accountID, by);
    const outcome = await catalog.disableProduct(canonicalID(productID), this.#now());
    if (outcome.kind === 'not-found') throw unknownProduct();
  }

  /**
   * Adds a set of line items. The images that its products show now become part of the set.
   * @param body the set as parsed JSON.
   * @throws AppError `invalid-request` (not an object), `invalid-record`, `not-found` (the account).
   */
  async createLineItems(accountID: string, by: Actor, body: unknown): Promise<WithImages<LineItems>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const parsed = parseLineItems(requireObject(body, 'items'));
    if (parsed.violations.any) await this.#reject(accountID, parsed);
    const outcome = await catalog.insertLineItems({
      lineItemsID: randomUUID(),
      items: parsed.items,
      createdOn: this.#now(),
    });
    switch (outcome.kind) {
      case 'inserted':
        return {
          record: outcome.lineItems,
          images: await this.#findImages(accountID, imagesOfSet(outcome.lineItems)),
        };
      case 'refused':
        addProductRefusals(parsed, outcome.products);
        throw invalidImages(parsed, outcome.refusals);
      case 'too-many-images': {
        const reason = `a set of line items must show at most ${MAX_IMAGES_PER_SET} images, including the images of its products`;
        parsed.violations.add(['items', outcome.item, 'productID'], reason);
        throw new InvalidRecordError(parsed.violations);
      }
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /** @throws AppError `not-found`. */
  async getLineItems(accountID: string, lineItemsID: string): Promise<WithImages<LineItems>> {
    const id = parseUUID(lineItemsID);
    const set = id === undefined ? undefined : await this.#records.catalogOf(accountID).findLineItems(id);
    if (set === undefined) throw new AppError('not-found', 'line items not found');
    return { record: set, images: await this.#findImages(accountID, imagesOfSet(set)) };
  }

  /** The sets of line items, newest first. */
  async listLineItems(accountID: string, page: Page): Promise<ListWithImages<LineItems>> {
    const { sets, total } = await this.#records.catalogOf(accountID).listLineItems(page);
    return { records: sets, images: await this.#findImages(accountID, sets.flatMap(imagesOfSet)), total };
  }

  /** Loads the Markdown parser with the first product, so that it does not slow the start of the server. */
  async #parseProduct(body: JSONObject): Promise<ParsedProduct> {
    const { markdownProblem } = await import('./markdown.ts');
    return parseProduct(body, { description: markdownProblem, categories: this.categories });
  }

  async #withImages(accountID: string, product: Product): Promise<WithImages<Product>> {
    return { record: product, images: await this.#findImages(accountID, [...imagesOf(product.content)]) };
  }

  #findImages(accountID: string, imageIDs: readonly string[]): Promise<ShownImages> {
    return this.#imageRecords.forAccount(accountID).findMany([...new Set(imageIDs)]);
  }

  /**
   * Rejects a request with violations. It checks the images as well, so that one answer has all violations.
   * @param productID the product that an update changes. Absent for a new record.
   * @throws AppError `invalid-record`.
   */
  async #reject(accountID: string, parsed: ParsedRecord, productID?: string): Promise<never> {
    const imageIDs = [...new Set(parsed.references.map(({ imageID }) => imageID))];
    throw invalidImages(parsed, await this.#records.catalogOf(accountID).refusals(imageIDs, productID));
  }
}

/** The common part of ParsedProduct and ParsedLineItems. */
interface ParsedRecord {
  readonly references: readonly ImageReference[];
  readonly violations: Violations;
}

/** Adds the refused images to the violations of a request. */
function invalidImages(parsed: ParsedRecord, refusals: AssignmentRefusals): InvalidRecordError {
  addRefusals(parsed.references, refusals, parsed.violations);
  return new InvalidRecordError(parsed.violations);
}

function addProductRefusals(
  { products, violations }: ParsedLineItems,
  refusals: ReadonlyMap<string, 'unknown' | 'disabled'>,
): void {
  for (const { productID, path } of products) {
    const refusal = refusals.get(productID);
    if (refusal !== undefined)
      violations.add(path, refusal === 'unknown' ? UNKNOWN_PRODUCT : DISABLED_PRODUCT);
  }
}

function requireObject(body: unknown, fields: string): JSONObject {
  const object = asObject(body);
  if (object === undefined) {
    throw new AppError('invalid-request', `the body must be a JSON object with ${fields}`);
  }
  return object;
}

function imagesOfSet({ items }: LineItems): string[] {
  return items.flatMap(({ imageIDs, options }) => [
    ...imageIDs,
    ...options.flatMap((option) => option.imageIDs),
  ]);
}

function canonicalID(productID: string): string {
  const id = parseUUID(productID);
  if (id === undefined) throw unknownProduct();
  return id;
}

function unknownProduct(): AppError {
  return new AppError('not-found', 'product not found');
}

function disabledProduct(): AppError {
  return new AppError('conflict', 'the product is disabled and cannot be changed');
}
