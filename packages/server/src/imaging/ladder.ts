/**
 * The ladder, as pure functions: the rungs of an original, the rung for a plan, and the default renditions.
 *
 * A rung is the whole picture, scaled: the first frame, upright, in 8-bit sRGB, with the transparency of the
 * original. A plan without a region gives the same picture from a rung as from the original, at a lower cost.
 * Figures: docs/adr/0006 and 0066.
 */
import type { OutputFormat } from '../image.ts';
import { type Plan, type PlanSource, planRendition } from './plan.ts';
import { DEFAULT_SIZE, MAX_SIDE } from './size.ts';

/**
 * Part of the blob name of every rung. Raise it with every change after which the same original gives other
 * rungs. The old rungs are then no longer found, and missing rungs are made again when a rendition needs
 * them.
 */
const LADDER_REVISION = 3;

/** Long edges of the rungs in pixels, the largest first. */
const EDGES = [MAX_SIDE, 1_024] as const;

/**
 * A rung is made if the long edge of the original is at least 5/4 of the long edge of the rung. Below that,
 * the rung would have more than two thirds of the pixels of the original. It would save little and need many
 * bytes.
 */
const MIN_REDUCTION = { times: 5, by: 4 } as const;

/**
 * A rung is used for a plan if it is at least 3/2 of the size that the plan needs. With a smaller rung, its
 * compression and its scaling would be visible.
 */
const HEADROOM = { times: 3, by: 2 } as const;

export interface Rung {
  readonly name: `${(typeof EDGES)[number]}`;
  /** Width of the upright picture in pixels. */
  readonly width: number;
  /** Height of the upright picture in pixels. */
  readonly height: number;
  /** `jpeg`: quality 90, 4:4:4. `png`: fast compression, with the transparency of the original. */
  readonly format: 'jpeg' | 'png';
}

/** The transform of a public link without parameters. */
const DEFAULT_TRANSFORM = { ...DEFAULT_SIZE, fit: 'cover', position: 'center', dpr: 1 } as const;

/** The rungs of the original, the largest first. A small original has none. */
export function rungsOf(original: PlanSource): readonly Rung[] {
  const { width, height } = original;
  const long = Math.max(width, height);
  const format = rungFormat(original);
  return EDGES.filter((edge) => MIN_REDUCTION.by * long >= MIN_REDUCTION.times * edge).map((edge) => ({
    name: `${edge}` as const,
    width: Math.max(1, Math.round((width * edge) / long)),
    height: Math.max(1, Math.round((height * edge) / long)),
    format,
  }));
}

/** The smallest rung that is large enough for the plan. Undefined: the plan needs the original. */
export function rungFor(plan: Plan, original: PlanSource): Rung | undefined {
  // A region is in pixels of the original, and only the original has all frames.
  if (plan.animated || plan.region !== undefined) return undefined;
  return rungsOf(original).findLast((rung) => suffices(rung, plan, original));
}

/** The name of the blob of a rung, unique for its original. Characters: `[a-z0-9.-]`. */
export function rungBlobName({ name, format }: Rung): string {
  return `${LADDER_REVISION}-${name}.${format}`;
}

/**
 * True if the blob is a rung of an earlier ladder, which is no longer found. False for a later ladder: a
 * newer version makes it while this one still runs.
 */
export function isOutdatedRung(blobName: string): boolean {
  const [, revision] = /^(\d+)-/.exec(blobName) ?? [];
  return revision !== undefined && Number(revision) < LADDER_REVISION;
}

/**
 * The plans of the renditions that are made at ingest: the default size, in the formats that clients request
 * most. Browsers ask for WebP. Other clients get JPEG. They get PNG for a transparent picture, and for a
 * graphic that was uploaded as PNG.
 */
export function defaultPlans(original: PlanSource): Plan[] {
  return defaultFormats(original)
    .map((format) => planRendition(DEFAULT_TRANSFORM, original, format))
    .filter((plan) => !plan.animated);
}

function defaultFormats({ format, transparent, analysis }: PlanSource): readonly OutputFormat[] {
  if (transparent) return ['webp', 'png'];
  return format === 'png' && analysis?.content === 'graphic' ? ['webp', 'jpeg', 'png'] : ['webp', 'jpeg'];
}

function rungFormat({ transparent, analysis }: PlanSource): Rung['format'] {
  return transparent || analysis?.content === 'graphic' ? 'png' : 'jpeg';
}

/** Compares whole numbers, so that exactly 3/2 of the size suffices for all proportions. */
function suffices(rung: Rung, plan: Plan, original: PlanSource): boolean {
  const edge = Math.max(rung.width, rung.height);
  const long = Math.max(original.width, original.height);
  if (plan.fit === 'fill') return HEADROOM.times * Math.max(plan.width, plan.height) <= HEADROOM.by * edge;
  // One side of the scaled picture fits the box exactly. Its long edge is in proportion to that side.
  const [needed, of] =
    plan.width * original.height >= plan.height * original.width
      ? [plan.width, original.width]
      : [plan.height, original.height];
  return HEADROOM.times * needed * long <= HEADROOM.by * edge * of;
}
