/**
 * Owns what is said about where an image is used. Refuses to know how that is found out.
 *
 * In use means shown by what is current or cannot change: products that are not disabled, their options, and line
 * items. A disabled product still shows its images to who asks for it, but it is history, as nothing can be done to it;
 * so it does not keep an image in use.
 */

/** Of each kind of use, at most this many are told, newest first; the totals are of all. */
export const MAX_USES_TOLD = 100;

/** An element of a list, by where it stands (from 0) and what it is called. */
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
  /** Present if it is this option of the item that shows the image. */
  readonly option?: NamedPlace;
}

export interface ImageUsage {
  readonly imageID: string;
  /** Products that show the image themselves. */
  readonly products: readonly ProductUse[];
  /** Options that show it, of whatever product. */
  readonly options: readonly OptionUse[];
  readonly lineItems: readonly LineItemUse[];
  readonly totals: { readonly products: number; readonly options: number; readonly lineItems: number };
}

/** True if anything shows the image. */
export function isInUse({ totals }: ImageUsage): boolean {
  return totals.products + totals.options + totals.lineItems > 0;
}
