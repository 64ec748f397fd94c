/**
 * Owns how an empty library is filled from a backup, of whichever kind of database: all of it, or nothing. Refuses to know
 * SQL and where blobs are; backup-format.ts has the form of the file.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { AccountRecords } from '../access/records.ts';
import type { BlobStore } from '../blobs/store.ts';
import { AppError, isAppError, throwIfFired } from '../errors.ts';
import { type Digest, MAX_ORIGINAL_BYTES } from '../image.ts';
import {
  type BackupSummary,
  type EntryKind,
  entryNamed,
  FORMAT,
  FORMAT_VERSION,
  limitOf,
  type Manifest,
  type Preface,
  refused,
  Seal,
  sha256,
} from './backup-format.ts';
import { claimBlobs } from './installation.ts';
import type { MaintenanceRecords, Row, TableRows } from './records.ts';

/** The records that a restore fills; a MetadataStore is one. */
export interface RestorableRecords {
  readonly maintenance: MaintenanceRecords;
  readonly accounts: Pick<AccountRecords, 'isEmpty'>;
  /** Brings the schema to this version. */
  migrate(): Promise<void>;
}

export interface RestoreOptions {
  /** Over a database that was never used, or is empty. */
  readonly metadata: RestorableRecords;
  /** Without a single original. */
  readonly blobs: BlobStore;
  readonly path: string;
  /** Told of every original that is done. */
  readonly onOriginal?: () => void;
  /** Told how many bytes of the file were read. */
  readonly onRead?: (bytes: number) => void;
  /** Ends it, with AppError `cancelled` or the reason. As after every failure, nothing of it is left. */
  readonly signal?: AbortSignal;
}

/**
 * Fills an empty library from a backup, of whichever kind of database it is. Each byte is checked on the way; the records
 * count only after all of them and all originals are there and the manifest agrees. Otherwise nothing is left.
 * @throws AppError `conflict` if the library is not empty, or the file is not a whole, unaltered backup that this version
 * can read; it names the entry that is wrong. `unavailable` if it failed and originals that it had stored cannot be removed.
 */
export async function restoreBackup(options: RestoreOptions): Promise<BackupSummary> {
  const { metadata, blobs, path, onOriginal, signal } = options;
  for await (const { digest } of blobs.listOriginals()) {
    throw new AppError('conflict', `the blobs are not empty: there is the original ${digest}`);
  }
  const reader = await BackupReader.open(path, options);
  const stored: Digest[] = [];
  try {
    const preface = await reader.preface();
    const rows = reader.rows(async (digest, bytes) => {
      await using file = await blobs.stage(oneChunk(bytes), { limit: MAX_ORIGINAL_BYTES, signal });
      stored.push(digest);
      await blobs.storeOriginal(file);
      onOriginal?.();
    });
    await metadata.maintenance.restore(preface.schema, rows);
  } catch (error) {
    // They were not here before. If the records are here, or nobody can say, then nothing of theirs may go: what no record
    // names is collected one day.
    const isEmpty = await metadata.accounts.isEmpty().catch(() => false);
    if (isEmpty) await dropAll(blobs, stored, error);
    throw error;
  } finally {
    await reader.close();
  }
  await metadata.migrate();
  await claimBlobs({ records: metadata.maintenance, blobs });
  return reader.summary();
}

