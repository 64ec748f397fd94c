/**
 * The Image, its Original, and the rules that need only their values.
 */
import { parseText } from './validation/text.ts';

/** The largest accepted original, in bytes: exactly 16 MiB. */
export const MAX_ORIGINAL_BYTES = 16 * 1024 * 1024;

/** The longest alt text, in Unicode code points. */
export const MAX_ALT_TEXT_LENGTH = 2_000;

interface Format {
  /** The name in texts for people. */
  readonly name: string;
  readonly mediaType: string;
  /** Extensions of file names, without the dot. The first is the usual one. */
  readonly extensions: readonly [string, ...string[]];
  /** Whether an original may have the format. A rendition may have any of them. */
  readonly original: boolean;
  /** Whether a rendition loses detail. Only such formats have a quality from 1 to 100. */
  readonly lossy: boolean;
  /** Whether a rendition keeps transparent pixels. */
  readonly transparency: boolean;
  /** Whether a rendition keeps all frames of an animation. */
  readonly animation: boolean;
}

/** Every format of originals and renditions, in the order of the documentation. The only list of formats. */
export const FORMATS = {
  webp: {
    name: 'WebP',
    mediaType: 'image/webp',
    extensions: ['webp'],
    original: true,
    lossy: true,
    transparency: true,
    animation: true,
  },
  jpeg: {
    name: 'JPEG',
    mediaType: 'image/jpeg',
    extensions: ['jpg', 'jpeg'],
    original: true,
    lossy: true,
    transparency: false,
    animation: false,
  },
  png: {
    name: 'PNG',
    mediaType: 'image/png',
    extensions: ['png'],
    original: true,
    lossy: false,
    transparency: true,
    animation: false,
  },
  avif: {
    name: 'AVIF',
    mediaType: 'image/avif',
    extensions: ['avif'],
    original: false,
    lossy: true,
    transparency: true,
    animation: false,
  },
} as const satisfies Readonly<Record<string, Format>>;

/** The formats that a rendition may have. */
export type OutputFormat = keyof typeof FORMATS;

/** The formats that an original may have. The bytes decide, not the file name. */
export type ImageFormat = {
  [Key in OutputFormat]: (typeof FORMATS)[Key]['original'] extends true ? Key : never;
}[OutputFormat];

export const OUTPUT_FORMATS = Object.keys(FORMATS) as readonly OutputFormat[];

export const IMAGE_FORMATS: readonly ImageFormat[] = OUTPUT_FORMATS.filter(isImageFormat);

/** The formats of originals, in texts for people: "PNG, JPEG or WebP". */
export const IMAGE_FORMAT_NAMES = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(
  IMAGE_FORMATS.map((format) => FORMATS[format].name).toReversed(),
);

/** True if an original may have the format of this name. */
export function isImageFormat(name: string): name is ImageFormat {
  return Object.hasOwn(FORMATS, name) && FORMATS[name as OutputFormat].original;
}

/** SHA-256 of an original's bytes, as 64 lower-case hexadecimal digits. */
export type Digest = string;

/** The form of a digest, as a part of other regular expressions. */
export const DIGEST_PATTERN = '[0-9a-f]{64}';

const DIGEST = new RegExp(`^${DIGEST_PATTERN}$`);

/** True if the text has the form of a digest. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Facts about the pixels of an original that plans and pages use. Of the first frame. */
export interface Analysis {
  /** `graphic`: flat areas and sharp edges, as in logos, drawings, screenshots and scanned text. */
  readonly content: 'photo' | 'graphic';
  /** A thumbhash, base64: about 25 bytes from which a page draws a blurred preview. */
  readonly placeholder: string;
  /** The average colour, `#rrggbb`. */
  readonly color: string;
}

