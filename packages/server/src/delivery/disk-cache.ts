/**
 * Renditions on disk: the second tier, that a restart keeps. Owns the files' form, their order of use and the bound in
 * bytes. A file is `<folder>/<2 hex>/<digest>/<plan>`: a header, then the bytes. Nothing is synced: what a crash
 * damages is seen by its checksum and made again.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Digest } from '../image.ts';
import { Entries } from './lru-index.ts';
import {
  type DamagedRendition,
  type RenditionKey,
  type RenditionTier,
  renditionKey,
} from './rendition-cache.ts';

/** Magic, length of the bytes, their CRC-32; big endian, 4 bytes each. */
const HEADER_BYTES = 12;
const MAGIC = 0x56545231;
/** What a file costs beside its bytes: a block on average, and its entry in a folder. */
const OVERHEAD = 4096;
/** Files that may be on their way to the disk; what is made beyond that is not kept. */
const MAX_PENDING = 64;
const TEMPORARY = '.tmp';

export class DiskCache implements RenditionTier {
  readonly #folder: string;
  readonly #entries: Entries<number>;
  /** Begins the names of this cache's own files on their way, which are no leftovers. */
  readonly #id = randomUUID();
  #takingUp: Promise<void> | undefined;
  #closed = false;
  readonly #pending = new Map<Promise<void>, Digest>();
  /** Originals that were forgotten while files of theirs were on their way. */
  readonly #withdrawn = new Set<Digest>();

  private constructor(folder: string, maxBytes: number) {
    this.#folder = folder;
    this.#entries = new Entries<number>({
      maxBytes,
      sizeOf: (size) => size + OVERHEAD,
      onGone: (key) => void this.#track(key.digest, rm(this.#path(key), { force: true }).catch(ignore)),
    });
  }

  /**
   * Opens the folder and takes up what is in it, least recently used first; what is more than `maxBytes` goes.
   * A folder that cannot be used is an empty cache. Nobody need wait for it: a start should not take longer because
   * there is more in the cache. `settled` resolves when all is taken up.
   */
  static open(folder: string, maxBytes: number): DiskCache {
    const cache = new DiskCache(folder, maxBytes);
    cache.#takingUp = cache
      .#takeUp()
      .catch(ignore)
      .then(() => {
        cache.#takingUp = undefined;
      });
    return cache;
  }

  get bytes(): number {
    return this.#entries.bytes;
  }

  /** What is not taken up yet is looked for where it would be. */
  mayHave(key: RenditionKey): boolean {
    return this.#entries.has(key) || this.#takingUp !== undefined;
  }

  async get(key: RenditionKey): Promise<Buffer | undefined> {
    const known = this.#entries.get(key) !== undefined;
    if (!known && this.#takingUp === undefined) return undefined;
    const file = await readFile(this.#path(key)).catch(ignore);
    const bytes = file && unwrap(file);
    if (!bytes) {
      this.#entries.delete(key);
      return undefined;
    }
    if (!known) this.#entries.set(key, bytes.length);
    // The order of use must outlive the process.
    const now = new Date();
    void utimes(this.#path(key), now, now).catch(ignore);
    return bytes;
  }

  async put(key: RenditionKey, bytes: Buffer): Promise<void> {
    if (this.#pending.size >= MAX_PENDING || bytes.length + OVERHEAD > this.#entries.maxBytes) return;
    await this.#track(key.digest, this.#write(key, bytes).catch(ignore));
  }

  async forget(digest: Digest): Promise<void> {
    if ([...this.#pending.values()].includes(digest)) this.#withdrawn.add(digest);
    this.#entries.deleteAll(digest);
    await this.#written();
    this.#withdrawn.delete(digest);
    await rm(this.#folderOf(digest), { recursive: true, force: true }).catch(ignore);
  }

  /** Resolves when all is taken up, and nothing is on its way to the disk. */
  async settled(): Promise<void> {
    await this.#takingUp;
    await this.#written();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.settled();
  }

  async #written(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending.keys());
  }

  async #write(key: RenditionKey, bytes: Buffer): Promise<void> {
    const path = this.#path(key);
    const temporary = join(this.#folder, `${this.#id}-${randomUUID()}${TEMPORARY}`);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await writeFile(temporary, [wrap(bytes), bytes], { flag: 'wx', mode: 0o600 });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    if (this.#withdrawn.has(key.digest)) {
      await rm(path, { force: true });
      return;
    }
    this.#entries.set(key, bytes.length);
  }

  async #takeUp(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const found: { key: RenditionKey; size: number; used: number }[] = [];
    for (const entry of await readdir(this.#folder, { recursive: true, withFileTypes: true })) {
      if (this.#closed) return;
      if (!entry.isFile() || entry.name.startsWith(this.#id)) continue;
      const path = join(entry.parentPath, entry.name);
      if (entry.name.endsWith(TEMPORARY)) {
        await rm(path, { force: true });
        continue;
      }
      const file = await stat(path).catch(ignore);
      // It may have been let go of since the folder was read.
      if (!file) continue;
      const { size, mtimeMs } = file;
      const digest = entry.parentPath.slice(-64);
      found.push({
        key: renditionKey(digest, entry.name),
        size: Math.max(0, size - HEADER_BYTES),
        used: mtimeMs,
      });
    }
    found.sort((one, other) => one.used - other.used);
    for (const { key, size } of found) {
      // One that was used or made meanwhile has its place.
      if (!this.#entries.has(key)) this.#entries.set(key, size);
    }
    await this.#written();
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

/** Every file in the folder of a disk cache that is damaged. A server may use the folder meanwhile. */
export async function* damagedRenditions(folder: string): AsyncGenerator<DamagedRendition> {
  // Folder by folder: a cache may hold a million files.
  for (const group of await foldersIn(folder)) {
    for (const digest of await foldersIn(join(folder, group))) {
      const own = join(folder, group, digest);
      for (const plan of await readdir(own).catch(() => [])) {
        const path = join(own, plan);
        const file = await readFile(path).catch(ignore);
        // It may have been let go of meanwhile.
        if (!file || unwrap(file)) continue;
        yield { digest, plan, drop: () => rm(path, { force: true }) };
      }
    }
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function wrap(bytes: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(bytes.length, 4);
  header.writeUInt32BE(crc32(bytes), 8);
  return header;
}

/** The bytes of a file, or undefined if it is not what it should be. */
function unwrap(file: Buffer): Buffer | undefined {
  if (file.length < HEADER_BYTES || file.readUInt32BE(0) !== MAGIC) return undefined;
  const bytes = file.subarray(HEADER_BYTES);
  return bytes.length === file.readUInt32BE(4) && crc32(bytes) === file.readUInt32BE(8) ? bytes : undefined;
}

function ignore(): undefined {
  return undefined;
}
