/**
 * The BlobStore: where originals and rungs live. Owns digests and keys, once for all backends; a BlobDriver is the thin
 * part that each backend brings. Refuses to know records, accounts and HTTP. staging.ts has how bytes come in, removals.ts
 * what can be taken back.
 * `test/conformance/blobs.ts` is the driver's contract in executable form and runs whole against every driver.
 */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { AppError, isAppError } from '../errors.ts';
import { type Digest, isDigest } from '../image.ts';
import type { BlobDriver } from './driver.ts';
import { type RevocableRemoval, RevocableRemovals } from './revocable-removal.ts';
import { type StagedBlob, stageFile, sweepStaged, withStagedFile } from './staging.ts';

/** An original as it is stored. */
export interface StoredOriginal {
  readonly digest: Digest;
  /** Length in bytes. */
  readonly size: number;
  readonly storedOn: Date;
}

/** A rung as it is stored. */
export interface StoredRung extends StoredOriginal {
  readonly name: string;
}

/** The blob that says whose these are. */
const LIBRARY_KEY = 'library';

// A blob that is met again at this age is stored anew, so that a collector of unnamed blobs whose grace period is
// longer than this never takes away what a twin upload has just been told exists.
const RENEW_AFTER_MS = 60 * 60 * 1000;

/** The key of an original. TypeError if the digest is none. */
export function originalKey(digest: Digest): string {
  if (!isDigest(digest)) throw new TypeError('A digest is 64 lower-case hexadecimal digits');
  // 256 folders keep each of them small up to millions of originals.
  return `originals/${digest.slice(0, 2)}/${digest}`;
}

/** The key of a rung of an original, by the rung's name: `[a-z0-9.-]`. TypeError if the digest is none. */
export function rungKey(digest: Digest, name: string): string {
  if (!isDigest(digest)) throw new TypeError('A digest is 64 lower-case hexadecimal digits');
  // The digest first, so that whoever collects what no record names finds all of an original's rungs together.
  return `rungs/${digest.slice(0, 2)}/${digest}/${name}`;
}

/** Originals and their rungs by digest, over any driver. One instance serves the whole process. */
export class BlobStore {
  readonly #driver: BlobDriver;
  readonly #removals: RevocableRemovals;

