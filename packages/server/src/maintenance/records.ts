/**
 * The records of all accounts, as maintenance checks, repairs, garbage-collects, copies and restores them.
 * No request uses this port, because it reads across accounts.
 * `test/conformance/metadata-maintenance.ts` tests this contract against every database.
 */
import type { Digest, Image, Original } from '../image.ts';

/** What a decode of today shows of an original of an earlier release. */
export type AnalysedFacts = Required<
  Pick<Original, 'width' | 'height' | 'frames' | 'transparent' | 'analysis'>
>;

/** The schema of a database beside that of this version. Lists of names are in order. */
export interface SchemaState {
  /** The migrations of the database; none if it is empty. */
  readonly applied: readonly string[];
  /** The migrations of this version. */
  readonly available: readonly string[];
  /** The migrations of this version that the database lacks. */
  readonly pending: readonly string[];
  /** The migrations of a newer version. */
  readonly newer: readonly string[];
  /**
   * Whether this version can serve the schema: at most optional migrations are pending, and newer ones allow
   * this version.
   */
  readonly isServable: boolean;
}

export interface MaintenanceRecords {
  /** Reads which migrations the database has. It changes nothing. */
  readSchema(): Promise<SchemaState>;

  /** The ID of this library; undefined if it has none yet. */
  libraryID(): Promise<string | undefined>;
  /** The state of this library; undefined if it is in use here, or has no ID. */
  libraryState(): Promise<LibraryState | undefined>;
  /**
   * For a server: remembers which blobs the library has now. After a move of the blobs alone, this store adds
   * no original any more: such a call is `unavailable`.
   */
  joinBlobs(): Promise<void>;
  /**
   * Sets the ID of this library if it has none. Of several calls at once, one sets it.
   * @returns the ID of the library.
   */
  nameLibrary(libraryID: string): Promise<string>;

  /** Finds damage in the files of the database. PostgreSQL checks its files itself, on each read. */
  findDamage(): Promise<readonly DatabaseDamage[]>;

  /** The number of images in all accounts, from their counters. Progress reports use it as the total. */
  countImages(): Promise<number>;

  /**
   * Reads the images of all accounts, ordered by digest. Each group has the images of one original.
   * The groups are read in batches, so a concurrent insert or replacement may be missing or appear twice.
   */
  imagesByOriginal(): AsyncIterable<readonly Image[]>;

  /** Reads digests of originals without an analysis, in their order, at most `limit` after this one. */
  unanalysedOriginals(after: Digest, limit: number): Promise<readonly Digest[]>;
  /**
   * Stores the analysis of an original, for all its images that have none. Its other facts are stored with
   * it: an earlier release may have read another size or transparency. The images do not count as changed:
   * their `updatedOn` stays, and the audit trail gets no entry.
   * @returns the public IDs of these images.
   */
  storeAnalysis(digest: Digest, facts: AnalysedFacts): Promise<readonly string[]>;

  /**
   * Checks the derived records: the counters of accounts, the uses of images, and the texts for searches.
   * Also checks that other records have possible values. Each finding is confirmed under the lock of its
   * account, so a concurrent change is never a finding.
   *
   * With `repair`, the transaction of the check writes the derived records again. The audit trail gets no
   * entry, because the content of the library does not change.
   * @throws AppError `cancelled`, or the reason of the signal if that is an AppError.
   */
  checkRecords(options: CheckOptions): AsyncIterable<RecordFinding>;

  /**
   * Finds the digests that no image of any account references.
   * @returns by digest, the time at which the last image stopped referencing it, if an image ever did.
   */
  findUnreferenced(digests: readonly Digest[]): Promise<Map<Digest, Date | undefined>>;

  /**
   * Garbage-collects an unreferenced original.
   * - `remove` starts only while no image references the digest, on any node. It runs inside a transaction.
   * - After that, each insert of the digest gets the outcome `collected` until its bytes were stored again.
   * - The result `collected` means that both were true until `remove` ended. So no image references the
   *   removed bytes.
   *
   * If this call throws, `remove` may have run without the lock. A database that loses its connection
   * releases the lock, and cannot stop `remove`. So the caller must undo what `remove` did, which is always
   * safe. An unreferenced original that is still stored does no harm. If the process ends first, another
   * process must undo the removal.
   *
   * Writers of records may have to wait for `remove`, so it must be one short operation.
   *
   * The other results mean that `remove` did not run:
   * - `referenced`: an image references the original.
   * - `busy`: a concurrent upload of the same bytes stopped the collection, or another collector works on it.
   * - `paused`: collection is paused.
   * @param remove may be called more than once. Its errors are thrown.
   */
  garbageCollect(
    digest: Digest,
    on: Date,
    remove: () => Promise<void>,
  ): Promise<'collected' | 'referenced' | 'busy' | 'paused'>;

  /**
   * Records candidates. A change that takes a reference away records its own, in its transaction. A known
   * candidate keeps the later of the two times.
   */
  recordCandidates(candidates: readonly NewCandidate[]): Promise<void>;
  /**
   * Takes candidates for a run, in the order of `listCandidates`. Of several runs at once, each gets others.
   * A killed run keeps its candidates, so a run ends with those that others have taken.
   */
  takeCandidates(options: TakeOptions): Promise<readonly Candidate[]>;
  /** Gives the candidates of a run back that it has not forgotten. */
  releaseCandidates(runID: string): Promise<void>;
  /** Deletes a candidate, unless it was recorded again after the caller read it. */
  forgetCandidate(candidate: Candidate): Promise<void>;
  /** Reads the candidates in batches, by their time and then by digest. `after` is exclusive. */
  listCandidates(range: { readonly upTo?: Date; readonly after?: Date }): AsyncIterable<readonly Candidate[]>;
  /** The number of candidates until this time. */
  countCandidates(upTo: Date): Promise<number>;
  /** @returns those of the digests that are candidates. */
  findCandidates(digests: readonly Digest[]): Promise<Set<Digest>>;

