/**
 * Owns how originals are removed so that it can be taken back: their bytes stay under another key until it is known that
 * nobody can have named them meanwhile. Refuses to know who names them, and who may remove.
 */
import { randomUUID } from 'node:crypto';
import { DIGEST_PATTERN, type Digest } from '../image.ts';
import type { BlobDriver } from './driver.ts';
import type { StagedBlob } from './staging.ts';

/** The removal of one original by one collector, which can be taken back until `finish`. */
export interface RevocableRemoval {
  /** Keeps what could be taken back. Comes first, and before any lock. False: there is nothing to remove, nor may it be tried. */
  prepare(): Promise<boolean>;
  /** Removes the original, and not its rungs: one call of the driver. Succeeds also if there is none, and when called again. */
  remove(): Promise<void>;
  /** The original is there again, unless somebody stored it anew, or there was none. */
  undo(): Promise<void>;
  /** Lets go of what could be taken back. */
  finish(): Promise<void>;
}

export interface RevocableRemovalsDependencies {
  readonly driver: BlobDriver;
  /** The key of an original. TypeError if the digest is none. */
  readonly keyOf: (digest: Digest) => string;
  /** Removes an original, for good. */
  readonly drop: (digest: Digest) => Promise<void>;
  /** A blob as a file in staging. */
  readonly fetch: (blob: NonNullable<Awaited<ReturnType<BlobDriver['open']>>>) => Promise<StagedBlob>;
}

const PREFIX = 'removed/';
// The digest, when the removal began in milliseconds, and something that no other collector has.
const REMOVED = new RegExp(`^removed/(${DIGEST_PATTERN})\\.(\\d+)\\.[0-9a-f-]+$`);

// Far longer than one removal can take: who removes must still find what it could take back.
const MEMORY_MS = 24 * 60 * 60 * 1000;

export class RevocableRemovals {
  readonly #driver: BlobDriver;
  readonly #keyOf: RevocableRemovalsDependencies['keyOf'];
  readonly #drop: RevocableRemovalsDependencies['drop'];
  readonly #fetch: RevocableRemovalsDependencies['fetch'];

  constructor({ driver, keyOf, drop, fetch }: RevocableRemovalsDependencies) {
    this.#driver = driver;
    this.#keyOf = keyOf;
    this.#drop = drop;
    this.#fetch = fetch;
  }

  /** A process that ends before it is finished leaves the bytes where they are kept: see `undoUnfinished`. */
  create(digest: Digest): RevocableRemoval {
    const key = this.#keyOf(digest);
    const kept = `${PREFIX}${digest}.${Date.now()}.${randomUUID()}`;
    return {
      prepare: async () => {
        await this.#copy(key, kept);
        return (await this.#driver.stat(kept)) !== undefined;
      },
      remove: () => this.#drop(digest),
      undo: async () => {
        await this.#copy(kept, key);
        await this.#driver.delete(kept);
      },
      finish: () => this.#driver.delete(kept),
    };
  }

  /**
   * Takes back every removal that was not finished. Safe at any time, beside collectors too: bytes come back only to
   * where there are none, and what nothing names is collected one day. A removal that may still be going on keeps what it
   * could take back by itself, for a day.
   * @returns how many there were.
   */
  async undoUnfinished(now: Date): Promise<number> {
    let count = 0;
    for await (const { key } of this.#driver.list(PREFIX)) {
      const [, digest, begunOn] = REMOVED.exec(key) ?? [];
      if (digest === undefined) continue;
      await this.#copy(key, this.#keyOf(digest));
      if (now.getTime() - Number(begunOn) > MEMORY_MS) await this.#driver.delete(key);
      count += 1;
    }
    return count;
  }

  /** Puts a blob under another key as well, if it is there and the other is not. */
  async #copy(from: string, to: string): Promise<void> {
    try {
      const path = this.#driver.localPath?.(from);
      const stored = await this.#driver.stat(from);
      if (stored === undefined || (await this.#driver.stat(to)) !== undefined) return;
      if (path !== undefined) {
        await this.#driver.put(to, { path, size: stored.size });
        return;
      }
      const blob = await this.#driver.open(from);
      if (blob === undefined) return;
      try {
        await using fetched = await this.#fetch(blob);
        await this.#driver.put(to, fetched);
      } finally {
        blob.stream.destroy();
      }
    } catch (error) {
      // Whoever was removing it has finished meanwhile.
      if ((await this.#driver.stat(from)) !== undefined) throw error;
    }
  }
}
