/**
 * Moves a library to another database, other blobs, or both, while its servers run. Passes bring the target
 * closer to the source. The last one runs while the source is sealed, and ends with a verification.
 * See ADR 64.
 */
import { randomUUID } from 'node:crypto';
import { AppError, throwIfFired } from '../../errors.ts';
import type { MissingOriginal } from '../backup-format.ts';
import { withPausedCollection } from '../pause.ts';
import type { Snapshot, TableRows } from '../records.ts';
import {
  type BlobChanges,
  type BlobVerification,
  type CopyBlobsOptions,
  copyBlobs,
  verifyBlobs,
} from './blobs.ts';
import { checkPlaces, claimTarget, type MovePlaces, reopenSource, switchPlaces } from './places.ts';
import type { RecordChanges } from './records.ts';
import { digestTables, type TableDigest, TableDigests } from './table-digests.ts';

/** The changes of a pass after which the library can be closed for changes: some seconds of work. */
const SMALL_DIFFERENCE = 1_000;

export interface MoveOptions extends MovePlaces {
  /** Ends the move: closes the source for changes, verifies everything and opens the target. */
  readonly finish: boolean;
  /** Reads every blob of the target for the verification. Only with `finish`. */
  readonly readsBlobs: boolean;
  /** Ends the move although the source lacks originals. */
  readonly skipMissing: boolean;
  /** Blobs that are copied at the same time. */
  readonly concurrency: number;
  readonly events?: MoveEvents;
  readonly signal?: AbortSignal | undefined;
  readonly now?: () => Date;
}

export type MoveStage = 'images' | 'originals' | 'verified originals';

export interface MoveEvents {
  /** Called before the records, the blobs and their verification, with the expected number of items. */
  readonly onStage?: (stage: MoveStage, total: number) => void | Promise<void>;
  /** Called for each item of a stage. */
  readonly onItem?: () => void;
  readonly onPass?: (pass: Pass) => void;
  /** Called when the source is closed for changes. */
  readonly onClosed?: () => void;
  readonly onRetry?: (error: Error) => void;
}

/** What a pass changed at the target. */
export interface Pass extends RecordChanges, BlobChanges {
  /** True for a pass while the source was closed for changes. */
  readonly isLast: boolean;
  readonly seconds: number;
}

/**
 * - `copied`: the target is behind the source. `isClose` says whether the difference is small.
 * - `moved`: the library is in use at the target.
 * - `moved-before`: an earlier run ended the move. Nothing was done.
 */
export type MoveSummary =
  | { readonly outcome: 'copied'; readonly isClose: boolean; readonly passes: readonly Pass[] }
  | { readonly outcome: 'moved-before' }
  | {
      readonly outcome: 'moved';
      readonly passes: readonly Pass[];
      /** Of source and target, which are equal. */
      readonly tables: Readonly<Record<string, TableDigest>>;
      readonly verification: BlobVerification | undefined;
      /** Seconds in which the library could not be changed. */
      readonly closedSeconds: number;
    };

/**
 * Copies a library in passes, and ends the move if it is asked to. It can be repeated after it ended in any
 * way, and copies no blob again that is stored.
 * @throws AppError `conflict` if the target cannot be used, the source lacks originals, or the records differ
 * at the end. The source is open for changes again then.
 */
export function moveLibrary(options: MoveOptions): Promise<MoveSummary> {
  const { source, now = () => new Date() } = options;
  return withPausedCollection(source.records, now, () => new Move(options).run());
}

class Move {
  readonly #options: MoveOptions;
  readonly #runID = randomUUID();
  readonly #passes: Pass[] = [];

  constructor(options: MoveOptions) {
    this.#options = options;
  }

  async run(): Promise<MoveSummary> {
    const { finish } = this.#options;
    const check = await checkPlaces(this.#options);
    if (check.isMoved) return { outcome: 'moved-before' };
    await claimTarget(this.#options, check.libraryID, this.#runID);
    const isClose = await this.#passUntilClose(check.isSealed);
    if (!finish) return { outcome: 'copied', isClose, passes: this.#passes };
    return this.#finish(check.libraryID, check.isSealed);
  }

  /** Repeats passes until one finds little to change. @returns false if the library changes too fast. */
  async #passUntilClose(isSealed: boolean): Promise<boolean> {
    for (let before = Number.POSITIVE_INFINITY; ; ) {
      const changes = changesOf(await this.#pass({ isSealed }));
      if (changes <= SMALL_DIFFERENCE) return true;
      if (changes >= before) return false;
      before = changes;
    }
  }

  async #pass({
    isSealed,
    onRows,
  }: {
    isSealed: boolean;
    onRows?: (rows: TableRows) => void;
  }): Promise<Pass> {
    const startedAt = performance.now();
    const records = await this.#copyRecords(isSealed, onRows);
    const blobs = await this.#copyBlobs();
    const pass = { ...records, ...blobs, isLast: isSealed, seconds: secondsSince(startedAt) };
    this.#passes.push(pass);
    this.#options.events?.onPass?.(pass);
    return pass;
  }

  async #copyRecords(isSealed: boolean, onRows?: (rows: TableRows) => void): Promise<RecordChanges> {
    const { source, target, events, signal } = this.#options;
    if (target.records === source.records) return { inserted: 0, updated: 0, deleted: 0 };
    await events?.onStage?.('images', await source.records.countImages());
    const copy = (snapshot: Snapshot) =>
      target.moves.catchUp(snapshot, {
        runID: this.#runID,
        signal,
        onRows: (batch) => {
          onRows?.(batch);
          if (batch.table === 'images') for (const _ of batch.rows) events?.onItem?.();
        },
      });
    return source.records.snapshot(copy, isSealed);
  }

