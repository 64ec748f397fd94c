/**
 * The BlobStore: originals and rungs by digest, over any BlobDriver. It makes the keys and checks the
 * digests, so that drivers need to do neither.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, cancellation, isAppError, throwIfFired } from '../errors.ts';
import { type Digest, isDigest } from '../image.ts';
import type { BlobDriver, BlobStat } from './driver.ts';
import type { FileCache, FileLease } from './file-cache.ts';
import { type RevocableRemoval, RevocableRemovals } from './revocable-removal.ts';
import {
  type LocalFile,
  type OpenBlob,
  type StagedBlob,
  stageFile,
  sweepStaged,
  withLocalFile,
  withStagedFile,
} from './staging.ts';

/** A stored original. */
export interface StoredOriginal {
  readonly digest: Digest;
  /** Length in bytes. */
  readonly size: number;
  readonly storedOn: Date;
}

/** A stored rung. `digest` is that of its original. */
export interface StoredRung extends StoredOriginal {
  readonly name: string;
}

/** The blobs that a listing has. */
export interface Listing {
  /** The first digits of their digests. Absent: all blobs. */
  readonly start?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Digits of a digest that name a folder. With 256 folders, a folder stays small up to millions of blobs. */
const FOLDER_DIGITS = 2;

const DELETE_TRIES = 3;
/** Milliseconds between two tries. */
const DELETE_PAUSE = 100;

/** The key of the blob that holds the ID of the library. */
const LIBRARY_KEY = 'library';

// An older blob is stored again when its bytes are uploaded again. Otherwise a garbage collection with a
// longer grace period could remove it before the record of the new upload is written.
const RENEW_AFTER_MS = 60 * 60 * 1000;

/** The key of an original. @throws TypeError if the text is no digest. */
export function originalKey(digest: Digest): string {
  if (!isDigest(digest)) throw new TypeError('A digest is 64 lower-case hexadecimal digits');
  return `originals/${startOfKeys(digest)}`;
}

/** The key of a rung. @param name of the rung: `[a-z0-9.-]`. @throws TypeError if the text is no digest. */
export function rungKey(digest: Digest, name: string): string {
  if (!isDigest(digest)) throw new TypeError('A digest is 64 lower-case hexadecimal digits');
  // The digest comes first, so that a listing has all rungs of an original together.
  return `rungs/${startOfKeys(digest)}/${name}`;
}

/** One instance serves the whole process. */
export class BlobStore {
  readonly #driver: BlobDriver;
  readonly #cache: FileCache | undefined;
  readonly #removals: RevocableRemovals;

  /** @param cache holds blobs of a remote driver as local files; closed with the store. */
  constructor(driver: BlobDriver, cache?: FileCache) {
    this.#driver = driver;
    this.#cache = cache;
    this.#removals = new RevocableRemovals(driver, originalKey);
  }

