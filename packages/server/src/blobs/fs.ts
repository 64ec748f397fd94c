/**
 * The BlobDriver for a local folder. A blob is the file at its key under the root.
 *
 * A complete and synced file gets its key in one atomic step: link(2), which fails if the name exists, or
 * rename(2), which replaces. Then the folder is synced.
 */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { constants, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { AppError, cancellation, throwIfFired } from '../errors.ts';
import { type BlobDriver, type BlobFile, type BlobStat, isBlobKey } from './driver.ts';
import { toStorageError, withStorageErrors } from './file-errors.ts';
import { stagingName } from './staging.ts';

const READ_CHUNK_BYTES = 64 * 1024;
// Temporary files must be on the same disk as the blob. No key contains `~`, so they are never taken for
// blobs.
const TEMPORARY_PREFIX = '~';
const TEMPORARY_LIFETIME_MS = 24 * 60 * 60 * 1000;
const CLAIM_LIFETIME_MS = 60 * 1000;
const CLAIM_POLL_MS = 20;
const MAX_KNOWN_FOLDERS = 4_096;
const FOLDER_ATTEMPTS = 3;
/** The number of folder levels that stay when they are empty: `originals/4f`. */
const PERMANENT_LEVELS = 2;

/**
 * Opens the folder as a BlobDriver. Creates the folder if it does not exist.
 * @throws Error with a message for the operator, if the folder cannot be created or written.
 */
export async function openFileBlobs(options: { folder: string }): Promise<BlobDriver> {
  const root = resolve(options.folder);
  const driver = new FileBlobs(root);
  try {
    const firstCreated = await fs.mkdir(driver.stagingFolder, { recursive: true, mode: 0o700 });
    if (firstCreated !== undefined) await syncParents(driver.stagingFolder, dirname(firstCreated));
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
  // Folders that are durable when their promise resolves. There are as many folders as originals, so the
  // number is limited. An evicted folder is made durable again, which is harmless.
  readonly #folders = new LRUCache<string, Promise<void>>({ max: MAX_KNOWN_FOLDERS });

  constructor(root: string) {
    this.#root = root;
    this.stagingFolder = join(root, 'staging');
  }

  async put(key: string, file: BlobFile, signal?: AbortSignal): Promise<'created' | 'exists'> {
    const target = this.#path(key);
    return runOperation(signal, async () => {
      await sync(file.path);
      const outcome = await this.#withFolder(dirname(target), () => this.#createAt(target, file.path));
      // Also for an existing blob, because its creator may not have synced the folder yet.
      await sync(dirname(target));
      return outcome;
    });
  }

  async replace(key: string, file: BlobFile, signal?: AbortSignal): Promise<void> {
    const target = this.#path(key);
    await runOperation(signal, async () => {
      await this.#withFolder(dirname(target), async () => {
        // A copy and not a link: it sets `storedOn` to now, and a rename onto a link of the same file does
        // nothing.
        const copy = await copyToFolderOf(target, file.path);
        await renameOrRemove(copy, target);
      });
      await sync(dirname(target));
    });
  }

  async open(key: string, signal?: AbortSignal): Promise<{ size: number; stream: Readable } | undefined> {
    const path = this.#path(key);
    return runOperation(signal, async () => {
      const handle = await undefinedIfAbsent(fs.open(path, constants.O_RDONLY));
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
    return runOperation(signal, async () => {
      const stats = await undefinedIfAbsent(fs.stat(path));
      return stats?.isFile() ? blobStat(key, stats) : undefined;
    });
  }

  async delete(key: string, signal?: AbortSignal): Promise<void> {
    const path = this.#path(key);
    await runOperation(signal, async () => {
      const isDeleted = await undefinedIfAbsent(fs.unlink(path).then(() => true));
      if (!isDeleted) return;
      const folder = dirname(path);
      const levels = key.split('/').length - 1;
      if (levels > PERMANENT_LEVELS && (await this.#removeIfEmpty(folder))) await sync(dirname(folder));
      // A concurrent delete of the last file may have removed the folder.
      else await undefinedIfAbsent(sync(folder));
    });
  }

  async *list(prefix: string, signal?: AbortSignal): AsyncGenerator<BlobStat, void, undefined> {
    // The listing starts at the whole segments of the prefix. The rest is only compared, so `..` has no
    // effect.
    const start = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    if (start !== '' && !isBlobKey(start.slice(0, -1))) return;
    yield* this.#walk(start, prefix, signal);
  }

  localPath(key: string): string {
    return this.#path(key);
  }

  async check(signal?: AbortSignal): Promise<void> {
    await runOperation(signal, () => this.probe());
  }

  async close(): Promise<void> {
    this.#folders.clear();
  }

  /** Writes and removes a small file. Throws errors of the file system unchanged. */
  async probe(): Promise<void> {
    const path = join(this.stagingFolder, stagingName());
    try {
      // The file needs content, because a full disk may still accept an empty file.
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

  /** @param folderKey the keys below start with it; empty or with a slash at its end. */
  async *#walk(
    folderKey: string,
    prefix: string,
    signal?: AbortSignal,
  ): AsyncGenerator<BlobStat, void, undefined> {
    const folder = join(this.#root, folderKey);
    const entries = await runOperation(signal, () => undefinedIfAbsent(fs.opendir(folder)));
    if (entries === undefined) return;
    try {
      for (;;) {
        const entry = await runOperation(signal, () => entries.read());
        if (entry === null) return;
        const key = folderKey + entry.name;
        const path = join(folder, entry.name);
        if (entry.name.startsWith(TEMPORARY_PREFIX)) await removeIfLeftOver(path);
        else if (!isBlobKey(key)) continue;
        else if (entry.isDirectory()) {
          const subfolderKey = `${key}/`;
          if (subfolderKey.startsWith(prefix) || prefix.startsWith(subfolderKey))
            yield* this.#walk(subfolderKey, prefix, signal);
        } else if (key.startsWith(prefix)) {
          const stats = await runOperation(signal, () => undefinedIfAbsent(fs.stat(path)));
          if (stats?.isFile()) yield blobStat(key, stats);
        }
      }
    } finally {
      await entries.close();
    }
  }

  /**
   * Runs the work after the folder exists and is durable. Retries if the folder is removed during the work.
   */
  async #withFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
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

  /**
   * A concurrent `put` into the folder creates it again.
   * @returns true if the folder was empty and is removed.
   */
  async #removeIfEmpty(folder: string): Promise<boolean> {
    this.#folders.delete(folder);
    return fs.rmdir(folder).then(
      () => true,
      () => false,
    );
  }

  async #ensureFolder(folder: string): Promise<void> {
    let creation = this.#folders.get(folder);
    if (creation === undefined) {
      creation = this.#createFolder(folder);
      this.#folders.set(folder, creation);
      creation.catch(() => this.#folders.delete(folder));
    }
    await creation;
  }

  async #createFolder(folder: string): Promise<void> {
    await fs.mkdir(folder, { recursive: true, mode: 0o700 });
    // Syncs each level, because another call, or a process that crashed, may have created a level without a
    // sync.
    await syncParents(folder, this.#root);
  }

  async #createAt(target: string, source: string): Promise<'created' | 'exists'> {
    const outcome = await link(source, target);
    if (outcome === 'created' || outcome === 'exists') return outcome;
    // Staging is on another disk, or the disk has no links. A copy on the same disk is needed first.
    const copy = await copyToFolderOf(target, source);
    const copyOutcome = await link(copy, target);
    if (copyOutcome !== 'created' && copyOutcome !== 'exists') return this.#claimAndRename(copy, target);
    await fs.rm(copy, { force: true });
    return copyOutcome;
  }

  /**
   * Put-if-absent for disks without links: the call that creates the claim file may rename. The claim of a
   * crashed process expires. If two calls then rename at the same time, each renames a complete file.
   */
  async #claimAndRename(copy: string, target: string): Promise<'created' | 'exists'> {
    const claim = join(
      dirname(target),
      `${TEMPORARY_PREFIX}claim-${target.slice(dirname(target).length + 1)}`,
    );
    try {
      while (!(await createEmpty(claim))) {
        const stats = await undefinedIfAbsent(fs.stat(claim));
        if (stats !== undefined && Date.now() - stats.mtimeMs > CLAIM_LIFETIME_MS)
          await fs.rm(claim, { force: true });
        else await delay(CLAIM_POLL_MS);
      }
      try {
        if ((await undefinedIfAbsent(fs.stat(target))) !== undefined) return 'exists';
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

/** Reads exactly `size` bytes of an open file, and fails if the file is shorter. Always closes the file. */
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
        else this.destroy(new AppError('unavailable', 'A stored file is truncated'));
      },
      (error: unknown) => this.destroy(asError(toStorageError(error))),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#handle.close().then(
      () => callback(error),
      () => callback(error),
    );
  }
}

async function runOperation<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  throwIfFired(signal);
  return withStorageErrors(work());
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Undefined if the file does not exist. With ENOTDIR a parent is a file, so the file cannot exist. */
async function undefinedIfAbsent<T>(work: Promise<T>): Promise<T | undefined> {
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

/** Makes the entry of the folder and of its parents below `top` durable. */
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
    // EMLINK: the source has the maximum number of links.
    if (hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) return 'no-links';
    throw error;
  }
}

/** Copies the source to a temporary file in the folder of the target, and syncs it. */
async function copyToFolderOf(target: string, source: string): Promise<string> {
  const copy = join(dirname(target), `${TEMPORARY_PREFIX}${stagingName()}`);
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

/** @returns false if the file exists. */
async function createEmpty(path: string): Promise<boolean> {
  try {
    await (await fs.open(path, 'wx', 0o600)).close();
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** Removes a temporary file that is too old to be in use: a crash left it. */
async function removeIfLeftOver(path: string): Promise<void> {
  const stats = await fs.stat(path).catch(() => undefined);
  if (stats && Date.now() - stats.mtimeMs > TEMPORARY_LIFETIME_MS)
    await fs.rm(path, { force: true }).catch(() => {});
}