  constructor(driver: BlobDriver) {
    this.#driver = driver;
    this.#removals = new RevocableRemovals({
      driver,
      keyOf: originalKey,
      drop: (digest) => this.dropOriginal(digest),
      fetch: (blob) => this.#fetch(blob, undefined),
    });
  }

  /**
   * Streams the source into a new file in staging, at the pace of the disk, digesting on the way. The whole is
   * never in memory. `limit` is in bytes: exactly that many are accepted, and `AppError('too-large')` is thrown
   * the moment one more is seen. Errors of the source pass unchanged, but for a source that breaks off, which is
   * `cancelled`, as is a fired signal. After any failure nothing is left in staging.
   *
   * On failure a Readable is left as it is, neither drained nor destroyed: what becomes of the connection behind
   * it is the caller's business. Its later errors are swallowed.
   */
  async stage(
    source: Readable | AsyncIterable<Uint8Array>,
    options: { limit: number; signal?: AbortSignal | undefined },
  ): Promise<StagedBlob> {
    return stageFile(this.#driver.stagingFolder, source, options);
  }

  /**
   * Keeps a staged file as an original. When it resolves, the bytes are durable under their digest, whoever
   * stored them first, and not older than an hour by `storedOn`. A blob that holds other bytes is damaged and is
   * replaced. A failure deletes nothing. The staged file remains, its owner's to discard.
   */
  async storeOriginal(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    const key = originalKey(staged.digest);
    if ((await this.#driver.put(key, staged, signal)) === 'created') return;
    const stored = await this.#driver.stat(key, signal);
    const recent = stored && Date.now() - stored.storedOn.getTime() < RENEW_AFTER_MS;
    if (recent && stored.size === staged.size && (await this.#holds(key, staged.digest, signal))) return;
    await this.#driver.replace(key, staged, signal);
  }

  /** True if the blob can be read, and is what its name says. */
  async #holds(key: string, digest: Digest, signal?: AbortSignal): Promise<boolean> {
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

  /** Keeps a staged file as an original if there is none of its digest and size: what was lost and comes again. */
  async storeOriginalIfMissing(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    const stored = await this.#driver.stat(originalKey(staged.digest), signal);
    if (stored?.size !== staged.size) await this.storeOriginal(staged, signal);
  }

  /**
   * The bytes of an original and their number, or undefined if it is not stored. The stream errors if the blob is
   * cut short; the caller must read it to its end or destroy it.
   */
  async openOriginal(
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<{ size: number; stream: Readable } | undefined> {
    return this.#driver.open(originalKey(digest), signal);
  }

  /**
   * Runs `use` with the path of a local file that holds the original, only to be read, and only until `use`
   * settles. A file that had to be fetched is verified (length and SHA-256) before and removed afterwards.
   * `AppError('unavailable')` if the original is not stored or does not verify: a record without its bytes is a
   * fault of the storage, not of the request.
   */
  async withOriginalFile<T>(
    digest: Digest,
    use: (path: string) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const key = originalKey(digest);
    const localPath = this.#driver.localPath?.(key);
    if (localPath !== undefined) {
      if ((await this.#driver.stat(key, signal)) === undefined) throw missing(digest);
      return use(localPath);
    }
    const blob = await this.#driver.open(key, signal);
    if (blob === undefined) throw missing(digest);
    try {
      await using fetched = await this.#fetch(blob, signal);
      if (fetched.size !== blob.size || fetched.digest !== digest) {
        throw new AppError('unavailable', 'The original cannot be read now', {
          cause: new Error(`The blob ${key} holds other bytes than its name says`),
        });
      }
      return await use(fetched.path);
    } finally {
      blob.stream.destroy();
    }
  }

  /**
   * Keeps rungs of an original, in place of those of the same names. They are derived data: whoever makes them goes
   * on if this fails. Throws what the driver throws; some of them may be stored then.
   */
  async storeRungs(
    digest: Digest,
    rungs: readonly { readonly name: string; readonly bytes: Uint8Array }[],
    signal?: AbortSignal,
  ): Promise<void> {
    // All are waited for, so that none is still being written when this ends.
    const outcomes = await Promise.allSettled(
      rungs.map(async ({ name, bytes }) => {
        const key = rungKey(digest, name);
        await withStagedFile(this.#driver.stagingFolder, bytes, async (file) => {
          // What is there may be damaged, and cannot be told from what is sound.
          if ((await this.#driver.put(key, file, signal)) === 'exists') {
            await this.#driver.replace(key, file, signal);
          }
        });
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /**
   * Runs `use` with the path of a local file that holds the rung, only to be read, and only until `use` settles.
   * Undefined, and `use` is not run, if the rung is not stored. Its bytes are not verified: a damaged one does not
   * decode, or decodes to what the damage shows.
   */
  async withRungFile<T>(
    digest: Digest,
    name: string,
    use: (path: string) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T | undefined> {
    const key = rungKey(digest, name);
    const localPath = this.#driver.localPath?.(key);
    if (localPath !== undefined) {
      return (await this.#driver.stat(key, signal)) === undefined ? undefined : use(localPath);
    }
    const blob = await this.#driver.open(key, signal);
    if (blob === undefined) return undefined;
    try {
      await using fetched = await this.#fetch(blob, signal);
      return await use(fetched.path);
    } finally {
      blob.stream.destroy();
    }
  }

  /** Removes a rung that is damaged. Succeeds also if it is not stored. */
  async dropRung(digest: Digest, name: string, signal?: AbortSignal): Promise<void> {
    await this.#driver.delete(rungKey(digest, name), signal);
  }

  // To `stage` a source that breaks off is a client that left; here it is the backend that failed.
  async #fetch(
    blob: { size: number; stream: Readable },
    signal: AbortSignal | undefined,
  ): Promise<StagedBlob> {
    try {
      return await this.stage(blob.stream, { limit: blob.size, signal });
    } catch (error) {
      if (signal?.aborted || !(isAppError(error, 'cancelled') || isAppError(error, 'too-large'))) throw error;
      throw new AppError('unavailable', 'The stored file cannot be read now', { cause: error });
    }
  }

  /** What is known of an original without reading it; undefined if it is not stored. */
  async statOriginal(digest: Digest, signal?: AbortSignal): Promise<StoredOriginal | undefined> {
    const stat = await this.#driver.stat(originalKey(digest), signal);
    return stat && { digest, size: stat.size, storedOn: stat.storedOn };
  }

  /** True if the rung is stored, in whatever condition. */
  async hasRung(digest: Digest, name: string, signal?: AbortSignal): Promise<boolean> {
    return (await this.#driver.stat(rungKey(digest, name), signal)) !== undefined;
  }

  /** Every original that is stored, in no order. Those that come or go meanwhile may be missed. */
  async *listOriginals(signal?: AbortSignal): AsyncGenerator<StoredOriginal, void, undefined> {
    for await (const { key, size, storedOn } of this.#driver.list('originals/', signal)) {
      const [, folder, digest, ...rest] = key.split('/');
      if (digest !== undefined && isPlaceOf(digest, folder, rest, 0)) yield { digest, size, storedOn };
    }
  }

  /** Every rung that is stored, in no order but with those of an original together. As above. */
  async *listRungs(signal?: AbortSignal): AsyncGenerator<StoredRung, void, undefined> {
    for await (const { key, size, storedOn } of this.#driver.list('rungs/', signal)) {
      const [, folder, digest, ...rest] = key.split('/');
      const [name] = rest;
      if (digest === undefined || name === undefined || !isPlaceOf(digest, folder, rest, 1)) continue;
      yield { digest, name, size, storedOn };
    }
  }

  /**
   * Removes an original, and none of its rungs; succeeds also if there is none. It is the caller's to know that nothing
   * names it, and that nothing will. A collector beside uploads cannot know: see `createRemoval`.
   */
  async dropOriginal(digest: Digest, signal?: AbortSignal): Promise<void> {
    await this.#driver.delete(originalKey(digest), signal);
  }

  /** Removes all rungs of an original. They are made anew if they are missed. */
  async dropRungs(digest: Digest, signal?: AbortSignal): Promise<void> {
    for await (const { key } of this.#driver.list(rungKey(digest, ''), signal)) {
      await this.#driver.delete(key, signal);
    }
  }

  /** The removal of an original, for MaintenanceRecords.collect. */
  createRemoval(digest: Digest): RevocableRemoval {
    return this.#removals.create(digest);
  }

  /** Takes back every removal that was not finished. Safe at any time. @returns how many there were. */
  undoUnfinishedRemovals(now = new Date()): Promise<number> {
    return this.#removals.undoUnfinished(now);
  }

  /** Which library these blobs belong to; undefined: nobody has said. */
  async readLibraryID(): Promise<string | undefined> {
    const blob = await this.#driver.open(LIBRARY_KEY);
    return blob && (await text(blob.stream)).trim();
  }

  /** Says whose they are, if nobody has: of several that do so at once, one does. @returns whose they are. */
  async storeLibraryIDIfMissing(libraryID: string): Promise<string> {
    await this.#withLibraryFile(libraryID, (file) => this.#driver.put(LIBRARY_KEY, file));
    return (await this.readLibraryID()) ?? libraryID;
  }

  /** Says whose they are, whatever anybody said before. */
  async storeLibraryID(libraryID: string): Promise<void> {
    await this.#withLibraryFile(libraryID, (file) => this.#driver.replace(LIBRARY_KEY, file));
  }

  #withLibraryFile(libraryID: string, use: Parameters<typeof withStagedFile>[2]): Promise<void> {
    return withStagedFile(this.#driver.stagingFolder, Buffer.from(`${libraryID}\n`), use);
  }

  /**
   * Removes what a crash left in staging and was last written before the date; what is still being written is
   * younger. Returns the number of files removed; or with `onlyCount`, of those that would be.
   */
  async sweepStaging(olderThan: Date, onlyCount = false): Promise<number> {
    return sweepStaged(this.#driver.stagingFolder, olderThan, onlyCount);
  }

  /** Resolves if the backend can be read and written; `AppError('unavailable' | 'storage-full')` if not. */
  async check(signal?: AbortSignal): Promise<void> {
    await this.#driver.check(signal);
  }

  async close(): Promise<void> {
    await this.#driver.close();
  }
}

/** True if the parts of a key are as the keys of originals (`more` 0) and rungs (1) have them. */
function isPlaceOf(
  digest: string,
  folder: string | undefined,
  rest: readonly string[],
  more: number,
): boolean {
  return isDigest(digest) && folder === digest.slice(0, 2) && rest.length === more;
}

function missing(digest: Digest): AppError {
  return new AppError('unavailable', 'The original cannot be read now', {
    cause: new Error(`No blob is stored under ${originalKey(digest)}`),
  });
}
