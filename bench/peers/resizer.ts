/**
 * The common interface of the resizers. Each makes a rendition from an original without a cache.
 */
import type { OriginalFile, SourceFormat } from '../originals.ts';

/** One rendition to make. */
export interface Job {
  readonly original: OriginalFile;
  readonly width: number;
  readonly height: number;
  readonly format: SourceFormat;
  /** 1..100. Undefined: the default of the resizer. */
  readonly quality: number | undefined;
}

export interface Resizer {
  readonly name: string;
  /** The version, if it matters for the results. */
  readonly version?: string;
  /** Makes a rendition. Throws if the resizer fails. */
  render(job: Job): Promise<Uint8Array>;
  /** Makes a rendition for the Accept header of a browser. The resizer chooses the format. */
  renderForBrowser?(job: Omit<Job, 'format'>): Promise<Uint8Array>;
  stop(): Promise<void>;
}

/** The Accept header of Chromium for an image in a page. */
export const BROWSER_ACCEPT = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8';

/** The name of a resizer in the results. */
export function formatName({ name, version }: Resizer): string {
  return version === undefined ? name : `${name} ${version}`;
}

/**
 * Starts a resizer for the originals in a folder. Returns the reason as a string if the resizer is missing.
 */
export type StartResizer = (folder: string, originals: readonly OriginalFile[]) => Promise<Resizer | string>;
