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
  /** Which one it is, where that makes a difference to who reads the results. */
  readonly version?: string;
  /** The bytes of a rendition. Throws if it cannot be made. */
  render(job: Job): Promise<Uint8Array>;
  /** What a browser is given that names the formats it takes, and leaves the choice to the resizer. */
  renderForBrowser?(job: Omit<Job, 'format'>): Promise<Uint8Array>;
  stop(): Promise<void>;
}

/** What Chromium sends for an image in a page. */
export const BROWSER_ACCEPT = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';

/** How the results call a resizer. */
export function fullName({ name, version }: Resizer): string {
  return version === undefined ? name : `${name} ${version}`;
}

/** Starts a resizer for the originals in a folder; a text says why it cannot be. */
export type StartResizer = (folder: string, originals: readonly OriginalFile[]) => Promise<Resizer | string>;
