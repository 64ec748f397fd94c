/**
 * Opens the blobs that a configuration names: for the command line beside the server. Only what is used is loaded.
 */
import { BlobStore } from './store.ts';

/** Where originals live. */
export type BlobsConfig = { readonly kind: 'file'; readonly folder: string };

/** @throws Error with a message for the operator, if they cannot be used. */
export async function openBlobs(blobs: BlobsConfig): Promise<BlobStore> {
  const { openFileBlobs } = await import('./fs.ts');
  return new BlobStore(await openFileBlobs({ folder: blobs.folder }));
}
