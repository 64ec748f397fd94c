/**
 * The memory tier of the rendition cache.
 */
import type { Digest } from '../image.ts';
import { LRUIndex } from './lru-index.ts';
import type { MemoryTier, RenditionKey } from './rendition-cache.ts';

/** The overhead of an entry in bytes: the key, the entry, the Buffer object. */
const OVERHEAD = 512;

export class MemoryCache implements MemoryTier {
  readonly #index: LRUIndex<Buffer>;

  /** @param maxBytes 0: no rendition is stored. */
  constructor(maxBytes: number) {
    this.#index = new LRUIndex({ maxBytes, sizeOf: (bytes) => bytes.length + OVERHEAD });
  }

  get bytes(): number {
    return this.#index.bytes;
  }

  /** The same as `get`, synchronously. */
  peek(key: RenditionKey): Buffer | undefined {
    return this.#index.get(key);
  }

  mayHave(key: RenditionKey): boolean {
    return this.#index.has(key);
  }

  async get(key: RenditionKey): Promise<Buffer | undefined> {
    return this.peek(key);
  }

  async put(key: RenditionKey, bytes: Buffer): Promise<void> {
    // A slice of a larger buffer would keep the whole buffer in memory.
    const copy = bytes.buffer.byteLength > bytes.length + OVERHEAD ? Buffer.from(bytes) : bytes;
    this.#index.set(key, copy);
  }

  async forget(digest: Digest): Promise<void> {
    this.#index.deleteAll(digest);
  }
}