/** The uploaded bytes, which are never changed, with the results of one full decode. */
export interface Original {
  readonly digest: Digest;
  /** Length in bytes. */
  readonly size: number;
  readonly format: ImageFormat;
  /** Width of one frame in pixels, after the EXIF orientation is applied. */
  readonly width: number;
  /** Height of one frame in pixels, after the EXIF orientation is applied. */
  readonly height: number;
  /** 1 for a still image, more for an animated WebP. */
  readonly frames: number;
  /**
   * True if at least one pixel is not fully opaque. An alpha channel with only opaque pixels does not count.
   */
  readonly transparent: boolean;
  /** Absent for originals of earlier releases that are not analysed yet. */
  readonly analysis?: Analysis;
}

/**
 * The most important point of an image, in shares of its shown width and height. 0 is left or top, 1 is right
 * or bottom.
 */
export interface FocalPoint {
  readonly x: number;
  readonly y: number;
}

/** The record of an image in the library of an account. */
export interface Image {
  /** UUID, lower case. */
  readonly imageID: string;
  readonly accountID: string;
  /** 21 URL-safe characters. The name in public links. */
  readonly publicID: string;
  /** Absent if the image has none. Never empty. */
  readonly altText?: string;
  /** The point that crops with `position=focal` keep. Absent if none is set. */
  readonly focalPoint?: FocalPoint;
  readonly createdOn: Date;
  readonly updatedOn: Date;
  /** Present if the image is disabled. A disabled image stays public, listed and readable. */
  readonly disabledOn?: Date;
  readonly original: Original;
}

const PUBLIC_ID = /^[A-Za-z0-9_-]{21}$/;

/** True if the text has the form of a public ID. */
export function isPublicID(text: string): boolean {
  return PUBLIC_ID.test(text);
}

/** A change of the texts and the focal point of an image. Alt text is always set; undefined means none. */
export interface Description {
  readonly altText: string | undefined;
  /** Absent: unchanged. Null: none. */
  readonly focalPoint?: FocalPoint | null;
}

/** The fields of a new image with this description. */
export function describedFields({ altText, focalPoint }: Description): Pick<Image, 'altText' | 'focalPoint'> {
  return { ...(altText !== undefined && { altText }), ...(focalPoint && { focalPoint }) };
}

/**
 * The values of a description for a fingerprint, in a fixed order. Stored fingerprints depend on it, so new
 * values come last and are left out where they are absent.
 */
export function fingerprintValues({ altText, focalPoint }: Description): readonly unknown[] {
  return [altText ?? null, ...(focalPoint ? [focalPoint] : [])];
}

/** A valid focal point (null: none), or the reason why it is rejected. */
export type FocalPointResult =
  | { readonly ok: true; readonly focalPoint: FocalPoint | null }
  | { readonly ok: false; readonly reason: string };

/** The precision of a focal point: steps per side. */
const FOCAL_STEPS = 1_000_000;

/** Checks a focal point from a client: two numbers from 0 to 1, rounded to a millionth. `null` means none. */
export function parseFocalPoint(value: unknown): FocalPointResult {
  if (value === null) return { ok: true, focalPoint: null };
  const { x, y } = (typeof value === 'object' ? value : {}) as Record<string, unknown>;
  if (!isShare(x) || !isShare(y)) {
    return {
      ok: false,
      reason: 'focalPoint must be null or an object with x and y, each a number from 0 to 1',
    };
  }
  const round = (share: number) => Math.round(share * FOCAL_STEPS) / FOCAL_STEPS;
  return { ok: true, focalPoint: { x: round(x), y: round(y) } };
}

function isShare(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

/** A valid alt text (undefined: none), or the reason why it is rejected. */
export type AltTextResult =
  | { readonly ok: true; readonly altText: string | undefined }
  | { readonly ok: false; readonly reason: string };

/**
 * Checks an alt text from a client. Absent, `null` and the empty string mean none.
 * Limits: 2 000 code points, well-formed Unicode, no control characters except line breaks and tab.
 */
export function parseAltText(value: unknown): AltTextResult {
  if (value === undefined || value === null || value === '') return { ok: true, altText: undefined };
  if (typeof value !== 'string') return { ok: false, reason: 'altText must be a string' };
  const result = parseText('altText', value, { max: MAX_ALT_TEXT_LENGTH, controls: 'text' });
  return result.ok ? { ok: true, altText: result.text } : result;
}
