/**
 * The Image, its Original, and the rules that need only their values.
 */
import { fold, parseText, textProblem } from './validation/text.ts';

/** The largest accepted original, in bytes: exactly 16 MiB. */
export const MAX_ORIGINAL_BYTES = 16 * 1024 * 1024;

/** The longest alt text, in Unicode code points. */
export const MAX_ALT_TEXT_LENGTH = 2_000;

/** The longest file name, in Unicode code points. */
export const MAX_FILE_NAME_LENGTH = 255;

/** The most tags of an image. */
export const MAX_TAGS = 50;
/** The longest tag, in Unicode code points. */
export const MAX_TAG_LENGTH = 64;

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

/** Who can read an image by its public link. `public`: everybody with the link. */
export type Visibility = 'public';

export const VISIBILITIES = ['public'] as const satisfies readonly Visibility[];

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
  /** The name of the uploaded file, without folders. Absent if the upload had none. Never empty. */
  readonly fileName?: string;
  /** In the order of the client, without duplicates. Tags that differ only in case are duplicates. */
  readonly tags: readonly string[];
  /** The number of the current bytes under the stable link, from 1. */
  readonly version: number;
  readonly visibility: Visibility;
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

/** The metadata that a client sets. It replaces the earlier metadata, except where a field says otherwise. */
export interface Description {
  /** Undefined: none. */
  readonly altText: string | undefined;
  /** Absent or null: none. */
  readonly focalPoint?: FocalPoint | null;
  /** Absent: none. */
  readonly tags?: readonly string[];
  /** Absent: unchanged. Null: none. */
  readonly fileName?: string | null;
  /** Absent: unchanged. */
  readonly visibility?: Visibility;
}

/** The fields of a new image with this description. */
export function describedFields(
  description: Description,
): Pick<Image, 'altText' | 'focalPoint' | 'fileName' | 'tags' | 'visibility'> {
  const { altText, focalPoint, fileName, tags = [], visibility = 'public' } = description;
  return {
    ...(altText !== undefined && { altText }),
    ...(focalPoint && { focalPoint }),
    ...(fileName && { fileName }),
    tags,
    visibility,
  };
}

/**
 * The values of a description for a fingerprint, in a fixed order. Stored fingerprints depend on it, so new
 * values come last and are left out where they are absent.
 */
export function fingerprintValues(description: Description): readonly unknown[] {
  const { altText, focalPoint, tags = [], fileName, visibility } = description;
  const later = {
    ...(tags.length > 0 && { tags }),
    ...(fileName !== undefined && { fileName }),
    ...(visibility !== undefined && { visibility }),
  };
  return [
    altText ?? null,
    ...(focalPoint ? [focalPoint] : []),
    ...(Object.keys(later).length > 0 ? [later] : []),
  ];
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

/** Valid tags, or the reason why they are rejected. */
export type TagsResult =
  | { readonly ok: true; readonly tags: readonly string[] }
  | { readonly ok: false; readonly reason: string };

/**
 * Checks tags from a client. Absent and `null` mean none. Tags are stored as NFC without white space around
 * them. Of tags that differ only in case, the first one stays.
 */
export function parseTags(value: unknown): TagsResult {
  if (value === undefined || value === null) return { ok: true, tags: [] };
  if (!Array.isArray(value)) return { ok: false, reason: 'tags must be an array of strings' };
  const tags = new Map<string, string>();
  for (const item of value as unknown[]) {
    if (typeof item !== 'string') return { ok: false, reason: 'tags must be an array of strings' };
    const tag = item.normalize('NFC').trim();
    if (tag === '') return { ok: false, reason: 'tags must not hold an empty tag' };
    const reason = textProblem('each tag', tag, { max: MAX_TAG_LENGTH, controls: 'none' });
    if (reason !== undefined) return { ok: false, reason: `tags: ${reason}` };
    const key = fold(tag);
    if (!tags.has(key)) tags.set(key, tag);
  }
  if (tags.size > MAX_TAGS) {
    return { ok: false, reason: `tags must hold at most ${MAX_TAGS} tags, but there are ${tags.size}` };
  }
  return { ok: true, tags: [...tags.values()] };
}

/** A valid file name (null: none), or the reason why it is rejected. */
export type FileNameResult =
  | { readonly ok: true; readonly fileName: string | null }
  | { readonly ok: false; readonly reason: string };

/** Characters that change the direction of text. In a file name they can hide its extension. */
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const HIDDEN_CHARACTERS = new RegExp(`[\\u0000-\\u001f\\u007f-\\u009f]|${BIDI_CONTROLS.source}`, 'g');

/**
 * Checks a file name in the metadata of a client. Of a path, only the last segment stays. `null` and the
 * empty string mean none.
 */
export function parseFileName(value: unknown): FileNameResult {
  if (value === null || value === '') return { ok: true, fileName: null };
  if (typeof value !== 'string') return { ok: false, reason: 'fileName must be a string' };
  const fileName = lastSegment(value);
  const reason = textProblem('fileName', fileName, { max: MAX_FILE_NAME_LENGTH, controls: 'none' });
  if (reason !== undefined) return { ok: false, reason };
  if (BIDI_CONTROLS.test(fileName)) {
    return { ok: false, reason: 'fileName must not hold characters that change the direction of text' };
  }
  if (isNoName(fileName))
    return { ok: false, reason: 'fileName must be the name of a file, not of a folder' };
  return { ok: true, fileName };
}

/**
 * The file name of an upload: the last segment, without control characters, at most 255 characters. Undefined
 * if nothing is left. Never rejects, because clients send what their system has.
 */
export function uploadedFileName(name: string): string | undefined {
  const visible = lastSegment(name.toWellFormed().replace(HIDDEN_CHARACTERS, ''));
  const fileName = [...visible].slice(0, MAX_FILE_NAME_LENGTH).join('').trim();
  return isNoName(fileName) ? undefined : fileName;
}

function lastSegment(path: string): string {
  return (path.split(/[\\/]/).at(-1) ?? '').normalize('NFC').trim();
}

function isNoName(fileName: string): boolean {
  return fileName === '' || fileName === '.' || fileName === '..';
}

/** A valid visibility (absent: unchanged), or the reason why it is rejected. */
export type VisibilityResult =
  | { readonly ok: true; readonly visibility?: Visibility }
  | { readonly ok: false; readonly reason: string };

/** Checks the visibility in the metadata of a client. */
export function parseVisibility(value: unknown): VisibilityResult {
  if (value === undefined || value === null) return { ok: true };
  if (value === 'public') return { ok: true, visibility: value };
  if (value === 'private') {
    return { ok: false, reason: 'visibility must be public: this version does not support private images' };
  }
  return { ok: false, reason: 'visibility must be public' };
}
