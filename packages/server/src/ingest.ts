/**
 * Owns the way of uploaded bytes into the library: stream → limit → digest → full decode → stored original.
 * Refuses to know accounts, records and HTTP.
 */
import type { Readable } from 'node:stream';
import type { BlobStore, StagedBlob } from './blobs/store.ts';
import { AppError, isAppError } from './errors.ts';
import { MAX_ORIGINAL_BYTES, type Original } from './image.ts';
import type { Processor } from './imaging/processor.ts';

export class Ingest {
  readonly #blobs: BlobStore;
  readonly #processor: Processor;

  constructor(dependencies: { blobs: BlobStore; processor: Processor }) {
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
  }

  /**
   * Takes a file in as it arrives; the digest is known when the last byte is. Whoever receives it discards it.
   * @throws AppError `too-large` as soon as one byte more than 16 MiB has come.
   */
  async receive(source: Readable, signal?: AbortSignal): Promise<StagedBlob> {
    try {
      return await this.#blobs.stage(source, { limit: MAX_ORIGINAL_BYTES, ...(signal && { signal }) });
    } catch (error) {
      if (!isAppError(error, 'too-large')) throw error;
      throw new AppError('too-large', `image is larger than ${MAX_ORIGINAL_BYTES} bytes (16 MiB)`, {
        cause: error,
      });
    }
  }

  /**
   * Decodes every pixel of a received file and keeps its bytes durably. Only after this may a record name them.
   * If whatever follows fails, the bytes stay: a twin upload may need them, and maintenance collects what no
   * record names.
   * @throws AppError `invalid-image` if it is not a picture that is accepted; nothing is stored then.
   */
  async accept(staged: StagedBlob, signal?: AbortSignal): Promise<Original> {
    const facts = await this.#processor.inspect(staged.path, signal);
    await this.#blobs.keepOriginal(staged, signal);
    return { digest: staged.digest, size: staged.size, ...facts };
  }
}
