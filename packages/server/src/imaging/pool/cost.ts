/**
 * Owns the estimate of what a task costs, in milliseconds of one worker on an ordinary core. Only its order of
 * magnitude matters: it tells thumbnails from what they must not wait behind. Pure; refuses to know queues.
 */
import { type ImageFormat, MAX_ORIGINAL_BYTES, type OutputFormat } from '../../image.ts';
import { MAX_FRAMES } from '../formats/limits.ts';
import type { Plan } from '../plan.ts';
import type { RenderSource } from '../processor.ts';

/** A task that costs more is large: there is always a worker, or at least a turn, for what is not. */
export const LARGE_COST = 150;

/** Milliseconds to decode and scale one megapixel. */
const DECODE: Readonly<Record<ImageFormat, number>> = { jpeg: 6, png: 14, webp: 12 };

/** Milliseconds to encode one megapixel, at the settings of pixels.ts. */
const ENCODE: Readonly<Record<OutputFormat, number>> = { jpeg: 20, webp: 70, png: 130, avif: 500 };

/** What a rung of 2048 pixels takes to decode. */
const RUNG_COST = 20;

/** Pictures differ more in what a byte of them holds than this tells: a decode, three encodes and two scalings. */
const INGEST_COST_PER_MB = 200;
const MAX_INGEST_COST = 1_000;

/** Milliseconds for a rendition. `source` is what the file holds; absent: a rung. */
export function renderCost(plan: Plan, source?: RenderSource): number {
  const frames = plan.animated ? (source?.frames ?? MAX_FRAMES) : 1;
  const decode =
    source === undefined ? RUNG_COST : megapixels(source.width, source.height) * DECODE[source.format];
  return frames * (decode + megapixels(plan.width, plan.height) * ENCODE[plan.format]);
}

/** Milliseconds for an upload of so many bytes. */
export function ingestCost(bytes: number = MAX_ORIGINAL_BYTES): number {
  return Math.min(MAX_INGEST_COST, (bytes / 1_000_000) * INGEST_COST_PER_MB);
}

function megapixels(width: number, height: number): number {
  return (width * height) / 1_000_000;
}
