/**
 * Builds public links in other sizes and formats, for web pages. Pure functions: they send no request.
 * The limits are copies of the server's; links.test.ts compares them.
 */
import type { operations } from './contract.ts';

/** The query parameters of a public link: size, fit, position, format, quality, dpr. */
export type DeliveryParameters = NonNullable<operations['getPublicImage']['parameters']['query']>;

/** A size in pixels. An omitted side keeps the proportions. Without both sides: the size of the image. */
export interface Size {
  readonly width?: number | undefined;
  readonly height?: number | undefined;
}

/** The delivery parameters of a link. The server chooses omitted parameters. */
export type ImageURLOptions = {
  readonly [Key in Exclude<keyof DeliveryParameters, 'size'>]?: DeliveryParameters[Key] | undefined;
} & {
  /** `{ width, height }` or `WxH`, in pixels. Default of the server: 400x400. */
  readonly size?: Size | string | undefined;
};

/** The options of a `srcset` with widths, for a picture whose width depends on the page. */
export interface WidthsOptions extends Omit<ImageURLOptions, 'size' | 'dpr'> {
  /** Widths in pixels, each 1 or more. */
  readonly widths: readonly number[];
  /** Width divided by height. All candidates are cropped to it. Default: the proportions of the image. */
  readonly aspectRatio?: number | undefined;
}

/** The options of a `srcset` with densities, for a picture of fixed size on the page. */
export interface DensitiesOptions extends Omit<ImageURLOptions, 'dpr' | 'size'> {
  /** The size on the page, in CSS pixels. */
  readonly size: Size | string;
  /** Device pixels per CSS pixel, each 1 to 3. Default: 1, 2 and 3. */
  readonly dprs?: readonly number[] | undefined;
}

/** The longest side of a rendition, in pixels. */
const MAX_SIDE = 2_048;
/** The longest side that a request may have, in pixels. The server clamps it to `MAX_SIDE`. */
const MAX_REQUESTED_SIDE = 99_999;
/** Device pixels per CSS pixel. The server takes a density outside of these for the nearest. */
const MIN_DENSITY = 1;
const MAX_DENSITY = 3;

/**
 * Builds the public link of an image with delivery parameters. Other parameters of the link stay.
 * @param link the `link` of an image, absolute or relative
 * @throws RangeError with the name of the invalid option and its limits.
 */
export function imageURL(link: string, options: ImageURLOptions = {}): string {
  const { size, fit, position, format, quality, dpr } = options;
  const changes = {
    size: size === undefined ? undefined : formatSize(size),
    fit,
    position,
    format,
    quality: quality === undefined ? undefined : checkRange('quality', quality, 1, 100, true),
    dpr: dpr === undefined ? undefined : clampDensity(dpr),
  };
  const [beforeFragment = '', fragment] = splitOnce(link, '#');
  const [path = '', query = ''] = splitOnce(beforeFragment, '?');
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes))
    if (value !== undefined) parameters.set(name, String(value));
  const search = parameters.toString();
  return `${path}${search && `?${search}`}${fragment === undefined ? '' : `#${fragment}`}`;
}

/**
 * Builds the value of a `srcset` attribute. With `widths`, the element also needs a `sizes` attribute.
 * Renditions have at most 2048 pixels per side. Larger candidates are listed once, with the real size.
 * @throws RangeError with the name of the invalid option and its limits.
 */
export function srcset(link: string, options: WidthsOptions | DensitiesOptions): string {
  const candidates =
    'widths' in options ? listWidthCandidates(link, options) : listDensityCandidates(link, options);
  return candidates.join(', ');
}

function listWidthCandidates(link: string, { widths, aspectRatio, ...options }: WidthsOptions): string[] {
  const ratio = aspectRatio === undefined ? undefined : checkRange('aspectRatio', aspectRatio, 1e-3, 1e3);
  // The descriptor must be the real width of the rendition, or the browser chooses a wrong candidate.
  const maxWidth =
    ratio === undefined ? MAX_SIDE : Math.max(1, Math.floor(Math.min(MAX_SIDE, MAX_SIDE * ratio)));
  const clamped = widths.map((width) =>
    Math.min(maxWidth, checkRange('widths', width, 1, MAX_REQUESTED_SIDE, true)),
  );
  if (clamped.length === 0) throw new RangeError('widths must not be empty');
  return sortUnique(clamped).map((width) => {
    const height =
      ratio === undefined ? undefined : Math.max(1, Math.min(MAX_SIDE, Math.round(width / ratio)));
    return `${imageURL(link, { ...options, size: { width, height } })} ${width}w`;
  });
}

function listDensityCandidates(
  link: string,
  { size, dprs = [1, 2, 3], ...options }: DensitiesOptions,
): string[] {
  if (dprs.length === 0) throw new RangeError('dprs must not be empty');
  const sides = formatSize(size).split('x').map(Number);
  // Rounded down to two decimals, because the link shows the number.
  const maxDensity = Math.max(1, Math.floor((MAX_SIDE / Math.max(1, ...sides)) * 100) / 100);
  const clamped = dprs.map((dpr) => Math.min(maxDensity, checkRange('dprs', dpr, MIN_DENSITY, MAX_DENSITY)));
  return sortUnique(clamped).map((dpr) => `${imageURL(link, { ...options, size, dpr })} ${dpr}x`);
}

function sortUnique(numbers: readonly number[]): number[] {
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** The size as `WxH`. @throws RangeError with the name of the invalid option and its limits. */
function formatSize(size: Size | string): string {
  if (typeof size === 'string') {
    if (/^(0|[1-9]\d{0,4})x(0|[1-9]\d{0,4})$/.test(size)) return size;
    throw new RangeError(
      `size must be of the form WxH, each side from 0 to ${MAX_REQUESTED_SIDE}, not "${size}"`,
    );
  }
  const { width = 0, height = 0 } = size;
  const sides = [
    checkRange('size.width', width, 0, MAX_REQUESTED_SIDE, true),
    checkRange('size.height', height, 0, MAX_REQUESTED_SIDE, true),
  ];
  return sides.join('x');
}

function checkRange(field: string, value: number, min: number, max: number, integer = false): number {
  if (typeof value === 'number' && value >= min && value <= max && (!integer || Number.isInteger(value)))
    return value;
  throw new RangeError(
    `${field} must be a ${integer ? 'whole ' : ''}number from ${min} to ${max}, not ${value}`,
  );
}

/** The nearest density from 1 to 3. `window.devicePixelRatio` may be any positive number. */
function clampDensity(dpr: number): number {
  if (typeof dpr === 'number' && dpr > 0) return Math.min(MAX_DENSITY, Math.max(MIN_DENSITY, dpr));
  throw new RangeError(`dpr must be a number above 0, not ${dpr}`);
}

function splitOnce(text: string, separator: string): [string, string?] {
  const index = text.indexOf(separator);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}
