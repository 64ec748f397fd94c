/**
 * What a cache of renditions holds: a bound in bytes, the order of use, and which entries belong to one original.
 * Owns that bookkeeping once for all caches. Refuses to know where the bytes are.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../image.ts';
import { type RenditionKey, renditionKey } from './rendition-cache.ts';

export interface EntriesOptions<Value> {
  /** 0: nothing is kept. */
  readonly maxBytes: number;
  /** What an entry takes, in bytes, with all that it costs beside the rendition's own. */
  readonly sizeOf: (value: Value) => number;
  /** Called for every entry that goes, for whatever reason but a new value in its place. */
  readonly onGone?: (key: RenditionKey) => void;
}

export class Entries<Value extends object | number> {
  readonly #entries: LRUCache<string, Value>;
  readonly #plans = new Map<Digest, Set<string>>();

  constructor({ maxBytes, sizeOf, onGone }: EntriesOptions<Value>) {
    this.#entries = new LRUCache<string, Value>({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: sizeOf,
      dispose: (_value, name, reason) => {
        if (reason === 'set') return;
        const [digest = '', plan = ''] = name.split(' ');
        const plans = this.#plans.get(digest);
        plans?.delete(plan);
        if (plans?.size === 0) this.#plans.delete(digest);
        onGone?.(renditionKey(digest, plan));
      },
    });
  }

  /** Bytes that all entries take. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  get maxBytes(): number {
    return this.#entries.maxSize;
  }

  /** Counts as a use. */
  get(key: RenditionKey): Value | undefined {
    return this.#entries.get(key.name);
  }

  /** Does not count as a use. */
  has(key: RenditionKey): boolean {
    return this.#entries.has(key.name);
  }

  /** An entry larger than all there is room for is not kept. */
  set(key: RenditionKey, value: Value): void {
    this.#entries.set(key.name, value);
    if (!this.has(key)) return;
    const plans = this.#plans.get(key.digest) ?? new Set();
    this.#plans.set(key.digest, plans.add(key.plan));
  }

  delete(key: RenditionKey): void {
    this.#entries.delete(key.name);
  }

  deleteAll(digest: Digest): void {
    for (const plan of [...(this.#plans.get(digest) ?? [])]) this.delete(renditionKey(digest, plan));
  }
}
