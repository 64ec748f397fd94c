/**
 * Owns what a Product is and the rules about it that need nothing but a request: its fields, their limits, its option
 * groups. Refuses to know where products are stored and which images may be assigned.
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
import { type ImageReference, MAX_IMAGES_A_LIST, parseImageID } from './assignment.ts';

/** Limits of a product, in elements. The images are those of the product and its options together. */
export const MAX_IMAGES_A_PRODUCT = 100;
export const MAX_OPTION_GROUPS = 50;
export const MAX_OPTIONS = 100;

/** All descriptions of a product together, in UTF-16 code units: what bounds the time to look for HTML in them. */
export const MAX_DESCRIPTIONS_LENGTH = 20_000;

/** One choice of a group, as a size or a colour. */
export interface ProductOption {
  readonly name: string;
  readonly description?: string;
  /** What choosing it adds to the base price; in the same currency, possibly below zero. */
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

/** What a client says about a product. */
export interface ProductContent {
  readonly title: string;
  /** Markdown without HTML, as it was written. */
  readonly description?: string;
  readonly basePrice: Amount;
  readonly imageIDs: readonly string[];
  readonly optionGroups: readonly OptionGroup[];
}

export interface Product {
  /** UUID, lower case. */
  readonly productID: string;
  readonly accountID: string;
  readonly content: ProductContent;
  readonly createdOn: Date;
  readonly updatedOn: Date;
  /** Present once the product is disabled: it is no longer listed, and cannot be changed. */
  readonly disabledOn?: Date;
}

/** A product as a request has it; `content` is of use only if there are no violations. */
export interface ProductReading {
  readonly content: ProductContent;
  /** Every image that the request names in a form that could be one's name, in order. */
  readonly references: readonly ImageReference[];
  readonly violations: Violations;
}

/** Reads a product from JSON, finding all that is wrong with it at once. Unknown fields are passed over. */
export function parseProduct(body: JSONObject, description: DescriptionRule): ProductReading {
  const reader = new ProductReader(description);
  const content = reader.product(body);
  return { content, references: reader.references, violations: reader.violations };
}

/** All images that a product shows, its options' included. */
export function imagesOf(content: ProductContent): Set<string> {
  const shown = new Set(content.imageIDs);
  for (const { options } of content.optionGroups) {
    for (const { imageIDs } of options) for (const imageID of imageIDs) shown.add(imageID);
  }
  return shown;
}

class ProductReader {
  readonly violations = new Violations();
  readonly references: ImageReference[] = [];
  readonly #description: DescriptionRule;
  #images = 0;
  #described = 0;

  constructor(description: DescriptionRule) {
    this.#description = description;
  }

  product(body: JSONObject): ProductContent {
    const { violations } = this;
    const title = readName(body.title, ['title'], violations);
    const description = this.#describe(body.description, []);
    const basePrice = parseAmount(body.basePrice, ['basePrice'], { signed: false }, violations);
    const imageIDs = this.#imageList(body.images, ['images']);
    const groups = readList(
      body.optionGroups,
      ['optionGroups'],
      { max: MAX_OPTION_GROUPS, field: 'name' },
      violations,
    );
    const optionGroups = groups.map((group, i) => this.#group(group, ['optionGroups', i], basePrice));
    if (body.categoryID !== undefined && body.categoryID !== null && body.categoryID !== '') {
      violations.add(['categoryID'], 'there is no such category: this server has no product taxonomy');
    }
    return { title, ...(description !== undefined && { description }), basePrice, imageIDs, optionGroups };
  }

  #group(value: unknown, path: Path, basePrice: Amount): OptionGroup {
    const { violations } = this;
    const given = asObject(value);
    if (given === undefined) {
      violations.add([...path, 'name'], 'an option group must be an object');
      return { name: '', minSelect: 0, maxSelect: 0, options: [] };
    }
    const name = readName(given.name, [...path, 'name'], violations);
    const description = this.#describe(given.description, path);
    const optionsPath = [...path, 'options'];
    const list = readList(given.options, optionsPath, { max: MAX_OPTIONS, field: 'name' }, violations);
    if (list.length === 0) violations.add([...optionsPath, 0, 'name'], 'there must be at least one option');
    const options = list.map((option, i) => this.#option(option, [...optionsPath, i], basePrice));

    const bounds = { min: 0, max: MAX_OPTIONS };
    const minSelect = readWholeNumber(given.minSelect, [...path, 'minSelect'], bounds, violations);
    const maxSelect = readWholeNumber(given.maxSelect, [...path, 'maxSelect'], bounds, violations);
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

  #option(value: unknown, path: Path, basePrice: Amount): ProductOption {
    const { violations } = this;
    const given = asObject(value);
    if (given === undefined) {
      violations.add([...path, 'name'], 'an option must be an object');
      return { name: '', imageIDs: [] };
    }
    const name = readName(given.name, [...path, 'name'], violations);
    const description = this.#describe(given.description, path);
    const priceModifier = parsePriceModifier(
      given.priceModifier,
      [...path, 'priceModifier'],
      basePrice,
      violations,
    );
    return {
      name,
      ...(description !== undefined && { description }),
      ...(priceModifier && { priceModifier }),
      imageIDs: this.#imageList(given.images, [...path, 'images']),
    };
  }

  #describe(value: unknown, path: Path): string | undefined {
    if (typeof value === 'string') this.#described += value.length;
    if (this.#described > MAX_DESCRIPTIONS_LENGTH && value) {
      const reason = `the descriptions of a product must have at most ${MAX_DESCRIPTIONS_LENGTH} characters together`;
      this.violations.add([...path, 'description'], reason);
      return undefined;
    }
    return readDescription(value, [...path, 'description'], this.#description, this.violations);
  }

  #imageList(value: unknown, path: Path): string[] {
    const list = readList(value, path, { max: MAX_IMAGES_A_LIST, field: 'imageID' }, this.violations);
    return list.flatMap((element, i) => {
      const place = [...path, i, 'imageID'];
      this.#images += 1;
      if (this.#images > MAX_IMAGES_A_PRODUCT) {
        const reason = `a product must have at most ${MAX_IMAGES_A_PRODUCT} images, those of its options included`;
        this.violations.add(place, reason);
        return [];
      }
      const given = asObject(element);
      if (given === undefined) {
        this.violations.add(place, 'an image must be given as an object with imageID');
        return [];
      }
      const imageID = parseImageID(given.imageID, place, this.violations);
      if (imageID === undefined) return [];
      this.references.push({ imageID, path: place });
      return [imageID];
    });
  }
}
