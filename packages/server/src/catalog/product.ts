/**
 * A product: its fields, their limits and its option groups. The rules here need only the request. The store
 * checks whether the images may be assigned.
 */

import {
  asObject,
  type DescriptionRule,
  type JSONObject,
  readDescription,
  readList,
  readName,
  readWholeNumber,
} from '../validation/json.ts';
import { type Path, Violations } from '../validation/violations.ts';
import { type Amount, parseAmount, parsePriceModifier } from './amount.ts';
import { type ImageReference, MAX_IMAGES_PER_LIST, parseImageID } from './assignment.ts';
import type { Categories } from './categories.ts';

/** The most images of a product and all of its options together. */
export const MAX_IMAGES_PER_PRODUCT = 100;
/** The most option groups of a product. */
export const MAX_OPTION_GROUPS = 50;
/** The most options of a group. */
export const MAX_OPTIONS = 100;

/**
 * The most UTF-16 code units of all descriptions of a product together. It bounds the time of the search for
 * HTML.
 */
export const MAX_DESCRIPTIONS_LENGTH = 20_000;

const UNKNOWN_CATEGORY = 'there is no such product category';

/** One choice of a group, such as a size or a colour. */
export interface ProductOption {
  readonly name: string;
  readonly description?: string;
  /** Added to the base price. It has the same currency and may be negative. */
  readonly priceModifier?: Amount;
  readonly imageIDs: readonly string[];
}

export interface OptionGroup {
  readonly name: string;
  readonly description?: string;
  /** How many options must and may be chosen: minSelect ≤ maxSelect ≤ the number of options. */
  readonly minSelect: number;
  readonly maxSelect: number;
  readonly options: readonly ProductOption[];
}

/** The part of a product that a client writes. */
export interface ProductContent {
  readonly title: string;
  /** Markdown without HTML, exactly as the client wrote it. */
  readonly description?: string;
  readonly basePrice: Amount;
  /** Whether a sale of the product may include tax. */
  readonly isTaxable: boolean;
  /** A category of the operator's file. The file may have lost it since. */
  readonly categoryID?: string;
  readonly imageIDs: readonly string[];
  readonly optionGroups: readonly OptionGroup[];
}

/** The content in a request. Absent `isTaxable`: true for a new product, unchanged for an update. */
export type RequestedContent = Omit<ProductContent, 'isTaxable'> & { readonly isTaxable?: boolean };

/** `isTaxable` of new products, and of products from before there was such a field. */
export const DEFAULT_IS_TAXABLE = true;

export interface Product {
  /** UUID, lower case. */
  readonly productID: string;
  readonly accountID: string;
  readonly content: ProductContent;
  readonly createdOn: Date;
  readonly updatedOn: Date;
  /** Present once the product is disabled. Then it is not listed and cannot be changed. */
  readonly disabledOn?: Date;
}

/** A product from a request. `content` is usable only if there are no violations. */
export interface ParsedProduct {
  readonly content: RequestedContent;
  /** Every well-formed image ID of the request, in order. */
  readonly references: readonly ImageReference[];
  readonly violations: Violations;
}

export interface ProductRules {
  readonly description: DescriptionRule;
  readonly categories: Categories;
}

/** Reads a product from JSON and collects all violations. Unknown fields are ignored. */
export function parseProduct(body: JSONObject, rules: ProductRules): ParsedProduct {
  const parser = new ProductParser(rules);
  const content = parser.parse(body);
  return { content, references: parser.references, violations: parser.violations };
}

/** All images that a product shows, including the images of its options. */
export function imagesOf(content: Pick<ProductContent, 'imageIDs' | 'optionGroups'>): Set<string> {
  const imageIDs = new Set(content.imageIDs);
  for (const { options } of content.optionGroups) {
    for (const option of options) for (const imageID of option.imageIDs) imageIDs.add(imageID);
  }
  return imageIDs;
}

class ProductParser {
  readonly violations = new Violations();
  readonly references: ImageReference[] = [];
  readonly #rules: ProductRules;
  #imageCount = 0;
  #descriptionsLength = 0;

  constructor(rules: ProductRules) {
    this.#rules = rules;
  }

  parse(body: JSONObject): RequestedContent {
    const { violations } = this;
    const title = readName(body.title, ['title'], violations);
    const description = this.#parseDescription(body.description, []);
    const basePrice = parseAmount(body.basePrice, ['basePrice'], { signed: false }, violations);
    const imageIDs = this.#parseImageIDs(body.images, ['images']);
    const groups = readList(
      body.optionGroups,
      ['optionGroups'],
      { max: MAX_OPTION_GROUPS, field: 'name' },
      violations,
    );
    const optionGroups = groups.map((group, i) => this.#parseGroup(group, ['optionGroups', i], basePrice));
    const isTaxable = this.#parseIsTaxable(body.isTaxable);
    const categoryID = this.#parseCategoryID(body.categoryID);
    return {
      title,
      ...(description !== undefined && { description }),
      basePrice,
      ...(isTaxable !== undefined && { isTaxable }),
      ...(categoryID !== undefined && { categoryID }),
      imageIDs,
      optionGroups,
    };
  }

  #parseIsTaxable(value: unknown): boolean | undefined {
    if (typeof value === 'boolean' || value === undefined) return value;
    if (value !== null) this.violations.add(['isTaxable'], 'isTaxable must be true or false');
    return undefined;
  }

