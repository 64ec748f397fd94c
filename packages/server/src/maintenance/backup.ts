/**
 * Owns how a backup is made while others go on working: records of one moment, and then the originals that they name.
 * Refuses to know SQL and where blobs are; backup-format.ts has the form of the file.
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
  nameOfOriginal,
  nameOfRecords,
  nameOfText,
  type Preface,
  RECORDS_BYTES,
  Seal,
  sha256,
} from './backup-format.ts';
import type { MaintenanceRecords, Snapshot, TableRows } from './records.ts';

/** How long a backup that is killed goes on holding what it needs, and how often a live one says that it lives; in ms. */
const HOLD = 15 * 60 * 1000;
const HOLD_RENEWAL = 60 * 1000;

export interface BackupOptions {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly path: string;
  /** Told of every original that is done. `total` is how many there are, as far as that is known. */
  readonly onOriginal?: (total: number) => void;
  /** Ends it, with AppError `cancelled` or the reason. As after every failure, nothing of it is left, nor held. */
  readonly signal?: AbortSignal;
  readonly now?: () => Date;
}

/**
 * Writes a backup, while others go on working. The file appears under its name when it is whole and on the disk; one that
 * has the name stays until then. Memory is bounded by one original.
 *
 * An original that is missing or damaged is left out and told: one bad block must not keep the rest from being safe.
 */
export async function writeBackup(options: BackupOptions): Promise<BackupSummary> {
  const maintenance = options.records;
  const now = options.now ?? (() => new Date());
  const holdID = randomUUID();
  const hold = () => maintenance.pauseCollection(holdID, new Date(now().getTime() + HOLD));
  // Before the records are read: what they name stays from then on.
  await hold();
  const renewal = setInterval(() => void hold().catch(() => undefined), HOLD_RENEWAL);
  try {
    return await maintenance.snapshot((snapshot) =>
      writeFileWhole(options.path, (add) => writeEntries(snapshot, options, now(), add)),
    );
  } finally {
    clearInterval(renewal);
    await maintenance.resumeCollection(holdID).catch(() => undefined);
  }
}

type Add = (name: string, bytes: Buffer) => Promise<void>;

async function writeEntries(
  snapshot: Snapshot,
  { blobs, onOriginal, signal }: BackupOptions,
  createdOn: Date,
  add: Add,
): Promise<BackupSummary> {
  const seal = new Seal();
  const addSealed: Add = async (name, bytes) => {
    throwIfFired(signal);
    seal.add(name, bytes.length);
    await add(name, bytes);
  };
  const preface: Preface = {
    format: FORMAT,
    version: FORMAT_VERSION,
    schema: snapshot.schema,
    createdOn: createdOn.toISOString(),
  };
  const about = asJSON(preface);
  await addSealed(nameOfText('preface', about), about);

  const records: Record<string, number> = {};
  for await (const { table, bytes, count } of inEntries(snapshot.rows())) {
    records[table] = (records[table] ?? 0) + count;
    await addSealed(nameOfRecords(seal.entries, table, bytes), bytes);
  }

  const total = await snapshot.countOriginals();
  const missing: MissingOriginal[] = [];
  let originals = 0;
  let bytes = 0;
  for await (const { digest } of snapshot.originals()) {
    const read = await readOriginal(blobs, digest, signal);
    if (typeof read === 'string') missing.push({ digest, reason: read });
    else {
      await addSealed(nameOfOriginal(digest), read);
      originals += 1;
      bytes += read.length;
    }
    onOriginal?.(total);
  }
  const summary: BackupSummary = { records, originals, bytes, missing };
  const manifest: Manifest = { ...summary, entries: seal.entries, digest: seal.digest() };
  const text = asJSON(manifest);
  await add(nameOfText('manifest', text), text);
  return summary;
}

/** Rows as the bytes of entries, none larger than it must be. */
async function* inEntries(
  batches: AsyncIterable<TableRows>,
): AsyncGenerator<{ table: string; bytes: Buffer; count: number }> {
  let table = '';
  let lines: string[] = [];
  let length = 0;
  const taken = () => {
    const entry = { table, bytes: Buffer.from(lines.join('')), count: lines.length };
    lines = [];
    length = 0;
    return entry;
  };
  for await (const batch of batches) {
    if (batch.table !== table && lines.length > 0) yield taken();
    table = batch.table;
    for (const row of batch.rows) {
      const line = `${JSON.stringify(row)}\n`;
      lines.push(line);
      length += line.length;
      if (length >= RECORDS_BYTES) yield taken();
    }
  }
  if (lines.length > 0) yield taken();
}

/** The bytes if they are what was uploaded; otherwise why not. At most 16 MiB: they are checked before any is written. */
async function readOriginal(
  blobs: BlobStore,
  digest: Digest,
  signal: AbortSignal | undefined,
): Promise<Buffer | string> {
  try {
    const blob = await blobs.openOriginal(digest, signal);
    if (blob === undefined) return 'it is not stored';
    const chunks: Buffer[] = [];
    for await (const chunk of blob.stream) chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    return sha256(bytes) === digest ? bytes : 'its bytes are not those that were uploaded';
  } catch (error) {
    if (!isAppError(error) || signal?.aborted) throw error;
    // One that cannot be read is left out; where none can, the backup would be of nothing.
    await blobs.check(signal);
    return `it cannot be read: ${error.message}`;
  }
}

/** Writes a tar beside its place, syncs it, and then gives it its name. After a failure nothing is left. */
async function writeFileWhole<T>(path: string, work: (add: Add) => Promise<T>): Promise<T> {
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
      // Whichever fails first tells why; the other would wait for it in vain.
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