  /**
   * Records candidates from the audit trail: replacements by versions that recorded none. Each call continues
   * where the last one ended, on any node.
   * @returns false if all are recorded. It stays false.
   */
  adoptReplacements(on: Date): Promise<boolean>;

  /** The position of the sweep over the stored blobs. All runs share one sweep. */
  sweepPosition(): Promise<SweepPosition>;
  /**
   * Begins the next part of the sweep for a run. When there is no next one, the run gets the parts that other
   * runs have begun and not ended, because these may have been killed.
   * @returns the digits with which the digests of the part start; undefined if nothing is left.
   */
  beginSweepPart(options: SweepOptions): Promise<string | undefined>;
  /** Ends a part. Without this call, a later run gets the part again. */
  endSweepPart(prefix: string): Promise<void>;

  /**
   * Deletes the marker rows of originals that were collected before this time. No upload may take that long.
   */
  deleteMarkers(before: Date): Promise<void>;

  /** Pauses garbage collection until this time. A second call with the same ID replaces the time. */
  pauseCollection(pauseID: string, until: Date): Promise<void>;
  /** Ends a pause. Other pauses stay. */
  resumeCollection(pauseID: string): Promise<void>;

  /**
   * Runs `work` with the records of one moment, while other clients write.
   * @param isSealed no client can write: see `MoveRecords.seal`. Saves the copy of an SQLite file.
   */
  snapshot<T>(work: (snapshot: Snapshot) => Promise<T>, isSealed?: boolean): Promise<T>;

  /**
   * Fills an empty database with the records of a snapshot, in one transaction. The rows come table by table,
   * in the order of `Snapshot.rows`. The schema becomes that of the records. Call `migrate` to bring it to
   * this version.
   * @throws AppError `conflict` if the database is not empty, or cannot have the schema of the records.
   * @throws the error of `rows`. Then no row is added.
   */
  restore(schema: string, rows: AsyncIterable<TableRows>): Promise<void>;
}

/** An original that may have lost its last reference. Garbage collection verifies it. */
export interface NewCandidate {
  readonly digest: Digest;
  /** When it lost the reference, or was stored if it never had one. */
  readonly unreferencedOn: Date;
}

export interface Candidate extends NewCandidate {
  /** Another one each time the candidate is recorded. */
  readonly token: string;
}

export interface TakeOptions {
  readonly runID: string;
  /** Takes candidates that lost their reference until this time. */
  readonly upTo: Date;
  readonly limit: number;
  /** `none`: those that no run has taken. `others`: those that other runs have taken. */
  readonly takenBy: 'none' | 'others';
  /** Takes candidates that follow this one in their order. */
  readonly after?: Candidate | undefined;
}

export interface SweepPosition {
  /** The number of complete rounds. */
  readonly round: number;
  /** The start of a digest. The present round has passed all digests before it. */
  readonly passed: string;
}

export interface SweepOptions {
  readonly runID: string;
  /** The part at a position and the position after it; undefined at the end of the run. */
  readonly partAt: (position: SweepPosition) => SweepPart | undefined;
  readonly on: Date;
}

export interface SweepPart {
  /** All digests of the part start with these digits. */
  readonly start: string;
  readonly next: SweepPosition;
}

/**
 * Why a library cannot be used where it is. While a library has a state, its tables are sealed: the database
 * refuses every change, by any process. Times are in ISO form.
 * - `incoming`: a move fills it. Only the run with this ID may.
 * - `closed`: a move from here is about to end.
 * - `moved`: the library is in use elsewhere.
 */
export type LibraryState =
  | { readonly kind: 'incoming'; readonly runID: string; readonly from: string }
  | { readonly kind: 'closed' | 'moved'; readonly to: string; readonly since: string };

export interface LibraryIdentity {
  readonly libraryID: string;
  /** Absent: the library is in use here. */
  readonly state?: LibraryState;
}

/** Damage in the files of the database. */
export interface DatabaseDamage {
  /** A sentence for the operator. */
  readonly text: string;
  /** False: reads may give wrong records, or fail. */
  readonly isReadable: boolean;
}

export interface CheckOptions {
  readonly repair: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** A problem in the records. */
export interface RecordFinding {
  readonly kind: 'counters' | 'uses' | 'record';
  readonly accountID: string;
  readonly imageID?: string;
  /** A sentence for the operator. */
  readonly text: string;
  readonly repaired: boolean;
}

/** A value of a row. In every database, columns are texts and whole numbers. */
export type Cell = string | number | null;
export type Row = Readonly<Record<string, Cell>>;

/** Some rows of one table. */
export interface TableRows {
  readonly table: string;
  readonly rows: readonly Row[];
}

/** The records of one moment. */
export interface Snapshot {
  /** The name of the newest migration of the database. */
  readonly schema: string;
  /** All rows, in batches of some hundred. A table comes after the tables that it refers to. */
  rows(): AsyncIterable<TableRows>;
  /** The rows of these whose keys are not in the snapshot. */
  findAbsent(table: string, rows: readonly Row[]): Promise<readonly Row[]>;
  /** Each original that an image references, once, with its length in bytes. */
  originals(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
  countOriginals(): Promise<number>;
}
