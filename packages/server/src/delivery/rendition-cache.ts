/**
 * The cache of renditions, in two tiers: memory and disk. Ingest and delivery share it.
 *
 * A rendition is named by the digest of its original and the key of its plan. So a cached rendition is never
 * wrong; it can only be unused. Every rendition can be made again, so no call here rejects.
 */
import type { Digest } from '../image.ts';

/** The name of a rendition; `renditionKey` makes it. */
export interface RenditionKey {
  readonly digest: Digest;
  /** The key of the plan, from `planKey`: characters `[a-z0-9.,-]`. */
  readonly plan: string;
  /** The digest and the plan with a space between them. It is made once, because each request looks it up. */
  readonly name: string;
}

/** The key of a plan for an original. Neither part has a space in it. */
export function renditionKey(digest: Digest, plan: string): RenditionKey {
  return { digest, plan, name: `${digest} ${plan}` };
}

/** A cache file whose content is damaged. */
export interface DamagedRendition extends Pick<RenditionKey, 'digest' | 'plan'> {
  /** Removes the file. */
  drop(): Promise<void>;
}

/** One tier of the cache. */
export interface RenditionTier {
  /** The bytes, whole and undamaged, or undefined. Never rejects. */
  get(key: RenditionKey): Promise<Buffer | undefined>;
  /** False if `get` would find nothing. Synchronous, and does not count as a use. */
  mayHave(key: RenditionKey): boolean;
  /** Stores the bytes. The least recently used renditions are evicted to make room. Never rejects. */
  put(key: RenditionKey, bytes: Buffer): Promise<void>;
  /** Removes all renditions of an original. Never rejects. */
  forget(digest: Digest): Promise<void>;
  /** Bytes in use now. */
  readonly bytes: number;
}

/** The tier in memory: it can also answer at once. */
export interface MemoryTier extends RenditionTier {
  /** The same as `get`, synchronously. */
  peek(key: RenditionKey): Buffer | undefined;
}

export class RenditionCache {
  readonly #memory: MemoryTier;
  readonly #disk: RenditionTier;

  constructor({ memory, disk }: { memory: MemoryTier; disk: RenditionTier }) {
    this.#memory = memory;
    this.#disk = disk;
  }

  /** The bytes if they are in memory. */
  peek(key: RenditionKey): Buffer | undefined {
    return this.#memory.peek(key);
  }

  /** False if the disk tier does not have the rendition. */
  mayBeOnDisk(key: RenditionKey): boolean {
    return this.#disk.mayHave(key);
  }

  /** Reads a rendition from disk into memory. Undefined if the disk tier does not have it whole. */
  async readFromDisk(key: RenditionKey): Promise<Buffer | undefined> {
    const bytes = await this.#disk.get(key);
    if (bytes) await this.#memory.put(key, bytes);
    return bytes;
  }

  /**
   * Stores a new rendition in both tiers. Resolves when it is in memory; the disk is written in the
   * background.
   */
  async put(key: RenditionKey, bytes: Uint8Array): Promise<Buffer> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    await this.#memory.put(key, buffer);
    void this.#disk.put(key, buffer);
    return buffer;
  }

  /** Removes all renditions of an original, in the background. */
  forget(digest: Digest): void {
    void this.#memory.forget(digest);
    void this.#disk.forget(digest);
  }
}
