/**
 * Owns what line items are: one set of them, written once and never changed, and the rules about a request for one.
 * Refuses to know where they are stored.
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
import { type ImageReference, MAX_IMAGES_A_LIST, parseImageID } from './assignment.ts';
import type { Product } from './product.ts';

/** Limits of a set, in elements. The images are those it shows in all, products' included. */
export const MAX_LINE_ITEMS = 100;
export const MAX_LINE_ITEM_OPTIONS = 100;
export const MAX_IMAGES_A_SET = 500;

/** The largest quantity: 2³¹ − 1, the largest whole number that every client's language can hold. */
export const MAX_QUANTITY = 2_147_483_647;

/** Why a product may not be named; the same for one that never was, one of another account, and a malformed ID. */
export const UNKNOWN_PRODUCT = 'the account has no such product';
export const DISABLED_PRODUCT = 'the product is disabled';

export interface LineItemOption {
  readonly name: string;
  readonly quantity: number;
  readonly priceModifier?: Amount;
  /** Puts options together, as `toppings`. */
  readonly group?: string;
  readonly imageIDs: readonly string[];
}

export interface LineItem {
  readonly name: string;
  readonly basePrice: Amount;
  readonly quantity: number;
  readonly options: readonly LineItemOption[];
  /** What the item shows: the images it named, then those of its product that it did not name. */
  readonly imageIDs: readonly string[];
  readonly productID?: string;
}

/** A set of line items. It never changes; what its images show and are called is the images' own. */
export interface LineItems {
  /** UUID, lower case. */
  readonly lineItemsID: string;
  readonly accountID: string;
  readonly items: readonly LineItem[];
  readonly createdOn: Date;
}

/** A product that a request names, and the place in the request where a refusal belongs. */
export interface ProductReference {
  readonly productID: string;
  readonly path: Path;
}

/** A set as a request has it; `items` are of use only if there are no violations. */
export interface LineItemsReading {
  /** Without the images that their products will add. */
  readonly items: readonly LineItem[];
  readonly references: readonly ImageReference[];
  readonly products: readonly ProductReference[];
  readonly violations: Violations;
}

/** Reads a set of line items from JSON, finding all that is wrong with it at once. Unknown fields are passed over. */
export function parseLineItems(body: JSONObject): LineItemsReading {
  const reader = new LineItemsReader();
  const items = reader.items(body.items);
  return { items, references: reader.references, products: reader.products, violations: reader.violations };
}

/**
 * The items with what their products show added, less what is disabled.
 * @param products The products named, by ID. One that is absent adds nothing.
 * @param disabled Of each image that a product shows, whether it is disabled.
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

/** The index of the item with which a set shows more images than it may; undefined if it does not. */
export function itemBeyondLimit(items: readonly LineItem[]): number | undefined {
  let images = 0;
  const index = items.findIndex((item) => {
    images += item.imageIDs.length;
    for (const option of item.options) images += option.imageIDs.length;
    return images > MAX_IMAGES_A_SET;
  });
  return index < 0 ? undefined : index;
}

class LineItemsReader {
  readonly violations = new Violations();
  readonly references: ImageReference[] = [];
  readonly products: ProductReference[] = [];

  items(value: unknown): LineItem[] {
    const { violations } = this;
    const list = readList(value, ['items'], { max: MAX_LINE_ITEMS, field: 'name' }, violations);
    if (list.length === 0) violations.add(['items', 0, 'name'], 'items must have at least one line item');
    return list.map((item, i) => this.#item(item, ['items', i]));
  }

  #item(value: unknown, path: Path): LineItem {
    const { violations } = this;
    const given = asObject(value);
    if (given === undefined) {
      violations.add([...path, 'name'], 'a line item must be an object');
      return {
        name: '',
        basePrice: { currency: '', valueDecimal: '' },
        quantity: 1,
        options: [],
        imageIDs: [],
      };
    }
    const name = readName(given.name, [...path, 'name'], violations);
    const basePrice = parseAmount(given.basePrice, [...path, 'basePrice'], { signed: false }, violations);
    const quantity = this.#quantity(given.quantity, path);
    const optionsPath = [...path, 'options'];
    const rules = { max: MAX_LINE_ITEM_OPTIONS, field: 'name' };
    const options = readList(given.options, optionsPath, rules, violations).map((option, i) =>
      this.#option(option, [...optionsPath, i], basePrice),
    );
    const imageIDs = this.#imageList(given.imageIDs, [...path, 'imageIDs']);
    const productID = this.#product(given.productID, [...path, 'productID']);
    return {
      name,
      basePrice,
      quantity,
      options,
      imageIDs,
      ...(productID !== undefined && { productID }),
    };
  }

  #option(value: unknown, path: Path, basePrice: Amount): LineItemOption {
    const { violations } = this;
    const given = asObject(value);
    if (given === undefined) {
      violations.add([...path, 'name'], 'an option must be an object');
      return { name: '', quantity: 1, imageIDs: [] };
    }
    const name = readName(given.name, [...path, 'name'], violations);
    const quantity = this.#quantity(given.quantity, path);
    const group = readOptionalName(given.group, [...path, 'group'], violations);
    const priceModifier = parsePriceModifier(
      given.priceModifier,
      [...path, 'priceModifier'],
      basePrice,
      violations,
    );
    return {
      name,
      quantity,
      ...(priceModifier && { priceModifier }),
      ...(group !== undefined && { group }),
      imageIDs: this.#imageList(given.imageIDs, [...path, 'imageIDs']),
    };
  }

  #quantity(value: unknown, path: Path): number {
    return readWholeNumber(value, [...path, 'quantity'], { min: 1, max: MAX_QUANTITY }, this.violations) ?? 1;
  }

  #product(value: unknown, path: Path): string | undefined {
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

  #imageList(value: unknown, path: Path): string[] {
    return readList(value, path, { max: MAX_IMAGES_A_LIST }, this.violations).flatMap((element, i) => {
      const place = [...path, i];
      const imageID = parseImageID(element, place, this.violations);
      if (imageID === undefined) return [];
      this.references.push({ imageID, path: place });
      return [imageID];
    });
  }
}
