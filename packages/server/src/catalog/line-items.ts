/**
 * A set of line items: its fields and their limits. A set is written once and never changes. The rules here
 * need only the request. The store checks the images and products that the request names.
 */

import {
  asObject,
  type JSONObject,
  readList,
  readName,
  readOptionalName,
  readWholeNumber,
} from '../validation/json.ts';
import { parseUUID } from '../validation/uuid.ts';
import { type Path, Violations } from '../validation/violations.ts';
import { type Amount, parseAmount, parsePriceModifier } from './amount.ts';
import { type ImageReference, MAX_IMAGES_PER_LIST, parseImageID } from './assignment.ts';
import type { Product } from './product.ts';

/** The most items of a set. */
export const MAX_LINE_ITEMS = 100;
/** The most options of an item. */
export const MAX_LINE_ITEM_OPTIONS = 100;
/** The most images that a set shows, including the images of its products. */
export const MAX_IMAGES_PER_SET = 500;

/** The largest quantity: 2³¹ − 1, the largest whole number that every client language supports. */
export const MAX_QUANTITY = 2_147_483_647;

/** One text for unknown IDs, malformed IDs and products of another account. */
export const UNKNOWN_PRODUCT = 'the account has no such product';
export const DISABLED_PRODUCT = 'the product is disabled';

export interface LineItemOption {
  readonly name: string;
  readonly quantity: number;
  readonly priceModifier?: Amount;
  /** Options with the same group belong together, such as `toppings`. */
  readonly group?: string;
  readonly imageIDs: readonly string[];
}

export interface LineItem {
  readonly name: string;
  readonly basePrice: Amount;
  readonly quantity: number;
  readonly options: readonly LineItemOption[];
  /** The images of the request, then the other images of the product. */
  readonly imageIDs: readonly string[];
  readonly productID?: string;
}

/** A set of line items. The set never changes, but the bytes and the alt text of its images can. */
export interface LineItems {
  /** UUID, lower case. */
  readonly lineItemsID: string;
  readonly accountID: string;
  readonly items: readonly LineItem[];
  readonly createdOn: Date;
}

/** A product ID in a request, with the place for its error message. */
export interface ProductReference {
  readonly productID: string;
  readonly path: Path;
}

/** A set from a request. `items` is usable only if there are no violations. */
export interface ParsedLineItems {
  /** Without the images of their products. */
  readonly items: readonly LineItem[];
  readonly references: readonly ImageReference[];
  readonly products: readonly ProductReference[];
  readonly violations: Violations;
}

/** Reads a set of line items from JSON and collects all violations. Unknown fields are ignored. */
export function parseLineItems(body: JSONObject): ParsedLineItems {
  const parser = new LineItemsParser();
  const items = parser.parse(body.items);
  return { items, references: parser.references, products: parser.products, violations: parser.violations };
}

/**
 * Adds the enabled images of each item's product to the item.
 * @param products the products of the items, by ID. A missing product adds no images.
 * @param disabled each image of these products, with true if it is disabled.
 */
export function withProductImages(
  items: readonly LineItem[],
  products: ReadonlyMap<string, Product>,
  disabled: ReadonlyMap<string, boolean>,
): LineItem[] {
  return items.map((item) => {
    const product = item.productID === undefined ? undefined : products.get(item.productID);
    const added = new Set(product?.content.imageIDs.filter((imageID) => disabled.get(imageID) === false));
    for (const imageID of item.imageIDs) added.delete(imageID);
    return added.size === 0 ? item : { ...item, imageIDs: [...item.imageIDs, ...added] };
  });
}

/**
 * The index of the item that exceeds the image limit of the set. Undefined if the set is within the limit.
 */
export function itemBeyondLimit(items: readonly LineItem[]): number | undefined {
  let images = 0;
  const index = items.findIndex((item) => {
    images += item.imageIDs.length;
    for (const option of item.options) images += option.imageIDs.length;
    return images > MAX_IMAGES_PER_SET;
  });
  return index < 0 ? undefined : index;
}

class LineItemsParser {
  readonly violations = new Violations();
  readonly references: ImageReference[] = [];
  readonly products: ProductReference[] = [];

  parse(value: unknown): LineItem[] {
    const { violations } = this;
    const list = readList(value, ['items'], { max: MAX_LINE_ITEMS, field: 'name' }, violations);
    if (list.length === 0) violations.add(['items', 0, 'name'], 'items must have at least one line item');
    return list.map((item, i) => this.#parseItem(item, ['items', i]));
  }

  #parseItem(value: unknown, path: Path): LineItem {
    const { violations } = this;
    const item = asObject(value);
    if (item === undefined) {
      violations.add([...path, 'name'], 'a line item must be an object');
      return {
        name: '',
        basePrice: { currency: '', valueDecimal: '' },
        quantity: 1,
        options: [],
        imageIDs: [],
      };
    }
    const name = readName(item.name, [...path, 'name'], violations);
    const basePrice = parseAmount(item.basePrice, [...path, 'basePrice'], { signed: false }, violations);
    const quantity = this.#parseQuantity(item.quantity, path);
    const optionsPath = [...path, 'options'];
    const rules = { max: MAX_LINE_ITEM_OPTIONS, field: 'name' };
    const options = readList(item.options, optionsPath, rules, violations).map((option, i) =>
      this.#parseOption(option, [...optionsPath, i], basePrice),
    );
    const imageIDs = this.#parseImageIDs(item.imageIDs, [...path, 'imageIDs']);
    const productID = this.#parseProductID(item.productID, [...path, 'productID']);
    return {
      name,
      basePrice,
      quantity,
      options,
      imageIDs,
      ...(productID !== undefined && { productID }),
    };
  }

  #parseOption(value: unknown, path: Path, basePrice: Amount): LineItemOption {
    const { violations } = this;
    const option = asObject(value);
    if (option === undefined) {
      violations.add([...path, 'name'], 'an option must be an object');
      return { name: '', quantity: 1, imageIDs: [] };
    }
    const name = readName(option.name, [...path, 'name'], violations);
    const quantity = this.#parseQuantity(option.quantity, path);
    const group = readOptionalName(option.group, [...path, 'group'], violations);
    const priceModifier = parsePriceModifier(
      option.priceModifier,
      [...path, 'priceModifier'],
      basePrice,
      violations,
    );
    return {
      name,
      quantity,
      ...(priceModifier && { priceModifier }),
      ...(group !== undefined && { group }),
      imageIDs: this.#parseImageIDs(option.imageIDs, [...path, 'imageIDs']),
    };
  }

  #parseQuantity(value: unknown, path: Path): number {
    return readWholeNumber(value, [...path, 'quantity'], { min: 1, max: MAX_QUANTITY }, this.violations) ?? 1;
  }

  #parseProductID(value: unknown, path: Path): string | undefined {
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') {
      this.violations.add(path, 'productID must be a string');
      return undefined;
    }
    const productID = parseUUID(value);
    if (productID === undefined) this.violations.add(path, UNKNOWN_PRODUCT);
    else this.products.push({ productID, path });
    return productID;
  }

  #parseImageIDs(value: unknown, path: Path): string[] {
    return readList(value, path, { max: MAX_IMAGES_PER_LIST }, this.violations).flatMap((element, i) => {
      const place = [...path, i];
      const imageID = parseImageID(element, place, this.violations);
      if (imageID === undefined) return [];
      this.references.push({ imageID, path: place });
      return [imageID];
    });
  }
}
