/** Counts what a move would copy, and changes nothing. */
import type { BlobStore } from '../../blobs/store.ts';
import { throwIfFired } from '../../errors.ts';
import type { MaintenanceRecords } from '../records.ts';
import { shardsFor, sizesOfOriginals } from './blobs.ts';
import type { MoveRecords } from './records.ts';

export interface MovePreview {
  readonly images: number;
  /** Originals that the images reference, each once. */
  readonly originals: number;
  readonly bytes: number;
  /** The part of them that the target lacks. */
  readonly originalsToCopy: number;
  readonly bytesToCopy: number;
}

/** @param targetBlobs undefined if the blobs stay. */
export async function previewMove(
  source: { readonly records: MaintenanceRecords; readonly moves: MoveRecords },
  targetBlobs: Pick<BlobStore, 'listOriginals'> | undefined,
  signal?: AbortSignal,
): Promise<MovePreview> {
  const images = await source.records.countImages();
  let [originals, bytes, originalsToCopy, bytesToCopy] = [0, 0, 0, 0];
  for (const prefix of shardsFor(images)) {
    const stored = targetBlobs && (await sizesOfOriginals(targetBlobs, prefix, signal));
    for await (const { digest, size } of source.moves.originals(prefix)) {
      throwIfFired(signal);
      originals += 1;
      bytes += size;
      if (stored === undefined || stored.get(digest) === size) continue;
      originalsToCopy += 1;
      bytesToCopy += size;
    }
  }
  return { images, originals, bytes, originalsToCopy, bytesToCopy };
}
