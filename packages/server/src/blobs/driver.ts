/**
 * The BlobDriver port: the part of blob storage that each backend implements.
 * The tests in `test/conformance/blobs.ts` are the contract. Every driver must pass all of them.
 */
import type { Readable } from 'node:stream';
import type { Digest } from '../image.ts';

/** The properties of a stored blob. Reading them does not read the blob. */
export interface BlobStat {
  readonly key: string;
  /** Length in bytes. */
  readonly size: number;
  /** The time of the `put` or the last `replace`. */
  readonly storedOn: Date;
  /**
   * The SHA-256 that the backend keeps, and that it checked when the blob was stored. Only `stat` has it, and
   * only if the backend has one.
   */
  readonly digest?: Digest;
}

/** A complete local file that is to be stored. */
export interface BlobFile {
  readonly path: string;
  /** Length in bytes. */
  readonly size: number;
  /** The SHA-256 of the file, if the caller knows it. */
  readonly digest?: Digest;
}

/**
 * The BlobStore makes the keys: segments of `[a-z0-9._-]`, joined by `/`. No segment has only dots, and the
 * first is not `staging`. A driver throws a TypeError for any other key.
 *
 * Guarantees to the BlobStore:
 * - `put` is put-if-absent and atomic. Of concurrent calls exactly one creates the blob. No reader sees part
 *   of a blob. When it resolves, also with `exists`, the blob is durable.
 * - An absent blob is a result, not an error. A driver throws `AppError('unavailable')` if the backend fails
 *   or does not answer, and `AppError('storage-full')` if it is full. A fired signal is
 *   `AppError('cancelled')`, or the signal's reason if that is an AppError.
 */
export interface BlobDriver {
  /**
   * A local folder for files that are to be stored. The driver chooses its disk, so that `put` can create a
   * link.
   */
  readonly stagingFolder: string;
  /**
   * Stores a complete local file under the key. The driver syncs the file. The caller removes it afterwards,
   * and must never change it, because the blob may be a link to it.
   */
  put(key: string, file: BlobFile, signal?: AbortSignal): Promise<'created' | 'exists'>;
  /** The same as `put`, but replaces an existing blob atomically. For repairs. `storedOn` is set to now. */
  replace(key: string, file: BlobFile, signal?: AbortSignal): Promise<void>;
  /**
   * Undefined if the blob does not exist. The stream fails if the blob is truncated. The caller must read the
   * stream to its end or destroy it.
   */
  open(key: string, signal?: AbortSignal): Promise<{ size: number; stream: Readable } | undefined>;
  stat(key: string, signal?: AbortSignal): Promise<BlobStat | undefined>;
  /**
   * Succeeds if the blob does not exist. When it resolves, the backend has finished all work of the call. If
   * it rejects, the backend may still delete the blob later, even a blob that is stored meanwhile.
   */
  delete(key: string, signal?: AbortSignal): Promise<void>;
  /** All blobs whose key starts with the prefix, in any order. Changes during the listing may be missing. */
  list(prefix: string, signal?: AbortSignal): AsyncIterable<BlobStat>;
  /** The path of the blob as a local file. Only drivers whose blobs are local files have this method. */
  localPath?(key: string): string;
  /**
   * Copies a blob to a key that no other call uses, without a transfer through this process. Only remote
   * backends have this method. @returns false if the blob does not exist.
   */
  copy?(from: string, to: string, signal?: AbortSignal): Promise<boolean>;
  /** @throws AppError `unavailable` if it is already known that calls fail now. Only remote backends. */
  ensureAvailable?(): void;
  /** Resolves if the backend can be used. A remote backend is only read. */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

const KEY = /^(?!staging(?:\/|$))(?!\.+(?:\/|$))[a-z0-9._-]+(?:\/(?!\.+(?:\/|$))[a-z0-9._-]+)*$/;

/** True if a driver must accept the text as a key. */
export function isBlobKey(text: string): boolean {
  return text.length <= 512 && KEY.test(text);
}
