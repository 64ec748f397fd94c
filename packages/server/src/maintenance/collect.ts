/**
 * Garbage collection: removes unreferenced originals with their rungs, unneeded rungs, and staged files that
 * a crash left. Changes of images record the candidates; a sweep over the stored blobs finds the others. A
 * marker row in the database protects concurrent uploads; see `MaintenanceRecords.garbageCollect` and ADR 58.
 */
import { STALE_UPLOAD } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import { forEachConcurrently } from '../concurrency/for-each-concurrently.ts';
import { AppError, throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import { CollectionRun, type CollectionSummary } from './collection-run.ts';
import { findObstacle } from './installation.ts';
import type { Candidate, MaintenanceRecords } from './records.ts';
import { sweepPart } from './sweep.ts';
import { defaultShare, partDigits, partsOf } from './sweep-parts.ts';

/** The default grace period of unreferenced blobs, in milliseconds. */
export const DEFAULT_GRACE = 24 * 60 * 60 * 1000;

/** How long marker rows of collected originals are kept, in milliseconds: longer than any upload can take. */
const MARKER_LIFETIME = 24 * 60 * 60 * 1000;

/** Candidates that a run takes at once. Another run repeats them, if it ends while this one works on them. */
const TAKEN = 20;

export interface CollectOptions {
  /** How long a blob must have been unreferenced, in milliseconds. */
  readonly grace?: number;
  /** The part of the store to sweep, from 0 to 1. Absent: the part that `defaultShare` gives. */
  readonly sweep?: number | undefined;
  /** Only counts what would be removed. */
  readonly dryRun?: boolean;
  /** Called for each original that was removed, or would be. */
  readonly onOriginal?: (digest: Digest, size: number) => void;
  /** Called for each blob that failed, or part of the store that could not be listed. */
  readonly onFailure?: (subject: string, reason: string) => void;
  /** Called at the start, with the estimated number of originals to check. */
  readonly onStart?: (total: number) => void | Promise<void>;
  /** Called for each candidate and each stored original that was checked. */
  readonly onChecked?: () => void;
  /** Stops the run with AppError `cancelled` or the reason of the signal, between two blobs. */
  readonly signal?: AbortSignal;
}

export interface CollectionDependencies {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly now: () => Date;
  /** Removals at the same time. With SQLite, each one keeps out all other writers. */
  readonly removalsAtOnce: number;
}

export class GarbageCollection {
  readonly #records: MaintenanceRecords;
  readonly #blobs: BlobStore;
  readonly #now: () => Date;
  readonly #removalsAtOnce: number;

  constructor({ records, blobs, now, removalsAtOnce }: CollectionDependencies) {
    this.#records = records;
    this.#blobs = blobs;
    this.#now = now;
    this.#removalsAtOnce = removalsAtOnce;
  }

  /**
   * Removes blobs that have been unreferenced for the grace period. With any grace period, and with uploads
   * and other runs on any node at the same time, no image loses its bytes. A run that was killed is continued
   * by the next one.
   * @throws AppError `conflict` if a backup needs the blobs; earlier removals stay. `conflict` if database
   * and blobs belong to different libraries, or if the schema is of another version. `unavailable` if the
   * blob store does not answer.
   */
  async run(options: CollectOptions = {}): Promise<CollectionSummary> {
    const { grace = DEFAULT_GRACE, dryRun = false, onFailure, onStart } = options;
    const obstacle = await findObstacle({ records: this.#records, blobs: this.#blobs });
    if (obstacle !== undefined) throw new AppError('conflict', obstacle.text);
    const restorable = new Set<Digest>();
    if (!dryRun) await this.#blobs.undoUnfinishedRemovals(this.#now(), (digest) => restorable.add(digest));
    // After that, so that an original that was just restored does not look younger than the run.
    const run = new CollectionRun({ blobs: this.#blobs, now: this.#now(), grace, restorable, onFailure });
    const images = await this.#records.countImages();
    const share = options.sweep ?? defaultShare(images);
    await onStart?.(Math.ceil(images * share) + (await this.#records.countCandidates(run.due)));
    await (dryRun ? this.#preview(run, share, images, options) : this.#collect(run, share, images, options));
    run.summary.swept = share;

    for await (const batch of this.#records.listCandidates({ after: run.due })) {
      const unreferenced = await this.#records.findUnreferenced(batch.map(({ digest }) => digest));
      run.summary.waiting += unreferenced.size;
    }
    const stale = new Date(run.now.getTime() - Math.max(grace, STALE_UPLOAD));
    run.summary.stagedFiles = await this.#blobs.sweepStaging(stale, dryRun);
    if (!dryRun) await this.#records.deleteMarkers(new Date(run.now.getTime() - MARKER_LIFETIME));
    return run.summary;
  }

  async #collect(run: CollectionRun, share: number, images: number, options: CollectOptions): Promise<void> {
    const { signal } = options;
    while (await this.#records.adoptReplacements(run.now)) throwIfFired(signal);
    try {
      await this.#collectDue(run, 'none', options, options.onChecked);
      if (share > 0) await this.#sweep(run, share, images, options);
      // Those of a run that was killed, or that still works on them.
      await this.#collectDue(run, 'others', options, options.onChecked);
    } finally {
      // If this fails too, the next run ends with these candidates.
      await this.#records.releaseCandidates(run.id).catch(() => undefined);
    }
  }

  async #sweep(run: CollectionRun, share: number, images: number, options: CollectOptions): Promise<void> {
    const records = this.#records;
    const partAt = partsOf(await records.sweepPosition(), share, partDigits(images));
    for (;;) {
      throwIfFired(options.signal);
      const start = await records.beginSweepPart({ runID: run.id, partAt, on: run.now });
      if (start === undefined) return;
      const isSwept = await run.survive(nameOfPart(start), () =>
        sweepPart(this.#sweepDependencies(run, options), start),
      );
      await this.#collectDue(run, 'none', options);
      if (isSwept) await records.endSweepPart(start);
    }
  }

  /** Counts what a run would remove. */
  async #preview(run: CollectionRun, share: number, images: number, options: CollectOptions): Promise<void> {
    const { onOriginal, onChecked, signal } = options;
    const { summary } = run;
    for await (const batch of this.#records.listCandidates({ upTo: run.due })) {
      const unreferenced = await this.#records.findUnreferenced(batch.map(({ digest }) => digest));
      await forEachConcurrently(batch, this.#removalsAtOnce, async ({ digest }) => {
        throwIfFired(signal);
        onChecked?.();
        if (!unreferenced.has(digest)) return;
        await run.survive(`original ${digest}`, async () => {
          const stored = await run.blob(() => this.#blobs.statOriginal(digest, signal));
          if (stored === undefined) return;
          if (!run.isOld(stored.storedOn)) {
            summary.waiting += 1;
            return;
          }
          summary.originals += 1;
          summary.bytes += stored.size;
          onOriginal?.(digest, stored.size);
        });
      });
    }
    const from = await this.#records.sweepPosition();
    const partAt = partsOf(from, share, partDigits(images));
    for (let part = partAt(from); part !== undefined; part = partAt(part.next)) {
      const { start } = part;
      await run.survive(nameOfPart(start), () => sweepPart(this.#sweepDependencies(run, options), start));
    }
  }

  #sweepDependencies(run: CollectionRun, { dryRun = false, onOriginal, onChecked, signal }: CollectOptions) {
    return { records: this.#records, blobs: this.#blobs, run, dryRun, onOriginal, onChecked, signal };
  }

  /** Visits all candidates that are out of the grace period, and that no run or another run has taken. */
  async #collectDue(
    run: CollectionRun,
    takenBy: 'none' | 'others',
    options: CollectOptions,
    onChecked?: () => void,
  ): Promise<void> {
    for (let after: Candidate | undefined; ; ) {
      throwIfFired(options.signal);
      const taking = { runID: run.id, upTo: run.due, limit: TAKEN, takenBy, after };
      const batch = await this.#records.takeCandidates(taking);
      after = batch.at(-1);
      if (after === undefined) return;
      const unreferenced = await this.#records.findUnreferenced(batch.map(({ digest }) => digest));
      await forEachConcurrently(batch, this.#removalsAtOnce, async (candidate) => {
        throwIfFired(options.signal);
        onChecked?.();
        if (!unreferenced.has(candidate.digest)) await this.#records.forgetCandidate(candidate);
        else await run.survive(`original ${candidate.digest}`, () => this.#visit(run, candidate, options));
      });
    }
  }

  async #visit(run: CollectionRun, candidate: Candidate, { onOriginal }: CollectOptions): Promise<void> {
    const { digest } = candidate;
    const stored = await run.blob(() => this.#blobs.statOriginal(digest));
    if (stored !== undefined) {
      if (!run.isOld(stored.storedOn)) {
        // The bytes were stored again: the grace period starts again.
        await this.#records.recordCandidates([{ digest, unreferencedOn: stored.storedOn }]);
        return;
      }
      if (!(await this.#removeOriginal(run, digest))) return;
      run.summary.originals += 1;
      run.summary.bytes += stored.size;
      onOriginal?.(digest, stored.size);
    }
    const isGone = await this.#dropRungs(run, digest, stored === undefined);
    if (isGone && !run.restorable.has(digest)) await this.#records.forgetCandidate(candidate);
  }

  /** @returns false if the original is referenced again, or if another process works on it. */
  async #removeOriginal(run: CollectionRun, digest: Digest): Promise<boolean> {
    const removal = this.#blobs.createRemoval(digest);
    if (!(await run.blob(removal.prepare))) return false;
    let hasRemoved = false;
    const remove = () => {
      hasRemoved = true;
      return run.blob(removal.remove);
    };
    let outcome: Awaited<ReturnType<MaintenanceRecords['garbageCollect']>>;
    try {
      outcome = await this.#records.garbageCollect(digest, this.#now(), remove);
    } catch (error) {
      // If this fails too, the next collection undoes the removal.
      await (hasRemoved ? removal.undo() : removal.finish()).catch(() => undefined);
      throw error;
    }
    // Without a removal of its own, this run must not bring back what another run has removed meanwhile.
    await run.blob(hasRemoved && outcome !== 'collected' ? removal.undo : removal.finish);
    if (outcome !== 'paused') return outcome === 'collected';
    throw new AppError(
      'conflict',
      'a backup is running and needs the originals: retry when it has ended, or 15 minutes after it was killed',
    );
  }

  /**
   * Removes the rungs of an original that is gone. They go after the lock is released, so that no upload
   * waits for them. An upload that stored the original again keeps its rungs. If it does so between the check
   * and the removal, the first request rebuilds the ladder.
   * @param isLeft the original was removed earlier. The rungs may be those of an upload that runs now.
   * @returns false if an upload has stored blobs of the digest since. It may be killed before it adds an
   * image.
   */
  async #dropRungs(run: CollectionRun, digest: Digest, isLeft: boolean): Promise<boolean> {
    const isStoredAgain = await run.blob(() => this.#blobs.statOriginal(digest));
    if (isStoredAgain !== undefined) return false;
    if (!isLeft) {
      await run.blob(() => this.#blobs.dropRungs(digest));
      return true;
    }
    let isGone = true;
    for await (const { name, size, storedOn } of run.listed(this.#blobs.listRungs({ start: digest }))) {
      if (!run.isOld(storedOn)) {
        isGone = false;
        continue;
      }
      await run.blob(() => this.#blobs.dropRung(digest, name));
      run.summary.rungs += 1;
      run.summary.bytes += size;
    }
    return isGone;
  }
}

function nameOfPart(start: string): string {
  return start === '' ? 'the list of the store' : `the list of digests with the start ${start}`;
}
