/**
 * The use of an image: the products, options and line items that show it.
 *
 * A disabled product does not count as a use. It still shows its images when it is read, but it cannot change
 * any more.
 */

/** The most uses of each kind that are listed, newest first. The totals count all uses. */
export const MAX_LISTED_USES = 100;

/** An element of a list: its index, from 0, and its name. */
export interface NamedPlace {
  readonly index: number;
  readonly name: string;
}

export interface ProductUse {
  readonly productID: string;
  readonly title: string;
}

export interface OptionUse extends ProductUse {
  readonly optionGroup: NamedPlace;
  readonly option: NamedPlace;
}

export interface LineItemUse {
  readonly lineItemsID: string;
  readonly createdOn: Date;
  readonly item: NamedPlace;
  /** Present if an option of the item shows the image, and not the item itself. */
  readonly option?: NamedPlace;
}

export interface ImageUsage {
  readonly imageID: string;
  /** Products that show the image in their own list of images. */
  readonly products: readonly ProductUse[];
  /** Options, of any product, that show the image. */
  readonly options: readonly OptionUse[];
  readonly lineItems: readonly LineItemUse[];
  readonly totals: { readonly products: number; readonly options: number; readonly lineItems: number };
}

/** True if a product, an option or a line item shows the image. */
export function isInUse({ totals }: ImageUsage): boolean {
  return totals.products + totals.options + totals.lineItems > 0;
}
