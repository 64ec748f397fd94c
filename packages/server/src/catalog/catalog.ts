/**
 * The catalogue of one account: the service behind products and line items. Owns the order in which a request is
 * checked and what each refusal says. Refuses to know HTTP and SQL.
 */
import { randomUUID } from 'node:crypto';
import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import { AppError } from '../errors.ts';
import type { Image } from '../image.ts';
import type { ImageRecords } from '../images/records.ts';
import { asObject, type DescriptionRule, type JSONObject } from '../validation/json.ts';
import { parseUUID } from '../validation/uuid.ts';
import { InvalidRecordError, type Violations } from '../validation/violations.ts';
import { type AssignmentRefusals, addRefusals, type ImageReference } from './assignment.ts';
import {
  DISABLED_PRODUCT,
  type LineItems,
  type LineItemsReading,
  MAX_IMAGES_A_SET,
  parseLineItems,
  UNKNOWN_PRODUCT,
} from './line-items.ts';
import { imagesOf, type Product, parseProduct } from './product.ts';
import type { CatalogRecords } from './records.ts';

/** Images by imageID: all that the products or line items beside them show. */
export type ShownImages = ReadonlyMap<string, Image>;

/** Of something that shows images: itself, and the images as they are now. */
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
  readonly now?: () => Date;
}

export class Catalog {
  readonly #records: CatalogRecords;
  readonly #imageRecords: ImageRecords;
  readonly #now: () => Date;

  constructor(dependencies: CatalogDependencies) {
    this.#records = dependencies.records;
    this.#imageRecords = dependencies.images;
    this.#now = dependencies.now ?? (() => new Date());
  }

