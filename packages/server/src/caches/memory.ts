/**
 * Renditions in memory: the first tier. Owns its bound in bytes.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../image.ts';
import type { RenditionCache, RenditionKey } from './store.ts';

/** What an entry costs beside its bytes: the key, the entry, the Buffer object. */
const OVERHEAD = 512;

export class MemoryCache implements RenditionCache {
  readonly #entries: LRUCache<string, Buffer>;
  /** The plans that are held of an original, so that all of them can be let go of. */
  readonly #plans = new Map<Digest, Set<string>>();

  /** @param maxBytes 0: nothing is kept. */
  constructor(maxBytes: number) {
    this.#entries = new LRUCache<string, Buffer>({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: (bytes) => bytes.length + OVERHEAD,
      dispose: (_bytes, name, reason) => {
        if (reason !== 'set') this.#unlist(name);
      },
    });
  }

  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  /** As get, at once. */
  peek({ digest, plan }: RenditionKey): Buffer | undefined {
    return this.#entries.get(`${digest} ${plan}`);
  }

  async get(key: RenditionKey): Promise<Buffer | undefined> {
    return this.peek(key);
  }

  async put({ digest, plan }: RenditionKey, bytes: Buffer): Promise<void> {
    const name = `${digest} ${plan}`;
    // A slice of something larger would hold all of it.
    const own = bytes.buffer.byteLength > bytes.length + OVERHEAD ? Buffer.from(bytes) : bytes;
    this.#entries.set(name, own);
    if (!this.#entries.has(name)) return;
    const plans = this.#plans.get(digest) ?? new Set();
    this.#plans.set(digest, plans.add(plan));
  }

  async forget(digest: Digest): Promise<void> {
    for (const plan of [...(this.#plans.get(digest) ?? [])]) this.#entries.delete(`${digest} ${plan}`);
  }

  #unlist(name: string): void {
    const [digest = '', plan = ''] = name.split(' ');
    const plans = this.#plans.get(digest);
    plans?.delete(plan);
    if (plans?.size === 0) this.#plans.delete(digest);
  }
}
