/**
 * The port for work on pixels. An implementation must never trust the bytes of a picture.
 *
 * Guarantees to every caller, for any content of the file:
 * - A task ends at most 15 s after a worker starts it, and within the memory of one worker. The serving
 *   process is not affected.
 * - `AppError('invalid-image')` with `fields.image` if the picture is the cause. `render` throws it for the
 *   same bytes as `ingest`.
 * - `AppError('unavailable')` if the picture is not the cause, or if too many tasks wait. `render` also
 *   throws it after a wait of 5 s, and when the worker ran out of time or memory.
 * - `AppError('cancelled')` when the signal fires, or the reason of the signal if that is an AppError.
 */
import type { Digest, Original, OutputFormat } from '../image.ts';
import type { Rung } from './ladder.ts';
import type { Plan, PlanSource } from './plan.ts';

/** The facts about an original that one full decode shows. */
export type Inspection = Pick<
  Original,
  'format' | 'width' | 'height' | 'frames' | 'transparent' | 'analysis'
>;

/** The duration of a task in milliseconds: in the queue, and in a worker. */
export interface TaskTimes {
  readonly waitMs: number;
  readonly workMs: number;
}

/** The bytes that a Plan produces: re-encoded, sRGB, upright, without any metadata. */
export interface Rendition {
  readonly bytes: Uint8Array;
  readonly format: OutputFormat;
  /** Width of one frame in pixels. */
  readonly width: number;
  /** Height of one frame in pixels. */
  readonly height: number;
  /** Absent for a rendition that `ingest` made. */
  readonly times?: TaskTimes;
}

/** The result for an accepted picture. */
export interface IngestResult {
  readonly inspection: Inspection;
  /** The rungs of its ladder, the largest first. Either all rungs or none. */
  readonly rungs: readonly { readonly rung: Rung; readonly bytes: Uint8Array }[];
  /** Renditions of those default plans that cost little. */
  readonly renditions: readonly { readonly plan: Plan; readonly rendition: Rendition }[];
  /** The reason why rungs and renditions are missing, for the log. The picture is accepted nevertheless. */
  readonly ladderError?: string;
  readonly times?: TaskTimes;
}

export interface RenderOptions {
  readonly signal?: AbortSignal | undefined;
  /** Present: the file is this original. Absent: it is the rung that `rungFor` names for the plan. */
  readonly source?: PlanSource | undefined;
  /** The digest of the original, also for a file that is a rung. One original cannot take all workers. */
  readonly original?: Digest | undefined;
}

export interface Processor {
  /**
   * Decodes every pixel of the picture in this local file, and makes its ladder and default renditions.
   * @param size of the file in bytes, to estimate the cost. Absent: the largest size of an original.
   */
  ingest(path: string, signal?: AbortSignal, size?: number): Promise<IngestResult>;
  /**
   * Makes the rendition of the plan from the original or its rung in this local file. Both give the same
   * bytes, and so does `ingest`: if the plan has a rung, the rendition of an original is made from that rung.
   */
  render(path: string, plan: Plan, options?: RenderOptions): Promise<Rendition>;
  /** Ends all workers. Running and waiting calls are rejected with `unavailable`. */
  close(): Promise<void>;
}
