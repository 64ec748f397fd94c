/**
 * Owns the way of uploaded bytes into the library: stream → limit → digest → full decode and ladder → stored original,
 * stored rungs; and how a ladder is mended. Refuses to know accounts, records, caches and HTTP.
 */
import type { Readable } from 'node:stream';
import { LRUCache } from 'lru-cache';
import type { StagedBlob } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import { Flights } from '../concurrency/single-flight.ts';
import { AppError, isAppError } from '../errors.ts';
import { type Digest, MAX_ORIGINAL_BYTES, type Original } from '../image.ts';
import { rungBlobName, rungsOf } from '../imaging/ladder.ts';
import type { Plan } from '../imaging/plan.ts';
import type { Ingested, Processor, Rendition } from '../imaging/processor.ts';
import type { WarnLog } from '../telemetry/log.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';

/** How long a ladder that could not be mended is left alone, in milliseconds. */
const MENDING_PAUSE = 5 * 60 * 1000;
const MAX_PAUSED = 10_000;

export interface IngestDependencies {
  readonly blobs: BlobStore;
  readonly processor: Processor;
  /** Told of every rendition that was made on the way, once the original is stored. */
  readonly onRendition?: (digest: Digest, plan: Plan, rendition: Rendition) => void;
  readonly log?: WarnLog;
  readonly telemetry?: Telemetry;
}

export class Ingest {
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #onRendition: NonNullable<IngestDependencies['onRendition']>;
  readonly #log: WarnLog | undefined;
  readonly #telemetry: Telemetry;
  readonly #rebuilds = new Flights<void>();
  readonly #paused = new LRUCache<Digest, true>({ max: MAX_PAUSED, ttl: MENDING_PAUSE });

  constructor(dependencies: IngestDependencies) {
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#onRendition = dependencies.onRendition ?? (() => undefined);
    this.#log = dependencies.log;
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /**
   * Takes a file in as it arrives; the digest is known when the last byte is. Whoever receives it discards it.
   * @throws AppError `too-large` as soon as one byte more than 16 MiB has come.
   */
  async receive(source: Readable, signal?: AbortSignal): Promise<StagedBlob> {
    try {
      return await this.#telemetry.step({ kind: 'receive' }, () =>
        this.#blobs.stage(source, { limit: MAX_ORIGINAL_BYTES, ...(signal && { signal }) }),
      );
    } catch (error) {
      if (!isAppError(error, 'too-large')) throw error;
      throw new AppError('too-large', `image is larger than ${MAX_ORIGINAL_BYTES} bytes (16 MiB)`, {
        cause: error,
      });
    }
  }

  /**
   * Decodes every pixel of a received file and keeps its bytes durably, and its ladder if that can be done. Only
   * after this may a record name them. If whatever follows fails, the bytes stay: a twin upload may need them, and
   * maintenance collects what no record names.
   * @throws AppError `invalid-image` if it is not a picture that is accepted; nothing is stored then. `unavailable`,
   * `storage-full` if the original cannot be kept.
   */
  async accept(staged: StagedBlob, signal?: AbortSignal): Promise<Original> {
    const { digest, size } = staged;
    const ingested = await this.#telemetry.step({ kind: 'decode' }, () =>
      this.#processor.ingest(staged.path, signal, size),
    );
    const keeping = this.#keepLadder(digest, ingested, signal);
    try {
      await this.#blobs.keepOriginal(staged, signal);
    } finally {
      await keeping;
    }
    for (const { plan, rendition } of ingested.renditions) this.#onRendition(digest, plan, rendition);
    return { digest, size, ...ingested.inspection };
  }

  /**
   * Keeps the bytes of a received file that was decoded when they first came: they may be lost or damaged since, or
   * collected before a record named them.
   */
  async keepAnew(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    await this.#blobs.keepOriginal(staged, signal);
  }

  /** The same, for bytes that are only looked for by name and size. Never rejects: what is asked for is something else. */
  async keepIfLost(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    await this.#blobs.restoreOriginal(staged, signal).catch((error: unknown) => {
      this.#log?.warn({ err: error, digest: staged.digest }, 'a lost original could not be kept again');
    });
  }

  /**
   * Makes the ladder of a stored original anew, for rungs that are missing, damaged or of another revision. Never
   * rejects: what goes wrong is logged, and the same ladder is left alone for some minutes. However many ask at
   * once, it is made once.
   */
  async rebuild(digest: Digest, original: Original): Promise<void> {
    if (rungsOf(original).length === 0 || this.#paused.has(digest)) return;
    return this.#rebuilds.run(digest, () => this.#rebuild(digest, original.size));
  }

  async #rebuild(digest: Digest, size: number): Promise<void> {
    try {
      const ingested = await this.#blobs.withOriginalFile(digest, (path) =>
        this.#processor.ingest(path, undefined, size),
      );
      if (!(await this.#keepLadder(digest, ingested, undefined))) this.#paused.set(digest, true);
    } catch (error) {
      this.#paused.set(digest, true);
      this.#log?.warn({ err: error, digest }, 'a ladder could not be made anew');
    }
  }

  /** False if there is something that could not be made or stored. Never rejects. */
  async #keepLadder(digest: Digest, ingested: Ingested, signal: AbortSignal | undefined): Promise<boolean> {
    if (ingested.ladderFault !== undefined) {
      this.#log?.warn({ digest, reason: ingested.ladderFault }, 'a picture was taken in without a ladder');
      return false;
    }
    try {
      const rungs = ingested.rungs.map(({ rung, bytes }) => ({ name: rungBlobName(rung), bytes }));
      await this.#blobs.keepRungs(digest, rungs, signal);
      return true;
    } catch (error) {
      if (!isAppError(error, 'cancelled'))
        this.#log?.warn({ err: error, digest }, 'rungs could not be stored');
      return false;
    }
  }
}
