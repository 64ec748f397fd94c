/**
 * What was asked of a library and what it answered, told by those who asked: the other side of every comparison after
 * a crash. Refuses to know HTTP and how anything is stored.
 */
import type { ImageJSON } from '../../support/server.ts';
import type { Change, Effect, ImageState } from './history.ts';

export interface KnownImage {
  readonly imageID: string;
  readonly publicID: string;
  /** Undefined if no answer told of it. */
  readonly createdOn: string | undefined;
  /** What it was when all was last compared. */
  settled: ImageState;
  /** What was asked since. */
  changes: Change[];
}

export interface AskedUpload {
  readonly number: number;
  readonly digest: string;
  readonly altText: string | undefined;
  readonly key: string | undefined;
}

export interface AnsweredUpload extends AskedUpload {
  readonly key: string;
  /** The whole of the first answer, which every retry gets. */
  readonly answer: ImageJSON;
}

export interface ProductContent {
  readonly title: string;
  readonly imageIDs: readonly string[];
}

export interface KnownProduct {
  readonly productID: string;
  settled: ProductContent;
  /** Asked for and not answered. */
  pending?: ProductContent;
}

export class Journal {
  readonly images = new Map<string, KnownImage>();
  readonly products = new Map<string, KnownProduct>();
  /** By the ID of the set: the whole answer. */
  readonly lineItems = new Map<string, unknown>();
  /** Uploads that were not answered, by digest. */
  readonly openUploads = new Map<string, AskedUpload>();
  /** Products that were asked for and not answered, by title. */
  readonly openProducts = new Map<string, ProductContent>();
  /** Uploads with an idempotency key that were answered. */
  readonly keyed: AnsweredUpload[] = [];
  /** What was acknowledged, in all. */
  acknowledged = 0;
  /** What was asked and cut off, or answered with 503, in all. */
  unanswered = 0;
  /** How often writers were answered that it cannot be done now, by status. */
  readonly refusals = new Map<number, number>();
  /** Told of each acknowledgement, and of each refusal. */
  onAnswer: () => void = () => undefined;
  /** Images that were added since all was last compared. */
  readonly #added = new Set<string>();
  #clock = 0;
  #number = 0;

  tick(): number {
    this.#clock += 1;
    return this.#clock;
  }

  /** A number that was not given before. */
  number(): number {
    this.#number += 1;
    return this.#number;
  }

  acknowledge(): void {
    this.acknowledged += 1;
    this.onAnswer();
  }

  /** An answer that leaves open whether what was asked for was done. */
  refuse(status: number): void {
    this.unanswered += 1;
    this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
    this.onAnswer();
  }

  /** Resolves when it holds, asked anew after each answer. */
  when(holds: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onAnswer = () => {
      if (holds()) resolve();
    };
    this.onAnswer();
    return promise;
  }

  /** The images that something was asked of since all was last compared. */
  changed(): KnownImage[] {
    return [...this.images.values()].filter(
      ({ imageID, changes }) => changes.length > 0 || this.#added.has(imageID),
    );
  }

  /** An image that an answer told of. */
  add(answer: ImageJSON, digest: string): KnownImage {
    const { altText, disabledOn } = answer;
    return this.take(answer, { digest, altText, disabled: disabledOn !== undefined });
  }

  /** An image as it was seen; of one whose upload was not answered that is all there is. */
  take(
    { imageID, publicID, createdOn }: Pick<ImageJSON, 'imageID' | 'publicID'> & { createdOn?: string },
    settled: ImageState,
  ): KnownImage {
    const image: KnownImage = { imageID, publicID, createdOn, settled, changes: [] };
    this.images.set(imageID, image);
    this.#added.add(imageID);
    return image;
  }

  ask(image: KnownImage, effect: Effect): Change {
    const change: Change = { effect, asked: this.tick() };
    image.changes.push(change);
    return change;
  }

  answered(change: Change, outcome: 'done' | 'refused'): void {
    change.answered = this.tick();
    change.outcome = outcome;
    this.acknowledge();
  }

  /** All was compared: what was seen is what the next comparison starts from. */
  settle(observed: ReadonlyMap<string, ImageState>): void {
    for (const image of this.images.values()) {
      const state = observed.get(image.imageID);
      if (state) image.settled = state;
      image.changes = [];
    }
    this.#added.clear();
    this.openUploads.clear();
    this.openProducts.clear();
  }
}
