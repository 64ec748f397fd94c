/**
 * Owns the geometry of renditions, as pure functions: from a Transform (what a request asks for) and an Original
 * (what there is) to a Plan (exact geometry, format, quality). Refuses to know pixels, sharp and HTTP.
 */
import type { ImageFormat, Original } from '../image.ts';

/** No side of a rendition is longer than this, in pixels. */
export const MAX_SIDE = 2_048;

/** The formats a rendition may have. */
export type OutputFormat = ImageFormat | 'avif';

export type Fit = 'cover' | 'contain';

/** Which part of the picture a covering crop keeps. */
export type Position = 'center' | 'attention' | 'entropy';

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
   * For `cover`: the size of the whole picture when it is scaled, of which the crop is taken. Settled here, because
   * a rung has the original's proportions only to within half a pixel, which would move the crop.
   */
  readonly scaled?: { readonly width: number; readonly height: number };
  readonly position: Position;
  readonly format: OutputFormat;
  /** 1..100. */
  readonly quality: number;
  /** Keep all frames (only ever for WebP); false: the first frame. */
  readonly animated: boolean;
  /** Put transparent pixels on white, because the format has no transparency. */
  readonly flatten: boolean;
}

/** Part of every plan's key. Raise it whenever the same Plan would give other pixels or bytes than before. */
export const PIPELINE_REVISION = 2;

/** The quality where a request names none. PNG is lossless: its number means nothing. */
export const DEFAULT_QUALITY: Readonly<Record<OutputFormat, number>> = {
  webp: 80,
  jpeg: 82,
  png: 100,
  avif: 50,
};

/** An animation with more output pixels than this, all frames together, becomes its first frame. */
export const MAX_ANIMATION_PIXELS = 100_000_000;

/**
 * A covering crop whose scaled picture had a longer side than this takes a region of the picture instead: libvips
 * fails where that side passes some tens of millions of pixels (1 x 30 000 covering 2048 x 2048), and a smart crop
 * looks at all of it. Above the longest side of any original, so only ever reached by enlarging, where
 * taking a region first costs no shrink-on-load.
 */
const MAX_SCALED_SIDE = 32_768;

const SIZE = /^(0|[1-9][0-9]{0,4})x(0|[1-9][0-9]{0,4})$/;

/** What a plan needs to know of an original. */
export type PlanSource = Pick<Original, 'format' | 'width' | 'height' | 'frames' | 'transparent'>;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size that a text of the form `WxH` names, each 0..99999 without leading zeros; undefined for any other text. */
export function parseSize(text: string): Size | undefined {
  const match = SIZE.exec(text);
  return match === null ? undefined : { width: Number(match[1]), height: Number(match[2]) };
}

/**
 * Resolves what a request asks for against the picture. Total for every transform and original within the documented
 * ranges: both sides of the result are whole numbers in 1..2048.
 */
export function planRendition(transform: Transform, original: PlanSource, format: OutputFormat): Plan {
  const box = {
    width: deviceSide(transform.width, transform.dpr),
    height: deviceSide(transform.height, transform.dpr),
  };
  const geometry = resolveGeometry(box, transform.fit, original);
  const { width, height } = geometry;
  const animated =
    format === 'webp' && original.frames > 1 && original.frames * width * height <= MAX_ANIMATION_PIXELS;
  return {
    ...geometry,
    // Position is settled where nothing is cropped, and frames must all be cropped alike: a smart crop looks at one.
    position: geometry.fit === 'cover' && !animated ? transform.position : 'center',
    format,
    quality: format === 'png' ? DEFAULT_QUALITY.png : (transform.quality ?? DEFAULT_QUALITY[format]),
    animated,
    flatten: format === 'jpeg' && original.transparent,
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
    `${plan.width}x${plan.height}`,
    plan.fit === 'cover' ? `cover-${plan.position}` : 'fill',
  ];
  if (plan.format !== 'png') parts.push(`q${plan.quality}`);
  if (region !== undefined) parts.push(`r${region.left},${region.top},${region.width},${region.height}`);
  if (plan.animated) parts.push('animated');
  if (plan.flatten) parts.push('flat');
  return parts.join('.');
}

/** A requested side in device pixels, capped; 0 stays 0, which means "not given". */
function deviceSide(side: number, dpr: number): number {
  return side === 0 ? 0 : clampSide(side * dpr);
}

function clampSide(side: number): number {
  return Math.min(MAX_SIDE, Math.max(1, Math.round(side)));
}

type Geometry = Pick<Plan, 'width' | 'height' | 'fit' | 'scaled' | 'region'>;

function resolveGeometry(box: Size, fit: Fit, original: Size): Geometry {
  if (box.width === 0 && box.height === 0) {
    return scaled(original, Math.min(1, fitScale(original, MAX_SIDE, MAX_SIDE)));
  }
  if (box.width === 0) return scaled(original, fitScale(original, MAX_SIDE, box.height));
  if (box.height === 0) return scaled(original, fitScale(original, box.width, MAX_SIDE));
  if (fit === 'contain') return scaled(original, fitScale(original, box.width, box.height));
  return cover(box, original);
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

function cover(box: Size, original: Size): Geometry {
  const scale = Math.max(box.width / original.width, box.height / original.height);
  const width = Math.round(original.width * scale);
  const height = Math.round(original.height * scale);
  // Nothing to crop but a fraction of a pixel.
  if (width === box.width && height === box.height) return { ...box, fit: 'fill' };
  if (Math.max(width, height) <= MAX_SCALED_SIDE) return { ...box, fit: 'cover', scaled: { width, height } };
  const region = centredRegion(original, box.width / scale, box.height / scale);
  return { ...box, fit: 'fill', region };
}

/** The middle of the picture, in whole pixels, at least one each way. */
function centredRegion(original: Size, width: number, height: number): NonNullable<Plan['region']> {
  const w = Math.min(original.width, Math.max(1, Math.round(width)));
  const h = Math.min(original.height, Math.max(1, Math.round(height)));
  return {
    left: Math.floor((original.width - w) / 2),
    top: Math.floor((original.height - h) / 2),
    width: w,
    height: h,
  };
}
