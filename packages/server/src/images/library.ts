/**
 * The library of one account's images: the service behind the six authenticated operations.
 * Owns the order in which a change is checked and what each refusal says. Refuses to know HTTP, SQL and pixels.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { nanoid } from 'nanoid';
import type { Actor } from '../access/audit.ts';
import type { StagedBlob } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import type {
  Collected,
  ImageFilter,
  MetadataStore,
  ReadableImages,
  ReplaceOutcome,
} from '../database/store.ts';
import { AppError } from '../errors.ts';
import { type Description, type Digest, type Image, type Original, parseUUID } from '../image.ts';
import { type Telemetry, UNOBSERVED } from '../telemetry/telemetry.ts';
import type { Ingest } from './ingest.ts';
import type { ImageUsage } from './usage.ts';

/** How long an idempotency key is remembered, in milliseconds. */
export const IDEMPOTENCY_WINDOW = 24 * 60 * 60 * 1000;

export interface Upload {
  /** The received file. The library discards it, whatever comes. */
  readonly file: StagedBlob;
  /** Absent: nothing is said about it. */
  readonly description?: Description;
  readonly idempotencyKey?: string;
}

export interface Update {
  /** The received file. The library discards it, whatever comes. */
  readonly file: StagedBlob;
  /** Absent: keep what is said about the image. */
  readonly description?: Description;
}

export interface LibraryDependencies {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  readonly ingest: Ingest;
  /** How many images an account may have enabled, unless it sets its own limit. */
  readonly imageQuota: number;
  /** How many bytes their originals may have, unless the account sets its own limit; 0: no limit. */
  readonly byteQuota: number;
  /** Told of every change to an image that the public can see, once it is settled; with the bytes it no longer shows. */
  readonly onChange?: (image: Image, withdrawn?: Digest) => void;
  readonly now?: () => Date;
  readonly telemetry?: Telemetry;
}

export class Library {
  readonly #metadata: MetadataStore;
  readonly #blobs: BlobStore;
  readonly #ingest: Ingest;
  readonly #imageQuota: number;
  readonly #byteQuota: number;
  readonly #onChange: (image: Image, withdrawn?: Digest) => void;
  readonly #now: () => Date;
  readonly #telemetry: Telemetry;
  readonly #uploadsByKey = new Map<string, Promise<unknown>>();

  constructor(dependencies: LibraryDependencies) {
    this.#metadata = dependencies.metadata;
    this.#blobs = dependencies.blobs;
    this.#ingest = dependencies.ingest;
    this.#imageQuota = dependencies.imageQuota;
    this.#byteQuota = dependencies.byteQuota;
    this.#onChange = dependencies.onChange ?? (() => undefined);
    this.#now = dependencies.now ?? (() => new Date());
    this.#telemetry = dependencies.telemetry ?? UNOBSERVED;
  }

  /** Newest first, disabled ones included, with how many there are in all; with a filter, those that match it. */
  list(
    accountID: string,
    page: { skip: number; count: number },
    filter?: ImageFilter,
    signal?: AbortSignal,
  ): Promise<{ images: Image[]; total: number }> {
    return this.#metadata.forAccount(accountID).list(page, filter, signal);
  }

