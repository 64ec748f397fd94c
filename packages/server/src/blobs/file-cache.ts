/**
 * A cache of blobs as local files, for a store that is remote. A file is verified when it is fetched, and
 * once more at its first use after a restart, because files are not synced.
 *
 * A file in use is leased. Eviction takes it out of the cache, and removes it at the end of its last lease.
 * One process uses the folder at a time.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SingleFlight } from '../concurrency/single-flight.ts';
import { throwIfFired } from '../errors.ts';
import { type Digest, isDigest } from '../image.ts';
import { isBlobKey } from './driver.ts';
import { digestOfFile } from './file-digest.ts';
import { withStorageErrors } from './file-errors.ts';
import { type LocalFile, type OpenBlob, type StagedBlob, stageVerified } from './staging.ts';

/** The overhead of a file in bytes: half a block on average, and its entry in a folder. */
const OVERHEAD = 4_096;
/**
 * Milliseconds for which an unused file is kept. So the bytes of an erased image leave this node in a day.
 */
const MAX_IDLE = 24 * 60 * 60 * 1000;
const SWEEP_INTERVAL = 60 * 60 * 1000;
/** The time of a file is updated once in this time, in milliseconds: the order of use survives a restart. */
const TOUCH_INTERVAL = 60 * 1000;
const STAGING = 'staging';

/** A local file that stays until its release. Only to be read. */
export interface FileLease extends LocalFile {
  release(): void;
}

interface Entry extends LocalFile {
  readonly key: string;
  readonly digest: Digest;
  leases: number;
  /** False: an earlier process fetched it. */
  isVerified: boolean;
  /** True when it is no longer in the cache. Then its last lease removes it. */
  isDropped: boolean;
  /** Milliseconds since 1970. */
  usedOn: number;
  touchedOn: number;
}

