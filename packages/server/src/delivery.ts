/**
 * Delivery: from a public link to the bytes of a rendition. Owns how a rendition is named (its ETag) before it is
 * made. Refuses to know HTTP and pixels.
 */
import { createHash } from 'node:crypto';
import type { BlobStore } from './blobs/store.ts';
import { AppError, isAppError } from './errors.ts';
import { type Image, isPublicID } from './image.ts';
import { type OutputFormat, type Plan, planKey, planRendition, type Transform } from './imaging/plan.ts';
import type { Processor, Rendition } from './imaging/processor.ts';
import type { MetadataStore } from './metadata/store.ts';

/** A rendition that is fully decided on, but not made. */
export interface PlannedRendition {
  readonly image: Image;
  readonly plan: Plan;
  /** Weak entity tag with its quotes. Equal for equal bytes of the original and equal plans, else different. */
  readonly etag: string;
}

export class Delivery {
  readonly #metadata: MetadataStore;
  readonly #blobs: BlobStore;
  readonly #processor: Processor;

  constructor(dependencies: { metadata: MetadataStore; blobs: BlobStore; processor: Processor }) {
    this.#metadata = dependencies.metadata;
    this.#blobs = dependencies.blobs;
    this.#processor = dependencies.processor;
  }

  /** The image behind a public link, disabled or not. @throws AppError `not-found`. */
  async find(publicID: string): Promise<Image> {
    const image = isPublicID(publicID) ? await this.#metadata.findPublicImage(publicID) : undefined;
    if (!image) throw new AppError('not-found', 'image not found');
    return image;
  }

  /** Decides what the rendition will be. Reads no pixel. */
  plan(image: Image, transform: Transform, format: OutputFormat): PlannedRendition {
    const plan = planRendition(transform, image.original, format);
    const name = createHash('sha256')
      .update(`${image.original.digest} ${planKey(plan)}`)
      .digest('base64url');
    return { image, plan, etag: `W/"${name.slice(0, 22)}"` };
  }

  /**
   * Makes the rendition.
   * @throws AppError `unavailable` if it cannot be made now, `cancelled` when the signal fires.
   */
  async render({ image, plan }: PlannedRendition, signal?: AbortSignal): Promise<Rendition> {
    try {
      return await this.#blobs.withOriginalFile(
        image.original.digest,
        (path) => this.#processor.render(path, plan, signal),
        signal,
      );
    } catch (error) {
      // These bytes were decoded in full when they were uploaded, so it is not the caller's picture that is wrong.
      if (isAppError(error, 'invalid-image')) {
        throw new AppError('unavailable', 'the image cannot be rendered now', {
          cause: error,
          retryAfter: 60,
        });
      }
      throw error;
    }
  }
}
