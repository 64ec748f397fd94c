/**
 * Writes a backup while servers run: a snapshot of the records, and then the originals that they reference.
 * `backup-format.ts` has the file format.
 */
import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { BlobStore } from '../blobs/store.ts';
import { isAppError, throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import {
  asJSON,
  type BackupSummary,
  FORMAT,
  FORMAT_VERSION,
  type Manifest,
  type MissingOriginal,
  originalEntryName,
  type Preface,
  RECORDS_BYTES,
  recordsEntryName,
  Seal,
  sha256,
  textEntryName,
} from './backup-format.ts';
import { DigestSpool } from './digest-spool.ts';
import { mapInOrder } from './groups.ts';
import { withPausedCollection } from './pause.ts';
import type { MaintenanceRecords, Snapshot, TableRows } from './records.ts';

/** Originals that are read at the same time. Each has at most 16 MiB. */
const READ_AHEAD = 4;

export interface BackupOptions {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly path: string;
  /** Called after each original, with the number of all originals. */
  readonly onOriginal?: (total: number) => void;
  /** Stops the backup with AppError `cancelled` or the reason of the signal. No file and no pause remain. */
  readonly signal?: AbortSignal;
  readonly now?: () => Date;
}

/**
 * Writes a backup. The file gets its name when it is complete and synced; an older file of that name stays
 * until then. At most some originals are in memory.
 *
 * A missing or damaged original is left out and listed in the summary, so that one bad block does not stop
 * the backup.
 */
export async function writeBackup(options: BackupOptions): Promise<BackupSummary> {
  const maintenance = options.records;
  const now = options.now ?? (() => new Date());
  // The pause comes before the snapshot, so that the originals it references stay.
  return withPausedCollection(maintenance, now, () =>
    writeFileAtomically(options.path, (add) => writeEntries(options, now(), add)),
  );
}

type Add = (name: string, bytes: Buffer) => Promise<void>;

async function writeEntries(
  { records: maintenance, blobs, path, onOriginal, signal }: BackupOptions,
  createdOn: Date,
  add: Add,
): Promise<BackupSummary> {
  const seal = new Seal();
  const addSealed: Add = async (name, bytes) => {
    throwIfFired(signal);
    seal.add(name, bytes.length);
    await add(name, bytes);
  };
  await using digests = await DigestSpool.create(dirname(resolve(path)));
  // The snapshot ends before the originals are read, because that may take hours.
  const { records, total } = await maintenance.snapshot((snapshot) =>
    writeRecords(snapshot, createdOn, seal, addSealed, digests),
  );
  const missing: MissingOriginal[] = [];
  let originals = 0;
  let bytes = 0;
  const readWithDigest = async (digest: Digest) => ({
    digest,
    read: await readOriginal(blobs, digest, signal),
  });
  for await (const { digest, read } of mapInOrder(digests.read(), READ_AHEAD, readWithDigest)) {
    if (typeof read === 'string') missing.push({ digest, reason: read });
    else {
      await addSealed(originalEntryName(digest), read);
      originals += 1;
      bytes += read.length;
    }
    onOriginal?.(total);
  }
  const summary: BackupSummary = { records, originals, bytes, missing };
  const manifest: Manifest = { ...summary, entries: seal.entries, digest: seal.digest() };
  const manifestBytes = asJSON(manifest);
  await add(textEntryName('manifest', manifestBytes), manifestBytes);
  return summary;
}

/** Writes the preface and the records of a snapshot. Adds the digests of its originals to `digests`. */
async function writeRecords(
  snapshot: Snapshot,
  createdOn: Date,
  seal: Seal,
  add: Add,
  digests: DigestSpool,
): Promise<{ records: Record<string, number>; total: number }> {
  const preface: Preface = {
    format: FORMAT,
    version: FORMAT_VERSION,
    schema: snapshot.schema,
    createdOn: createdOn.toISOString(),
  };
  const prefaceBytes = asJSON(preface);
  await add(textEntryName('preface', prefaceBytes), prefaceBytes);
  const records: Record<string, number> = {};
  for await (const { table, bytes, count } of packRows(snapshot.rows())) {
    records[table] = (records[table] ?? 0) + count;
    await add(recordsEntryName(seal.entries, table, bytes), bytes);
  }
  for await (const { digest } of snapshot.originals()) await digests.add(digest);
  return { records, total: await snapshot.countOriginals() };
}

/** Rows as the bytes of entries. An entry is full when it reaches RECORDS_BYTES. */
async function* packRows(
  batches: AsyncIterable<TableRows>,
): AsyncGenerator<{ table: string; bytes: Buffer; count: number }> {
  let table = '';
  let lines: string[] = [];
  let length = 0;
  const takeEntry = () => {
    const entry = { table, bytes: Buffer.from(lines.join('')), count: lines.length };
    lines = [];
    length = 0;
    return entry;
  };
  for await (const batch of batches) {
    if (batch.table !== table && lines.length > 0) yield takeEntry();
    table = batch.table;
    for (const row of batch.rows) {
      const line = `${JSON.stringify(row)}\n`;
      lines.push(line);
      length += line.length;
      if (length >= RECORDS_BYTES) yield takeEntry();
    }
  }
  if (lines.length > 0) yield takeEntry();
}

/**
 * The bytes, if they have the digest; else the reason. At most 16 MiB, because they are checked before the
 * write.
 */
async function readOriginal(
  blobs: BlobStore,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<Buffer | string> {
  try {
    const blob = await blobs.openOriginal(digest, signal);
    if (blob === undefined) return 'it is not stored';
    // One buffer of the right size: several originals are in memory at the same time.
    const bytes = Buffer.allocUnsafe(blob.size);
    let length = 0;
    for await (const chunk of blob.stream) length += (chunk as Buffer).copy(bytes, length);
    if (length < bytes.length) return 'it is truncated';
    return sha256(bytes) === digest ? bytes : 'its bytes do not have the digest';
  } catch (error) {
    if (!isAppError(error) || signal?.aborted) throw error;
    // One unreadable original is left out. If no blob can be read, the check throws.
    await blobs.check(signal);
    return `it cannot be read: ${error.message}`;
  }
}

/** Writes a tar next to its target, syncs it and renames it. A failure leaves nothing behind. */
async function writeFileAtomically<T>(path: string, work: (add: Add) => Promise<T>): Promise<T> {
  const { pack } = await import('tar-stream');
  const target = resolve(path);
  const part = join(dirname(target), `.${randomUUID()}.part`);
  const handle = await open(part, 'wx', 0o600);
  try {
    const tar = pack();
    const written = pipeline(tar, handle.createWriteStream({ flush: true }));
    const add: Add = (name, bytes) =>
      new Promise((done, fail) => {
        const header = { name, size: bytes.length, mode: 0o600 };
        tar.entry(header, (error) => (error ? fail(error) : done())).end(bytes);
      });
    const working = work(add).then((outcome) => {
      tar.finalize();
      return outcome;
    });
    try {
      // The first failure has the reason. The other promise would never settle.
      const [outcome] = await Promise.all([working, written]);
      await rename(part, target);
      await syncFolder(dirname(target));
      return outcome;
    } catch (error) {
      tar.destroy();
      await Promise.allSettled([working, written]);
      throw error;
    }
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  } finally {
    await handle.close().catch(() => undefined);
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
