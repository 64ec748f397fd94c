/**
 * Blobs as files in a folder: the BlobDriver of one machine. Owns the order of writes that makes a blob durable
 * and whole, and the mapping of file system errors. Refuses to know digests and what the blobs are.
 *
 * A blob is the file at its key under the root. It gets there by one atomic step, from a complete and synced file:
 * link(2), which fails if the name is taken, or rename(2), which replaces. Then its folder is synced.
 */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { constants, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { AppError, cancellation, throwIfFired } from '../errors.ts';
import { type BlobDriver, type BlobStat, isBlobKey } from './driver.ts';
import { fileFault, onFile } from './file-errors.ts';
import { stagingName } from './staging.ts';

const READ_CHUNK_BYTES = 64 * 1024;
// Temporary files that must be on the same disk as the blob. `~` is in no key, so none of them is ever a blob.
const BESIDE_PREFIX = '~';
const CRUMB_AGE_MS = 24 * 60 * 60 * 1000;
const CLAIM_AGE_MS = 60 * 1000;
const CLAIM_POLL_MS = 20;
const REMEMBERED_FOLDERS = 4_096;
const FOLDER_ATTEMPTS = 3;
/** Folders down to this level fan out what is in them, and stay when they are empty: `originals/4f`. */
const LASTING_LEVELS = 2;

/**
 * Opens the folder as a BlobDriver, creating it if it is absent.
 * @throws Error with a message for the operator, if it cannot be created or written.
 */
export async function openFileBlobs(options: { folder: string }): Promise<BlobDriver> {
  const root = resolve(options.folder);
  const driver = new FileBlobs(root);
  try {
    const made = await fs.mkdir(driver.stagingFolder, { recursive: true, mode: 0o700 });
    if (made !== undefined) await syncParents(driver.stagingFolder, dirname(made));
    await driver.probe();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`The blob folder ${root} cannot be used: ${reason}`, { cause: error });
  }
  return driver;
}

class FileBlobs implements BlobDriver {
  readonly stagingFolder: string;
  readonly #root: string;
  // Folders that this process has made durable, or is about to: an entry may be used once it resolves. Those of rungs are
  // as many as there are originals: what is forgotten is only made durable once more.
  readonly #folders = new LRUCache<string, Promise<void>>({ max: REMEMBERED_FOLDERS });

  constructor(root: string) {
    this.#root = root;
    this.stagingFolder = join(root, 'staging');
  }

  async put(
    key: string,
    file: { path: string; size: number },
    signal?: AbortSignal,
  ): Promise<'created' | 'exists'> {
    const target = this.#path(key);
    return guard(signal, async () => {
      await sync(file.path);
      const outcome = await this.#inFolder(dirname(target), () => this.#createAt(target, file.path));
      // Also when it exists: the twin that created it may not have come as far as this.
      await sync(dirname(target));
      return outcome;
    });
  }

