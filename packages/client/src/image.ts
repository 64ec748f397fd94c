/**
 * The Image and its usage: the records of the contract, with times as Dates.
 */
import type { components } from './contract.ts';
import {
  readArray,
  readDate,
  readDates,
  readListOf,
  readNumber,
  readObject,
  readText,
  type WithDates,
} from './reading.ts';

/** The record of an image in JSON. Times are RFC 3339 strings. Absent fields are omitted, never null. */
export type ImageMetadata = components['schemas']['ImageMetadata'];

/** Fields that servers of the first release do not send. */
type LaterField = 'tags' | 'width' | 'height' | 'format' | 'bytes' | 'version' | 'visibility';

/**
 * The record of an image. Unknown fields of newer servers are kept. The fields that are always present in
 * `ImageMetadata` may be absent here, because a server of the first release does not send all of them.
 */
export type Image = WithDates<
  Omit<ImageMetadata, LaterField> & Partial<Pick<ImageMetadata, LaterField>>,
  'createdOn' | 'updatedOn' | 'disabledOn'
>;

type UsageJSON = components['schemas']['ImageUsage'];

/** The usage of an image: enabled products, their options, and line items that show it. */
export type ImageUsage = {
  [Key in keyof UsageJSON]: Key extends 'lineItems'
    ? WithDates<UsageJSON['lineItems'][number], 'createdOn'>[]
    : UsageJSON[Key];
};

/**
 * Reads an Image from parsed JSON. Checks only the required fields and the dates.
 * @throws TypeError with the name of the missing or invalid field.
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

/** Reads the usage of an image from parsed JSON. @throws TypeError as `readImage`. */
export function readUsage(data: unknown): ImageUsage {
  const usage = readObject(data, 'the usage of an image') as unknown as UsageJSON;
  const { inUse, products, options, lineItems, totals } = usage;
  if (typeof inUse !== 'boolean') throw new TypeError('inUse must be a boolean');
  readArray(products, 'products, an array,');
  readArray(options, 'options, an array,');
  readNumber(readObject(totals, 'totals, an object,').lineItems, 'totals.lineItems');
  return {
    ...usage,
    imageID: readText(usage.imageID, 'imageID'),
    lineItems: readListOf(readLineItem)(lineItems),
  };
}

function readLineItem(data: unknown): ImageUsage['lineItems'][number] {
  const item = readObject(data, 'a line item') as unknown as UsageJSON['lineItems'][number];
  return { ...item, createdOn: readDate(item.createdOn, 'createdOn') };
}
