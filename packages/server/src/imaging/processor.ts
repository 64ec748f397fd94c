/**
 * The Processor port: what the services ask of the pixels. Refuses to know sharp, child processes and HTTP.
 *
 * Guarantees to every caller:
 * - The bytes are never trusted: whatever they hold, a call ends within 15 s of its start and within the memory
 *   of one worker, and the serving process is not affected.
 * - `AppError('invalid-image')`, with `fields.image`, if the picture is the cause; at `render` also for bytes
 *   that `ingest` would refuse. `AppError('unavailable')` if it is not, or (at `render`) if the
 *   worker ran out of time or memory; also if too much is waiting already, or (at `render`) if it waited 5 s for a
 *   worker. `AppError('cancelled')` when the signal fires.
 */
import type { Digest, Original, OutputFormat } from '../image.ts';
import type { Rung } from './ladder.ts';
import type { Plan, PlanSource } from './plan.ts';

/** What one full decode finds out about uploaded bytes. */
export type Inspection = Pick<Original, 'format' | 'width' | 'height' | 'frames' | 'transparent'>;

/** How long a task took, in milliseconds: in the queue, and in a worker. */
export interface TaskTimes {
  readonly waitMs: number;
  readonly workMs: number;
}

/** The bytes that a Plan produces: re-encoded, sRGB, upright, without any metadata. */
export interface Rendition {
  readonly bytes: Uint8Array;
  readonly format: OutputFormat;
  /** Pixels, of one frame. */
  readonly width: number;
  /** Pixels, of one frame. */
  readonly height: number;
  /** Only of what was asked for; not of what was made on the way of something else. */
  readonly times?: TaskTimes;
}

/** A picture that was accepted, and what was made on the way. */
export interface Ingested {
  readonly inspection: Inspection;
  /** The rungs of its ladder, the largest first; all of them or none. */
  readonly rungs: readonly { readonly rung: Rung; readonly bytes: Uint8Array }[];
  /** Those of the default plans that cost little. */
  readonly renditions: readonly { readonly plan: Plan; readonly rendition: Rendition }[];
  /** Why rungs and renditions are missing, for the log. The picture is accepted all the same. */
  readonly ladderFault?: string;
  readonly times?: TaskTimes;
}

/** What a file holds, for an estimate of what it costs to decode. */
export type RenderSource = Pick<PlanSource, 'format' | 'width' | 'height' | 'frames'>;

export interface RenderOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only serves to estimate the cost; left out, the file is taken for a rung. */
  readonly source?: RenderSource | undefined;
  /** The original that it is made of, at whatever remove: renditions of one never hold up those of all others. */
  readonly original?: Digest | undefined;
}

export interface Processor {
  /**
   * Decodes every pixel of the picture in this local file, says what it is, and makes its ladder and default
   * renditions. `size` is the file's, in bytes; it only serves to estimate the cost, and may be left out.
   */
  ingest(path: string, signal?: AbortSignal, size?: number): Promise<Ingested>;
  /**
   * Makes the rendition that the plan describes from the picture in this local file, which may be a rung where
   * `rungFor` says so.
   */
  render(path: string, plan: Plan, options?: RenderOptions): Promise<Rendition>;
  /** Ends all workers; calls that run are rejected with `unavailable`. */
  close(): Promise<void>;
}
