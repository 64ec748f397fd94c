/**
 * The form of a backup: a tar that any tar can list. Owns the names of its entries, and what proves that it is whole.
 * Refuses to know where the bytes come from (backup.ts) and where they go (restore.ts).
 *
 * In this order:
 * - `vitrine-backup.SHA256.json`: what it is, and the schema of its records
 * - `records/NNNNNN.TABLE.SHA256`: rows, one JSON object a line, of about a MiB
 * - `originals/XX/SHA256`: the bytes as they were uploaded
 * - `manifest.SHA256.json`: how many there are of everything, and one digest over the names and lengths of all before
 * Each entry is named by the digest of its bytes, so that what is altered is found, and named, before it is used; what is
 * missing, cut or in another order is found by the manifest. Rungs and renditions are not in it: they are made anew.
 */
import { createHash } from 'node:crypto';
import { AppError } from '../errors.ts';
import { type Digest, MAX_ORIGINAL_BYTES } from '../image.ts';

export const FORMAT = 'vitrine-backup';
/** Raise it when files are written that this version could not read. */
export const FORMAT_VERSION = 1;

/** Rows are put into one entry until it has this many bytes. */
export const RECORDS_BYTES = 1024 * 1024;
/** An entry of records that is larger cannot be one of ours: a row has some hundred kB at most. */
export const MAX_RECORDS_BYTES = 64 * 1024 * 1024;

/** An original that is not in a backup, because it was not there or was damaged when the backup was made. */
export interface MissingOriginal {
  readonly digest: Digest;
  readonly reason: string;
}

export interface BackupSummary {
  /** Rows by table. */
  readonly records: Readonly<Record<string, number>>;
  readonly originals: number;
  /** Of the originals. */
  readonly bytes: number;
  readonly missing: readonly MissingOriginal[];
}

export interface Manifest extends BackupSummary {
  /** How many entries are before this one. */
  readonly entries: number;
  /** SHA-256 over a line `NAME LENGTH` for each of them. */
  readonly digest: string;
}

export interface Preface {
  readonly format: typeof FORMAT;
  readonly version: number;
  readonly schema: string;
  readonly createdOn: string;
}

/** What an entry is, by its name; undefined: no entry of a backup has such a name. */
export type EntryKind =
  | { readonly kind: 'preface' | 'manifest'; readonly digest: Digest }
  | { readonly kind: 'records'; readonly number: number; readonly table: string; readonly digest: Digest }
  | { readonly kind: 'original'; readonly digest: Digest };

export function entryNamed(name: string): EntryKind | undefined {
  const [, number, table, ofRows] = /^records\/(\d{6,12})\.([a-z_]+)\.([0-9a-f]{64})$/.exec(name) ?? [];
  if (table !== undefined && ofRows !== undefined)
    return { kind: 'records', number: Number(number), table, digest: ofRows };
  const [, original] = /^originals\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(name) ?? [];
  if (original !== undefined) return { kind: 'original', digest: original };
  const [, first, digest] = /^(vitrine-backup|manifest)\.([0-9a-f]{64})\.json$/.exec(name) ?? [];
  if (digest === undefined) return undefined;
  return { kind: first === 'manifest' ? 'manifest' : 'preface', digest };
}

export function nameOfOriginal(digest: Digest): string {
  return `originals/${digest.slice(0, 2)}/${digest}`;
}

/** @param number of the entry in the file. */
export function nameOfRecords(number: number, table: string, bytes: Buffer): string {
  return `records/${String(number).padStart(6, '0')}.${table}.${sha256(bytes)}`;
}

export function nameOfText(kind: 'preface' | 'manifest', bytes: Buffer): string {
  return `${kind === 'preface' ? FORMAT : kind}.${sha256(bytes)}.json`;
}

/** The most bytes that an entry of this name can have. */
export function limitOf(name: string): number {
  return entryNamed(name)?.kind === 'original' ? MAX_ORIGINAL_BYTES : MAX_RECORDS_BYTES;
}

/** One digest over the names and lengths of entries, in their order. The names have the digests of the bytes. */
export class Seal {
  readonly #hash = createHash('sha256');
  #before = '';
  entries = 0;

  add(name: string, length: number): void {
    this.#before = this.digest();
    this.#hash.update(`${name} ${length}\n`);
    this.entries += 1;
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Without the entry that was last. */
  digestBefore(): string {
    return this.#before;
  }
}

/** Why a file is not restored. */
export function refused(reason: string): AppError {
  return new AppError('conflict', `the backup cannot be used: ${reason}`);
}

export function asJSON(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

export function sha256(bytes: Uint8Array): Digest {
  return createHash('sha256').update(bytes).digest('hex');
}
