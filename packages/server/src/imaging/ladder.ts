/**
 * Owns the ladder, as pure functions: which rungs an original has, which of them is enough for a plan, and which
 * renditions are made together with them. Refuses to know pixels, sharp, and where rungs are stored.
 *
 * A rung is the whole picture (the first frame, upright, 8-bit sRGB, transparent where the original is), scaled. So a
 * plan without a region means the same on a rung as on the original, and only costs less. Figures: docs/adr/0006.
 */
import { FORMATS, type Original, type OutputFormat } from '../image.ts';
import { type Plan, type PlanSource, planRendition } from './plan.ts';
import { DEFAULT_SIZE, MAX_SIDE } from './size.ts';

/**
 * Part of every rung's blob name. Raise it whenever the same original would give other rungs: those of before are
 * then no longer found, and are made anew when they are missed.
 */
export const LADDER_REVISION = 1;

/** Long edges in pixels, the largest first. */
const EDGES = [MAX_SIDE, 1_024] as const;

/**
 * A rung is made where the original's long edge is at least this many times the rung's (5/4). Below, it would have
 * more than two thirds of the original's pixels: little to save, for as many bytes again.
 */
const WORTH = { times: 5, by: 4 } as const;

/**
 * A rung serves a plan if it is at least this many times as large as what the plan needs (3/2). Nearer to its own
 * size, its compression and its own scaling would show.
 */
const HEADROOM = { times: 3, by: 2 } as const;

/** A PNG with fewer bytes per pixel than this is a drawing or a screenshot. Photographs have two and more. */
const GRAPHIC_BYTES_PER_PIXEL = 1;

/** What the ladder needs to know of an original. */
export type LadderSource = PlanSource & Pick<Original, 'size'>;

export interface Rung {
  readonly name: `${(typeof EDGES)[number]}`;
  /** Pixels, upright. */
  readonly width: number;
  readonly height: number;
  /** `jpeg`: quality 95, 4:4:4. `png`: lossless, hardly compressed, with transparency if the original has any. */
  readonly format: 'jpeg' | 'png';
}

/** The default size of a public link. */
const DEFAULT_TRANSFORM = { ...DEFAULT_SIZE, fit: 'cover', position: 'center', dpr: 1 } as const;

/** The rungs that the original has, the largest first; none for one that is small itself. */
export function rungsOf(original: LadderSource): readonly Rung[] {
  const { width, height } = original;
  const long = Math.max(width, height);
  const format = rungFormat(original);
  return EDGES.filter((edge) => WORTH.by * long >= WORTH.times * edge).map((edge) => ({
    name: `${edge}` as const,
    width: Math.max(1, Math.round((width * edge) / long)),
    height: Math.max(1, Math.round((height * edge) / long)),
    format,
  }));
}

/** The smallest rung that is enough for the plan; undefined: only the original will do. */
export function rungFor(plan: Plan, original: LadderSource): Rung | undefined {
  // A region is in the original's pixels, and the other frames are only there.
  if (plan.animated || plan.region !== undefined) return undefined;
  return rungsOf(original).findLast((rung) => suffices(rung, plan, original));
}

/** The name of the rung's blob, among those of its original. Characters: `[a-z0-9.-]`. */
export function rungBlobName({ name, format }: Rung): string {
  return `${LADDER_REVISION}-${name}.${format}`;
}

/**
 * The renditions that are made at ingest: the default size, in the formats most asked for. Browsers name WebP; the
 * official SDKs want JPEG, or PNG where that cannot show the picture; who names nothing gets the original's format.
 */
export function defaultPlans(original: PlanSource): Plan[] {
  const formats = new Set<OutputFormat>(original.transparent ? ['webp', 'png'] : ['webp', 'jpeg']);
  formats.add(original.format);
  return [...formats]
    .filter((format) => FORMATS[format].transparency || !original.transparent)
    .map((format) => planRendition(DEFAULT_TRANSFORM, original, format))
    .filter((plan) => !plan.animated);
}

function rungFormat({ format, width, height, size, transparent }: LadderSource): Rung['format'] {
  if (transparent) return 'png';
  return format === 'png' && size < GRAPHIC_BYTES_PER_PIXEL * width * height ? 'png' : 'jpeg';
}

/** Compares by whole numbers, so that exactly one and a half times is enough whatever the proportions. */
function suffices(rung: Rung, plan: Plan, original: LadderSource): boolean {
  const edge = Math.max(rung.width, rung.height);
  const long = Math.max(original.width, original.height);
  if (plan.fit === 'fill') return HEADROOM.times * Math.max(plan.width, plan.height) <= HEADROOM.by * edge;
  // The scaled picture before the crop: the side that decides fits exactly, the long edge is in proportion to it.
  const [needed, of] =
    plan.width * original.height >= plan.height * original.width
      ? [plan.width, original.width]
      : [plan.height, original.height];
  return HEADROOM.times * needed * long <= HEADROOM.by * edge * of;
}
