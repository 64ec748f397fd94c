/**
 * The two places of a move, and which of them the library is in use at. The states in the databases and the
 * blobs decide that, so no server can start at the wrong one. See ADR 64.
 */
import type { BlobStore } from '../../blobs/store.ts';
import { AppError } from '../../errors.ts';
import { readBlobsIdentity, writeBlobsIdentity } from '../installation.ts';
import type { LibraryIdentity, LibraryState, MaintenanceRecords } from '../records.ts';
import type { MoveRecords } from './records.ts';

export interface Place {
  readonly records: MaintenanceRecords;
  readonly moves: MoveRecords;
  readonly blobs: BlobStore;
}

/** A part that stays is the same object at both places. */
export interface MovePlaces {
  readonly source: Place;
  readonly target: Place & { migrate(): Promise<unknown> };
  /** The places, for messages; without secrets. */
  readonly from: string;
  readonly to: string;
}

/** The parts of the places that say which library is there. */
export interface ReadablePlaces extends Pick<MovePlaces, 'to'> {
  readonly source: ReadablePlace;
  readonly target: ReadablePlace;
}

export interface ReadablePlace {
  readonly moves: Pick<MoveRecords, 'identity'>;
  readonly blobs: Pick<BlobStore, 'readLibraryID' | 'listOriginals'>;
}

export interface PlacesCheck {
  readonly libraryID: string;
  /** True: the library is in use at the target already. */
  readonly isMoved: boolean;
  /** True: a run that was to end the move was interrupted, and the source cannot be changed. */
  readonly isSealed: boolean;
}

/**
 * Checks that a move can begin or continue. Changes nothing.
 * @throws AppError `conflict` if it cannot.
 */
export async function checkPlaces(places: ReadablePlaces): Promise<PlacesCheck> {
  const { source, target, to } = places;
  const { libraryID, state, blobsState } = await readSource(source);
  const movesRecords = target.moves !== source.moves;
  const movesBlobs = target.blobs !== source.blobs;
  const targetRecords = movesRecords ? await target.moves.identity() : undefined;
  const targetBlobs = movesBlobs ? await readBlobsIdentity(target.blobs) : undefined;
  const isIn = (part: LibraryIdentity | undefined, kind: LibraryState['kind'] | undefined) =>
    part?.libraryID === libraryID && part.state?.kind === kind;

  const hasLeft = state?.kind === 'moved' || blobsState?.kind === 'moved';
  const isMoved =
    hasLeft &&
    (movesRecords ? isIn(targetRecords, undefined) : state === undefined) &&
    (!movesBlobs || isIn(targetBlobs, undefined));
  if (isMoved) return { libraryID, isMoved, isSealed: true };

  // The end of a move was begun. It can only be repeated with the same target.
  const isEnding = state !== undefined || hasLeft;
  const isTarget = movesRecords ? isIn(targetRecords, 'incoming') : targetBlobs?.libraryID === libraryID;
  if (isEnding && !isTarget) {
    const place = [state, blobsState].find((each) => each !== undefined && 'to' in each);
    const text = `the library was moved to ${place?.to ?? 'another place'}, and not to ${to}: see --undo`;
    throw new AppError('conflict', text);
  }
  if (movesBlobs) await checkBlobs(target.blobs, targetBlobs?.libraryID, libraryID);
  return { libraryID, isMoved: false, isSealed: state !== undefined };
}

interface SourceIdentity extends LibraryIdentity {
  readonly blobsState: LibraryState | undefined;
}

/** @throws AppError `conflict` if records and blobs do not belong together, or are the target of a move. */
export async function readSource({ moves, blobs }: ReadablePlace): Promise<SourceIdentity> {
  const ofRecords = await moves.identity();
  const ofBlobs = await readBlobsIdentity(blobs);
  if (ofRecords === undefined || ofBlobs === undefined) {
    const text =
      'the library has no ID yet, or an earlier schema: start its server once, or run "vitrine migrate"';
    throw new AppError('conflict', text);
  }
  if (ofRecords.libraryID !== ofBlobs.libraryID) {
    const text =
      `the database belongs to the library ${ofRecords.libraryID}, and the blobs to ${ofBlobs.libraryID}: ` +
      'see VITRINE_DATABASE and VITRINE_BLOBS';
    throw new AppError('conflict', text);
  }
  if (ofRecords.state?.kind === 'incoming' || ofBlobs.state?.kind === 'incoming') {
    throw new AppError('conflict', 'a move of the library to its present place has not ended: end it first');
  }
  return { ...ofRecords, blobsState: ofBlobs.state };
}

async function checkBlobs(
  blobs: ReadablePlace['blobs'],
  stored: string | undefined,
  libraryID: string,
): Promise<void> {
  if (stored === libraryID) return;
  if (stored !== undefined) {
    throw new AppError('conflict', `the target blobs belong to another library, ${stored}: use empty ones`);
  }
  for await (const { digest } of blobs.listOriginals()) {
    const text = `the target blobs are not empty, and belong to no library: there is the original ${digest}`;
    throw new AppError('conflict', text);
  }
}

/**
 * Makes the target ready for passes of this run. Until the move ends, no server starts there.
 * @throws AppError `conflict` if the target is in use, or is the source.
 */
export async function claimTarget(places: MovePlaces, libraryID: string, runID: string): Promise<void> {
  const { source, target, from } = places;
  const state = { kind: 'incoming', runID, from } as const;
  if (target.moves !== source.moves) {
    await target.migrate();
    await target.moves.claim(libraryID, state);
  }
  if (target.blobs === source.blobs) return;
  const stored = await readBlobsIdentity(source.blobs);
  await writeBlobsIdentity(target.blobs, libraryID, state);
  const after = await readBlobsIdentity(source.blobs);
  if (after?.state?.kind !== 'incoming') return;
  // Two names for one store.
  await writeBlobsIdentity(source.blobs, libraryID, stored?.state);
  throw new AppError('conflict', 'the target blobs are the blobs of the source: leave --blobs out');
}

/** Ends the move. A run that ends between two steps can be repeated, and no server starts meanwhile. */
export async function switchPlaces(places: MovePlaces, libraryID: string, since: string): Promise<void> {
  const { source, target, to } = places;
  const moved = { kind: 'moved', to, since } as const;
  const movesBlobs = target.blobs !== source.blobs;
  if (target.moves !== source.moves) await source.moves.seal(moved);
  if (movesBlobs) {
    await writeBlobsIdentity(source.blobs, libraryID, moved);
    await writeBlobsIdentity(target.blobs, libraryID);
  }
  // Servers that run with the former blobs share the database only if it stays.
  await target.moves.open({ excludesServers: movesBlobs && target.moves === source.moves });
}

/** Makes the source usable again after its move could not end. */
export async function reopenSource(places: MovePlaces, libraryID: string): Promise<void> {
  const { source, target } = places;
  if (target.blobs !== source.blobs) await writeBlobsIdentity(source.blobs, libraryID);
  await source.moves.open();
}
