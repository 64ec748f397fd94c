/**
 * Owns the geometry of renditions, as pure functions: from a Transform (what a request asks for) and an Original
 * (what there is) to a Plan (exact geometry, format, quality). Refuses to know pixels, sharp and HTTP.
 */
import { FORMATS, type FocalPoint, type Original, type OutputFormat } from '../image.ts';
import { MAX_SIDE, type Size, writeSize } from './size.ts';

/** How a rendition fills the requested box, in the order of the documentation. */
export const FITS = ['cover', 'contain'] as const;
export type Fit = (typeof FITS)[number];

/** Which part of the picture a covering crop keeps. `focal`: the part around the focal point of the image. */
export const POSITIONS = ['center', 'attention', 'entropy', 'focal'] as const;
export type Position = (typeof POSITIONS)[number];

/** What a request asks for. */
export interface Transform {
  /** Requested width in pixels, 0..99999; 0: proportional to the height, or the picture's own if both are 0. */
  readonly width: number;
  /** Requested height in pixels, 0..99999; 0: proportional to the width, or the picture's own if both are 0. */
  readonly height: number;
  readonly fit: Fit;
  readonly position: Position;
  /** 1..100; undefined: the format's default. */
  readonly quality?: number;
  /** 1..3: device pixels for one requested pixel. */
  readonly dpr: number;
}

/** The Transform resolved against the picture: nothing about it is left to choose. Plain data, fit for IPC. */
export interface Plan {
  /** Output size in pixels, 1..2048. */
  readonly width: number;
  readonly height: number;
  /** Part of the upright original to take before scaling, in its pixels; absent: all of it. */
  readonly region?: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  /** `fill`: scale to exactly the output size (the proportions were settled here). `cover`: scale, then crop. */
  readonly fit: 'cover' | 'fill';
  /**
   * For `cover`: the size of the whole picture when it is scaled, and where in it the crop begins. Settled here, because
   * a rung has the original's proportions only to within half a pixel, which would move the crop.
   */
  readonly scaled?: Size & { readonly left: number; readonly top: number };
  /** Who says where the crop is: `center` is `scaled`, anything else the pixels. */
  readonly position: 'center' | 'attention' | 'entropy';
  readonly format: OutputFormat;
  /** 1..100. */
  readonly quality: number;
  /** Keep all frames (only ever for WebP); false: the first frame. */
  readonly animated: boolean;
  /** Put transparent pixels on white, because the format has no transparency. */
  readonly flatten: boolean;
}

/** Part of every plan's key. Raise it whenever the same Plan would give other pixels or bytes than before. */
export const PIPELINE_REVISION = 3;

/** The quality where a request names none. PNG is lossless: its number means nothing. */
export const DEFAULT_QUALITY: Readonly<Record<OutputFormat, number>> = {
  webp: 80,
  jpeg: 82,
  png: 100,
  avif: 50,
};

/**
 * An animation stays one while its output pixels and two thirds of its own, all frames together, are no more than this;
 * else it becomes its first frame. A pixel to encode takes half as long again as one to decode, and this many are what
 * a worker makes well within its deadline. Figures: docs/adr/0020.
 */
export const MAX_ANIMATION_PIXELS = 100_000_000;

/**
 * A covering crop whose scaled picture had a longer side than this takes a region of the picture instead: libvips
 * fails where that side passes some tens of millions of pixels (1 x 30 000 covering 2048 x 2048), and a smart crop
 * looks at all of it. Above the longest side of any original, so only ever reached by enlarging, where
 * taking a region first costs no shrink-on-load.
 */
const MAX_SCALED_SIDE = 32_768;

/** What a plan needs to know of an original. */
export type PlanSource = Pick<Original, 'format' | 'width' | 'height' | 'frames' | 'transparent'>;

/**
 * Resolves what a request asks for against the picture. Total for every transform and original within the documented
 * ranges: both sides of the result are whole numbers in 1..2048.
 */
export function planRendition(
  transform: Transform,
  original: PlanSource,
  format: OutputFormat,
  focalPoint?: FocalPoint,
): Plan {
  const box = {
    width: deviceSide(transform.width, transform.dpr),
    height: deviceSide(transform.height, transform.dpr),
  };
  // Nobody said what matters in the picture: most often it is in the middle.
  const focus = (transform.position === 'focal' && focalPoint) || CENTER;
  const geometry = resolveGeometry(box, transform.fit, original, focus);
  const animated = FORMATS[format].animation && original.frames > 1 && staysAnimated(original, geometry);
  return {
    ...geometry,
    // Position is settled where nothing is cropped, and frames must all be cropped alike: a smart crop looks at one.
    position:
      geometry.fit === 'cover' && !animated && isSmart(transform.position) ? transform.position : 'center',
    format,
    quality: (FORMATS[format].lossy ? transform.quality : undefined) ?? DEFAULT_QUALITY[format],
    animated,
    flatten: !FORMATS[format].transparency && original.transparent,
  };
}

