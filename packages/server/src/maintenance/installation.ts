/**
 * Owns whether records and blobs belong together: both have the ID of their library, which the database decides at the
 * first start and the blobs then keep. Refuses to know SQL and files. Whoever takes away what no record names must ask
 * here first: for records of another library nothing in these blobs has a name.
 */
import { randomUUID } from 'node:crypto';
import type { BlobStore } from '../blobs/store.ts';
import { AppError } from '../errors.ts';
import type { MaintenanceRecords } from './records.ts';

export interface Parts {
  /** With the schema of this version. */
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
}

interface IDs {
  readonly ofRecords: string | undefined;
  readonly ofBlobs: string | undefined;
}

/**
 * For a start: makes sure that they belong together. What has no ID yet gets one, so that libraries from before there were
 * IDs have one from then on; several servers that start at once agree.
 * @throws AppError `conflict` if they do not.
 */
export async function joinLibrary({ records, blobs }: Parts): Promise<void> {
  const { ofRecords, ofBlobs } = await idsOf({ records, blobs });
  if (ofBlobs !== undefined) {
    if (ofBlobs === ofRecords) return;
    // Also where there is no original yet: another server may be about to store its first.
    throw new AppError('conflict', difference({ ofRecords, ofBlobs }));
  }
  const libraryID = await records.nameLibrary(randomUUID());
  const found = await blobs.storeLibraryIDIfMissing(libraryID);
  // Somebody with another database was there at the same time.
  if (found !== libraryID) {
    throw new AppError('conflict', difference({ ofRecords: libraryID, ofBlobs: found }));
  }
}

/** For who has just filled both: from now on they belong together, whatever the blobs belonged to before. */
export async function claimBlobs({ records, blobs }: Parts): Promise<void> {
  await blobs.storeLibraryID(await records.nameLibrary(randomUUID()));
}

/** Why they do not belong together, for people; undefined: they do. Changes nothing. */
export async function strangersBecause(parts: Parts): Promise<string | undefined> {
  const ids = await idsOf(parts);
  if (ids.ofRecords === undefined && ids.ofBlobs === undefined) {
    return 'neither the database nor the blobs have the ID of a library: start the server once';
  }
  return ids.ofRecords === ids.ofBlobs ? undefined : difference(ids);
}

/** The blobs are asked first: the database is named before them, so whoever finds their ID finds its ID too. */
async function idsOf({ records, blobs }: Parts): Promise<IDs> {
  const ofBlobs = await blobs.readLibraryID();
  return { ofBlobs, ofRecords: await records.libraryID() };
}

function difference({ ofRecords, ofBlobs }: IDs): string {
  if (ofBlobs === undefined) {
    return `the database is that of the library ${ofRecords}, and the blobs belong to none: see VITRINE_BLOBS, or start the server once`;
  }
  const database =
    ofRecords === undefined
      ? 'the database was never used with any blobs'
      : `the database is that of the library ${ofRecords}`;
  return `${database}, and the blobs are those of the library ${ofBlobs}: see VITRINE_DATABASE and VITRINE_BLOBS. If they do belong together, remove the blob named library and start the server`;
}
