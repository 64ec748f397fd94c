/**
 * The row types of the catalogue's tables, the mapping between rows and entities, and the uses of images in
 * them.
 */
import type { LineItem, LineItems } from '../../catalog/line-items.ts';
import {
  DEFAULT_IS_TAXABLE,
  type Product,
  type ProductContent,
  type RequestedContent,
} from '../../catalog/product.ts';
import { fold } from '../../validation/text.ts';

export interface ProductRow {
  account_id: string;
  /** 1 for the account's first product, and so on. Products are disabled and never deleted. */
  sequence: number;
  product_id: string;
  /** The title, folded for searches. */
  folded_title: string;
  /** The `categoryID` of the content, for the filter of lists. */
  category_id: string | null;
  /** JSON of the ProductContent. Rows from before schema 0008 have no `isTaxable`. */
  content: string;
  created_on: number;
  updated_on: number;
  disabled_on: number | null;
}

export interface LineItemsRow {
  account_id: string;
  /** 1 for the account's first set, and so on without gaps. Sets never change and are never deleted. */
  sequence: number;
  line_items_id: string;
  /** JSON of the items, each with all its images. */
  content: string;
  created_on: number;
}

/**
 * The kind of record that shows an image: a product, an option of a product, or a line item with its options.
 */
export type UseKind = 'product' | 'option' | 'line-item';

/** The index of a use that is not in a list of that depth. */
export const NO_INDEX = -1;

/**
 * One use of an image by a product that is not disabled, or by a line item. It is written in the transaction
 * that writes the product or the line items, so the two never differ.
 */
export interface ImageUseRow {
  account_id: string;
  image_id: string;
  kind: UseKind;
  /** The `sequence` of the product or of the set of line items. */
  owner_sequence: number;
  /** The index of the option group, or of the line item. */
  outer_index: number;
  /** The index of the option. */
  inner_index: number;
}

export function productFromRow(row: ProductRow): Product {
  return {
    productID: row.product_id,
    accountID: row.account_id,
    content: { isTaxable: DEFAULT_IS_TAXABLE, ...(JSON.parse(row.content) as RequestedContent) },
    createdOn: new Date(row.created_on),
    updatedOn: new Date(row.updated_on),
    ...(row.disabled_on === null ? {} : { disabledOn: new Date(row.disabled_on) }),
  };
}

/** The columns of a product's content. */
export function columnsOfProduct(content: ProductContent) {
  return {
    folded_title: fold(content.title),
    category_id: content.categoryID ?? null,
    content: JSON.stringify(content),
  };
}

export function lineItemsFromRow(row: LineItemsRow): LineItems {
  return {
    lineItemsID: row.line_items_id,
    accountID: row.account_id,
    items: JSON.parse(row.content) as LineItem[],
    createdOn: new Date(row.created_on),
  };
}

/** A use of an image, in the account of its product or line items. */
export type ImageUse = Omit<ImageUseRow, 'account_id'>;

/** All uses of images by a product, one for each place. */
export function usesOfProduct(content: ProductContent, owner_sequence: number): ImageUse[] {
  const own = distinct(content.imageIDs).map((image_id): ImageUse => {
    return { image_id, kind: 'product', owner_sequence, outer_index: NO_INDEX, inner_index: NO_INDEX };
  });
  const ofOptions = content.optionGroups.flatMap(({ options }, outer_index) =>
    options.flatMap(({ imageIDs }, inner_index) =>
      distinct(imageIDs).map((image_id): ImageUse => {
        return { image_id, kind: 'option', owner_sequence, outer_index, inner_index };
      }),
    ),
  );
  return [...own, ...ofOptions];
}

/** All uses of images by a set of line items, one for each place. */
export function usesOfLineItems(items: readonly LineItem[], owner_sequence: number): ImageUse[] {
  return items.flatMap(({ imageIDs, options }, outer_index) => {
    const use = (image_id: string, inner_index: number): ImageUse => {
      return { image_id, kind: 'line-item', owner_sequence, outer_index, inner_index };
    };
    return [
      ...distinct(imageIDs).map((imageID) => use(imageID, NO_INDEX)),
      ...options.flatMap((option, index) => distinct(option.imageIDs).map((imageID) => use(imageID, index))),
    ];
  });
}

function distinct(imageIDs: readonly string[]): string[] {
  return [...new Set(imageIDs)];
}
