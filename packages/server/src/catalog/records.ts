/**
 * The part of the MetadataStore port that holds the catalogue: one account's products and line items. Owns its
 * outcomes and guarantees; those of metadata/store.ts hold here too. Refuses to know SQL and HTTP.
 *
 * Assigning is settled against disabling and enabling in one transaction: of a product that is written while one of
 * its images is disabled, either the write came first and the image is in use, or it is refused and nothing changed.
 */

import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import type { AssignmentRefusals } from './assignment.ts';
import type { LineItems } from './line-items.ts';
import type { Product, ProductContent } from './product.ts';

export interface CatalogRecords {
  /** The only way to the products and line items of one account. Changes need an Actor, as in ImageRecords. */
  catalogOf(accountID: string): ReadableCatalog;
  catalogOf(accountID: string, by: Actor): AccountCatalog;
}

/** One account's products and line items. Nothing read or written through it can belong to another account. */
export interface ReadableCatalog {
  /** Also if it is disabled. */
  findProduct(productID: string): Promise<Product | undefined>;

  /**
   * Those that are not disabled, newest first by order of insertion. A search (store.ts).
   * @param title Only those whose title has this text in it, in whatever case. No character of it is special.
   */
  listProducts(
    page: Page,
    title?: string,
    signal?: AbortSignal,
  ): Promise<{ products: Product[]; total: number }>;

  /**
   * What of these images may not be assigned, to a new product or to the product named, as things are now. Only to say
   * all at once what is wrong with a request that is refused anyway: writing settles it.
   */
  refusals(imageIDs: readonly string[], productID?: string): Promise<AssignmentRefusals>;

  findLineItems(lineItemsID: string): Promise<LineItems | undefined>;

  /** Newest first by order of insertion. */
  listLineItems(page: Page): Promise<{ sets: LineItems[]; total: number }>;
}

/** The same, to be changed as well. As with images, each change writes a line of the audit trail in its transaction. */
export interface AccountCatalog extends ReadableCatalog {
  /** Adds a product, whose images must be the account's and not disabled. */
  insertProduct(product: NewProduct): Promise<ProductInsertOutcome>;

  /** Changes all that a product says of itself. It may keep a disabled image that it shows, wherever it shows it. */
  replaceProduct(productID: string, content: ProductContent, updatedOn: Date): Promise<ProductChangeOutcome>;

  /** Disables a product; one that is disabled already stays as it is and is a success. */
  disableProduct(productID: string, disabledOn: Date): Promise<ProductDisableOutcome>;

  /**
   * Adds a set of line items. To each item that names a product, the product's images are added that are not disabled.
   * The products must be the account's and not disabled, and so must be the images that the items name themselves.
   */
  insertLineItems(lineItems: NewLineItems): Promise<LineItemsInsertOutcome>;
}

/** A product to add. `createdOn` is `updatedOn`. */
export type NewProduct = Pick<Product, 'productID' | 'content' | 'createdOn'>;

/** A set to add; its items without what their products show. */
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
      /** The products that may not be named, by ID. */
      readonly products: ReadonlyMap<string, 'unknown' | 'disabled'>;
    }
  /** With its products' images, the set would show more than it may; `item` is the first one beyond. */
  | { readonly kind: 'too-many-images'; readonly item: number }
  | { readonly kind: 'no-account' };
