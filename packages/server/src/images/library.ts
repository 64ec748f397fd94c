/**
 * The library of images of one account: the service behind the authenticated operations on images.
 * The database settles each race; the checks here only save work and order the refusals.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { nanoid } from 'nanoid';
import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import type { StagedBlob } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { PublicImages } from '../delivery/public-images.ts';
import type { RenditionCache } from '../delivery/rendition-cache.ts';
import { AppError } from '../errors.ts';
import {
  type Description,
  type Digest,
  describedFields,
  fingerprintValues,
  type Image,
  type Original,
} from '../image.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import { parseUUID } from '../validation/uuid.ts';
import type { Ingest } from './ingest.ts';
import type { Collected, ImageFilter, ImageRecords, ReadableImages, ReplaceOutcome } from './records.ts';
import {
  byteQuotaExceeded,
  DuplicateImageError,
  disabledImage,
  ImageInUseError,
  imageQuotaExceeded,
  reusedIdempotencyKey,
  unknownImage,
} from './refusals.ts';
import type { ImageUsage } from './usage.ts';

/** How long an idempotency key is kept, in milliseconds. */
export const IDEMPOTENCY_WINDOW = 24 * 60 * 60 * 1000;

export interface Upload {
  /** The received file. The library discards it in every case. */
  readonly file: StagedBlob;
  /** The name under which the file was sent. A file name in the description replaces it. */
  readonly fileName?: string;
  /** Absent: no metadata was sent. */
  readonly description?: Description;
  readonly idempotencyKey?: string;
}

export interface Update {
  /** The received file. The library discards it in every case. */
  readonly file: StagedBlob;
  /** Absent: the description stays as it is. */
  readonly description?: Description;
}

export interface LibraryDependencies {
  readonly records: ImageRecords;
  readonly blobs: BlobStore;
  readonly ingest: Ingest;
  readonly publicImages: PublicImages;
  readonly renditions: RenditionCache;
  /** The most enabled images of an account without a limit of its own. */
  readonly imageQuota: number;
  /** The most bytes of enabled images of an account without a limit of its own; 0: no limit. */
  readonly byteQuota: number;
  readonly now?: () => Date;
  readonly telemetry?: Telemetry;
}

export class Library {
  readonly #records: ImageRecords;
  readonly #blobs: BlobStore;
  readonly #ingest: Ingest;
  readonly #publicImages: PublicImages;
  readonly #renditions: RenditionCache;
  readonly #imageQuota: number;
  readonly #byteQuota: number;
  readonly #now: () => Date;
  readonly #telemetry: Telemetry;
  readonly #uploadsByKey = new Map<string, Promise<unknown>>();

  constructor(dependencies: LibraryDependencies) {
    this.#records = dependencies.records;
    this.#blobs = dependencies.blobs;
    this.#ingest = dependencies.ingest;
    this.#publicImages = dependencies.publicImages;
    this.#renditions = dependencies.renditions;
    this.#imageQuota = dependencies.imageQuota;
    this.#byteQuota = dependencies.byteQuota;
    this.#now = dependencies.now ?? (() => new Date());
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /**
   * A page of the images, disabled images included. Newest first, unless the filter has another order.
   * @returns the page, and the number of all images or of those that match the filter.
   */
  list(
    accountID: string,
    page: Page,
    filter?: ImageFilter,
    signal?: AbortSignal,
  ): Promise<{ images: Image[]; total: number }> {
    return this.#records.forAccount(accountID).list(page, filter, signal);
  }

  /** @throws AppError `not-found` for an unknown or malformed image ID. */
  async get(accountID: string, imageID: string): Promise<Image> {
    const image = await this.#records.forAccount(accountID).find(canonical(imageID));
    if (!image) throw unknownImage();
    return image;
  }

  /**
   * The uploaded bytes, exactly `original.size` of them. The caller reads the stream to its end or destroys
   * it. The stream errors if the bytes are cut short.
   * @throws AppError `unavailable` if the bytes are lost or have another length. `cause` names the digest.
   */
  async openOriginal({ imageID, original }: Image, signal?: AbortSignal): Promise<Readable> {
    const blob = await this.#blobs.openOriginal(original.digest, signal);
    if (blob?.size === original.size) return blob.stream;
    blob?.stream.destroy();
    const fault = blob ? `has ${blob.size} bytes and not ${original.size}` : 'is not stored';
    const cause = new Error(`The original ${original.digest} of image ${imageID} ${fault}`);
    throw new AppError('unavailable', 'the original of the image cannot be read now', { cause });
  }

  /** The image, if it may be changed. @throws AppError `not-found`; `conflict` if it is disabled. */
  async getChangeable(accountID: string, imageID: string): Promise<Image> {
    const image = await this.get(accountID, imageID);
    if (image.disabledOn) throw disabledImage();
    return image;
  }

  /**
   * Receives a file for `upload` or `update`. The caller discards it if it does not get that far.
   * @throws AppError `too-large` as soon as one byte more than 16 MiB has arrived.
   */
  receive(source: Readable, signal?: AbortSignal): Promise<StagedBlob> {
    return this.#ingest.receive(source, signal);
  }

  /**
   * Adds a picture. A retry with the same idempotency key gets the first answer.
   * @throws AppError `conflict` (the key was used for another upload), `invalid-image`, `duplicate`,
   * `quota-exceeded`; in this order.
   */
  upload(accountID: string, by: Actor, upload: Upload, signal?: AbortSignal): Promise<Image> {
    const { size: bytes } = upload.file;
    return this.#telemetry.step({ kind: 'ingest', operation: 'upload', bytes }, () =>
      this.#upload(accountID, by, upload, signal),
    );
  }

