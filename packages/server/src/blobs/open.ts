/**
 * Opens the BlobStore that a configuration describes, for the server and the command line. Loads only the
 * driver that is used.
 */
import { join } from 'node:path';
import type { WarnLog } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { BlobDriver } from './driver.ts';
import type { BlobsConfig } from './location.ts';
import { observeBlobs } from './observed.ts';
import { BlobStore } from './store.ts';

export interface OpenBlobsOptions {
  readonly blobs: BlobsConfig;
  /** For blobs on S3: the folder of staged and cached files. */
  readonly dataFolder: string;
  /**
   * For blobs on S3: the size of the cache of fetched files; absent or 0: no cache. Only the server has one:
   * one process uses it at a time, and a verification must read the store.
   */
  readonly cacheBytes?: number;
  /** For blobs on S3: nothing is written for a test of the store. */
  readonly isReadOnly?: boolean;
  /** For commands: a slow store is waited for longer than a client of a server would wait. */
  readonly isPatient?: boolean;
  /** Measures each call of the driver; absent: no measurement. */
  readonly telemetry?: Telemetry;
  readonly log?: WarnLog;
}

/** @throws Error with a message for the operator, if the blobs cannot be used. */
export async function openBlobs(options: OpenBlobsOptions): Promise<BlobStore> {
  const { blobs, dataFolder, cacheBytes = 0, telemetry } = options;
  const driver = await openDriver(options);
  const observed = telemetry ? observeBlobs(driver, telemetry) : driver;
  if (blobs.kind === 'file' || cacheBytes === 0) return new BlobStore(observed);
  const { FileCache } = await import('./file-cache.ts');
  const folder = join(dataFolder, 'blob-cache');
  try {
    const cache = await FileCache.open(folder, cacheBytes);
    telemetry?.addGauge('cacheBytes', { tier: 'blobs' }, () => cache.bytes);
    return new BlobStore(observed, cache);
  } catch (error) {
    await driver.close();
    const { cause } = error as Error;
    throw new Error(`The folder ${folder} cannot be used: ${String((cause as Error)?.message ?? error)}`, {
      cause: error,
    });
  }
}

async function openDriver({
  blobs,
  dataFolder,
  isReadOnly,
  isPatient = false,
  log,
}: OpenBlobsOptions): Promise<BlobDriver> {
  if (blobs.kind === 'file') {
    const { openFileBlobs } = await import('./fs.ts');
    return openFileBlobs({ folder: blobs.folder });
  }
  // Loaded on demand, because the SDK is large and few servers use it.
  const { openS3Blobs, PATIENT_LIMITS } = await import('./s3.ts');
  return openS3Blobs({
    location: blobs,
    stagingFolder: join(dataFolder, 'staging'),
    isReadOnly: isReadOnly ?? false,
    log,
    ...(isPatient && { limits: PATIENT_LIMITS }),
  });
}
