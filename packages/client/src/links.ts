/**
 * Public links in other sizes and formats, for web pages. Pure; asks no server. Owns how a wish is written into a link.
 */
import type { operations } from './contract.ts';

/** What a public link may ask for: size, fit, position, format, quality, dpr. */
export type DeliveryParameters = NonNullable<operations['getPublicImage']['parameters']['query']>;

/** Pixels. A side that is left out follows from the other, in proportion; with neither it is the image's own size. */
export interface Size {
  readonly width?: number | undefined;
  readonly height?: number | undefined;
}

/** How a picture is to be shown. What is left out is decided by the server. */
export type ImageURLOptions = {
  readonly [Key in Exclude<keyof DeliveryParameters, 'size'>]?: DeliveryParameters[Key] | undefined;
} & {
  /** As `{ width, height }` or as the contract writes it, `WxH`, in pixels. Default: the server's, 400x400. */
  readonly size?: Size | string | undefined;
};

/** A set of widths, for a picture whose width depends on the page. */
export interface WidthsOptions extends Omit<ImageURLOptions, 'size' | 'dpr'> {
  /** Pixels, each from 1 on. */
  readonly widths: readonly number[];
  /** Width divided by height, to crop all to one shape. Default: each in the proportions of the image. */
  readonly aspectRatio?: number | undefined;
}

/** A set of densities, for a picture whose size on the page is fixed. */
export interface DensitiesOptions extends Omit<ImageURLOptions, 'dpr' | 'size'> {
  /** The size on the page, in CSS pixels. */
  readonly size: Size | string;
  /** Device pixels per CSS pixel, each 1 to 3. Default: 1, 2 and 3. */
  readonly dprs?: readonly number[] | undefined;
}

/** No side of a rendition is longer, in pixels. */
const MAX_SIDE = 2_048;
/** No side can be asked for that is longer, in pixels. */
const MAX_ASKED = 99_999;

/**
 * The public link of an image, for this size, format and so on. What the link asks for already and is not named here stays.
 * @param link the `link` of an image, absolute or not
 * @throws RangeError that names the option which is out of range, and its limits.
 */
export function imageURL(link: string, options: ImageURLOptions = {}): string {
  const { size, fit, position, format, quality, dpr } = options;
  const asked = {
    size: size === undefined ? undefined : writeSize(size),
    fit,
    position,
    format,
    quality: quality === undefined ? undefined : inRange('quality', quality, 1, 100, true),
    dpr: dpr === undefined ? undefined : inRange('dpr', dpr, 1, 3),
  };
  const [beforeFragment = '', fragment] = split(link, '#');
  const [path = '', query = ''] = split(beforeFragment, '?');
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(asked))
    if (value !== undefined) parameters.set(name, String(value));
  const written = parameters.toString();
  return `${path}${written && `?${written}`}${fragment === undefined ? '' : `#${fragment}`}`;
}

/**
 * The value of a `srcset` attribute. With `widths` it goes with a `sizes` attribute; with `size` and `dprs` it needs none.
 * Renditions are at most 2048 pixels a side: what would be larger is listed once, as what it will be.
 * @throws RangeError that names the option which is out of range, and its limits.
 */
export function srcset(link: string, options: WidthsOptions | DensitiesOptions): string {
  return ('widths' in options ? widthCandidates(link, options) : densityCandidates(link, options)).join(', ');
}

function widthCandidates(link: string, { widths, aspectRatio, ...options }: WidthsOptions): string[] {
  const shape = aspectRatio === undefined ? undefined : inRange('aspectRatio', aspectRatio, 1e-3, 1e3);
  // The descriptor must be the width that comes, or the browser chooses and lays out by a wrong one.
  const widest =
    shape === undefined ? MAX_SIDE : Math.max(1, Math.floor(Math.min(MAX_SIDE, MAX_SIDE * shape)));
  const whole = widths.map((width) => Math.min(widest, inRange('widths', width, 1, MAX_ASKED, true)));
  if (whole.length === 0) throw new RangeError('widths must not be empty');
  return ascending(whole).map((width) => {
    const height =
      shape === undefined ? undefined : Math.max(1, Math.min(MAX_SIDE, Math.round(width / shape)));
    return `${imageURL(link, { ...options, size: { width, height } })} ${width}w`;
  });
}

function densityCandidates(link: string, { size, dprs = [1, 2, 3], ...options }: DensitiesOptions): string[] {
  if (dprs.length === 0) throw new RangeError('dprs must not be empty');
  const sides = writeSize(size).split('x').map(Number);
  // Two decimals, as the number goes into the link.
  const densest = Math.max(1, Math.floor((MAX_SIDE / Math.max(1, ...sides)) * 100) / 100);
  const whole = dprs.map((dpr) => Math.min(densest, inRange('dprs', dpr, 1, 3)));
  return ascending(whole).map((dpr) => `${imageURL(link, { ...options, size, dpr })} ${dpr}x`);
}

function ascending(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** As the contract writes it. @throws RangeError */
function writeSize(size: Size | string): string {
  if (typeof size === 'string') {
    if (/^(0|[1-9]\d{0,4})x(0|[1-9]\d{0,4})$/.test(size)) return size;
    throw new RangeError(`size must be of the form WxH, each 0 to ${MAX_ASKED}, not "${size}"`);
  }
  const { width = 0, height = 0 } = size;
  return `${inRange('size.width', width, 0, MAX_ASKED, true)}x${inRange('size.height', height, 0, MAX_ASKED, true)}`;
}

function inRange(field: string, value: number, least: number, most: number, whole = false): number {
  if (typeof value === 'number' && value >= least && value <= most && (!whole || Number.isInteger(value)))
    return value;
  throw new RangeError(
    `${field} must be a ${whole ? 'whole ' : ''}number from ${least} to ${most}, not ${value}`,
  );
}

function split(text: string, at: string): [string, string?] {
  const index = text.indexOf(at);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}
