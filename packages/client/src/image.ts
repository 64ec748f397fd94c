/**
 * The Image as this client shows it: the record of the wire, with its times as dates. Owns how one is read from an
 * answer. Refuses to know how the answer came.
 */
import type { components } from './contract.ts';

/** The record of an image as it is on the wire. Times are RFC 3339 texts; absent fields are left out, never null. */
export type ImageMetadata = components['schemas']['ImageMetadata'];

/** The record of an image. Fields that a newer server adds are kept as they came. */
export type Image = WithDates<ImageMetadata, 'createdOn' | 'updatedOn' | 'disabledOn'>;

/** A record of the wire in which these texts are dates. */
export type WithDates<Wire, Times extends keyof Wire> = {
  [Key in keyof Wire]: Key extends Times ? Exclude<Wire[Key], string> | Date : Wire[Key];
};

/**
 * An Image out of parsed JSON. Looks only at what this client or its callers rely on.
 * @throws TypeError that names the field which is missing or is not what it should be.
 */
export function readImage(data: unknown): Image {
  const { createdOn, updatedOn, disabledOn, ...rest } = readObject(
    data,
    'an image',
  ) as Partial<ImageMetadata>;
  const { imageID, publicID, link } = rest;
  return {
    ...rest,
    imageID: readText(imageID, 'imageID'),
    publicID: readText(publicID, 'publicID'),
    link: readText(link, 'link'),
    createdOn: readDate(createdOn, 'createdOn'),
    updatedOn: readDate(updatedOn, 'updatedOn'),
    ...(disabledOn !== undefined && { disabledOn: readDate(disabledOn, 'disabledOn') }),
  };
}

/** Images out of parsed JSON. @throws TypeError as `readImage`, or if it is no array. */
export function readImages(data: unknown): Image[] {
  if (!Array.isArray(data)) throw new TypeError('an array was expected');
  return data.map(readImage);
}

/** Parsed JSON that must be an object. @throws TypeError naming what was expected. */
export function readObject(data: unknown, what: string): Record<string, unknown> {
  if (typeof data === 'object' && data !== null && !Array.isArray(data))
    return data as Record<string, unknown>;
  throw new TypeError(`${what} was expected`);
}

/** @throws TypeError naming the field. */
function readText(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`${field} must be a string`);
}

/** An RFC 3339 text as a date. @throws TypeError naming the field. */
function readDate(value: unknown, field: string): Date {
  const date = new Date(readText(value, field));
  if (!Number.isNaN(date.getTime())) return date;
  throw new TypeError(`${field} must be a date and time`);
}
