/**
 * Resolves the Transform of a request against an Original into a Plan: exact geometry, format and quality.
 * All functions are pure, so that the same request always gives the same bytes and the same ETag.
 */
import { type Analysis, FORMATS, type FocalPoint, type Original, type OutputFormat } from '../image.ts';
import { MAX_SIDE, type Size, writeSize } from './size.ts';

/** How a rendition fills the requested box, in the order of the documentation. */
export const FITS = ['cover', 'contain'] as const;
export type Fit = (typeof FITS)[number];

/** Which part of the picture a covering crop keeps. `focal`: the part around the focal point of the image. */
export const POSITIONS = ['center', 'attention', 'entropy', 'focal'] as const;
export type Position = (typeof POSITIONS)[number];

/** The parameters of a request for a rendition. */
export interface Transform {
  /** Pixels. 0: in proportion to the height, or the width of the picture if both sides are 0. */
  readonly width: number;
  /** Pixels. 0: in proportion to the width, or the height of the picture if both sides are 0. */
  readonly height: number;
  readonly fit: Fit;
  readonly position: Position;
  /** 1..100. Absent: the default of the format. */
  readonly quality?: number;
  /** Device pixels for one requested pixel, 1..3. */
  readonly dpr: number;
}

/** The Transform, resolved against the picture. Plain data, so that it can be sent to a worker process. */
export interface Plan {
  /** Width of the output in pixels, from 1 to `MAX_SIDE`. */
  readonly width: number;
  /** Height of the output in pixels, from 1 to `MAX_SIDE`. */
  readonly height: number;
  /** The part of the upright original to scale, in pixels of the original. Absent: the whole original. */
  readonly region?: {
    readonly left: number;
    readonly top: number;
    readonly width: number;
    readonly height: number;
  };
  /** `fill`: scale to exactly the output size, which has the right proportions. `cover`: scale, then crop. */
  readonly fit: 'cover' | 'fill';
  /**
   * For `cover`: the size of the whole scaled picture, and the left top corner of the crop in it. Computed
   * from the original: the proportions of a rung are off by up to half a pixel, which would move the crop.
   */
  readonly scaled?: Size & { readonly left: number; readonly top: number };
  /** The source of the crop: `center` takes it from `scaled`, the others from the pixels. */
  readonly position: 'center' | 'attention' | 'entropy';
  readonly format: OutputFormat;
  /** 1..100. */
  readonly quality: number;
  /** True: keep all frames. False: keep the first frame. */
  readonly animated: boolean;
  /** Put transparent pixels on white, because the output format has no transparency. */
  readonly flatten: boolean;
  /** Decides how the output is encoded. An original that is not analysed yet counts as a photograph. */
  readonly content: Analysis['content'];
}

/** Part of the key of every plan. Raise it with every change after which the same Plan gives other bytes. */
export const PIPELINE_REVISION = 5;

/** The quality for a request without one. The number of PNG has no effect, because PNG is lossless. */
export const DEFAULT_QUALITY: Readonly<Record<OutputFormat, number>> = {
  webp: 80,
  jpeg: 82,
  png: 100,
  avif: 50,
};

/**
 * The limit on an animation: the output pixels plus two thirds of the input pixels, of all frames. An
 * animation above the limit becomes its first frame. Decoding a pixel takes two thirds of the time of
 * encoding one, and a worker does this work well within its deadline. Figures: docs/adr/0020.
 */
export const MAX_ANIMATION_PIXELS = 100_000_000;

/**
 * The longest side of a scaled picture from which a covering crop is taken. Above it, a region of the
 * original is cut out first and then scaled. The reasons: libvips fails on sides of tens of millions of
 * pixels, as in 1 x 30 000 covering 2048 x 2048. A smart crop reads all pixels. Originals have shorter sides,
 * so only enlargements reach the limit, and those lose no shrink-on-load.
 */
const MAX_SCALED_SIDE = 32_768;

/** The facts about an original that decide its plans. */
export type PlanSource = Pick<
  Original,
  'format' | 'width' | 'height' | 'frames' | 'transparent' | 'analysis'
>;

/**
 * The plan for this transform of the original. Never fails for values in the documented ranges. Both sides of
 * the plan are whole numbers from 1 to `MAX_SIDE`.
 */
