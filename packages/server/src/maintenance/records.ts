/**
 * The part of the MetadataStore port that maintenance needs: records of all accounts, checked, mended, collected, copied.
 * Refuses to know files, and what a command prints. Nothing of a request ever comes here: it reads across accounts.
 * `test/conformance/metadata-maintenance.ts` is this contract in executable form and runs against every backend.
 */
import type { Digest, Image } from '../image.ts';

export interface MaintenanceRecords {
  /** The migrations that the database has had, and those that this version knows, in order. None: it is empty. */
  schema(): Promise<{ applied: readonly string[]; known: readonly string[] }>;

  /** Which library this is; undefined: it has not been named. */
  libraryID(): Promise<string | undefined>;
  /** Names it, if nobody has: of several that do so at once, one does. @returns the name that it has. */
  nameLibrary(libraryID: string): Promise<string>;

  /** What the database finds wrong with its own files. PostgreSQL checks those itself, when it reads. */
  damage(): Promise<readonly DatabaseDamage[]>;

  /** How many images there are in all accounts, by their counters: how far there is to go. */
  countImages(): Promise<number>;

  /**
   * All images of all accounts in the order of their digests, those with the same original together. Read in batches:
   * what is added or replaced meanwhile may be missed or met twice.
   */
  imagesByOriginal(): AsyncIterable<readonly Image[]>;

  /**
   * Checks what is derived in the records: the counters of accounts, what shows which image, searched texts; and what
   * can be seen of the others. Each finding was confirmed under the lock of its account, so what runs meanwhile is none.
   * With `repair`, what is derived is made anew in the same transaction. That changes nothing that anybody said, so the
   * audit trail does not tell of it. Ends with AppError `cancelled` when the signal fires, or its reason if it is one.
   */
  checkRecords(options: CheckOptions): AsyncIterable<RecordFinding>;

  /** Of these digests, those that no image of any account names; with the time at which the last one ceased to. */
  unnamed(digests: readonly Digest[]): Promise<Map<Digest, Date | undefined>>;

  /**
   * Removes an original that nothing names. Whatever runs on this node or another, `remove` begins only while no image
   * names the digest, and every later insert of it is answered with `collected` until the bytes were stored anew. If this
   * resolves to `collected`, that was so until `remove` had ended: no row names bytes that it took. If it ends otherwise,
   * `remove` may have run beside others, since a database that loses its connection gives the lock away and cannot stop
   * who works under it: whoever calls takes back what `remove` did. An original that is there though nothing names it
   * does no harm, nor does a process that ends in the middle, if another one takes back for it. Who writes
   * records may have to wait for `remove`, so it does one thing and no more.
   * @param remove may be called again. What it throws is thrown.
   * @returns `named`: an image names it; `wanted`: an upload of the same bytes came in between; `held`: somebody
   * holds on to what is there, as long as that may take.
   */
  collect(
    digest: Digest,
    on: Date,
    remove: () => Promise<void>,
  ): Promise<'collected' | 'named' | 'wanted' | 'held'>;

  /** Forgets what was collected before this. No upload may take that long. */
  forgetCollected(before: Date): Promise<void>;

  /** Until then nothing is collected that is named at some time from now on; again with the same ID to go on. */
  hold(holdID: string, until: Date): Promise<void>;
  release(holdID: string): Promise<void>;

  /** Runs `work` over the records as they are at one moment, while others go on writing. */
  snapshot<T>(work: (snapshot: Snapshot) => Promise<T>): Promise<T>;

  /**
   * Fills an empty database with the records of a snapshot, in one transaction: all of them, or none. Rows come table by
   * table, in the order of `Snapshot.rows`. The schema becomes that of the records: `migrate` brings it to this version's.
   * @throws AppError `conflict` if the database is not empty or the records are of another version than it can have;
   * what `rows` throws, and then nothing was added.
   */
  restore(schema: string, rows: AsyncIterable<TableRows>): Promise<void>;
}

/** What is wrong with the files of the database itself. */
export interface DatabaseDamage {
  /** A sentence for people. */
  readonly text: string;
  /** False: what the records say may be wrong, or not come out at all. */
  readonly isReadable: boolean;
}

export interface CheckOptions {
  readonly repair: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** What is wrong in the records. */
export interface RecordFinding {
  readonly kind: 'counters' | 'uses' | 'record';
  readonly accountID: string;
  readonly imageID?: string;
  /** A sentence for people. */
  readonly text: string;
  readonly repaired: boolean;
}

/** A value of a record: columns are texts and whole numbers, in every database. */
export type Cell = string | number | null;
export type Row = Readonly<Record<string, Cell>>;

/** Some rows of one table. */
export interface TableRows {
  readonly table: string;
  readonly rows: readonly Row[];
}

/** The records at one moment. */
export interface Snapshot {
  /** The name of the last migration that the database has had. */
  readonly schema: string;
  /** Every record, table by table so that what is referred to comes first, in batches of some hundred. */
  rows(): AsyncIterable<TableRows>;
  /** Every original that the records name, once, with its length in bytes. */
  originals(): AsyncIterable<{ readonly digest: Digest; readonly size: number }>;
  countOriginals(): Promise<number>;
}
