/**
 * The Image as this client shows it: the record of the wire, with its times as dates; and where it is used. Owns how
 * both are read from an answer. Refuses to know how the answer came.
 */
import type { components } from './contract.ts';
import {
  listOf,
  readArray,
  readDate,
  readDates,
  readNumber,
  readObject,
  readText,
  type WithDates,
} from './reading.ts';

/** The record of an image as it is on the wire. Times are RFC 3339 texts; absent fields are left out, never null. */
export type ImageMetadata = components['schemas']['ImageMetadata'];

/** The record of an image. Fields that a newer server adds are kept as they came. */
export type Image = WithDates<ImageMetadata, 'createdOn' | 'updatedOn' | 'disabledOn'>;

type UsageOnWire = components['schemas']['ImageUsage'];

/** What shows an image: products that are not disabled, their options, and line items. */
export type ImageUsage = {
  [Key in keyof UsageOnWire]: Key extends 'lineItems'
    ? WithDates<UsageOnWire['lineItems'][number], 'createdOn'>[]
    : UsageOnWire[Key];
};

/**
 * An Image out of parsed JSON. Looks only at what this client or its callers rely on.
 * @throws TypeError that names the field which is missing or is not what it should be.
 */
export function readImage(data: unknown): Image {
  const image = readObject(data, 'an image');
  return {
    ...image,
    imageID: readText(image.imageID, 'imageID'),
    publicID: readText(image.publicID, 'publicID'),
    link: readText(image.link, 'link'),
    createdOn: readDate(image.createdOn, 'createdOn'),
    updatedOn: readDate(image.updatedOn, 'updatedOn'),
    ...readDates(image, ['disabledOn']),
  };
}

/** Where an image is used, out of parsed JSON. @throws TypeError as `readImage`. */
export function readUsage(data: unknown): ImageUsage {
  const usage = readObject(data, 'the usage of an image') as unknown as UsageOnWire;
  const { inUse, products, options, lineItems, totals } = usage;
  if (typeof inUse !== 'boolean') throw new TypeError('inUse must be a boolean');
  readArray(products, 'products, an array,');
  readArray(options, 'options, an array,');
  readNumber(readObject(totals, 'totals, an object,').lineItems, 'totals.lineItems');
  return {
    ...usage,
    imageID: readText(usage.imageID, 'imageID'),
    lineItems: listOf(readShowingItem)(lineItems),
  };
}

function readShowingItem(data: unknown): ImageUsage['lineItems'][number] {
  const shown = readObject(data, 'a line item') as unknown as UsageOnWire['lineItems'][number];
  return { ...shown, createdOn: readDate(shown.createdOn, 'createdOn') };
}
