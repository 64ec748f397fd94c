/**
 * The BlobDriver port: the thin part of blob storage that each backend implements.
 * `test/conformance/blobs.ts` is this contract in executable form and runs whole against every driver.
 */
import type { Readable } from 'node:stream';

/** What is known of a stored blob without reading it. */
export interface BlobStat {
  readonly key: string;
  /** Length in bytes. */
  readonly size: number;
  /** When it was stored. */
  readonly storedOn: Date;
}

/**
 * What a backend brings. Keys are made by the BlobStore: one or more segments of `[a-z0-9._-]`, joined by `/`,
 * no segment of dots only, the first not `staging`; a driver is guaranteed to see no other, and refuses others
 * with a TypeError.
 *
 * Guarantees to the BlobStore:
 * - `put` is put-if-absent and atomic: of any number at once exactly one creates, and no reader ever sees part of
 *   a blob. When it resolves, also with `exists`, the blob is durable.
 * - Expected absence is a value, not an error. Only faults are thrown: `AppError('unavailable')` for a backend
 *   that cannot be reached or answers with a fault, `AppError('storage-full')` when there is no room,
 *   `AppError('cancelled')` when the signal fires (or the signal's reason, if that is an AppError).
 */
export interface BlobDriver {
  /** A local folder for files on their way in. On a disk of the driver's own choice, so that `put` can be a link. */
  readonly stagingFolder: string;
  /**
   * Stores a complete local file under the key. The driver makes it durable; the file need not be synced before.
   * The file is the caller's to remove afterwards, and never changes once given.
   */
  put(key: string, file: { path: string; size: number }, signal?: AbortSignal): Promise<'created' | 'exists'>;
  /** Like put, but replaces what is there, atomically: for mending a damaged blob. `storedOn` becomes now. */
  replace(key: string, file: { path: string; size: number }, signal?: AbortSignal): Promise<void>;
  /**
   * Undefined if there is no such blob. The stream errors if the blob is cut short. The caller must read the
   * stream to its end or destroy it.
   */
  open(key: string, signal?: AbortSignal): Promise<{ size: number; stream: Readable } | undefined>;
  stat(key: string, signal?: AbortSignal): Promise<BlobStat | undefined>;
  /** Succeeds also if there is no such blob. */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** Every blob whose key starts with the prefix, in no order. Blobs stored or deleted meanwhile may be missed. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobStat>;
  /** Where the blob is as a local file, for drivers that have it so; undefined: it must be fetched. */
  localPath?(key: string): string;
  /** Resolves if the backend can be read and written. */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const KEY = /^(?!staging(?:\/|$))(?!\.+(?:\/|$))[a-z0-9._-]+(?:\/(?!\.+(?:\/|$))[a-z0-9._-]+)*$/;

/** True if a driver must accept the text as a key. */
export function isBlobKey(text: string): boolean {
  return text.length <= 512 && KEY.test(text);
}
