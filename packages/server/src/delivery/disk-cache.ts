/**
 * The disk tier of the rendition cache, which survives a restart. A file is `<folder>/<2
 * hex>/<digest>/<plan>`: a header, then the bytes. Files are not synced. A checksum detects files that a
 * crash damaged, and they are rendered again.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Digest } from '../image.ts';
import { LRUIndex } from './lru-index.ts';
import {
  type DamagedRendition,
  type RenditionKey,
  type RenditionTier,
  renditionKey,
} from './rendition-cache.ts';

/** A magic number, the length of the bytes and their CRC-32: 4 bytes each, big endian. */
const HEADER_BYTES = 12;
const MAGIC = 0x56545231;
/** The overhead of a file in bytes: a block on average, and its entry in a folder. */
const OVERHEAD = 4096;
/** The most concurrent writes and removals. Renditions beyond it are not written. */
const MAX_PENDING = 64;
const TEMPORARY = '.tmp';

export class DiskCache implements RenditionTier {
  readonly #folder: string;
  readonly #index: LRUIndex<number>;
  /** The prefix of this cache's temporary files. Files without it are left over from another process. */
  readonly #id = randomUUID();
  /** Undefined when the folder is loaded. */
  #loading: Promise<void> | undefined;
  #isClosed = false;
  /** Running writes and removals, with the digest of their original. */
  readonly #pending = new Map<Promise<void>, Digest>();
  /** Originals that were forgotten during a write of one of their files. */
  readonly #forgotten = new Set<Digest>();
  /** The last change of files in each folder `<2 hex>`. */
  readonly #changes = new Map<string, Promise<void>>();

