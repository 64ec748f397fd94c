/**
 * Opens the BlobStore that a configuration describes, for the server and the command line. Loads only the
 * driver that is used.
 */
import type { Telemetry } from '../telemetry/telemetry.ts';
import { observeBlobs } from './observed.ts';
import { BlobStore } from './store.ts';

/** The location of originals and rungs. */
export type BlobsConfig = { readonly kind: 'file'; readonly folder: string };

/**
 * @param telemetry measures each call of the driver; absent: no measurement.
 * @throws Error with a message for the operator, if the folder cannot be used.
 */
export async function openBlobs(blobs: BlobsConfig, telemetry?: Telemetry): Promise<BlobStore> {
  const { openFileBlobs } = await import('./fs.ts');
  const driver = await openFileBlobs({ folder: blobs.folder });
  return new BlobStore(telemetry ? observeBlobs(driver, telemetry) : driver);
}