  async #upload(accountID: string, by: Actor, upload: Upload, signal?: AbortSignal): Promise<Image> {
    const { file, fileName, description: sent = { altText: undefined }, idempotencyKey } = upload;
    const description = { ...(fileName !== undefined && { fileName }), ...sent };
    try {
      if (idempotencyKey === undefined)
        return await this.#add(accountID, by, file, description, undefined, signal);
      // Without the name of the file: it is not metadata, and earlier fingerprints do not have it.
      const fingerprint = createHash('sha256')
        .update(JSON.stringify([file.digest, ...fingerprintValues(sent)]))
        .digest('hex');
      const key = { key: idempotencyKey, fingerprint };
      return await this.#oneAtATime(`${accountID} ${idempotencyKey}`, () =>
        this.#add(accountID, by, file, description, key, signal),
      );
    } finally {
      await file.discard();
    }
  }

  async #add(
    accountID: string,
    by: Actor,
    file: StagedBlob,
    description: Description,
    key: { key: string; fingerprint: string } | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Image> {
    const images = this.#records.forAccount(accountID, by);
    const notBefore = new Date(this.#now().getTime() - IDEMPOTENCY_WINDOW);
    if (key) {
      const remembered = await images.recallUpload(key.key, notBefore);
      if (remembered && remembered.fingerprint !== key.fingerprint) throw reusedIdempotencyKey();
      if (remembered) return remembered.image;
    }
    const original = await this.#accept(images, file, signal);
    const image = {
      imageID: randomUUID(),
      publicID: nanoid(),
      createdOn: this.#now(),
      original,
      ...describedFields(description),
    };
    const outcome = await this.#retryIfCollected(file, signal, (since) =>
      images.insert(image, {
        defaultQuota: this.#imageQuota,
        defaultByteQuota: this.#byteQuota,
        ...since,
        ...(key && { idempotency: { ...key, notBefore } }),
      }),
    );
    switch (outcome.kind) {
      case 'inserted':
      case 'replayed':
        return outcome.image;
      case 'key-reused':
        throw reusedIdempotencyKey();
      case 'duplicate':
        throw new DuplicateImageError(outcome.existing);
      case 'quota-exceeded':
        throw imageQuotaExceeded(outcome.limit);
      case 'byte-quota-exceeded':
        throw byteQuotaExceeded(outcome.limit);
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /**
   * Replaces the bytes of an image. Its IDs, link and createdOn stay. The current bytes again are a success.
   * @throws AppError `not-found`, `conflict` (disabled), `invalid-image`, `duplicate`, `quota-exceeded`
   * (bytes).
   */
  update(
    accountID: string,
    by: Actor,
    imageID: string,
    update: Update,
    signal?: AbortSignal,
  ): Promise<Image> {
    const { size: bytes } = update.file;
    return this.#telemetry.step({ kind: 'ingest', operation: 'update', bytes }, () =>
      this.#update(accountID, by, imageID, update, signal),
    );
  }

  async #update(
    accountID: string,
    by: Actor,
    imageID: string,
    update: Update,
    signal?: AbortSignal,
  ): Promise<Image> {
    try {
      const images = this.#records.forAccount(accountID, by);
      const current = await this.getChangeable(accountID, imageID);
      const sameBytes = current.original.digest === update.file.digest;
      // The stored bytes may be lost or damaged. Storing them again repairs that.
      if (sameBytes) await this.#ingest.storeAgain(update.file, signal);
      const original = sameBytes ? current.original : await this.#accept(images, update.file, signal);
      const outcome = await this.#retryIfCollected(update.file, signal, (since) =>
        images.replace(current.imageID, {
          original,
          defaultByteQuota: this.#byteQuota,
          updatedOn: this.#now(),
          ...since,
          ...(update.description && { description: update.description }),
        }),
      );
      const image = changedImage(outcome);
      this.#forget(image, sameBytes ? undefined : current.original.digest);
      return image;
    } finally {
      await update.file.discard();
    }
  }

  /**
   * Replaces the description of an image.
   * @throws AppError `not-found`, `conflict` (disabled).
   */
  async updateMetadata(
    accountID: string,
    by: Actor,
    imageID: string,
    description: Description,
  ): Promise<Image> {
    const images = this.#records.forAccount(accountID, by);
    const image = changedImage(await images.describe(canonical(imageID), description, this.#now()));
    this.#forget(image);
    return image;
  }

  /** The products and line items that show the image. @throws AppError `not-found`. */
  async usage(accountID: string, imageID: string, signal?: AbortSignal): Promise<ImageUsage> {
    const usage = await this.#records.forAccount(accountID).usage(canonical(imageID), signal);
    if (!usage) throw unknownImage();
    return usage;
  }

  /**
   * Disables an image: it stays public, listed and readable. Disabling it again is a success.
   * @throws AppError `not-found`; `in-use` if the account does not allow disabling an image in use.
   */
  async disable(accountID: string, by: Actor, imageID: string): Promise<Image> {
    const outcome = await this.#records.forAccount(accountID, by).disable(canonical(imageID), this.#now());
    if (outcome.kind === 'in-use') throw new ImageInUseError(outcome.usage);
    if (outcome.kind !== 'disabled') throw unknownImage();
    // Still public but rarely requested: evict its renditions.
    this.#forget(outcome.image, outcome.image.original.digest);
    return outcome.image;
  }

  /**
   * Enables a disabled image. Enabling an enabled image is a success.
   * @throws AppError `not-found`, `quota-exceeded`.
   */
  async enable(accountID: string, by: Actor, imageID: string): Promise<Image> {
    const outcome = await this.#records.forAccount(accountID, by).enable(canonical(imageID), {
      on: this.#now(),
      defaultQuota: this.#imageQuota,
      defaultByteQuota: this.#byteQuota,
    });
    switch (outcome.kind) {
      case 'enabled':
        this.#forget(outcome.image);
        return outcome.image;
      case 'quota-exceeded':
        throw imageQuotaExceeded(outcome.limit);
      case 'byte-quota-exceeded':
        throw byteQuotaExceeded(outcome.limit);
      case 'not-found':
        throw unknownImage();
    }
  }

  /** Drops the cached record of a changed image, and the renditions of bytes that it no longer shows. */
  #forget({ publicID }: Image, replaced?: Digest): void {
    this.#publicImages.forget(publicID);
    if (replaced !== undefined) this.#renditions.forget(replaced);
  }

  /**
   * Checks and stores the bytes. A known duplicate is refused before the decode, to save work; the insert
   * settles duplicates for certain.
   */
  async #accept(
    images: ReadableImages,
    file: StagedBlob,
    signal: AbortSignal | undefined,
  ): Promise<Original> {
    const existing = await images.findByDigest(file.digest);
    if (existing) {
      await this.#ingest.storeIfMissing(file, signal);
      throw new DuplicateImageError(existing);
    }
    return this.#ingest.accept(file, signal);
  }

  /**
   * Runs a change that references the bytes of a file. If they were garbage-collected, stores them and
   * retries.
   */
  async #retryIfCollected<Outcome extends { readonly kind: string }>(
    file: StagedBlob,
    signal: AbortSignal | undefined,
    change: (since: { readonly markerToken?: string }) => Promise<Outcome | Collected>,
  ): Promise<Exclude<Outcome, Collected>> {
    let outcome = await change({});
    while (isCollected(outcome)) {
      await this.#ingest.storeAgain(file, signal);
      outcome = await change({ markerToken: outcome.token });
    }
    return outcome as Exclude<Outcome, Collected>;
  }

  /**
   * A concurrent upload with the same key waits for the first one, and then finds its answer in the records.
   */
  async #oneAtATime<T>(key: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#uploadsByKey.get(key) ?? Promise.resolve();
    const current = previous.then(work, work);
    this.#uploadsByKey.set(key, current);
    try {
      return await current;
    } finally {
      if (this.#uploadsByKey.get(key) === current) this.#uploadsByKey.delete(key);
    }
  }
}

function isCollected(outcome: { readonly kind: string }): outcome is Collected {
  return outcome.kind === 'collected';
}

function changedImage(outcome: Exclude<ReplaceOutcome, Collected>): Image {
  switch (outcome.kind) {
    case 'changed':
      return outcome.image;
    case 'disabled':
      throw disabledImage();
    case 'not-found':
      throw unknownImage();
    case 'duplicate':
      throw new DuplicateImageError(outcome.existing);
    case 'byte-quota-exceeded':
      throw byteQuotaExceeded(outcome.limit);
  }
}

function canonical(imageID: string): string {
  const uuid = parseUUID(imageID);
  if (uuid === undefined) throw unknownImage();
  return uuid;
}
