/**
 * The records of products and line items: the port of the catalogue, and its outcomes.
 * The guarantees in `database/store.ts` hold here too.
 *
 * Assigning an image and disabling it are settled in one transaction each. If both run at once, either the
 * assignment comes first and the image is in use, or the assignment is refused and changes nothing.
 */

import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import type { AssignmentRefusals } from './assignment.ts';
import type { LineItems } from './line-items.ts';
import type { Product, RequestedContent } from './product.ts';

export interface CatalogRecords {
  /**
   * The only way to the products and line items of one account. Changes need an Actor, as in ImageRecords.
   */
  catalogOf(accountID: string): ReadableCatalog;
  catalogOf(accountID: string, by: Actor): AccountCatalog;
}

/** Reads the products and line items of one account. It never shows records of another account. */
export interface ReadableCatalog {
  /** Finds disabled products too. */
  findProduct(productID: string): Promise<Product | undefined>;

  /**
   * Lists products that are not disabled, newest first by order of insertion. This is a search
   * (`database/store.ts`).
   */
  listProducts(
    page: Page,
    filter?: ProductFilter,
    signal?: AbortSignal,
  ): Promise<{ products: Product[]; total: number }>;

  /**
   * Finds the images that may not be assigned now. Use it only to report every problem of a request that is
   * refused anyway: the write itself decides.
   * @param productID a product that may keep its images. Absent: a new product.
   */
  refusals(imageIDs: readonly string[], productID?: string): Promise<AssignmentRefusals>;

  findLineItems(lineItemsID: string): Promise<LineItems | undefined>;

  /** Lists sets of line items, newest first by order of insertion. */
  listLineItems(page: Page): Promise<{ sets: LineItems[]; total: number }>;
}

/** Which products a list has. Absent fields select every product. */
export interface ProductFilter {
  /** A part of the title, without regard to case. No character is special. */
  readonly title?: string | undefined;
  /** The categories of the products, at most `MAX_CATEGORIES`. */
  readonly categoryIDs?: readonly string[] | undefined;
}

/**
 * Also changes the catalogue. Each change writes an entry of the audit trail in its transaction, as in
 * AccountImages.
 */
export interface AccountCatalog extends ReadableCatalog {
  /** Adds a product. Its images must belong to the account and must not be disabled. */
  insertProduct(product: NewProduct): Promise<ProductInsertOutcome>;

  /**
   * Replaces the content of a product, and keeps `isTaxable` if it is absent. The product may keep a disabled
   * image that it shows, also in another place.
   */
  replaceProduct(
    productID: string,
    content: RequestedContent,
    updatedOn: Date,
  ): Promise<ProductChangeOutcome>;

  /** Disables a product. Idempotent: a disabled product keeps its time. */
  disableProduct(productID: string, disabledOn: Date): Promise<ProductDisableOutcome>;

  /**
   * Adds a set of line items. An item with a product also gets the images of the product that are not
   * disabled. Products and the item's own images must belong to the account and must not be disabled.
   */
  insertLineItems(lineItems: NewLineItems): Promise<LineItemsInsertOutcome>;
}

/** A product to add. Its `updatedOn` becomes `createdOn`. */
export type NewProduct = Pick<Product, 'productID' | 'content' | 'createdOn'>;

/** A set to add. Its items are without the images of their products. */
export type NewLineItems = Omit<LineItems, 'accountID'>;

export type ProductInsertOutcome =
  | { readonly kind: 'inserted'; readonly product: Product }
  | { readonly kind: 'refused'; readonly refusals: AssignmentRefusals }
  | { readonly kind: 'no-account' };

export type ProductChangeOutcome =
  | { readonly kind: 'changed'; readonly product: Product }
  | { readonly kind: 'refused'; readonly refusals: AssignmentRefusals }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'not-found' };

export type ProductDisableOutcome =
  | { readonly kind: 'disabled'; readonly product: Product }
  | { readonly kind: 'not-found' };

export type LineItemsInsertOutcome =
  | { readonly kind: 'inserted'; readonly lineItems: LineItems }
  | {
      readonly kind: 'refused';
      readonly refusals: AssignmentRefusals;
      /** The products that cannot be used, by productID. */
      readonly products: ReadonlyMap<string, 'unknown' | 'disabled'>;
    }
  /**
   * With the images of its products, the set has too many images. `item` is the index of the first item
   * beyond the limit.
   */
  | { readonly kind: 'too-many-images'; readonly item: number }
  | { readonly kind: 'no-account' };