  /** @throws AppError `not-found` for an unknown or malformed image ID. */
  async get(accountID: string, imageID: string): Promise<Image> {
    return (await this.#metadata.forAccount(accountID).find(canonical(imageID))) ?? unknownImage();
  }

  /**
   * The bytes that were uploaded, as many as the image says. The caller reads the stream to its end or destroys it; the
   * stream errors if they are cut short.
   * @throws AppError `unavailable` if they are lost or are not as many: a fault of the storage, which `cause` names.
   */
  async openOriginal({ imageID, original }: Image, signal?: AbortSignal): Promise<Readable> {
    const blob = await this.#blobs.openOriginal(original.digest, signal);
    if (blob?.size === original.size) return blob.stream;
    blob?.stream.destroy();
    const found = blob ? `has ${blob.size} bytes and not ${original.size}` : 'is not stored';
    const cause = new Error(`The original ${original.digest} of image ${imageID} ${found}`);
    throw new AppError('unavailable', 'the original of the image cannot be read now', { cause });
  }

  /** The image, if it may be changed. @throws AppError `not-found`; `conflict` if it is disabled. */
  async getChangeable(accountID: string, imageID: string): Promise<Image> {
    const image = await this.get(accountID, imageID);
    if (image.disabledOn) disabledImage();
    return image;
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
    const { file, description = { altText: undefined }, idempotencyKey } = upload;
    try {
      if (idempotencyKey === undefined)
        return await this.#add(accountID, by, file, description, undefined, signal);
      const { altText, focalPoint } = description;
      const fingerprint = createHash('sha256')
        .update(JSON.stringify([file.digest, altText ?? null, ...(focalPoint ? [focalPoint] : [])]))
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
    { altText, focalPoint }: Description,
    key: { key: string; fingerprint: string } | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Image> {
    const images = this.#metadata.forAccount(accountID, by);
    const notBefore = new Date(this.#now().getTime() - IDEMPOTENCY_WINDOW);
    if (key) {
      const remembered = await images.recallUpload(key.key, notBefore);
      if (remembered) return remembered.fingerprint === key.fingerprint ? remembered.image : reusedKey();
    }
    const original = await this.#accept(images, file, signal);
    const image = {
      imageID: randomUUID(),
      publicID: nanoid(),
      createdOn: this.#now(),
      original,
      ...(altText !== undefined && { altText }),
      ...(focalPoint && { focalPoint }),
    };
    const outcome = await this.#naming(file, signal, (since) =>
      images.insert(image, {
        defaultQuota: this.#imageQuota,
        defaultByteQuota: this.#byteQuota,
        ...since,
        ...(key && { remember: { ...key, notBefore } }),
      }),
    );
    switch (outcome.kind) {
      case 'inserted':
      case 'replayed':
        return outcome.image;
      case 'key-reused':
        return reusedKey();
      case 'duplicate':
        return duplicate(outcome.existing);
      case 'quota-exceeded':
        throw new AppError('quota-exceeded', quotaText(outcome.limit));
      case 'byte-quota-exceeded':
        return tooManyBytes(outcome.limit);
      case 'no-account':
        throw new AppError('not-found', 'account not found');
    }
  }

  /**
   * Gives an image other bytes; its IDs, link and createdOn stay. Its own current bytes are a success.
   * @throws AppError `not-found`, `conflict` (disabled), `invalid-image`, `duplicate`, `quota-exceeded` (of bytes).
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
      const images = this.#metadata.forAccount(accountID, by);
      const current = await this.getChangeable(accountID, imageID);
      const sameBytes = current.original.digest === update.file.digest;
      // What is stored of its own bytes may be lost or damaged: here they are again.
      if (sameBytes) await this.#ingest.keepAnew(update.file, signal);
      const original = sameBytes ? current.original : await this.#accept(images, update.file, signal);
      const outcome = await this.#naming(update.file, signal, (since) =>
        images.replace(current.imageID, {
          original,
          defaultByteQuota: this.#byteQuota,
          updatedOn: this.#now(),
          ...since,
          ...(update.description && { description: update.description }),
        }),
      );
      const image = settled(outcome);
      this.#onChange(image, sameBytes ? undefined : current.original.digest);
      return image;
    } finally {
      await update.file.discard();
    }
  }

  /**
   * Sets what is said about the picture.
   * @throws AppError `not-found`, `conflict` (disabled).
   */
  async updateMetadata(
    accountID: string,
    by: Actor,
    imageID: string,
    description: Description,
  ): Promise<Image> {
    const images = this.#metadata.forAccount(accountID, by);
    const image = settled(await images.describe(canonical(imageID), description, this.#now()));
    this.#onChange(image);
    return image;
  }

  /** Where the image is used. @throws AppError `not-found`. */
  async usage(accountID: string, imageID: string, signal?: AbortSignal): Promise<ImageUsage> {
    return (await this.#metadata.forAccount(accountID).usage(canonical(imageID), signal)) ?? unknownImage();
  }

  /**
   * Disables an image: it stays public, listed and readable. Again is a success.
   * @throws AppError `not-found`; `in-use` if the account refuses to disable an image that is used.
   */
  async disable(accountID: string, by: Actor, imageID: string): Promise<Image> {
    const outcome = await this.#metadata.forAccount(accountID, by).disable(canonical(imageID), this.#now());
    if (outcome.kind === 'in-use') throw inUse(outcome.usage);
    if (outcome.kind !== 'disabled') return unknownImage();
    // Still public, but nobody's favourite any more: its renditions make room, and come back if they are asked for.
    this.#onChange(outcome.image, outcome.image.original.digest);
    return outcome.image;
  }

  /**
   * Brings a disabled image back. One that is not disabled is a success.
   * @throws AppError `not-found`, `quota-exceeded`.
   */
  async enable(accountID: string, by: Actor, imageID: string): Promise<Image> {
    const outcome = await this.#metadata.forAccount(accountID, by).enable(canonical(imageID), {
      on: this.#now(),
      defaultQuota: this.#imageQuota,
      defaultByteQuota: this.#byteQuota,
    });
    switch (outcome.kind) {
      case 'enabled':
        this.#onChange(outcome.image);
        return outcome.image;
      case 'quota-exceeded':
        throw new AppError('quota-exceeded', quotaText(outcome.limit));
      case 'byte-quota-exceeded':
        return tooManyBytes(outcome.limit);
      case 'not-found':
        return unknownImage();
    }
  }

  /**
   * Bytes that the account holds already were decoded when they came, so a duplicate is refused without doing so
   * again. That is only to save the work: the insert settles it.
   */
  async #accept(
    images: ReadableImages,
    file: StagedBlob,
    signal: AbortSignal | undefined,
  ): Promise<Original> {
    const existing = await images.findByDigest(file.digest);
    if (existing) {
      await this.#ingest.keepIfLost(file, signal);
      return duplicate(existing);
    }
    return this.#ingest.accept(file, signal);
  }

  /** Makes a change that names a file's bytes. If they were collected since they were stored, they are stored anew first. */
  async #naming<Outcome extends { readonly kind: string }>(
    file: StagedBlob,
    signal: AbortSignal | undefined,
    change: (since: { readonly storedAfter?: string }) => Promise<Outcome | Collected>,
  ): Promise<Exclude<Outcome, Collected>> {
    let outcome = await change({});
    while (isCollected(outcome)) {
      await this.#ingest.keepAnew(file, signal);
      outcome = await change({ storedAfter: outcome.token });
    }
    return outcome as Exclude<Outcome, Collected>;
  }

  /** A twin that comes while the first is still at work waits for it, and then finds its answer remembered. */
  async #oneAtATime<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#uploadsByKey.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#uploadsByKey.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#uploadsByKey.get(key) === mine) this.#uploadsByKey.delete(key);
    }
  }
}

