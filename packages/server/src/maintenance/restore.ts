/**
 * Restores a backup into an empty library, with either kind of database: all of it or nothing.
 * `backup-format.ts` has the file format.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import type { AccountRecords } from '../access/records.ts';
import type { BlobStore } from '../blobs/store.ts';
import { AppError, isAppError, throwIfFired } from '../errors.ts';
import { type Digest, MAX_ORIGINAL_BYTES } from '../image.ts';
import {
  type BackupSummary,
  type EntryKind,
  FORMAT,
  FORMAT_VERSION,
  type Manifest,
  maxEntryBytes,
  type Preface,
  parseEntryName,
  Seal,
  sha256,
  unusableBackup,
} from './backup-format.ts';
import { DigestSpool } from './digest-spool.ts';
import { claimBlobs } from './installation.ts';
import type { MaintenanceRecords, Row, TableRows } from './records.ts';

/** Originals that are stored at the same time. Each has at most 16 MiB. */
const CONCURRENCY = 8;

/** The records that a restore fills; a MetadataStore is one. */
export interface RestorableRecords {
  readonly maintenance: MaintenanceRecords;
  readonly accounts: Pick<AccountRecords, 'isEmpty'>;
  /** Brings the schema to this version. */
  migrate(): Promise<unknown>;
}

export interface RestoreOptions {
  /** Over an unused or empty database. */
  readonly metadata: RestorableRecords;
  /** Without a single original. */
  readonly blobs: BlobStore;
  readonly path: string;
  /** Called after each original. */
  readonly onOriginal?: () => void;
  /** Called with the number of bytes read from the file. */
  readonly onRead?: (bytes: number) => void;
  /** Stops the restore with AppError `cancelled` or the reason of the signal. Nothing of it remains. */
  readonly signal?: AbortSignal;
}

/**
 * Fills an empty library from a backup of either kind of database. Each entry is checked. The records are
 * committed after all originals are stored and the manifest matches. After a failure nothing remains.
 * @throws AppError `conflict` if the library is not empty. `conflict` with the name of the entry if the file
 * is incomplete, altered or of a newer version. `unavailable` if stored originals cannot be removed after a
 * failure.
 */
