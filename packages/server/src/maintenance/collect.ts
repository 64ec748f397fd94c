/**
 * Garbage collection: removes unreferenced originals with their rungs, rungs without an original, and staged
 * files that a crash left. A marker row in the database protects concurrent uploads; see
 * `MaintenanceRecords.garbageCollect`.
 */
import { STALE_UPLOAD } from '../blobs/staging.ts';
import type { BlobStore, StoredOriginal, StoredRung } from '../blobs/store.ts';
import { AppError, throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import { inGroups } from './groups.ts';
import { findObstacle } from './installation.ts';
import type { MaintenanceRecords } from './records.ts';

/** The default grace period of unreferenced blobs, in milliseconds. */
export const DEFAULT_GRACE = 24 * 60 * 60 * 1000;

/** How long marker rows of collected originals are kept, in milliseconds: longer than any upload can take. */
const MARKER_LIFETIME = 24 * 60 * 60 * 1000;

/** Blobs whose records are looked up in one query. */
const BATCH = 500;

/** The most rungs of an original. The total of the progress is estimated with it. */
const MAX_RUNGS = 2;

export interface CollectOptions {
  /** How long a blob must have been unreferenced, in milliseconds. */
  readonly grace?: number;
  /** Only counts what would be removed. */
  readonly dryRun?: boolean;
  /** Called for each original that was removed, or would be. */
  readonly onOriginal?: (digest: Digest, size: number) => void;
  /** Called before the originals and before the rungs, with the estimated number of them. */
  readonly onStage?: (stage: 'originals' | 'rungs', total: number) => void | Promise<void>;
  /** Called for each original and each rung that was checked. */
  readonly onChecked?: () => void;
  /** Stops the run with AppError `cancelled` or the reason of the signal, between two blobs. */
  readonly signal?: AbortSignal;
}

/** What was removed, or would be. */
export interface CollectionSummary {
  originals: number;
  rungs: number;
  /** Bytes of originals and rungs. */
  bytes: number;
  stagedFiles: number;
  /** Unreferenced originals within the grace period. */
  waiting: number;
}

export interface CollectionDependencies {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly now: () => Date;
}

export class GarbageCollection {
  readonly #records: MaintenanceRecords;
  readonly #blobs: BlobStore;
  readonly #now: () => Date;

  constructor({ records, blobs, now }: CollectionDependencies) {
    this.#records = records;
    this.#blobs = blobs;
    this.#now = now;
  }

  /**
   * Removes blobs that have been unreferenced for the grace period. With any grace period, and with uploads
   * on any node at the same time, no image loses its bytes.
   * @throws AppError `conflict` if a backup needs the blobs; earlier removals stay. `conflict` if database
   * and blobs belong to different libraries, or if the schema is of another version.
   */
  async run(options: CollectOptions = {}): Promise<CollectionSummary> {
    const { grace = DEFAULT_GRACE, dryRun = false, onStage, signal } = options;
    const summary: CollectionSummary = { originals: 0, rungs: 0, bytes: 0, stagedFiles: 0, waiting: 0 };
    const obstacle = await findObstacle({ records: this.#records, blobs: this.#blobs });
    if (obstacle !== undefined) throw new AppError('conflict', obstacle.text);
    if (!dryRun) await this.#blobs.undoUnfinishedRemovals();
    const now = this.#now().getTime();
    const isOld: IsOld = (...times) =>
      times.every((time) => time === undefined || now - time.getTime() >= grace);

    await onStage?.('originals', await this.#records.countImages());
    let checked = 0;
    for await (const batch of inGroups(this.#blobs.listOriginals(signal), BATCH)) {
      checked += batch.length;
      await this.#collectOriginals(batch, isOld, options, summary);
    }
    await onStage?.('rungs', checked * MAX_RUNGS);
    for await (const batch of inGroups(this.#blobs.listRungs(signal), BATCH)) {
      await this.#collectRungs(batch, isOld, options, summary);
    }
    const stale = new Date(now - Math.max(grace, STALE_UPLOAD));
    summary.stagedFiles = await this.#blobs.sweepStaging(stale, dryRun);
    if (!dryRun) await this.#records.deleteMarkers(new Date(now - MARKER_LIFETIME));
    return summary;
  }

  async #collectOriginals(
    batch: readonly StoredOriginal[],
    isOld: IsOld,
    { dryRun = false, onOriginal, onChecked, signal }: CollectOptions,
    summary: CollectionSummary,
  ): Promise<void> {
    const unreferenced = await this.#records.findUnreferenced(batch.map(({ digest }) => digest));
    for (const { digest, size, storedOn } of batch) {
      throwIfFired(signal);
      onChecked?.();
      if (!unreferenced.has(digest)) continue;
      if (!isOld(storedOn, unreferenced.get(digest))) {
        summary.waiting += 1;
        continue;
      }
      if (!dryRun && !(await this.#removeOriginal(digest))) continue;
      summary.originals += 1;
      summary.bytes += size;
      onOriginal?.(digest, size);
    }
  }

  /** Removes rungs without an original. The rungs of a removed original went with it. */
  async #collectRungs(
    batch: readonly StoredRung[],
    isOld: IsOld,
    { dryRun = false, onChecked, signal }: CollectOptions,
    summary: CollectionSummary,
  ): Promise<void> {
    const unreferenced = await this.#records.findUnreferenced(batch.map(({ digest }) => digest));
    for (const { digest, name, size, storedOn } of batch) {
      throwIfFired(signal);
      onChecked?.();
      if (!unreferenced.has(digest) || !isOld(storedOn)) continue;
      if ((await this.#blobs.statOriginal(digest)) !== undefined) continue;
      // If the same picture is uploaded right now, the first request for a missing rung rebuilds the ladder.
      if (!dryRun) await this.#blobs.dropRung(digest, name);
      summary.rungs += 1;
      summary.bytes += size;
    }
  }

  /** @returns false if the original is referenced again, or another collector removed it. */
  async #removeOriginal(digest: Digest): Promise<boolean> {
    const removal = this.#blobs.createRemoval(digest);
    if (!(await removal.prepare())) return false;
    let outcome: Awaited<ReturnType<MaintenanceRecords['garbageCollect']>>;
    try {
      outcome = await this.#records.garbageCollect(digest, this.#now(), removal.remove);
    } catch (error) {
      // If this fails too, the next collection undoes the removal.
      await removal.undo().catch(() => undefined);
      throw error;
    }
    if (outcome === 'collected') {
      await removal.finish();
      // The rungs go after the lock is released, so that no upload waits for them. An upload that stored the
      // original again keeps its rungs. If it does so between the next two lines, the first request rebuilds
      // the ladder.
      const isStoredAgain = (await this.#blobs.statOriginal(digest)) !== undefined;
      if (!isStoredAgain) await this.#blobs.dropRungs(digest);
    } else await removal.undo();
    if (outcome !== 'paused') return outcome === 'collected';
    throw new AppError(
      'conflict',
      'a backup is running and needs the originals: retry when it has ended, or 15 minutes after it was killed',
    );
  }
}

type IsOld = (...times: (Date | undefined)[]) => boolean;