export function planRendition(
  transform: Transform,
  original: PlanSource,
  format: OutputFormat,
  focalPoint?: FocalPoint,
): Plan {
  const box = deviceBox(transform);
  // Without a focal point, the centre is the best guess.
  const focus = (transform.position === 'focal' && focalPoint) || CENTER;
  const geometry = resolveGeometry(box, transform.fit, original, focus);
  const animated = FORMATS[format].animation && original.frames > 1 && staysAnimated(original, geometry);
  return {
    ...geometry,
    // Without a crop the position has no effect. All frames need the same crop, but a smart crop reads only
    // one frame.
    position:
      geometry.fit === 'cover' && !animated && isSmart(transform.position) ? transform.position : 'center',
    format,
    quality: (FORMATS[format].lossy ? transform.quality : undefined) ?? DEFAULT_QUALITY[format],
    animated,
    flatten: !FORMATS[format].transparency && original.transparent,
    content: original.analysis?.content ?? 'photo',
  };
}

/**
 * The plan as canonical text, for ETags and cache keys. Two plans have the same key exactly if they give the
 * same bytes from the same original. Characters: `[a-z0-9.,-]`.
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
  if (plan.content === 'graphic') parts.push('graphic');
  return parts.join('.');
}

function staysAnimated({ frames, width, height }: PlanSource, output: Size): boolean {
  const thirds = 3 * output.width * output.height + 2 * width * height;
  return frames * thirds <= 3 * MAX_ANIMATION_PIXELS;
}

function cropKey({ position, scaled, width, height }: Plan): string {
  if (position !== 'center' || scaled === undefined) return position;
  const middle = placeCrop(scaled, { width, height }, CENTER);
  const centred = scaled.left === middle.left && scaled.top === middle.top;
  return centred ? position : `${scaled.left},${scaled.top}`;
}

function isSmart(position: Position): position is 'attention' | 'entropy' {
  return position === 'attention' || position === 'entropy';
}

/**
 * The requested box in device pixels. Each side is capped on its own first. The dpr then enlarges both sides
 * by one factor. So the box has the same proportions for every dpr. 0 stays 0: it means "in proportion".
 */
function deviceBox({ width, height, dpr }: Transform): Size {
  const box = { width: Math.min(MAX_SIDE, width), height: Math.min(MAX_SIDE, height) };
  const factor = Math.min(dpr, MAX_SIDE / Math.max(1, box.width, box.height));
  const enlarge = (side: number) => (side === 0 ? 0 : clampSide(side * factor));
  return { width: enlarge(box.width), height: enlarge(box.height) };
}

function clampSide(side: number): number {
  return Math.min(MAX_SIDE, Math.max(1, Math.round(side)));
}

type Geometry = Pick<Plan, 'width' | 'height' | 'fit' | 'scaled' | 'region'>;

const CENTER: FocalPoint = { x: 0.5, y: 0.5 };

function resolveGeometry(box: Size, fit: Fit, original: Size, focus: FocalPoint): Geometry {
  if (box.width === 0 && box.height === 0) {
    return scaleAll(original, Math.min(1, fitScale(original, MAX_SIDE, MAX_SIDE)));
  }
  if (box.width === 0) return scaleAll(original, fitScale(original, MAX_SIDE, box.height));
  if (box.height === 0) return scaleAll(original, fitScale(original, box.width, MAX_SIDE));
  if (fit === 'contain') return scaleAll(original, fitScale(original, box.width, box.height));
  return coverBox(box, original, focus);
}

/** The largest factor with which the scaled picture fits into the box. */
function fitScale(original: Size, width: number, height: number): number {
  return Math.min(width / original.width, height / original.height);
}

function scaleAll(original: Size, scale: number): Geometry {
  return {
    width: clampSide(original.width * scale),
    height: clampSide(original.height * scale),
    fit: 'fill',
  };
}

function coverBox(box: Size, original: Size, focus: FocalPoint): Geometry {
  const scale = Math.max(box.width / original.width, box.height / original.height);
  const width = Math.round(original.width * scale);
  const height = Math.round(original.height * scale);
  // The crop would remove only a fraction of a pixel.
  if (width === box.width && height === box.height) return { ...box, fit: 'fill' };
  const picture = { width, height };
  if (Math.max(width, height) <= MAX_SCALED_SIDE) {
    return { ...box, fit: 'cover', scaled: { ...picture, ...placeCrop(picture, box, focus) } };
  }
  const region = {
    width: Math.min(original.width, Math.max(1, Math.round(box.width / scale))),
    height: Math.min(original.height, Math.max(1, Math.round(box.height / scale))),
  };
  return { ...box, fit: 'fill', region: { ...placeCrop(original, region, focus), ...region } };
}

/**
 * The left top corner of a crop with the focus in its middle, or as near as the edges of the picture allow.
 */
function placeCrop(picture: Size, part: Size, focus: FocalPoint): { left: number; top: number } {
  return {
    left: placeSide(picture.width, part.width, focus.x),
    top: placeSide(picture.height, part.height, focus.y),
  };
}

function placeSide(whole: number, part: number, focus: number): number {
  return Math.min(whole - part, Math.max(0, Math.floor(whole * focus - part / 2)));
}