export class FileCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  /** In the order of use, the least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #flights = new SingleFlight<Entry | undefined>();
  readonly #pending = new Set<Promise<unknown>>();
  readonly #sweeping: NodeJS.Timeout;
  #loading: Promise<void> | undefined;
  #bytes = 0;

  private constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    this.#sweeping = setInterval(() => this.sweep(), SWEEP_INTERVAL);
    this.#sweeping.unref();
  }

  /**
   * Opens the folder, and creates it if it does not exist. Its files are listed in the background, so a large
   * cache does not slow the start; the first leases wait for that. Files beyond the limit are removed.
   * @throws AppError `unavailable` or `storage-full` if the folder cannot be used.
   */
  static async open(folder: string, maxBytes: number): Promise<FileCache> {
    const staging = join(folder, STAGING);
    await withStorageErrors(rm(staging, { recursive: true, force: true }));
    await withStorageErrors(mkdir(staging, { recursive: true, mode: 0o700 }));
    const cache = new FileCache(folder, maxBytes);
    // A folder that cannot be listed is an empty cache.
    cache.#loading = cache.#load().catch(() => undefined);
    return cache;
  }

  /** The size of all files in the cache, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Leases the file of a blob. If it is not in the cache, it is fetched; concurrent callers share one fetch.
   * @param digest the SHA-256 that a fetched file must have; absent: `open` verifies the bytes.
   * @returns undefined if the blob does not exist.
   * @throws AppError of `stageVerified`; `cancelled` if the signal fires.
   */
  async lease(
    key: string,
    open: OpenBlob,
    { digest, signal }: { digest?: Digest | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<FileLease | undefined> {
    throwIfFired(signal);
    await this.#loading;
    const present = await this.#leasePresent(key, digest);
    if (present) return present;
    const entry = await this.#flights.run(key, (shared) => this.#fetch(key, open, digest, shared), signal);
    // The entry may have been dropped since. Its file stays for its waiting callers.
    return entry && this.#leaseEntry(entry);
  }

  /** Takes a blob out of the cache, because its bytes in the store have changed or are gone. */
  drop(key: string): void {
    const entry = this.#entries.get(key);
    if (entry) this.#dropEntry(entry);
  }

  /** Removes files that have not been used for a day. */
  sweep(now = Date.now()): void {
    for (const entry of [...this.#entries.values()]) {
      if (now - entry.usedOn > MAX_IDLE) this.#dropEntry(entry);
    }
  }

  /** Resolves when no removal is running. Files stay for the next process. */
  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    await this.#loading;
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }

  /** Undefined if the file is not in the cache, or is damaged. */
  async #leasePresent(key: string, digest: Digest | undefined): Promise<FileLease | undefined> {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const lease = this.#leaseEntry(entry);
    if (await this.#isIntact(entry, digest)) return lease;
    this.#dropEntry(entry);
    lease.release();
    return undefined;
  }

  async #isIntact(entry: Entry, digest: Digest | undefined): Promise<boolean> {
    if (digest !== undefined && entry.digest !== digest) return false;
    try {
      // An operator may have emptied the folder.
      if ((await stat(entry.path)).size !== entry.size) return false;
      if (!entry.isVerified) {
        if ((await digestOfFile(entry.path)) !== entry.digest) return false;
        entry.isVerified = true;
      }
      return true;
    } catch {
      return false;
    }
  }

  #leaseEntry(entry: Entry): FileLease {
    entry.leases += 1;
    entry.usedOn = Date.now();
    if (!entry.isDropped) {
      this.#entries.delete(entry.key);
      this.#entries.set(entry.key, entry);
      this.#touch(entry);
    }
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      entry.leases -= 1;
      if (entry.isDropped && entry.leases === 0) this.#removeFile(entry.path);
    };
    return { path: entry.path, size: entry.size, release };
  }

  #touch(entry: Entry): void {
    if (entry.usedOn - entry.touchedOn < TOUCH_INTERVAL) return;
    entry.touchedOn = entry.usedOn;
    const now = new Date(entry.usedOn);
    this.#track(utimes(entry.path, now, now));
  }

  async #fetch(
    key: string,
    open: OpenBlob,
    digest: Digest | undefined,
    signal: AbortSignal,
  ): Promise<Entry | undefined> {
    const staged = await stageVerified(join(this.#folder, STAGING), key, open, { digest, signal });
    if (staged === undefined) return undefined;
    const path = this.#newPath(key, staged.digest);
    try {
      await withStorageErrors(move(staged, path));
    } catch (error) {
      await staged.discard();
      throw error;
    }
    const entry = this.#add(key, path, staged, { usedOn: Date.now(), isVerified: true });
    this.#holdForWaiters(entry);
    this.#evict();
    return entry;
  }

  #add(
    key: string,
    path: string,
    { size, digest }: { size: number; digest: Digest },
    { usedOn, isVerified }: { usedOn: number; isVerified: boolean },
  ): Entry {
    this.drop(key);
    const entry: Entry = {
      ...{ key, path, size, digest, usedOn, isVerified },
      leases: 0,
      isDropped: false,
      touchedOn: usedOn,
    };
    this.#entries.set(key, entry);
    this.#bytes += size + OVERHEAD;
    return entry;
  }

  /** Leases a fetched file until its waiting callers have leased it, so that it is not evicted before. */
  #holdForWaiters(entry: Entry): void {
    entry.leases += 1;
    setImmediate(() => {
      entry.leases -= 1;
      if (entry.isDropped && entry.leases === 0) this.#removeFile(entry.path);
    });
  }

  #evict(): void {
    for (const entry of this.#entries.values()) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#dropEntry(entry);
    }
  }

  #dropEntry(entry: Entry): void {
    if (entry.isDropped) return;
    entry.isDropped = true;
    this.#entries.delete(entry.key);
    this.#bytes -= entry.size + OVERHEAD;
    if (entry.leases === 0) this.#removeFile(entry.path);
  }

  #removeFile(path: string): void {
    this.#track(rm(path, { force: true }));
  }

  /** A failure is ignored: it costs space until the next start, or an exact order of use. */
  #track(work: Promise<unknown>): void {
    const tracked: Promise<unknown> = work
      .catch(() => undefined)
      .finally(() => this.#pending.delete(tracked));
    this.#pending.add(tracked);
  }

  /** The path of a new file. It is unique, since a dropped file of the same blob may still be in use. */
  #newPath(key: string, digest: Digest): string {
    const name = `${key.replaceAll('/', '~')}.${digest}.${randomBytes(4).toString('hex')}`;
    return join(this.#folder, digest.slice(0, 2), name);
  }

  async #load(): Promise<void> {
    const files: { path: string; key: string; digest: Digest; size: number; usedOn: number }[] = [];
    for (const item of await readdir(this.#folder, { recursive: true, withFileTypes: true })) {
      if (!item.isFile()) continue;
      const path = join(item.parentPath, item.name);
      const { key, digest } = parseName(item.name) ?? {};
      // A file of an operator stays.
      if (key === undefined || digest === undefined) continue;
      const { size, mtimeMs } = await stat(path);
      files.push({ path, key, digest, size, usedOn: mtimeMs });
    }
    files.sort((one, other) => one.usedOn - other.usedOn);
    for (const { path, key, usedOn, ...file } of files) {
      this.#add(key, path, file, { usedOn, isVerified: false });
    }
    this.#evict();
    this.sweep();
  }
}

/** The key and the digest in the name of a file; undefined if the cache did not make the file. */
function parseName(name: string): { key: string; digest: Digest } | undefined {
  const [, flatKey = '', digest = ''] = /^(.+)\.([0-9a-f]+)\.[0-9a-f]{8}$/.exec(name) ?? [];
  const key = flatKey.replaceAll('~', '/');
  return isBlobKey(key) && isDigest(digest) ? { key, digest } : undefined;
}

async function move({ path }: StagedBlob, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  await rename(path, target);
}