  /**
   * Streams the source into a new file in staging, at the speed of the disk, and hashes it on the way. Only
   * one chunk is in memory.
   *
   * After a failure nothing is left in staging. A Readable is neither drained nor destroyed, because the
   * caller decides about its connection. Later errors of the source are ignored.
   * @param options `limit` is in bytes, inclusive.
   * @throws AppError `too-large` at the first byte beyond the limit. `cancelled` if the source ends early or
   * the signal fires. `unavailable`, before a byte is read, if the file cannot be stored now. Other errors of
   * the source are thrown unchanged.
   */
  async stage(
    source: Readable | AsyncIterable<Uint8Array>,
    options: { limit: number; signal?: AbortSignal | undefined },
  ): Promise<StagedBlob> {
    this.ensureAvailable();
    return stageFile(this.#driver.stagingFolder, source, options);
  }

  /**
   * Stores a staged file as an original. When it resolves, the bytes are durable under their digest, and
   * their `storedOn` is at most one hour ago. A damaged blob is replaced, as far as the checksum of the
   * backend shows the damage. A failure deletes nothing. The caller discards the staged file.
   */
  async storeOriginal(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    const key = originalKey(staged.digest);
    if ((await this.#driver.put(key, staged, signal)) === 'created') return;
    const stored = await this.#driver.stat(key, signal);
    const isRecent = stored && Date.now() - stored.storedOn.getTime() < RENEW_AFTER_MS;
    if (isRecent && stored.size === staged.size && (await this.#isIntact(stored, staged.digest, signal)))
      return;
    await this.#driver.replace(key, staged, signal);
  }

  /** True if the blob matches the digest: by the checksum of the backend, or else by its bytes. */
  async #isIntact(stored: BlobStat, digest: Digest, signal?: AbortSignal): Promise<boolean> {
    if (stored.digest !== undefined) return stored.digest === digest;
    const { key } = stored;
    const blob = await this.#driver.open(key, signal);
    if (!blob) return false;
    const hash = createHash('sha256');
    try {
      for await (const chunk of blob.stream) hash.update(chunk as Buffer);
    } catch {
      return false;
    }
    return hash.digest('hex') === digest;
  }

  /** Stores a staged file in place of an original that is damaged, also if its checksum is right. */
  async replaceOriginal(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    const key = originalKey(staged.digest);
    await this.#driver.replace(key, staged, signal);
    this.#cache?.drop(key);
  }

  /**
   * Stores a staged file as an original, unless an original of its digest and size is stored. Reads no bytes
   * of it.
   */
  async storeOriginalIfMissing(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    const { digest, size } = staged;
    const stored = await this.#driver.stat(originalKey(digest), signal);
    const isStored = stored?.size === size && (stored.digest ?? digest) === digest;
    if (!isStored) await this.storeOriginal(staged, signal);
  }

  /**
   * The bytes of an original and their number, or undefined if it is not stored. The stream fails if the blob
   * is truncated. The caller must read the stream to its end or destroy it.
   */
  async openOriginal(
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<{ size: number; stream: Readable } | undefined> {
    const key = originalKey(digest);
    return this.#orRestored(digest, async () => {
      if (this.#cache === undefined) return this.#driver.open(key, signal);
      // From a local file, which is verified before the first byte is sent. A slow reader then holds no
      // connection to the store.
      const open: OpenBlob = (shared) => this.#driver.open(key, shared);
      const lease = await this.#cache.lease(key, open, { digest, signal });
      return lease && openLease(lease, signal);
    });
  }

  /**
   * Reads an original. If it is missing because a removal was not finished or has an unknown outcome, the
   * removal is undone first.
   */
  async #orRestored<T>(digest: Digest, read: () => Promise<T | undefined>): Promise<T | undefined> {
    const original = await read();
    if (original !== undefined || !(await this.#removals.restore(digest))) return original;
    return read();
  }

  /**
   * Runs `use` with the path of a local file that holds the original. The file may only be read, and only
   * until `use` settles. A copy from a remote backend is verified by length and SHA-256.
   * @throws AppError `unavailable` if the original is not stored or is damaged; any error of `use`.
   */
  async withOriginalFile<T>(
    digest: Digest,
    use: (path: string) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const outcome = await this.#orRestored(digest, () =>
      this.#withLocalFile(originalKey(digest), async ({ path }) => ({ result: await use(path) }), {
        digest,
        signal,
      }),
    );
    // A missing original of a record is a fault of the storage, not of the request.
    if (outcome === undefined) throw missingOriginal(digest);
    return outcome.result;
  }

  /**
   * Stores rungs of an original, and replaces stored rungs of the same names. Rungs can be made again, so
   * callers may ignore a failure.
   * @throws errors of the driver. Some of the rungs may be stored then.
   */
  async storeRungs(
    digest: Digest,
    rungs: readonly { readonly name: string; readonly bytes: Uint8Array }[],
    signal?: AbortSignal,
  ): Promise<void> {
    // Waits for all of them, so that no write runs after the return.
    const outcomes = await Promise.allSettled(
      rungs.map(async ({ name, bytes }) => {
        const key = rungKey(digest, name);
        await withStagedFile(this.#driver.stagingFolder, bytes, async (file) => {
          // An existing rung may be damaged, and has no digest to check.
          if ((await this.#driver.put(key, file, signal)) === 'exists') {
            await this.#driver.replace(key, file, signal);
            this.#cache?.drop(key);
          }
        });
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Stores a complete local file as a rung, and replaces a stored one. See `BlobDriver.put` for the file. */
  async storeRungFile(digest: Digest, name: string, file: LocalFile, signal?: AbortSignal): Promise<void> {
    const key = rungKey(digest, name);
    if ((await this.#driver.put(key, file, signal)) === 'created') return;
    await this.#driver.replace(key, file, signal);
    this.#cache?.drop(key);
  }

  /**
   * Runs `use` with the path of a local file that holds the rung. The file may only be read, and only until
   * `use` settles. The bytes of a remote rung are verified by the checksum of its store. Those of a local one
   * are not: a damaged rung does not decode, or shows the damage.
   * @returns undefined, without a call of `use`, if the rung is not stored.
   */
  async withRungFile<T>(
    digest: Digest,
    name: string,
    use: (path: string) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    return this.#withLocalFile(rungKey(digest, name), ({ path }) => use(path), { signal });
  }

  async #withLocalFile<T>(
    key: string,
    use: (file: LocalFile) => Promise<T>,
    options: { readonly digest?: Digest; readonly signal: AbortSignal | undefined },
  ): Promise<T | undefined> {
    if (this.#cache === undefined) return withLocalFile(this.#driver, key, use, options);
    const open: OpenBlob = (shared) => this.#driver.open(key, shared);
    const lease = await this.#cache.lease(key, open, options);
    if (lease === undefined) return undefined;
    try {
      return await use(lease);
    } finally {
      lease.release();
    }
  }

  /** Removes a damaged rung. Succeeds if it is not stored. */
  async dropRung(digest: Digest, name: string, signal?: AbortSignal): Promise<void> {
    const key = rungKey(digest, name);
    this.#cache?.drop(key);
    await this.#deleteDerived(key, signal);
  }

  /**
   * Deletes a blob that can be made again. So a delete without an answer may be repeated, although it may
   * arrive late.
   */
  async #deleteDerived(key: string, signal: AbortSignal | undefined): Promise<void> {
    for (let number = 1; ; number += 1) {
      try {
        return await this.#driver.delete(key, signal);
      } catch (error) {
        if (number === DELETE_TRIES || !isAppError(error, 'unavailable')) throw error;
      }
      await delay(DELETE_PAUSE);
    }
  }

  /** The size and time of an original; undefined if it is not stored. Does not read the bytes. */
  async statOriginal(digest: Digest, signal?: AbortSignal): Promise<StoredOriginal | undefined> {
    const stat = await this.#driver.stat(originalKey(digest), signal);
    return stat && { digest, size: stat.size, storedOn: stat.storedOn };
  }

  /**
   * True if an original of this digest and size is stored, by the checksum of the backend. A backend without
   * checksums, such as a folder, is read.
   * @param reads reads the bytes in any case.
   */
  async isOriginalIntact(
    { digest, size }: Pick<StoredOriginal, 'digest' | 'size'>,
    { reads = false, signal }: { readonly reads?: boolean; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<boolean> {
    const stat = await this.#driver.stat(originalKey(digest), signal);
    if (stat?.size !== size) return false;
    const { digest: checksum, ...withoutChecksum } = stat;
    if (checksum !== undefined && checksum !== digest) return false;
    return this.#isIntact(reads ? withoutChecksum : stat, digest, signal);
  }

  /** True if the rung is stored, even if it is damaged. */
  async hasRung(digest: Digest, name: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#driver.stat(rungKey(digest, name), signal)) !== undefined;
  }

  /**
   * All stored originals whose digest has this start, in any order. Changes during the listing may be
   * missing.
   */
  async *listOriginals({ start, signal }: Listing = {}): AsyncGenerator<StoredOriginal, void, undefined> {
    const prefix = `originals/${startOfKeys(start)}`;
    for await (const { key, size, storedOn } of this.#driver.list(prefix, signal)) {
      const [, folder, digest, ...rest] = key.split('/');
      if (digest !== undefined && isWellFormed(digest, folder, rest, 0)) yield { digest, size, storedOn };
    }
  }

  /** All stored rungs. Rungs of one original are together; otherwise the same as `listOriginals`. */
  async *listRungs({ start, signal }: Listing = {}): AsyncGenerator<StoredRung, void, undefined> {
    for await (const { key, size, storedOn } of this.#driver.list(`rungs/${startOfKeys(start)}`, signal)) {
      const [, folder, digest, ...rest] = key.split('/');
      const [name] = rest;
      if (digest === undefined || name === undefined || !isWellFormed(digest, folder, rest, 1)) continue;
      yield { digest, name, size, storedOn };
    }
  }

  /**
   * Removes an original but not its rungs. Succeeds if it is not stored. The caller must know that no record
   * references it, now and later. A garbage collector cannot know that while uploads run, and uses
   * `createRemoval`.
   */
  async dropOriginal(digest: Digest, signal?: AbortSignal): Promise<void> {
    const key = originalKey(digest);
    this.#cache?.drop(key);
    await this.#driver.delete(key, signal);
  }

  /** Removes all rungs of an original. They are made again when they are needed. */
  async dropRungs(digest: Digest, signal?: AbortSignal): Promise<void> {
    for await (const { key } of this.#driver.list(rungKey(digest, ''), signal)) {
      this.#cache?.drop(key);
      await this.#deleteDerived(key, signal);
    }
  }

  /** A removal of an original that can be undone, for garbage collection. Removes nothing yet. */
  createRemoval(digest: Digest): RevocableRemoval {
    return this.#removals.create(digest);
  }

  /**
   * Undoes each unfinished removal. Safe at any time.
   * @param onCopy called with each original that still has a second key. It may be restored again later.
   * @returns the number of removals.
   */
  undoUnfinishedRemovals(now = new Date(), onCopy?: (digest: Digest) => void): Promise<number> {
    return this.#removals.undoUnfinished(now, onCopy);
  }

  /** The ID of the library that the blobs belong to; undefined if none is stored. */
  async readLibraryID(): Promise<string | undefined> {
    const blob = await this.#driver.open(LIBRARY_KEY);
    return blob && (await text(blob.stream)).trim();
  }

  /**
   * Stores the ID of the library if none is stored. Of concurrent calls one succeeds.
   * @returns the stored ID.
   */
  async storeLibraryIDIfMissing(libraryID: string): Promise<string> {
    await this.#withLibraryFile(libraryID, (file) => this.#driver.put(LIBRARY_KEY, file));
    return (await this.readLibraryID()) ?? libraryID;
  }

  /** Stores the ID of the library, and replaces a stored one. */
  async storeLibraryID(libraryID: string): Promise<void> {
    await this.#withLibraryFile(libraryID, (file) => this.#driver.replace(LIBRARY_KEY, file));
  }

  #withLibraryFile(libraryID: string, use: (file: LocalFile) => Promise<unknown>): Promise<void> {
    return withStagedFile(this.#driver.stagingFolder, Buffer.from(`${libraryID}\n`), use);
  }

  /**
   * Removes files in staging that a crash left and that were last written before the date. Files of running
   * uploads are younger. @returns the number of removed files; with `onlyCount` it removes none.
   */
  async sweepStaging(olderThan: Date, onlyCount = false): Promise<number> {
    return sweepStaged(this.#driver.stagingFolder, olderThan, onlyCount);
  }

  /** @throws AppError `unavailable` if it is already known that the backend does not answer. */
  ensureAvailable(): void {
    this.#driver.ensureAvailable?.();
  }

  /**
   * Checks the disk of this node that reads need. That is the folder of the blobs, or the one through which
   * remote blobs pass.
   * @throws AppError `unavailable` or `storage-full`.
   */
  async checkDisk(signal?: AbortSignal): Promise<void> {
    throwIfFired(signal);
    if (this.#driver.localPath === undefined) {
      await withStagedFile(this.#driver.stagingFolder, Buffer.from('probe'), async () => undefined);
    } else if ((await this.readLibraryID()) === undefined) {
      // The folder of a disk that is not mounted exists, and is empty.
      throw new AppError('unavailable', 'the folder of the blobs has no library');
    }
  }

  /** @throws AppError `unavailable` or `storage-full` if the backend cannot be used. */
  async check(signal?: AbortSignal): Promise<void> {
    await this.#driver.check(signal);
  }

  async close(): Promise<void> {
    await this.#cache?.close();
    await this.#driver.close();
  }
}

/** The start of the keys of digests, below the kind of the blobs. */
function startOfKeys(start = ''): string {
  return start.length < FOLDER_DIGITS ? start : `${start.slice(0, FOLDER_DIGITS)}/${start}`;
}

/** True if the parts of a key have the form of `originalKey` (`restLength` 0) or `rungKey` (1). */
function isWellFormed(
  digest: string,
  folder: string | undefined,
  rest: readonly string[],
  restLength: number,
): boolean {
  return isDigest(digest) && folder === digest.slice(0, FOLDER_DIGITS) && rest.length === restLength;
}

/** A stream over a leased file. Its end releases the lease. */
function openLease(lease: FileLease, signal: AbortSignal | undefined): { size: number; stream: Readable } {
  const { path, size, release } = lease;
  const stream = createReadStream(path);
  stream.once('close', release);
  const onAbort = () => signal && stream.destroy(cancellation(signal));
  signal?.addEventListener('abort', onAbort, { once: true });
  stream.once('close', () => signal?.removeEventListener('abort', onAbort));
  return { size, stream };
}

function missingOriginal(digest: Digest): AppError {
  return new AppError('unavailable', 'The original cannot be read now', {
    cause: new Error(`no blob is stored under ${originalKey(digest)}`),
  });
}
