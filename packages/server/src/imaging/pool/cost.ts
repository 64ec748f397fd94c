/**
 * Estimates the cost of a task in milliseconds of one worker on an ordinary core. Only the order of magnitude
 * matters: it separates thumbnails from the tasks that thumbnails must not wait for.
 */
import { type ImageFormat, MAX_ORIGINAL_BYTES, type OutputFormat } from '../../image.ts';
import { MAX_FRAMES } from '../formats/limits.ts';
import type { Plan, PlanSource } from '../plan.ts';

/** A task with a higher cost is large. Large tasks cannot take all workers. */
export const LARGE_COST = 150;

/** Milliseconds to decode and scale one megapixel. */
const DECODE: Readonly<Record<ImageFormat, number>> = { jpeg: 6, png: 14, webp: 12 };

/** Milliseconds to encode one megapixel, with the settings of worker/render.ts. */
const ENCODE: Readonly<Record<OutputFormat, number>> = { jpeg: 20, webp: 70, png: 130, avif: 500 };

/** A graphic is encoded in several ways: docs/adr/0054. */
const GRAPHIC_FACTOR = 4;

/** Milliseconds to decode the largest rung. */
const RUNG_COST = 20;

/**
 * Milliseconds for each megabyte of an upload: a decode, three encodes and two scalings. Pictures of the same
 * size differ more than this number shows.
 */
const INGEST_COST_PER_MB = 200;
const MAX_INGEST_COST = 1_000;

/**
 * Milliseconds for a rendition.
 * @param source of the file; absent: a rung.
 */
export function renderCost(
  plan: Plan,
  source?: Pick<PlanSource, 'format' | 'width' | 'height' | 'frames'>,
): number {
  const frames = plan.animated ? (source?.frames ?? MAX_FRAMES) : 1;
  const decode =
    source === undefined ? RUNG_COST : megapixels(source.width, source.height) * DECODE[source.format];
  const encode = ENCODE[plan.format] * (plan.content === 'graphic' ? GRAPHIC_FACTOR : 1);
  return frames * (decode + megapixels(plan.width, plan.height) * encode);
}

/** Milliseconds for an upload of this size. */
export function ingestCost(bytes: number = MAX_ORIGINAL_BYTES): number {
  return Math.min(MAX_INGEST_COST, (bytes / 1_000_000) * INGEST_COST_PER_MB);
}

function megapixels(width: number, height: number): number {
  return (width * height) / 1_000_000;
}
