/**
 * Owns what the resizers have in common that renditions are compared with: each makes one from an original, cold.
 * Refuses to know how.
 */
import type { OriginalFile, SourceFormat } from '../originals.ts';

/** What to make. */
export interface Job {
  readonly original: OriginalFile;
  readonly width: number;
  readonly height: number;
  readonly format: SourceFormat;
  /** 1..100; undefined: the resizer's default. */
  readonly quality: number | undefined;
}

export interface Resizer {
  readonly name: string;
  /** The bytes of a rendition. Throws if it cannot be made. */
  render(job: Job): Promise<Uint8Array>;
  stop(): Promise<void>;
}

/** Starts a resizer for the originals in a folder; a text says why it cannot be. */
export type StartResizer = (folder: string, originals: readonly OriginalFile[]) => Promise<Resizer | string>;