  async #copyBlobs(): Promise<BlobChanges> {
    const { source, target, events } = this.#options;
    if (target.blobs === source.blobs) return { originals: 0, rungs: 0, bytes: 0, missing: [] };
    const total = await source.records.countImages();
    await events?.onStage?.('originals', total);
    return copyBlobs(this.#blobOptions(total));
  }

  #blobOptions(total: number): CopyBlobsOptions {
    const { source, target, concurrency, events, signal } = this.#options;
    return {
      records: target.moves,
      source: source.blobs,
      target: target.blobs,
      total,
      concurrency,
      signal,
      ...(events?.onItem && { onOriginal: events.onItem }),
      ...(events?.onRetry && { onRetry: events.onRetry }),
    };
  }

  async #finish(libraryID: string, isSealed: boolean): Promise<MoveSummary> {
    const { source, events, to, now = () => new Date(), signal } = this.#options;
    // Blobs never change, so their long verification can come before the seal.
    const verification = await this.#verifyBlobs();
    this.#checkMissing([...(this.#passes.at(-1)?.missing ?? []), ...(verification?.repaired.missing ?? [])]);
    throwIfFired(signal);
    const closedAt = performance.now();
    const since = now().toISOString();
    if (!isSealed) await source.moves.seal({ kind: 'closed', to, since });
    events?.onClosed?.();
    let tables: Record<string, TableDigest>;
    try {
      tables = await this.#lastPass();
      throwIfFired(signal);
    } catch (error) {
      await reopenSource(this.#options, libraryID);
      throw error;
    }
    await switchPlaces(this.#options, libraryID, since);
    const closedSeconds = secondsSince(closedAt);
    return { outcome: 'moved', passes: this.#passes, tables, verification, closedSeconds };
  }

  async #verifyBlobs(): Promise<BlobVerification | undefined> {
    const { source, target, events, readsBlobs } = this.#options;
    if (target.blobs === source.blobs) return undefined;
    const total = await source.records.countImages();
    await events?.onStage?.('verified originals', total);
    return verifyBlobs({ ...this.#blobOptions(total), reads: readsBlobs });
  }

  /** @throws AppError `conflict` with the first of them. */
  #checkMissing(missing: readonly MissingOriginal[]): void {
    const [first] = missing;
    if (first === undefined || this.#options.skipMissing) return;
    throw new AppError(
      'conflict',
      `the source lacks ${missing.length} originals, such as ${first.digest} (${first.reason}): repair them ` +
        '(see "vitrine verify"), or move without them with --skip-missing',
    );
  }

  /** A pass over the sealed source, which must leave no difference. @returns the digests of all tables. */
  async #lastPass(): Promise<Record<string, TableDigest>> {
    const { source, target, signal } = this.#options;
    const ofSource = new TableDigests();
    const pass = await this.#pass({ isSealed: true, onRows: (rows) => ofSource.add(rows) });
    this.#checkMissing(pass.missing);
    if (target.records === source.records) return {};
    const ofTarget = await digestTables(target.records, signal);
    const expected = ofSource.result();
    for (const table of new Set([...Object.keys(expected), ...Object.keys(ofTarget)])) {
      if (expected[table]?.digest === ofTarget[table]?.digest) continue;
      throw new AppError(
        'conflict',
        `the records of the target differ from the source in ${table}: ${ofTarget[table]?.rows ?? 0} rows ` +
          `instead of ${expected[table]?.rows ?? 0}. Run the command again`,
      );
    }
    return expected;
  }
}

function changesOf({ inserted, updated, deleted, originals, rungs }: Pass): number {
  return inserted + updated + deleted + originals + rungs;
}

function secondsSince(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 100) / 10;
}
