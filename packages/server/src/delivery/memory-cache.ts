/**
 * Renditions in memory: the first tier.
 */
import type { Digest } from '../image.ts';
import { Entries } from './lru-index.ts';
import type { MemoryTier, RenditionKey } from './rendition-cache.ts';

/** What an entry costs beside its bytes: the key, the entry, the Buffer object. */
const OVERHEAD = 512;

export class MemoryCache implements MemoryTier {
  readonly #entries: Entries<Buffer>;

  /** @param maxBytes 0: nothing is kept. */
  constructor(maxBytes: number) {
    this.#entries = new Entries({ maxBytes, sizeOf: (bytes) => bytes.length + OVERHEAD });
  }

  get bytes(): number {
    return this.#entries.bytes;
  }

  /** As get, at once. */
  peek(key: RenditionKey): Buffer | undefined {
    return this.#entries.get(key);
  }

  mayHave(key: RenditionKey): boolean {
    return this.#entries.has(key);
  }

  async get(key: RenditionKey): Promise<Buffer | undefined> {
    return this.peek(key);
  }

  async put(key: RenditionKey, bytes: Buffer): Promise<void> {
    // A slice of something larger would hold all of it.
    const own = bytes.buffer.byteLength > bytes.length + OVERHEAD ? Buffer.from(bytes) : bytes;
    this.#entries.set(key, own);
  }

  async forget(digest: Digest): Promise<void> {
    this.#entries.deleteAll(digest);
  }
}
