/**
 * Opens the BlobStore that a configuration describes. Loads only the driver that is used.
 */
import { BlobStore } from './store.ts';

/** The location of originals and rungs. */
export type BlobsConfig = { readonly kind: 'file'; readonly folder: string };

/** @throws Error with a message for the operator, if the folder cannot be used. */
export async function openBlobs(blobs: BlobsConfig): Promise<BlobStore> {
  const { openFileBlobs } = await import('./fs.ts');
  return new BlobStore(await openFileBlobs({ folder: blobs.folder }));
}