  #parseCategoryID(value: unknown): string | undefined {
    if (value === undefined || value === null || value === '') return undefined;
    if (typeof value !== 'string') this.violations.add(['categoryID'], 'categoryID must be a string');
    else if (this.#rules.categories.find(value) !== undefined) return value;
    else this.violations.add(['categoryID'], UNKNOWN_CATEGORY);
    return undefined;
  }

  #parseGroup(value: unknown, path: Path, basePrice: Amount): OptionGroup {
    const { violations } = this;
    const group = asObject(value);
    if (group === undefined) {
      violations.add([...path, 'name'], 'an option group must be an object');
      return { name: '', minSelect: 0, maxSelect: 0, options: [] };
    }
    const name = readName(group.name, [...path, 'name'], violations);
    const description = this.#parseDescription(group.description, path);
    const optionsPath = [...path, 'options'];
    const list = readList(group.options, optionsPath, { max: MAX_OPTIONS, field: 'name' }, violations);
    if (list.length === 0) violations.add([...optionsPath, 0, 'name'], 'there must be at least one option');
    const options = list.map((option, i) => this.#parseOption(option, [...optionsPath, i], basePrice));

    const bounds = { min: 0, max: MAX_OPTIONS };
    const minSelect = readWholeNumber(group.minSelect, [...path, 'minSelect'], bounds, violations);
    const maxSelect = readWholeNumber(group.maxSelect, [...path, 'maxSelect'], bounds, violations);
    if (maxSelect !== undefined && maxSelect > list.length) {
      const reason = `maxSelect must not be more than the number of options, ${list.length}`;
      violations.add([...path, 'maxSelect'], reason);
    }
    if (minSelect !== undefined && maxSelect !== undefined && minSelect > maxSelect) {
      violations.add([...path, 'minSelect'], `minSelect must not be more than maxSelect, ${maxSelect}`);
    }
    return {
      name,
      ...(description !== undefined && { description }),
      minSelect: minSelect ?? 0,
      maxSelect: maxSelect ?? 0,
      options,
    };
  }

  #parseOption(value: unknown, path: Path, basePrice: Amount): ProductOption {
    const { violations } = this;
    const option = asObject(value);
    if (option === undefined) {
      violations.add([...path, 'name'], 'an option must be an object');
      return { name: '', imageIDs: [] };
    }
    const name = readName(option.name, [...path, 'name'], violations);
    const description = this.#parseDescription(option.description, path);
    const priceModifier = parsePriceModifier(
      option.priceModifier,
      [...path, 'priceModifier'],
      basePrice,
      violations,
    );
    return {
      name,
      ...(description !== undefined && { description }),
      ...(priceModifier && { priceModifier }),
      imageIDs: this.#parseImageIDs(option.images, [...path, 'images']),
    };
  }

  #parseDescription(value: unknown, path: Path): string | undefined {
    if (typeof value === 'string') this.#descriptionsLength += value.length;
    if (this.#descriptionsLength > MAX_DESCRIPTIONS_LENGTH && value) {
      const reason = `the descriptions of a product must have at most ${MAX_DESCRIPTIONS_LENGTH} characters together`;
      this.violations.add([...path, 'description'], reason);
      return undefined;
    }
    return readDescription(value, [...path, 'description'], this.#rules.description, this.violations);
  }

  #parseImageIDs(value: unknown, path: Path): string[] {
    const list = readList(value, path, { max: MAX_IMAGES_PER_LIST, field: 'imageID' }, this.violations);
    return list.flatMap((element, i) => {
      const place = [...path, i, 'imageID'];
      this.#imageCount += 1;
      if (this.#imageCount > MAX_IMAGES_PER_PRODUCT) {
        const reason = `a product must have at most ${MAX_IMAGES_PER_PRODUCT} images, including the images of its options`;
        this.violations.add(place, reason);
        return [];
      }
      const image = asObject(element);
      if (image === undefined) {
        this.violations.add(place, 'an image must be an object with imageID');
        return [];
      }
      const imageID = parseImageID(image.imageID, place, this.violations);
      if (imageID === undefined) return [];
      this.references.push({ imageID, path: place });
      return [imageID];
    });
  }
}