export async function restoreBackup(options: RestoreOptions): Promise<BackupSummary> {
  const { metadata, blobs, path, onOriginal, signal } = options;
  for await (const { digest } of blobs.listOriginals()) {
    throw new AppError('conflict', `the blobs are not empty: there is the original ${digest}`);
  }
  const reader = await BackupReader.open(path, options);
  await using stored = await DigestSpool.create(tmpdir());
  const writer = new OriginalWriter(async (digest, bytes) => {
    await using file = await blobs.stage(oneChunk(bytes), { limit: MAX_ORIGINAL_BYTES, signal });
    await stored.add(digest);
    await blobs.storeOriginal(file);
    onOriginal?.();
  });
  try {
    const preface = await reader.preface();
    const rows = async function* () {
      yield* reader.rows((digest, bytes) => writer.add(digest, bytes));
      await writer.end();
    };
    await metadata.maintenance.restore(preface.schema, rows());
  } catch (error) {
    await writer.end().catch(() => undefined);
    // These originals are new. If records exist or the database does not answer, the originals stay, and
    // garbage collection removes the unreferenced ones later.
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
async function dropAll(blobs: BlobStore, digests: DigestSpool, cause: unknown): Promise<void> {
  let remaining = 0;
  for await (const digest of digests.read()) await blobs.dropOriginal(digest).catch(() => remaining++);
  if (remaining === 0) return;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const text =
    `${reason}; and ${remaining} originals that were already stored cannot be removed: ` +
    'empty the folder of the blobs before the next restore';
  throw new AppError('unavailable', text, { cause });
}

/** Stores some originals at the same time, because a store in the network takes long for each. */
class OriginalWriter {
  readonly #store: (digest: Digest, bytes: Buffer) => Promise<void>;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(store: (digest: Digest, bytes: Buffer) => Promise<void>) {
    this.#store = store;
  }

  /** Waits for a free place. @throws the first error of an original that was added before. */
  async add(digest: Digest, bytes: Buffer): Promise<void> {
    while (this.#running.size >= CONCURRENCY) await Promise.race(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
    const running = this.#store(digest, bytes)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits for all originals. @throws the first error. */
  async end(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

async function* oneChunk(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/**
 * Reads a backup from its first entry to its last. It returns only entries whose bytes have the digest of
 * their name.
 */
class BackupReader {
  readonly #entries: AsyncIterator<TarEntry>;
  readonly #options: ReadOptions;
  readonly #seal = new Seal();
  #lastEntry = 'its beginning';
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
    if (entry?.is.kind !== 'preface') throw unusableBackup('it is not a backup of Vitrine');
    const { format, version, schema, createdOn } = fromJSON<Partial<Preface>>(entry.name, entry.bytes);
    if (format !== FORMAT || typeof version !== 'number' || typeof schema !== 'string' || !createdOn) {
      throw unusableBackup('it is not a backup of Vitrine');
    }
    if (version > FORMAT_VERSION) throw unusableBackup('it was made by a newer version of Vitrine');
    return { format, version, schema, createdOn };
  }

  /** Yields all records, then stores all originals. Ends only if the manifest matches. */
  async *rows(store: (digest: Digest, bytes: Buffer) => Promise<void>): AsyncGenerator<TableRows> {
    const records: Record<string, number> = {};
    let originals = 0;
    let size = 0;
    for (;;) {
      const entry = await this.#next();
      if (entry === undefined) throw unusableBackup(`it is cut short after ${this.#lastEntry}`);
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
      } else throw unusableBackup(`the entry ${name} is unexpected`);
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

  #check(manifest: Manifest, counts: Omit<BackupSummary, 'missing'>): void {
    // The manifest itself is among the entries of the seal.
    const matches =
      manifest.entries === this.#seal.entries - 1 &&
      manifest.digest === this.#seal.digestBeforeLast() &&
      manifest.originals === counts.originals &&
      manifest.bytes === counts.bytes &&
      JSON.stringify(manifest.records) === JSON.stringify(counts.records);
    if (!matches) throw unusableBackup('its entries do not match its manifest: some are missing');
  }

  /** The next entry, after a check of its digest; undefined after the last one. */
  async #next(): Promise<{ name: string; bytes: Buffer; is: EntryKind } | undefined> {
    const { signal, onRead } = this.#options;
    throwIfFired(signal);
    let next: IteratorResult<TarEntry>;
    try {
      next = await this.#entries.next();
    } catch (error) {
      if (isAppError(error) || !(error instanceof Error) || 'syscall' in error) throw error;
      throw unusableBackup(`it is cut short or altered after ${this.#lastEntry} (${error.message})`);
    }
    if (next.done) return undefined;
    const { name, bytes, read } = next.value;
    onRead?.(read);
    const is = parseEntryName(name);
    if (is === undefined) throw unusableBackup(`the entry ${JSON.stringify(name)} is unexpected`);
    if (sha256(bytes) !== is.digest) throw unusableBackup(`the entry ${name} is altered`);
    if (is.kind === 'records' && is.number !== this.#seal.entries) {
      throw unusableBackup(`an entry is missing between ${this.#lastEntry} and the entry ${name}`);
    }
    this.#seal.add(name, bytes.length);
    this.#lastEntry = `the entry ${name}`;
    return { name, bytes, is };
  }
}

type ReadOptions = Pick<RestoreOptions, 'signal' | 'onRead'>;

interface TarEntry {
  readonly name: string;
  readonly bytes: Buffer;
  /** The bytes of the file that were read so far. */
  readonly read: number;
}

/** Every file of a tar, with its bytes. Rejects if the file is truncated or not a tar. */
async function* tarEntries(path: string): AsyncGenerator<TarEntry> {
  const { extract } = await import('tar-stream');
  const tar = extract();
  const source = createReadStream(path);
  source.on('error', (error) => tar.destroy(error));
  source.pipe(tar);
  try {
    for await (const entry of tar) {
      const { name, size = 0 } = entry.header;
      const limit = maxEntryBytes(name);
      if (size > limit) throw unusableBackup(`the entry ${name} has ${size} bytes: limit ${limit} bytes`);
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
    throw unusableBackup(`the entry ${name} is altered`);
  }
}

function readRow(name: string, line: string): Row {
  const row = fromJSON<Row>(name, line);
  const isCell = (value: unknown) =>
    value === null || typeof value === 'string' || Number.isSafeInteger(value);
  if (typeof row === 'object' && row !== null && Object.values(row).every(isCell)) return row;
  throw unusableBackup(`the entry ${name} has a malformed row`);
}
