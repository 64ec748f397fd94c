/**
 * The index of a rendition cache: a limit in bytes, the order of use, and the entries of each original.
 * The tiers keep the bytes.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../image.ts';
import { type RenditionKey, renditionKey } from './rendition-cache.ts';

export interface LRUIndexOptions<Value> {
  /** 0: no entry is stored. */
  readonly maxBytes: number;
  /** The size of an entry in bytes, including its overhead. */
  readonly sizeOf: (value: Value) => number;
  /** Called for each removed or evicted entry, but not for a replaced one. */
  readonly onRemove?: (key: RenditionKey) => void;
}

export class LRUIndex<Value extends object | number> {
  readonly #entries: LRUCache<string, Value>;
  readonly #plans = new Map<Digest, Set<string>>();

  constructor({ maxBytes, sizeOf, onRemove }: LRUIndexOptions<Value>) {
    this.#entries = new LRUCache<string, Value>({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: sizeOf,
      dispose: (_value, name, reason) => {
        if (reason === 'set') return;
        const [digest = '', plan = ''] = name.split(' ');
        const plans = this.#plans.get(digest);
        plans?.delete(plan);
        if (plans?.size === 0) this.#plans.delete(digest);
        onRemove?.(renditionKey(digest, plan));
      },
    });
  }

  /** The size of all entries in bytes. */
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

  /** Does not store an entry that is larger than `maxBytes`. */
  set(key: RenditionKey, value: Value): void {
    this.#entries.set(key.name, value);
    if (!this.has(key)) return;
    const plans = this.#plans.get(key.digest) ?? new Set();
    this.#plans.set(key.digest, plans.add(key.plan));
  }

  delete(key: RenditionKey): void {
    this.#entries.delete(key.name);
  }

  /** Removes all entries of an original. */
  deleteAll(digest: Digest): void {
    for (const plan of [...(this.#plans.get(digest) ?? [])]) this.delete(renditionKey(digest, plan));
  }
}