  private constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#index = new LRUIndex<number>({
      maxBytes,
      sizeOf: (size) => size + OVERHEAD,
      onRemove: (key) => void this.#track(key.digest, this.#removeFile(key).catch(ignore)),
    });
  }

  /**
   * Opens the folder. Its files are loaded in the background, so a large cache does not slow the start.
   * `whenSettled` resolves when they are loaded. The least recently used files beyond `maxBytes` are removed.
   * A folder that cannot be used is an empty cache.
   */
  static open(folder: string, maxBytes: number): DiskCache {
    const cache = new DiskCache(folder, maxBytes);
    cache.#loading = cache
      .#load()
      .catch(ignore)
      .then(() => {
        cache.#loading = undefined;
      });
    return cache;
  }

  get bytes(): number {
    return this.#index.bytes;
  }

  /** During the load, any rendition may be on disk. */
  mayHave(key: RenditionKey): boolean {
    return this.#index.has(key) || this.#loading !== undefined;
  }

  async get(key: RenditionKey): Promise<Buffer | undefined> {
    const isIndexed = this.#index.get(key) !== undefined;
    if (!isIndexed && this.#loading === undefined) return undefined;
    const file = await readFile(this.#path(key)).catch(ignore);
    const bytes = file && readContent(file);
    if (!bytes) {
      this.#index.delete(key);
      return undefined;
    }
    if (!isIndexed) this.#index.set(key, bytes.length);
    // The next process reads the order of use from the times of the files.
    const now = new Date();
    void utimes(this.#path(key), now, now).catch(ignore);
    return bytes;
  }

  async put(key: RenditionKey, bytes: Buffer): Promise<void> {
    if (this.#pending.size >= MAX_PENDING || bytes.length + OVERHEAD > this.#index.maxBytes) return;
    await this.#track(key.digest, this.#write(key, bytes).catch(ignore));
  }

  async forget(digest: Digest): Promise<void> {
    if ([...this.#pending.values()].includes(digest)) this.#forgotten.add(digest);
    this.#index.deleteAll(digest);
    await this.#waitForPending();
    this.#forgotten.delete(digest);
    const remove = () => rm(this.#folderOf(digest), { recursive: true, force: true });
    await this.#track(digest, this.#change(digest, remove).catch(ignore));
  }

  /** Resolves when the folder is loaded and all writes and removals are done. */
  async whenSettled(): Promise<void> {
    await this.#loading;
    await this.#waitForPending();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.whenSettled();
  }

  async #waitForPending(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending.keys());
  }

  async #write(key: RenditionKey, bytes: Buffer): Promise<void> {
    const temporary = join(this.#folder, `${this.#id}-${randomUUID()}${TEMPORARY}`);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    try {
      await writeFile(temporary, [createHeader(bytes), bytes], { flag: 'wx', mode: 0o600 });
      await this.#change(key.digest, async () => {
        const path = this.#path(key);
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await rename(temporary, path);
        // Within the change, so that a removal that waits for it sees the new file.
        if (this.#forgotten.has(key.digest)) await rm(path, { force: true });
        else this.#index.set(key, bytes.length);
      });
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }

  #removeFile(key: RenditionKey): Promise<void> {
    return this.#change(key.digest, async () => {
      // It may have been written again since the removal from the index.
      if (!this.#index.has(key)) await rm(this.#path(key), { force: true });
    });
  }

  /**
   * Runs a change of the files of an original, then removes the folders that it left empty. Changes in one
   * group run one after another. Otherwise a removal could take the folder that a write has just made.
   */
  async #change(digest: Digest, work: () => Promise<void>): Promise<void> {
    const group = digest.slice(0, 2);
    const previous = this.#changes.get(group) ?? Promise.resolve();
    const change = previous.then(work).finally(() => removeEmptyFolders(this.#folder, group, digest));
    const done: Promise<void> = change.catch(ignore).finally(() => {
      if (this.#changes.get(group) === done) this.#changes.delete(group);
    });
    this.#changes.set(group, done);
    await change;
  }

  async #load(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#removeTemporaryFiles();
    const files: { key: RenditionKey; size: number; usedAt: number }[] = [];
    // Reads folder by folder, because any of them may be removed meanwhile.
    for (const group of await listFolders(this.#folder)) {
      const digests = await listFolders(join(this.#folder, group));
      if (digests.length === 0) await this.#removeIfEmpty(group);
      for (const digest of digests) {
        if (this.#isClosed) return;
        const plans = await readdir(join(this.#folder, group, digest)).catch(() => []);
        if (plans.length === 0) await this.#removeIfEmpty(digest);
        for (const plan of plans) {
          const key = renditionKey(digest, plan);
          const stats = await stat(this.#path(key)).catch(ignore);
          if (!stats?.isFile()) continue;
          files.push({ key, size: Math.max(0, stats.size - HEADER_BYTES), usedAt: stats.mtimeMs });
        }
      }
    }
    files.sort((one, other) => one.usedAt - other.usedAt);
    for (const { key, size } of files) {
      // A rendition that was read or written during the load is in the index.
      if (!this.#index.has(key)) this.#index.set(key, size);
      // The index does not take a file that is larger than a lowered limit.
      if (!this.#index.has(key)) void this.#track(key.digest, this.#removeFile(key).catch(ignore));
    }
    await this.#waitForPending();
  }

  async #removeTemporaryFiles(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (!name.endsWith(TEMPORARY) || name.startsWith(this.#id)) continue;
      await rm(join(this.#folder, name), { force: true });
    }
  }

  /** Removes a folder that an earlier process left empty: of an original, or a group of them. */
  async #removeIfEmpty(name: string): Promise<void> {
    await this.#change(name, async () => undefined).catch(ignore);
  }

  #track(digest: Digest, work: Promise<void>): Promise<void> {
    const tracked: Promise<void> = work.finally(() => this.#pending.delete(tracked));
    this.#pending.set(tracked, digest);
    return tracked;
  }

  #path({ digest, plan }: RenditionKey): string {
    return join(this.#folderOf(digest), plan);
  }

  #folderOf(digest: Digest): string {
    return join(this.#folder, digest.slice(0, 2), digest);
  }
}

/** The damaged files in the folder of a disk cache. A server may use the folder at the same time. */
export async function* damagedRenditions(folder: string): AsyncGenerator<DamagedRendition> {
  // Reads folder by folder, because a cache may have a million files.
  for (const group of await listFolders(folder)) {
    for (const digest of await listFolders(join(folder, group))) {
      const subfolder = join(folder, group, digest);
      for (const plan of await readdir(subfolder).catch(() => [])) {
        const path = join(subfolder, plan);
        const file = await readFile(path).catch(ignore);
        // The file may have been evicted since the folder was read.
        if (!file || readContent(file)) continue;
        const drop = async () => {
          await rm(path, { force: true });
          await removeEmptyFolders(folder, group, digest);
        };
        yield { digest, plan, drop };
      }
    }
  }
}

/** Removes the folder of an original, and then its group, each only if it is empty. */
async function removeEmptyFolders(folder: string, group: string, digest: Digest): Promise<void> {
  // `rmdir` fails for a folder that has an entry.
  await rmdir(join(folder, group, digest)).catch(ignore);
  await rmdir(join(folder, group)).catch(ignore);
}

async function listFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function createHeader(bytes: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(bytes.length, 4);
  header.writeUInt32BE(crc32(bytes), 8);
  return header;
}

/** The bytes of a file without its header; undefined if the file is damaged. */
function readContent(file: Buffer): Buffer | undefined {
  if (file.length < HEADER_BYTES || file.readUInt32BE(0) !== MAGIC) return undefined;
  const bytes = file.subarray(HEADER_BYTES);
  return bytes.length === file.readUInt32BE(4) && crc32(bytes) === file.readUInt32BE(8) ? bytes : undefined;
}

function ignore(): undefined {
  return undefined;
}
