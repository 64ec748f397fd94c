/**
 * The path of uploaded bytes into the library: stream, limit, digest, full decode, stored original, ladder
 * and default renditions. Only the library calls it.
 */
import type { Readable } from 'node:stream';
import type { StagedBlob } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { Ladders } from '../delivery/ladders.ts';
import { type RenditionCache, renditionKey } from '../delivery/rendition-cache.ts';
import { AppError, isAppError } from '../errors.ts';
import { MAX_ORIGINAL_BYTES, type Original } from '../image.ts';
import { planKey } from '../imaging/plan.ts';
import type { Processor } from '../imaging/processor.ts';
import type { WarnLog } from '../telemetry/log.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';

export interface IngestDependencies {
  readonly blobs: BlobStore;
  readonly processor: Processor;
  readonly ladders: Ladders;
  readonly renditions: RenditionCache;
  readonly log?: WarnLog;
  readonly telemetry?: Telemetry;
}

export class Ingest {
  readonly #blobs: BlobStore;
  readonly #processor: Processor;
  readonly #ladders: Ladders;
  readonly #renditions: RenditionCache;
  readonly #log: WarnLog | undefined;
  readonly #telemetry: Telemetry;

  constructor(dependencies: IngestDependencies) {
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
    this.#ladders = dependencies.ladders;
    this.#renditions = dependencies.renditions;
    this.#log = dependencies.log;
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /**
   * Writes a file to staging as it arrives. The digest is known after the last byte. The caller discards the
   * file.
   * @throws AppError `too-large` as soon as one byte more than 16 MiB has arrived.
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
   * Decodes every pixel of a received file. Then stores the original durably and, if possible, its ladder. A
   * record may reference the bytes only after that. A later failure deletes nothing: a twin upload may need
   * the bytes, and garbage collection removes unreferenced ones.
   * @throws AppError `invalid-image` if the picture is not accepted; then nothing is stored. `unavailable` or
   * `storage-full` if the original cannot be stored.
   */
  async accept(staged: StagedBlob, signal?: AbortSignal): Promise<Original> {
    const { digest, size } = staged;
    const ingested = await this.#telemetry.step({ kind: 'decode' }, () =>
      this.#processor.ingest(staged.path, signal, size),
    );
    const storingLadder = this.#ladders.store(digest, ingested, signal);
    try {
      await this.#blobs.storeOriginal(staged, signal);
    } finally {
      await storingLadder;
    }
    for (const { plan, rendition } of ingested.renditions) {
      void this.#renditions.put(renditionKey(digest, planKey(plan)), rendition.bytes);
    }
    return { digest, size, ...ingested.inspection };
  }

  /** Stores bytes that were decoded before. They may be lost, damaged or garbage-collected since. */
  async storeAgain(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    await this.#blobs.storeOriginal(staged, signal);
  }

  /**
   * Stores the bytes if no original of their digest and size is stored. Never rejects: failures are logged.
   */
  async storeIfMissing(staged: StagedBlob, signal?: AbortSignal): Promise<void> {
    await this.#blobs.storeOriginalIfMissing(staged, signal).catch((error: unknown) => {
      this.#log?.warn({ err: error, digest: staged.digest }, 'a missing original could not be stored again');
    });
  }
}