/**
 * The plan as canonical text, for ETags and cache keys: plans that give the same bytes from the same original have
 * the same key, others do not. Characters: `[a-z0-9.,-]`.
 */
export function planKey(plan: Plan): string {
  const { region } = plan;
  const parts = [
    String(PIPELINE_REVISION),
    plan.format,
    writeSize(plan),
    plan.fit === 'cover' ? `cover-${cropKey(plan)}` : 'fill',
  ];
  if (FORMATS[plan.format].lossy) parts.push(`q${plan.quality}`);
  if (region !== undefined) parts.push(`r${region.left},${region.top},${region.width},${region.height}`);
  if (plan.animated) parts.push('animated');
  if (plan.flatten) parts.push('flat');
  return parts.join('.');
}

function staysAnimated({ frames, width, height }: PlanSource, output: Size): boolean {
  const thirds = 3 * output.width * output.height + 2 * width * height;
  return frames * thirds <= 3 * MAX_ANIMATION_PIXELS;
}

function cropKey({ position, scaled, width, height }: Plan): string {
  if (position !== 'center' || scaled === undefined) return position;
  const middle = cropAt(scaled, { width, height }, CENTER);
  const centred = scaled.left === middle.left && scaled.top === middle.top;
  return centred ? position : `${scaled.left},${scaled.top}`;
}

function isSmart(position: Position): position is 'attention' | 'entropy' {
  return position === 'attention' || position === 'entropy';
}

/** A requested side in device pixels, capped; 0 stays 0, which means "not given". */
function deviceSide(side: number, dpr: number): number {
  return side === 0 ? 0 : clampSide(side * dpr);
}

function clampSide(side: number): number {
  return Math.min(MAX_SIDE, Math.max(1, Math.round(side)));
}

type Geometry = Pick<Plan, 'width' | 'height' | 'fit' | 'scaled' | 'region'>;

const CENTER: FocalPoint = { x: 0.5, y: 0.5 };

function resolveGeometry(box: Size, fit: Fit, original: Size, focus: FocalPoint): Geometry {
  if (box.width === 0 && box.height === 0) {
    return scaled(original, Math.min(1, fitScale(original, MAX_SIDE, MAX_SIDE)));
  }
  if (box.width === 0) return scaled(original, fitScale(original, MAX_SIDE, box.height));
  if (box.height === 0) return scaled(original, fitScale(original, box.width, MAX_SIDE));
  if (fit === 'contain') return scaled(original, fitScale(original, box.width, box.height));
  return cover(box, original, focus);
}

/** The factor that brings the picture just inside the box. */
function fitScale(original: Size, width: number, height: number): number {
  return Math.min(width / original.width, height / original.height);
}

function scaled(original: Size, scale: number): Geometry {
  return {
    width: clampSide(original.width * scale),
    height: clampSide(original.height * scale),
    fit: 'fill',
  };
}

function cover(box: Size, original: Size, focus: FocalPoint): Geometry {
  const scale = Math.max(box.width / original.width, box.height / original.height);
  const width = Math.round(original.width * scale);
  const height = Math.round(original.height * scale);
  // Nothing to crop but a fraction of a pixel.
  if (width === box.width && height === box.height) return { ...box, fit: 'fill' };
  const picture = { width, height };
  if (Math.max(width, height) <= MAX_SCALED_SIDE) {
    return { ...box, fit: 'cover', scaled: { ...picture, ...cropAt(picture, box, focus) } };
  }
  const region = {
    width: Math.min(original.width, Math.max(1, Math.round(box.width / scale))),
    height: Math.min(original.height, Math.max(1, Math.round(box.height / scale))),
  };
  return { ...box, fit: 'fill', region: { ...cropAt(original, region, focus), ...region } };
}

/** Where a part of that size begins that has the focus in its middle, as far as the picture reaches. */
function cropAt(picture: Size, part: Size, focus: FocalPoint): { left: number; top: number } {
  return {
    left: startAt(picture.width, part.width, focus.x),
    top: startAt(picture.height, part.height, focus.y),
  };
}

function startAt(whole: number, part: number, focus: number): number {
  return Math.min(whole - part, Math.max(0, Math.floor(whole * focus - part / 2)));
}
