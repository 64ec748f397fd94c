/**
 * Checks that records and blobs belong to the same library. Both store the ID of their library: the database
 * decides it at the first start, and the blobs then keep it. Garbage collection must check it first, because
 * records of another library reference none of these blobs.
 */
import { randomUUID } from 'node:crypto';
import type { BlobStore } from '../blobs/store.ts';
import { AppError } from '../errors.ts';
import type { LibraryIdentity, LibraryState, MaintenanceRecords } from './records.ts';

export interface LibraryParts {
  /** With the schema of this version. */
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
}

interface LibraryIDs {
  readonly ofRecords: string | undefined;
  readonly ofBlobs: string | undefined;
}

/**
 * For a start: checks that records and blobs belong together. A part without an ID gets one, so libraries of
 * earlier versions have one from then on. Several servers that start at once agree on it.
 * @throws AppError `conflict` if they belong to different libraries, or the library is being moved or was
 * moved.
 */
export async function joinLibrary({ records, blobs }: LibraryParts): Promise<void> {
  // Before the blobs are read, so that their move in between is noticed by the first upload.
  await records.joinBlobs();
  const { ofRecords, ofBlobs, moveText } = await readIDs({ records, blobs });
  if (moveText !== undefined) throw new AppError('conflict', moveText);
  if (ofBlobs !== undefined) {
    if (ofBlobs === ofRecords) return;
    // This holds without any original too, because another server may be about to store its first one.
    throw new AppError('conflict', mismatchText({ ofRecords, ofBlobs }));
  }
  const libraryID = await records.nameLibrary(randomUUID());
  // A move may have claimed the database since the first read.
  const state = await records.libraryState();
  if (state !== undefined) throw new AppError('conflict', stateText(libraryID, state));
  const stored = await blobs.storeLibraryIDIfMissing(libraryID);
  // A server with another database was faster.
  if (stored !== libraryID) {
    throw new AppError('conflict', mismatchText({ ofRecords: libraryID, ofBlobs: stored }));
  }
}

/** For a restore that has filled both parts: makes the blobs belong to the records. */
export async function claimBlobs({ records, blobs }: LibraryParts): Promise<void> {
  await blobs.storeLibraryID(await records.nameLibrary(randomUUID()));
}

/** Why records and blobs do not belong together; undefined if they do. Changes nothing. */
export async function mismatchReason(parts: LibraryParts): Promise<string | undefined> {
  const ids = await readIDs(parts);
  if (ids.moveText !== undefined) return ids.moveText;
  if (ids.ofRecords === undefined && ids.ofBlobs === undefined) {
    return 'neither the database nor the blobs have a library ID: start the server once';
  }
  return ids.ofRecords === ids.ofBlobs ? undefined : mismatchText(ids);
}

/** Why maintenance cannot judge these blobs by these records: another schema or another library. */
export async function findObstacle({
  records,
  blobs,
}: LibraryParts): Promise<{ kind: 'schema' | 'library'; text: string } | undefined> {
  const { applied, available, newer, isServable } = await records.readSchema();
  // Also if this version can serve the schema: new tables may refer to originals.
  if (newer.length > 0) {
    const text =
      `a newer version of Vitrine has changed the schema of the database (${newer.join(', ')}): ` +
      'use the command of that version';
    return { kind: 'schema', text };
  }
  if (!isServable) {
    const text =
      `the database has the schema ${applied.at(-1) ?? '(none)'} and this version needs ${available.at(-1)}: ` +
      'run "vitrine migrate" or start the server';
    return { kind: 'schema', text };
  }
  const text = await mismatchReason({ records, blobs });
  return text === undefined ? undefined : { kind: 'library', text };
}

/** The ID of the library of the blobs, and their state. */
export async function readBlobsIdentity(
  blobs: Pick<BlobStore, 'readLibraryID'>,
): Promise<LibraryIdentity | undefined> {
  const text = await blobs.readLibraryID();
  if (text === undefined) return undefined;
  const [libraryID = '', state] = text.split('\n');
  try {
    return { libraryID, ...(state && { state: JSON.parse(state) as LibraryState }) };
  } catch {
    return { libraryID: text };
  }
}

/** Stores the ID of the library in the blobs. With a state, no server starts on them, of any version. */
export async function writeBlobsIdentity(
  blobs: BlobStore,
  libraryID: string,
  state?: LibraryState,
): Promise<void> {
  await blobs.storeLibraryID(state === undefined ? libraryID : `${libraryID}\n${JSON.stringify(state)}`);
}

/** Reads the blobs first. The database gets its ID before the blobs, so a blob ID implies a database ID. */
async function readIDs({ records, blobs }: LibraryParts): Promise<LibraryIDs & { moveText?: string }> {
  const stored = await readBlobsIdentity(blobs);
  const ofRecords = await records.libraryID();
  const state = (await records.libraryState()) ?? stored?.state;
  const moveText = state && stateText(ofRecords ?? stored?.libraryID ?? '', state);
  return { ofBlobs: stored?.libraryID, ofRecords, ...(moveText !== undefined && { moveText }) };
}

function stateText(libraryID: string, state: LibraryState): string {
  switch (state.kind) {
    case 'incoming':
      return (
        `a move of the library ${libraryID} to this place has not ended (from ${state.from}): ` +
        'end it with "vitrine migrate" and --finish'
      );
    case 'closed':
      return (
        `a move of the library ${libraryID} to ${state.to} was about to end at ${state.since}: ` +
        'end it with "vitrine migrate" and --finish, or give it up with --undo'
      );
    case 'moved':
      return (
        `the library ${libraryID} was moved to ${state.to} at ${state.since}: start its server there, with ` +
        'VITRINE_DATABASE and VITRINE_BLOBS of that place. To use it here again, see "vitrine migrate --undo"'
      );
  }
}

function mismatchText({ ofRecords, ofBlobs }: LibraryIDs): string {
  if (ofBlobs === undefined) {
    return (
      `the database belongs to the library ${ofRecords}, and the blobs belong to none: ` +
      'see VITRINE_BLOBS, or start the server once'
    );
  }
  const database =
    ofRecords === undefined
      ? 'the database was never used with any blobs'
      : `the database belongs to the library ${ofRecords}`;
  return (
    `${database}, and the blobs belong to the library ${ofBlobs}: see VITRINE_DATABASE and VITRINE_BLOBS. ` +
    'If they do belong together, remove the blob named library and start the server'
  );
}
