/**
 * The file format of a backup: a plain tar file. `backup.ts` writes it and `restore.ts` reads it.
 *
 * The entries, in this order:
 * - `vitrine-backup.SHA256.json`: the format version and the schema of the records
 * - `records/NNNNNN.TABLE.SHA256`: about 1 MiB of rows, one JSON object a line
 * - `originals/XX/SHA256`: the uploaded bytes
 * - `manifest.SHA256.json`: the counts, and one digest over the names and lengths of all entries before it
 *
 * Each entry is named by the digest of its bytes, so an altered entry is found before it is used. The
 * manifest reveals missing, truncated and reordered entries. Rungs and renditions are left out, because they
 * can be made again.
 */
import { createHash } from 'node:crypto';
import { AppError } from '../errors.ts';
import { DIGEST_PATTERN, type Digest, MAX_ORIGINAL_BYTES } from '../image.ts';

export const FORMAT = 'vitrine-backup';
/** Raise it when the files can no longer be read by this version. */
export const FORMAT_VERSION = 1;

/** The size at which an entry of rows is full, in bytes. */
export const RECORDS_BYTES = 1024 * 1024;
/** The largest entry of rows that is read, in bytes. A row has a few hundred kB at most. */
export const MAX_RECORDS_BYTES = 64 * 1024 * 1024;

/** An original that was missing or damaged when the backup was made, so the backup does not have it. */
export interface MissingOriginal {
  readonly digest: Digest;
  readonly reason: string;
}

export interface BackupSummary {
  /** Rows by table. */
  readonly records: Readonly<Record<string, number>>;
  readonly originals: number;
  /** Bytes of all originals. */
  readonly bytes: number;
  readonly missing: readonly MissingOriginal[];
}

export interface Manifest extends BackupSummary {
  /** The number of entries before the manifest. */
  readonly entries: number;
  /** SHA-256 over a line `NAME LENGTH` for each of these entries. */
  readonly digest: string;
}

export interface Preface {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly schema: string;
  readonly createdOn: string;
}

/** The kinds of entries, with what their names say. */
export type EntryKind =
  | { readonly kind: 'preface' | 'manifest'; readonly digest: Digest }
  | { readonly kind: 'records'; readonly number: number; readonly table: string; readonly digest: Digest }
  | { readonly kind: 'original'; readonly digest: Digest };

const RECORDS = new RegExp(`^records/(\\d{6,12})\\.([a-z_]+)\\.(${DIGEST_PATTERN})$`);
const ORIGINAL = new RegExp(`^originals/[0-9a-f]{2}/(${DIGEST_PATTERN})$`);
const DOCUMENT = new RegExp(`^(vitrine-backup|manifest)\\.(${DIGEST_PATTERN})\\.json$`);

/** The kind of an entry by its name; undefined if no entry has such a name. */
export function parseEntryName(name: string): EntryKind | undefined {
  const [, number, table, ofRows] = RECORDS.exec(name) ?? [];
  if (table !== undefined && ofRows !== undefined)
    return { kind: 'records', number: Number(number), table, digest: ofRows };
  const [, original] = ORIGINAL.exec(name) ?? [];
  if (original !== undefined) return { kind: 'original', digest: original };
  const [, first, digest] = DOCUMENT.exec(name) ?? [];
  if (digest === undefined) return undefined;
  return { kind: first === 'manifest' ? 'manifest' : 'preface', digest };
}

export function originalEntryName(digest: Digest): string {
  return `originals/${digest.slice(0, 2)}/${digest}`;
}

/** @param number the position of the entry in the file. */
export function recordsEntryName(number: number, table: string, bytes: Buffer): string {
  return `records/${String(number).padStart(6, '0')}.${table}.${sha256(bytes)}`;
}

export function textEntryName(kind: 'preface' | 'manifest', bytes: Buffer): string {
  return `${kind === 'preface' ? FORMAT : kind}.${sha256(bytes)}.json`;
}

/** The most bytes that an entry of this name can have. */
export function maxEntryBytes(name: string): number {
  return parseEntryName(name)?.kind === 'original' ? MAX_ORIGINAL_BYTES : MAX_RECORDS_BYTES;
}

/**
 * One digest over the names and lengths of entries in their order. The names contain the digests of the
 * bytes.
 */
export class Seal {
  readonly #hash = createHash('sha256');
  #beforeLast = '';
  entries = 0;

  add(name: string, length: number): void {
    this.#beforeLast = this.digest();
    this.#hash.update(`${name} ${length}\n`);
    this.entries += 1;
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** The digest without the last entry. */
  digestBeforeLast(): string {
    return this.#beforeLast;
  }
}

/** The error for a file that cannot be restored. */
export function unusableBackup(reason: string): AppError {
  return new AppError('conflict', `the backup cannot be used: ${reason}`);
}

export function asJSON(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

export function sha256(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex');
}