  /**
   * Adds a product, as JSON describes it.
   * @throws AppError `invalid-request` (no object), `invalid-record`, `not-found` (the account).
   */
  async createProduct(accountID: string, by: Actor, body: unknown): Promise<WithImages<Product>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const reading = parseProduct(object(body, 'title and basePrice'), await descriptionRule());
    if (reading.violations.any) await this.#refuse(accountID, reading);
    const outcome = await catalog.insertProduct({
      productID: randomUUID(),
      content: reading.content,
      createdOn: this.#now(),
    });
    switch (outcome.kind) {
      case 'inserted':
        return this.#shown(accountID, outcome.product);
      case 'refused':
        return refusedImages(reading, outcome.refusals);
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /** Also if it is disabled. @throws AppError `not-found`. */
  async getProduct(accountID: string, productID: string): Promise<WithImages<Product>> {
    const product = await this.#records.catalogOf(accountID).findProduct(canonical(productID));
    return this.#shown(accountID, product ?? unknownProduct());
  }

  /** Those that are not disabled, newest first; with a title, those that have it in theirs. */
  async listProducts(
    accountID: string,
    page: Page,
    title?: string,
    signal?: AbortSignal,
  ): Promise<ListWithImages<Product>> {
    const { products, total } = await this.#records.catalogOf(accountID).listProducts(page, title, signal);
    const shown = products.flatMap(({ content }) => [...imagesOf(content)]);
    return { records: products, images: await this.#images(accountID, shown), total };
  }

  /**
   * Changes all that a product says of itself. It may keep a disabled image that it shows already.
   * @throws AppError `invalid-request` (no object), `not-found`, `conflict` (disabled), `invalid-record`.
   */
  async updateProduct(
    accountID: string,
    by: Actor,
    productID: string,
    body: unknown,
  ): Promise<WithImages<Product>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const given = object(body, 'title and basePrice');
    const before = (await catalog.findProduct(canonical(productID))) ?? unknownProduct();
    if (before.disabledOn !== undefined) disabledProduct();
    const reading = parseProduct(given, await descriptionRule());
    if (reading.violations.any) await this.#refuse(accountID, reading, before.productID);
    const outcome = await catalog.replaceProduct(before.productID, reading.content, this.#now());
    switch (outcome.kind) {
      case 'changed':
        return this.#shown(accountID, outcome.product);
      case 'refused':
        return refusedImages(reading, outcome.refusals);
      case 'disabled':
        return disabledProduct();
      case 'not-found':
        return unknownProduct();
    }
  }

  /** Disables a product: it stays readable, and is no longer listed. Again is a success. @throws AppError `not-found`. */
  async disableProduct(accountID: string, by: Actor, productID: string): Promise<void> {
    const outcome = await this.#records
      .catalogOf(accountID, by)
      .disableProduct(canonical(productID), this.#now());
    if (outcome.kind === 'not-found') unknownProduct();
  }

  /**
   * Adds a set of line items, as JSON describes it. What its products show now, it shows from now on.
   * @throws AppError `invalid-request` (no object), `invalid-record`, `not-found` (the account).
   */
  async createLineItems(accountID: string, by: Actor, body: unknown): Promise<WithImages<LineItems>> {
    const catalog = this.#records.catalogOf(accountID, by);
    const reading = parseLineItems(object(body, 'items'));
    if (reading.violations.any) await this.#refuse(accountID, reading);
    const outcome = await catalog.insertLineItems({
      lineItemsID: randomUUID(),
      items: reading.items,
      createdOn: this.#now(),
    });
    switch (outcome.kind) {
      case 'inserted':
        return {
          record: outcome.lineItems,
          images: await this.#images(accountID, imagesOfSet(outcome.lineItems)),
        };
      case 'refused':
        addProductRefusals(reading, outcome.products);
        return refusedImages(reading, outcome.refusals);
      case 'too-many-images': {
        const reason = `with its product's images, a set of line items must show at most ${MAX_IMAGES_A_SET} images`;
        reading.violations.add(['items', outcome.item, 'productID'], reason);
        return refused(reading.violations);
      }
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /** @throws AppError `not-found`. */
  async getLineItems(accountID: string, lineItemsID: string): Promise<WithImages<LineItems>> {
    const id = parseUUID(lineItemsID);
    const found = id === undefined ? undefined : await this.#records.catalogOf(accountID).findLineItems(id);
    if (found === undefined) throw new AppError('not-found', 'line items not found');
    return { record: found, images: await this.#images(accountID, imagesOfSet(found)) };
  }

  /** Newest first. */
  async listLineItems(accountID: string, page: Page): Promise<ListWithImages<LineItems>> {
    const { sets, total } = await this.#records.catalogOf(accountID).listLineItems(page);
    return { records: sets, images: await this.#images(accountID, sets.flatMap(imagesOfSet)), total };
  }

  async #shown(accountID: string, product: Product): Promise<WithImages<Product>> {
    return { record: product, images: await this.#images(accountID, [...imagesOf(product.content)]) };
  }

  #images(accountID: string, imageIDs: readonly string[]): Promise<ShownImages> {
    return this.#imageRecords.forAccount(accountID).findMany([...new Set(imageIDs)]);
  }

  /**
   * Refuses a request that is wrong in itself, and says as well which of its images cannot be assigned, so that one
   * answer tells of everything.
   */
  async #refuse(accountID: string, reading: Reading, productID?: string): Promise<never> {
    const imageIDs = [...new Set(reading.references.map(({ imageID }) => imageID))];
    return refusedImages(reading, await this.#records.catalogOf(accountID).refusals(imageIDs, productID));
  }
}

/** What a reading of a product and one of line items have in common. */
interface Reading {
  readonly references: readonly ImageReference[];
  readonly violations: Violations;
}

function refusedImages(reading: Reading, refusals: AssignmentRefusals): never {
  addRefusals(reading.references, refusals, reading.violations);
  return refused(reading.violations);
}

function addProductRefusals(
  { products, violations }: LineItemsReading,
  refusals: ReadonlyMap<string, 'unknown' | 'disabled'>,
): void {
  for (const { productID, path } of products) {
    const refusal = refusals.get(productID);
    if (refusal !== undefined)
      violations.add(path, refusal === 'unknown' ? UNKNOWN_PRODUCT : DISABLED_PRODUCT);
  }
}

function refused(violations: Violations): never {
  throw new InvalidRecordError(violations);
}

function object(body: unknown, fields: string): JSONObject {
  const given = asObject(body);
  if (given === undefined) {
    throw new AppError('invalid-request', `the body must be JSON: an object with ${fields}`);
  }
  return given;
}

/** Loaded with the first product, because a server that is being started has better things to do. */
async function descriptionRule(): Promise<DescriptionRule> {
  const { markdownProblem } = await import('./markdown.ts');
  return markdownProblem;
}

function imagesOfSet({ items }: LineItems): string[] {
  return items.flatMap(({ imageIDs, options }) => [
    ...imageIDs,
    ...options.flatMap((option) => option.imageIDs),
  ]);
}

function canonical(productID: string): string {
  return parseUUID(productID) ?? unknownProduct();
}

function unknownProduct(): never {
  throw new AppError('not-found', 'product not found');
}

function disabledProduct(): never {
  throw new AppError('conflict', 'the product is disabled and cannot be changed');
}
