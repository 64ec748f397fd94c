/**
 * The requests of the writers and the answers that they got. After a crash the library is compared with them.
 */
import type { ImageJSON } from '../../support/client.ts';
import type { Change, Effect, ImageState, Outcome } from './check/history.ts';

export interface ImageEntry {
  readonly imageID: string;
  readonly publicID: string;
  /** Undefined if the upload got no answer. */
  readonly createdOn: string | undefined;
  /** The state at the last comparison. */
  baseline: ImageState;
  /** The requests since the last comparison. */
  changes: Change[];
}

export interface UploadEntry {
  /** The number of the picture. */
  readonly number: number;
  readonly digest: string;
  readonly altText: string | undefined;
  /** The idempotency key. */
  readonly key: string | undefined;
}

export interface AcknowledgedUpload extends UploadEntry {
  readonly key: string;
  /** The first answer. Every retry must get it unchanged. */
  readonly answer: ImageJSON;
}

export interface ProductContent {
  readonly title: string;
  readonly imageIDs: readonly string[];
}

export interface ProductEntry {
  readonly productID: string;
  /** The last acknowledged content. */
  content: ProductContent;
  /** The content of a request without an answer. */
  pending?: ProductContent;
}

export class Journal {
  readonly images = new Map<string, ImageEntry>();
  readonly products = new Map<string, ProductEntry>();
  /** The answers to new line items, by ID. */
  readonly lineItems = new Map<string, unknown>();
  /** Uploads without an answer, by digest. */
  readonly pendingUploads = new Map<string, UploadEntry>();
  /** New products without an answer, by title. */
  readonly pendingProducts = new Map<string, ProductContent>();
  /** Acknowledged uploads with an idempotency key. */
  readonly keyedUploads: AcknowledgedUpload[] = [];
  /** Acknowledged writes in total. */
  acknowledgedCount = 0;
  /** Requests without an answer, or with a temporary rejection, in total. */
  unconfirmedCount = 0;
  /** The number of temporary rejections, by status. */
  readonly rejections = new Map<number, number>();
  /** Called after each acknowledgement and each rejection. */
  onAnswer: () => void = () => undefined;
  /** Images that were added since the last comparison. */
  readonly #added = new Set<string>();
  #clock = 0;
  #number = 0;

  /** Returns each number once. */
  nextNumber(): number {
    this.#number += 1;
    return this.#number;
  }

  recordAcknowledgement(): void {
    this.acknowledgedCount += 1;
    this.onAnswer();
  }

  /** Records a temporary rejection. The write may have happened. */
  recordRejection(status: number): void {
    this.unconfirmedCount += 1;
    this.rejections.set(status, (this.rejections.get(status) ?? 0) + 1);
    this.onAnswer();
  }

  /** Resolves when the condition is true. Checks it after each answer. */
  waitUntil(condition: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.onAnswer = () => {
      if (condition()) resolve();
    };
    this.onAnswer();
    return promise;
  }

  /** The images with requests since the last comparison. */
  changedImages(): ImageEntry[] {
    return [...this.images.values()].filter(
      ({ imageID, changes }) => changes.length > 0 || this.#added.has(imageID),
    );
  }

  /** Adds an image from the answer to its upload. */
  addImage(answer: ImageJSON, digest: string): ImageEntry {
    const { altText, disabledOn } = answer;
    return this.addObservedImage(answer, { digest, altText, disabled: disabledOn !== undefined });
  }

  /** Adds an image in the state in which it was seen. */
  addObservedImage(
    { imageID, publicID, createdOn }: Pick<ImageJSON, 'imageID' | 'publicID'> & { createdOn?: string },
    baseline: ImageState,
  ): ImageEntry {
    const image: ImageEntry = { imageID, publicID, createdOn, baseline, changes: [] };
    this.images.set(imageID, image);
    this.#added.add(imageID);
    return image;
  }

  /** Records the request for a change. */
  startChange(image: ImageEntry, effect: Effect): Change {
    const change: Change = { effect, requestTime: this.#tick() };
    image.changes.push(change);
    return change;
  }

  /** Records the answer to a change. */
  finishChange(change: Change, outcome: Outcome): void {
    change.answerTime = this.#tick();
    change.outcome = outcome;
    this.recordAcknowledgement();
  }

  /** Makes the observed states the start of the next comparison. */
  setBaseline(observed: ReadonlyMap<string, ImageState>): void {
    for (const image of this.images.values()) {
      const state = observed.get(image.imageID);
      if (state) image.baseline = state;
      image.changes = [];
    }
    this.#added.clear();
    this.pendingUploads.clear();
    this.pendingProducts.clear();
  }

  #tick(): number {
    this.#clock += 1;
    return this.#clock;
  }
}
