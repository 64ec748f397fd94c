/** Makes a place usable again that a library was moved away from. See ADR 64. */
import { AppError } from '../../errors.ts';
import { writeBlobsIdentity } from '../installation.ts';
import { type MovePlaces, type Place, readSource } from './places.ts';
import { digestTables } from './table-digests.ts';

export interface UndoOptions {
  readonly source: Place;
  /** The place that the library was moved to; undefined: it is lost, or the move had not ended. */
  readonly target: MovePlaces['target'] | undefined;
  readonly from: string;
  /** Also if the target has other records than the source, or is lost. */
  readonly force: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly now?: () => Date;
}

/**
 * Opens the source for changes again, and closes the target.
 * @throws AppError `conflict`, without `force`, if changes at the target are lost or it cannot be closed.
 */
export async function undoMove(options: UndoOptions): Promise<void> {
  const { source, target, from, force, signal, now = () => new Date() } = options;
  const { libraryID, state, blobsState } = await readSource(source);
  const isBlobsMove = state === undefined && blobsState?.kind === 'moved';
  if (state === undefined && !isBlobsMove) {
    throw new AppError('conflict', 'the library was not moved from here: there is nothing to undo');
  }
  if (isBlobsMove && !force) {
    const text =
      'the blobs were moved, and originals may have been added at their place since: move them back with ' +
      '"vitrine migrate --blobs", or give new originals up with --force';
    throw new AppError('conflict', text);
  }
  if (state?.kind === 'moved') {
    if (target !== undefined) await closeTarget({ source, target, libraryID, from, force, signal, now });
    else if (!force) {
      const text =
        `the library is in use at ${state.to}: give that place with --to and --blobs, so that it can be ` +
        'closed. If it is lost, use --force';
      throw new AppError('conflict', text);
    }
  }
  if (blobsState !== undefined) await writeBlobsIdentity(source.blobs, libraryID);
  await source.moves.open({ excludesServers: isBlobsMove });
}

async function closeTarget({
  source,
  target,
  libraryID,
  from,
  force,
  signal,
  now,
}: Required<Pick<UndoOptions, 'source' | 'from' | 'force' | 'now'>> & {
  readonly target: MovePlaces['target'];
  readonly libraryID: string;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const identity = await target.moves.identity();
  if (identity?.libraryID !== libraryID) {
    throw new AppError(
      'conflict',
      'the database of --to does not have this library: give the place it is at',
    );
  }
  const closed = { kind: 'moved', to: from, since: now().toISOString() } as const;
  await target.moves.seal(closed);
  if (!force) {
    try {
      const [ofSource, ofTarget] = [
        await digestTables(source.records, signal),
        await digestTables(target.records, signal),
      ];
      if (JSON.stringify(ofSource) !== JSON.stringify(ofTarget)) throw changedTarget();
    } catch (error) {
      if (identity.state === undefined) await target.moves.open();
      throw error;
    }
  }
  if (target.blobs !== source.blobs) await writeBlobsIdentity(target.blobs, libraryID, closed);
}

function changedTarget(): AppError {
  return new AppError(
    'conflict',
    'the library has changed at the target since its move: move it back, with "vitrine migrate" in the ' +
      'environment of the target, or give the changes up with --force',
  );
}