function isCollected(outcome: { readonly kind: string }): outcome is Collected {
  return outcome.kind === 'collected';
}

function settled(outcome: Exclude<ReplaceOutcome, Collected>): Image {
  switch (outcome.kind) {
    case 'changed':
      return outcome.image;
    case 'disabled':
      return disabledImage();
    case 'not-found':
      return unknownImage();
    case 'duplicate':
      return duplicate(outcome.existing);
    case 'byte-quota-exceeded':
      return tooManyBytes(outcome.limit);
  }
}

function canonical(imageID: string): string {
  return parseUUID(imageID) ?? unknownImage();
}

function unknownImage(): never {
  throw new AppError('not-found', 'image not found');
}

function disabledImage(): never {
  throw new AppError('conflict', 'the image is disabled and cannot be changed');
}

function reusedKey(): never {
  throw new AppError(
    'conflict',
    'X-Idempotency-Key was already used for an upload of another image or metadata',
  );
}

function duplicate(existing: Image): never {
  throw new AppError('duplicate', `the account already has this image as ${existing.imageID}`, { existing });
}

function tooManyBytes(limit: number): never {
  const text = `the images of the account that are not disabled would have more than its limit of ${limit} bytes`;
  throw new AppError('quota-exceeded', text);
}

function quotaText(limit: number): string {
  return `the account has reached its limit of ${limit} images that are not disabled`;
}

function inUse(usage: ImageUsage): AppError {
  const { products, options, lineItems } = usage.totals;
  const text = `the account does not disable images in use; this one is shown by ${products} products, ${options} options and ${lineItems} line items`;
  return new AppError('in-use', text, { usage });
}