  async replace(key: string, file: { path: string; size: number }, signal?: AbortSignal): Promise<void> {
    const target = this.#path(key);
    await guard(signal, async () => {
      await this.#inFolder(dirname(target), async () => {
        // A copy, not a link to the file: then `storedOn` is now, and a rename onto a link to itself does nothing.
        const copy = await copyBeside(file.path, target);
        await renameOrRemove(copy, target);
      });
      await sync(dirname(target));
    });
  }

  async open(key: string, signal?: AbortSignal): Promise<{ size: number; stream: Readable } | undefined> {
    const path = this.#path(key);
    return guard(signal, async () => {
      const handle = await unlessAbsent(fs.open(path, constants.O_RDONLY));
      if (handle === undefined) return undefined;
      try {
        const stats = await handle.stat();
        throwIfFired(signal);
        if (stats.isFile()) return { size: stats.size, stream: new BlobStream(handle, stats.size, signal) };
      } catch (error) {
        await handle.close();
        throw error;
      }
      await handle.close();
      return undefined;
    });
  }

  async stat(key: string, signal?: AbortSignal): Promise<BlobStat | undefined> {
    const path = this.#path(key);
    return guard(signal, async () => {
      const stats = await unlessAbsent(fs.stat(path));
      return stats?.isFile() ? blobStat(key, stats) : undefined;
    });
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = this.#path(key);
    await guard(signal, async () => {
      const gone = await unlessAbsent(fs.unlink(path).then(() => true));
      if (!gone) return;
      const folder = dirname(path);
      const levels = key.split('/').length - 1;
      if (levels > LASTING_LEVELS && (await this.#removeIfEmpty(folder))) await sync(dirname(folder));
      // A twin that removed the last file of it has removed it as well.
      else await unlessAbsent(sync(folder));
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<BlobStat, void, undefined> {
    // Whole segments of the prefix say where to start; the rest is compared, so `..` leads nowhere.
    const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    if (start !== '' && !isBlobKey(start.slice(0, -1))) return;
    yield* this.#walk(start, prefix, signal);
  }

  localPath(key: string): string {
    return this.#path(key);
  }

  async check(signal?: AbortSignal): Promise<void> {
    await guard(signal, () => this.probe());
  }

  async close(): Promise<void> {
    this.#folders.clear();
  }

  /** Writes and removes a small file. Errors are the file system's own. */
  async probe(): Promise<void> {
    const path = join(this.stagingFolder, stagingName());
    try {
      // Its content matters: an empty file can still be created on a full disk.
      await fs.writeFile(path, 'probe', { flag: 'wx', mode: 0o600 });
    } finally {
      await fs.rm(path, { force: true });
    }
    await (await fs.opendir(this.#root)).close();
  }

  #path(key: string): string {
    if (!isBlobKey(key)) throw new TypeError(`${JSON.stringify(key)} is not a blob key`);
    return join(this.#root, key);
  }

  // `folder` holds keys that start with `under`, which is empty or ends with a slash.
  async *#walk(
    under: string,
    prefix: string,
    signal?: AbortSignal,
  ): AsyncGenerator<BlobStat, void, undefined> {
    const folder = join(this.#root, under);
    const entries = await guard(signal, () => unlessAbsent(fs.opendir(folder)));
    if (entries === undefined) return;
    try {
      for (;;) {
        const entry = await guard(signal, () => entries.read());
        if (entry === null) return;
        const key = under + entry.name;
        const path = join(folder, entry.name);
        if (entry.name.startsWith(BESIDE_PREFIX)) await removeCrumb(path);
        else if (!isBlobKey(key)) continue;
        else if (entry.isDirectory()) {
          const inside = `${key}/`;
          if (inside.startsWith(prefix) || prefix.startsWith(inside))
            yield* this.#walk(inside, prefix, signal);
        } else if (key.startsWith(prefix)) {
          const stats = await guard(signal, () => unlessAbsent(fs.stat(path)));
          if (stats?.isFile()) yield blobStat(key, stats);
        }
      }
    } finally {
      await entries.close();
    }
  }

  /** Runs the work in a folder that is there and durable. Made again if somebody removes it meanwhile. */
  async #inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      await this.#ensureFolder(folder);
      try {
        return await work();
      } catch (error) {
        if (!hasCode(error, 'ENOENT') || attempt === FOLDER_ATTEMPTS) throw error;
        this.#folders.delete(folder);
      }
    }
  }

  /** True if it was. Whoever stores in it at the same time makes it anew. */
  async #removeIfEmpty(folder: string): Promise<boolean> {
    this.#folders.delete(folder);
    return fs.rmdir(folder).then(
      () => true,
      () => false,
    );
  }

  async #ensureFolder(folder: string): Promise<void> {
    let made = this.#folders.get(folder);
    if (made === undefined) {
      made = this.#makeFolder(folder);
      this.#folders.set(folder, made);
      made.catch(() => this.#folders.delete(folder));
    }
    await made;
  }

  async #makeFolder(folder: string): Promise<void> {
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    // Every level, not only those that were made here: a twin, or a crash, may have made the others unsynced.
    await syncParents(folder, this.#root);
  }

  async #createAt(target: string, source: string): Promise<'created' | 'exists'> {
    const linked = await link(source, target);
    if (linked === 'created' || linked === 'exists') return linked;
    // On another disk than staging, or on one that has no links: a copy on the same disk first.
    const copy = await copyBeside(source, target);
    const second = await link(copy, target);
    if (second !== 'created' && second !== 'exists') return this.#claimAndRename(copy, target);
    await fs.rm(copy, { force: true });
    return second;
  }

  /**
   * Put-if-absent without links: whoever creates the claim file may rename. A claim that a crash left behind ages
   * out; should two then rename at once, both rename a whole file.
   */
  async #claimAndRename(copy: string, target: string): Promise<'created' | 'exists'> {
    const claim = join(dirname(target), `${BESIDE_PREFIX}claim-${target.slice(dirname(target).length + 1)}`);
    try {
      while (!(await createEmpty(claim))) {
        const held = await unlessAbsent(fs.stat(claim));
        if (held !== undefined && Date.now() - held.mtimeMs > CLAIM_AGE_MS)
          await fs.rm(claim, { force: true });
        else await delay(CLAIM_POLL_MS);
      }
      try {
        if ((await unlessAbsent(fs.stat(target))) !== undefined) return 'exists';
        await fs.rename(copy, target);
        return 'created';
      } finally {
        await fs.rm(claim, { force: true });
      }
    } finally {
      await fs.rm(copy, { force: true });
    }
  }
}

/** Reads exactly `size` bytes of an open file, and fails if it ends before. Closes the file in any case. */
class BlobStream extends Readable {
  readonly #handle: FileHandle;
  readonly #size: number;
  #position = 0;

  constructor(handle: FileHandle, size: number, signal: AbortSignal | undefined) {
    super({ highWaterMark: READ_CHUNK_BYTES });
    this.#handle = handle;
    this.#size = size;
    if (signal === undefined) return;
    const onAbort = () => this.destroy(cancellation(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    this.once('close', () => signal.removeEventListener('abort', onAbort));
  }

  override _read(): void {
    const length = Math.min(READ_CHUNK_BYTES, this.#size - this.#position);
    if (length === 0) {
      this.push(null);
      return;
    }
    this.#handle.read(Buffer.allocUnsafe(length), 0, length, this.#position).then(
      ({ bytesRead, buffer }) => {
        this.#position += bytesRead;
        if (bytesRead > 0) this.push(buffer.subarray(0, bytesRead));
        else this.destroy(new AppError('unavailable', 'A stored file is cut short'));
      },
      (error: unknown) => this.destroy(asError(fileFault(error))),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handle.close().then(
      () => callback(error),
      () => callback(error),
    );
  }
}

async function guard<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  throwIfFired(signal);
  return onFile(work());
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Undefined if there is no such file. ENOTDIR: a parent of it is a file, so it is not there either. */
async function unlessAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

function blobStat(key: string, stats: Stats): BlobStat {
  return { key, size: stats.size, storedOn: stats.mtime };
}

async function sync(path: string): Promise<void> {
  const handle = await fs.open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the entry of the folder durable, and those of its parents up to the ones in `top`. */
async function syncParents(folder: string, top: string): Promise<void> {
  for (let level = folder; level !== top; level = dirname(level)) await sync(dirname(level));
}

async function link(
  source: string,
  target: string,
): Promise<'created' | 'exists' | 'other-disk' | 'no-links'> {
  try {
    await fs.link(source, target);
    return 'created';
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return 'exists';
    if (hasCode(error, 'EXDEV')) return 'other-disk';
    // EMLINK: the source has as many links as its disk can count.
    if (hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) return 'no-links';
    throw error;
  }
}

async function copyBeside(source: string, target: string): Promise<string> {
  const copy = join(dirname(target), `${BESIDE_PREFIX}${stagingName()}`);
  try {
    await fs.copyFile(source, copy, constants.COPYFILE_EXCL);
    await sync(copy);
    return copy;
  } catch (error) {
    await fs.rm(copy, { force: true });
    throw error;
  }
}

async function renameOrRemove(copy: string, target: string): Promise<void> {
  try {
    await fs.rename(copy, target);
  } catch (error) {
    await fs.rm(copy, { force: true });
    throw error;
  }
}

async function createEmpty(path: string): Promise<boolean> {
  try {
    await (await fs.open(path, 'wx', 0o600)).close();
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** What a crash left beside the blobs goes when a listing meets it, once it can be nobody's any more. */
async function removeCrumb(path: string): Promise<void> {
  const stats = await fs.stat(path).catch(() => undefined);
  if (stats && Date.now() - stats.mtimeMs > CRUMB_AGE_MS) await fs.rm(path, { force: true }).catch(() => {});
}