/** @throws AppError `unavailable` if some could not be removed. */
async function dropAll(blobs: BlobStore, digests: readonly Digest[], cause: unknown): Promise<void> {
  let kept = 0;
  for (const digest of digests) await blobs.dropOriginal(digest).catch(() => kept++);
  if (kept === 0) return;
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `${why}; and ${kept} originals that were stored before cannot be removed: empty the folder of the blobs before the next restore`;
  throw new AppError('unavailable', text, { cause });
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** Reads a backup from its first entry to its last, and lets nothing out that is not as its name says. */
class BackupReader {
  readonly #entries: AsyncIterator<TarEntry>;
  readonly #options: ReadOptions;
  readonly #seal = new Seal();
  #last = 'its beginning';
  #manifest: Manifest | undefined;

  private constructor(entries: AsyncIterator<TarEntry>, options: ReadOptions) {
    this.#entries = entries;
    this.#options = options;
  }

  static async open(path: string, options: ReadOptions): Promise<BackupReader> {
    if (!(await stat(path)).isFile()) throw new AppError('conflict', `${path} is not a file`);
    return new BackupReader(tarEntries(path), options);
  }

  async preface(): Promise<Preface> {
    const entry = await this.#next();
    if (entry?.is.kind !== 'preface') throw refused('it is no backup of Vitrine');
    const { format, version, schema, createdOn } = fromJSON<Partial<Preface>>(entry.name, entry.bytes);
    if (format !== FORMAT || typeof version !== 'number' || typeof schema !== 'string' || !createdOn) {
      throw refused('it is no backup of Vitrine');
    }
    if (version > FORMAT_VERSION) throw refused('it was made by a newer version of Vitrine');
    return { format, version, schema, createdOn };
  }

  /** All records; then stores all originals; and ends only if the manifest agrees. */
  async *rows(store: (digest: Digest, bytes: Buffer) => Promise<void>): AsyncGenerator<TableRows> {
    const records: Record<string, number> = {};
    let originals = 0;
    let size = 0;
    for (;;) {
      const entry = await this.#next();
      if (entry === undefined) throw refused(`it is cut short after ${this.#last}`);
      const { name, bytes, is } = entry;
      if (is.kind === 'records') {
        const rows = String(bytes)
          .trimEnd()
          .split('\n')
          .map((line) => readRow(name, line));
        records[is.table] = (records[is.table] ?? 0) + rows.length;
        yield { table: is.table, rows };
      } else if (is.kind === 'original') {
        await store(is.digest, bytes);
        originals += 1;
        size += bytes.length;
      } else if (is.kind === 'manifest') {
        const manifest = fromJSON<Manifest>(name, bytes);
        this.#check(manifest, { records, originals, bytes: size });
        this.#manifest = manifest;
        return;
      } else throw refused(`the entry ${name} does not belong there`);
    }
  }

  summary(): BackupSummary {
    if (this.#manifest === undefined) throw new Error('The backup was not read to its end');
    const { records, originals, bytes, missing } = this.#manifest;
    return { records, originals, bytes, missing };
  }

  async close(): Promise<void> {
    await this.#entries.return?.();
  }

  #check(manifest: Manifest, found: Omit<BackupSummary, 'missing'>): void {
    // The manifest itself was counted when it was read.
    const agrees =
      manifest.entries === this.#seal.entries - 1 &&
      manifest.digest === this.#seal.digestBefore() &&
      manifest.originals === found.originals &&
      manifest.bytes === found.bytes &&
      JSON.stringify(manifest.records) === JSON.stringify(found.records);
    if (!agrees) throw refused('its entries are not those that its manifest tells of: some are missing');
  }

  /** The next entry, if its bytes are those that it is named by; undefined: there is none. */
  async #next(): Promise<{ name: string; bytes: Buffer; is: EntryKind } | undefined> {
    const { signal, onRead } = this.#options;
    throwIfFired(signal);
    let next: IteratorResult<TarEntry>;
    try {
      next = await this.#entries.next();
    } catch (error) {
      if (isAppError(error) || !(error instanceof Error) || 'syscall' in error) throw error;
      throw refused(`it is cut short or altered after ${this.#last} (${error.message})`);
    }
    if (next.done) return undefined;
    const { name, bytes, read } = next.value;
    onRead?.(read);
    const is = entryNamed(name);
    if (is === undefined) throw refused(`the entry ${JSON.stringify(name)} does not belong there`);
    if (sha256(bytes) !== is.digest) throw refused(`the entry ${name} is altered`);
    if (is.kind === 'records' && is.number !== this.#seal.entries) {
      throw refused(`an entry is missing between ${this.#last} and the entry ${name}`);
    }
    this.#seal.add(name, bytes.length);
    this.#last = `the entry ${name}`;
    return { name, bytes, is };
  }
}

type ReadOptions = Pick<RestoreOptions, 'signal' | 'onRead'>;

interface TarEntry {
  readonly name: string;
  readonly bytes: Buffer;
  /** How many bytes of the file were read by then. */
  readonly read: number;
}

/** Every file of a tar, with its bytes. Rejects if the tar is cut, or is none. */
async function* tarEntries(path: string): AsyncGenerator<TarEntry> {
  const { extract } = await import('tar-stream');
  const tar = extract();
  const source = createReadStream(path);
  source.on('error', (error) => tar.destroy(error));
  source.pipe(tar);
  try {
    for await (const entry of tar) {
      const { name, size = 0 } = entry.header;
      const limit = limitOf(name);
      if (size > limit) throw refused(`the entry ${name} has ${size} bytes, and none has more than ${limit}`);
      const chunks: Buffer[] = [];
      for await (const chunk of entry) chunks.push(chunk);
      yield { name, bytes: Buffer.concat(chunks), read: source.bytesRead };
    }
  } finally {
    source.destroy();
    tar.destroy();
  }
}

function fromJSON<T>(name: string, bytes: Buffer | string): T {
  try {
    return JSON.parse(String(bytes)) as T;
  } catch {
    throw refused(`the entry ${name} is altered`);
  }
}

function readRow(name: string, line: string): Row {
  const row = fromJSON<Row>(name, line);
  const isCell = (value: unknown) =>
    value === null || typeof value === 'string' || Number.isSafeInteger(value);
  if (typeof row === 'object' && row !== null && Object.values(row).every(isCell)) return row;
  throw refused(`the entry ${name} has a row that is none`);
}
