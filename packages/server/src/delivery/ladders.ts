/**
 * Stores the ladders of originals, and makes a ladder again when rungs are missing, damaged or of another
 * revision. Ingest and delivery share it. A ladder is derived data, so its failures are logged and never
 * thrown.
 */
import { LRUCache } from 'lru-cache';
import type { BlobStore } from '../blobs/store.ts';
import { SingleFlight } from '../concurrency/single-flight.ts';
import { isAppError } from '../errors.ts';
import type { Digest, Original } from '../image.ts';
import { rungBlobName, rungsOf } from '../imaging/ladder.ts';
import type { IngestResult, Processor } from '../imaging/processor.ts';
import type { WarnLog } from '../telemetry/log.ts';

/** The time between two attempts to rebuild the same ladder, in milliseconds. */
const RETRY_PAUSE = 5 * 60 * 1000;
/** The most ladders whose failed rebuild is remembered. */
const MAX_PAUSED = 10_000;

export interface LaddersDependencies {
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly log?: WarnLog;
}

export class Ladders {
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #log: WarnLog | undefined;
  readonly #rebuilds = new SingleFlight<void>();
  readonly #paused = new LRUCache<Digest, true>({ max: MAX_PAUSED, ttl: RETRY_PAUSE });

  constructor({ blobs, processor, log }: LaddersDependencies) {
    this.#blobs = blobs;
    this.#processor = processor;
    this.#log = log;
  }

  /**
   * Stores the rungs of a decoded original.
   * @returns false if a rung could not be made or stored. Never rejects.
   */
  async store(digest: Digest, result: IngestResult, signal: AbortSignal | undefined): Promise<boolean> {
    if (result.ladderError !== undefined) {
      this.#log?.warn({ digest, reason: result.ladderError }, 'a picture was accepted without a ladder');
      return false;
    }
    try {
      const rungs = result.rungs.map(({ rung, bytes }) => ({ name: rungBlobName(rung), bytes }));
      await this.#blobs.storeRungs(digest, rungs, signal);
      return true;
    } catch (error) {
      if (!isAppError(error, 'cancelled'))
        this.#log?.warn({ err: error, digest }, 'rungs could not be stored');
      return false;
    }
  }

  /**
   * Makes the ladder of a stored original again. Concurrent calls share one rebuild. After a failure, the
   * same ladder is not tried again for five minutes. Never rejects: failures are logged.
   */
  async rebuild(digest: Digest, original: Original): Promise<void> {
    if (rungsOf(original).length === 0 || this.#paused.has(digest)) return;
    return this.#rebuilds.run(digest, () => this.#rebuild(digest, original.size));
  }

  async #rebuild(digest: Digest, size: number): Promise<void> {
    try {
      const result = await this.#blobs.withOriginalFile(digest, (path) =>
        this.#processor.ingest(path, undefined, size),
      );
      if (!(await this.store(digest, result, undefined))) this.#paused.set(digest, true);
    } catch (error) {
      this.#paused.set(digest, true);
      this.#log?.warn({ err: error, digest }, 'a ladder could not be rebuilt');
    }
  }
}
