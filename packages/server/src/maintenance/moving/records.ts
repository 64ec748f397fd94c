/**
 * The records of a library that moves to another place. It has a state, and a seal that refuses every change.
 * Passes bring the rows of the target up to date. See ADR 64.
 */
import type { Digest } from '../../image.ts';
import type { Cell, LibraryIdentity, LibraryState, Row, TableRows } from '../records.ts';

/** The numbers of rows that a pass changed at the target. */
export interface RecordChanges {
  inserted: number;
  updated: number;
  deleted: number;
}

/** The rows that a pass compares the target with. */
export interface RowSource {
  /** All rows, in batches. A table comes after the tables that it refers to. */
  rows(): AsyncIterable<TableRows>;
  /** The rows of these whose keys the source does not have. */
  findAbsent(table: string, rows: readonly Row[]): Promise<readonly Row[]>;
}

export interface CatchUpOptions {
  /** The run of the state `incoming`. */
  readonly runID: string;
  /** Called for each batch of the source, after it was compared. */
  readonly onRows?: (batch: TableRows) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface MoveRecords {
  /** Undefined if the database has no library, or its schema is older than states. */
  identity(): Promise<LibraryIdentity | undefined>;

  /**
   * Makes this database the target of a move, and seals it. It must be empty, or a target of the same library
   * already, or a place that the library was moved away from. An earlier run cannot continue after that.
   * @throws AppError `conflict` if the database is in use, or belongs to another library.
   */
  claim(libraryID: string, state: LibraryState & { kind: 'incoming' }): Promise<void>;

  /**
   * Sets the state and seals all tables. When it resolves, all changes that were begun are committed or
   * refused, and no process can change a record.
   */
  seal(state: LibraryState): Promise<void>;

  /**
   * Removes the state and the seal: the library is in use here.
   * @param options.excludesServers the blobs were moved. Servers that run now add no originals any more: see
   * `MaintenanceRecords.joinBlobs`.
   */
  open(options?: { readonly excludesServers: boolean }): Promise<void>;

  /**
   * Brings the records of a claimed target to those of the source: inserts, updates and deletes rows. Each of
   * its transactions is complete for all other clients, and leaves the tables sealed.
   * @throws AppError `conflict` if another run has claimed the target since, or the target has entries in its
   * audit trail that the source does not have.
   */
  catchUp(source: RowSource, options: CatchUpOptions): Promise<RecordChanges>;

  /** Each original that an image references, once, whose digest begins with these hexadecimal digits. */
  originals(prefix: string): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
}

/** A row as a text that is the same for the same row of any database. */
export function canonicalRow(row: Row): string {
  const cells: [string, Cell][] = Object.keys(row)
    .sort()
    .map((name) => [name, row[name] ?? null]);
  return JSON.stringify(cells);
}
