/**
 * Removals of originals that can be undone. Until a removal is finished, the bytes stay under a second key.
 * A new upload may reference the bytes during a garbage collection; the collector then undoes the removal.
 */
import { randomUUID } from 'node:crypto';
import { DIGEST_PATTERN, type Digest } from '../image.ts';
import type { BlobDriver } from './driver.ts';
import { withLocalFile } from './staging.ts';

/** The removal of one original by one collector. It can be undone until `finish`. */
export interface RevocableRemoval {
  /**
   * Copies the bytes to the second key. Must be the first call, before any lock.
   * @returns false if no original exists.
   */
  prepare(): Promise<boolean>;
  /** Removes the original but not its rungs, with one call of the driver. May be called again. */
  remove(): Promise<void>;
  /** Restores the original, unless it was stored again meanwhile or never existed. */
  undo(): Promise<void>;
  /**
   * Removes the second key. After that the removal cannot be undone. After a `remove` that failed, the second
   * key stays for a day instead: a remote backend may still remove the original.
   */
  finish(): Promise<void>;
}

const PREFIX = 'removed/';
// The digest, the start of the removal in milliseconds, and a part that is unique to the collector.
const REMOVED = new RegExp(`^removed/(${DIGEST_PATTERN})\\.(\\d+)\\.[0-9a-f-]+$`);

/**
 * How long a second key is kept, in milliseconds. A running removal may need it, and takes far less time. So
 * does a request of unknown outcome: S3 refuses a request that is older than 15 minutes.
 */
const MAX_DURATION = 24 * 60 * 60 * 1000;

export class RevocableRemovals {
  readonly #driver: BlobDriver;
  readonly #keyOf: (digest: Digest) => string;

  /** @param keyOf the key of an original. It throws a TypeError for a text that is no digest. */
  constructor(driver: BlobDriver, keyOf: (digest: Digest) => string) {
    this.#driver = driver;
    this.#keyOf = keyOf;
  }

  /** If the process ends before `finish`, `undoUnfinished` restores the original later. */
  create(digest: Digest): RevocableRemoval {
    const key = this.#keyOf(digest);
    const removedKey = `${PREFIX}${digest}.${Date.now()}.${randomUUID()}`;
    // A failed removal may still arrive at the backend, also after a second one that succeeds.
    let isUnknown = false;
    const release = async () => {
      if (!isUnknown) await this.#driver.delete(removedKey);
    };
    return {
      prepare: () => this.#prepare(key, removedKey),
      remove: async () => {
        try {
          await this.#driver.delete(key);
        } catch (error) {
          isUnknown = true;
          throw error;
        }
      },
      undo: async () => {
        await this.#copy(removedKey, key);
        await release();
      },
      finish: release,
    };
  }

  /**
   * Restores an original that a removal of unknown outcome removed late.
   * @returns false if there is no second key.
   */
  async restore(digest: Digest): Promise<boolean> {
    for await (const { key } of this.#driver.list(`${PREFIX}${digest}.`)) {
      await this.#copy(key, this.#keyOf(digest));
      return true;
    }
    return false;
  }

  /**
   * Undoes each unfinished removal. Safe at any time, also while collectors run. It never replaces bytes, and
   * a later collection removes the original again if it is unreferenced. The second key stays for a day,
   * because the removal may still be running.
   * @param onCopy called with each original whose second key stays.
   * @returns the number of removals.
   */
  async undoUnfinished(now: Date, onCopy?: (digest: Digest) => void): Promise<number> {
    let count = 0;
    for await (const { key } of this.#driver.list(PREFIX)) {
      const [, digest, startedOn] = REMOVED.exec(key) ?? [];
      if (digest === undefined) continue;
      await this.#copy(key, this.#keyOf(digest));
      if (now.getTime() - Number(startedOn) > MAX_DURATION) await this.#driver.delete(key);
      else onCopy?.(digest);
      count += 1;
    }
    return count;
  }

  async #prepare(key: string, removedKey: string): Promise<boolean> {
    if (this.#driver.copy) return this.#driver.copy(key, removedKey);
    await this.#copy(key, removedKey);
    return (await this.#driver.stat(removedKey)) !== undefined;
  }

  /** Copies a blob to another key, if the source exists and the target does not. */
  async #copy(from: string, to: string): Promise<void> {
    try {
      if ((await this.#driver.stat(to)) !== undefined) return;
      await withLocalFile(this.#driver, from, (file) => this.#driver.put(to, file));
    } catch (error) {
      // Another process may have removed the source during the copy.
      if ((await this.#driver.stat(from)) !== undefined) throw error;
    }
  }
}
