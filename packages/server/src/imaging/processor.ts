/**
 * The Processor port: what the services ask of the pixels. Refuses to know sharp, child processes and HTTP.
 *
 * Guarantees to every caller:
 * - The bytes are never trusted: whatever they hold, a call ends within 15 s of its start and within the memory
 *   of one worker, and the serving process is not affected.
 * - `AppError('invalid-image')`, with `fields.image`, if the picture is the cause; at `render` also for bytes
 *   that `inspect` would refuse. `AppError('unavailable')` if it is not, or (at `render`) if the
 *   worker ran out of time or memory. `AppError('cancelled')` when the signal fires.
 */
import type { Original } from '../image.ts';
import type { OutputFormat, Plan } from './plan.ts';

/** What one full decode finds out about uploaded bytes. */
export type Inspection = Pick<Original, 'format' | 'width' | 'height' | 'frames' | 'transparent'>;

/** The bytes that a Plan produces: re-encoded, sRGB, upright, without any metadata. */
export interface Rendition {
  readonly bytes: Uint8Array;
  readonly format: OutputFormat;
  /** Pixels, of one frame. */
  readonly width: number;
  /** Pixels, of one frame. */
  readonly height: number;
}

export interface Processor {
  /** Decodes every pixel of the picture in this local file, and says what it is. */
  inspect(path: string, signal?: AbortSignal): Promise<Inspection>;
  /** Makes the rendition that the plan describes from the picture in this local file. */
  render(path: string, plan: Plan, signal?: AbortSignal): Promise<Rendition>;
  /** Ends all workers; calls that run are rejected with `unavailable`. */
  close(): Promise<void>;
}
