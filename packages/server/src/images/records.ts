/**
 * The records of images: the port of the library, and its outcomes. `test/conformance/metadata.ts` tests this
 * contract against every database. The guarantees in `database/store.ts` hold here too.
 */
import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import type { Description, Digest, Image, ImageFormat, Original, Visibility } from '../image.ts';
import type { ImageUsage } from './usage.ts';

export interface ImageRecords {
  /**
   * The only way to the images of one account. An unknown account has no images, and none can be added.
   * Changes need an Actor, which the audit trail records with each change.
   */
  forAccount(accountID: string): ReadableImages;
  forAccount(accountID: string, by: Actor): AccountImages;
}

/** Reads the images of one account. It never shows images of another account. */
export interface ReadableImages {
  /**
   * Lists images, by default newest first by order of insertion, not by time. Disabled images are included.
   * With a condition, or an order other than that of insertion, this is a search (`database/store.ts`).
   * @returns the page, and the number of images in the account, or with a filter the number of matches.
   * Without a filter the number comes from a counter. With a filter the matches are counted.
   */
  list(page: Page, filter?: ImageFilter, signal?: AbortSignal): Promise<{ images: Image[]; total: number }>;
  find(imageID: string): Promise<Image | undefined>;
  findByDigest(digest: Digest): Promise<Image | undefined>;

  /** Finds those of the images that exist. @returns images by imageID. */
  findMany(imageIDs: readonly string[]): Promise<Map<string, Image>>;

  /**
   * Finds the products and line items that show the image. Undefined: the image does not exist. This is a
   * search.
   */
  usage(imageID: string, signal?: AbortSignal): Promise<ImageUsage | undefined>;

  /** Finds the upload that used this idempotency key at `notBefore` or later. */
  recallUpload(key: string, notBefore: Date): Promise<IdempotentUpload | undefined>;
}

/**
 * Also changes the images. Each change writes an entry of the audit trail in its transaction. A refusal, a
 * replay and a second disabling change nothing, and write no entry.
 */
export interface AccountImages extends ReadableImages {
  /**
   * Adds an image, in one transaction. The checks run in this order: account, idempotency key, duplicate,
   * image quota, byte quota, garbage collection of the bytes. The transaction also stores the idempotency key
   * with the new image.
   */
  insert(image: NewImage, options: InsertOptions): Promise<InsertOutcome>;

  /**
   * Replaces the bytes of an image. It keeps imageID, publicID, createdOn and, unless there is a new one, the
   * description. Replacing an image by its own bytes is a success. The checks run in this order: existence,
   * disabled, duplicate, byte quota, garbage collection of the bytes.
   */
  replace(imageID: string, change: Replacement): Promise<ReplaceOutcome>;

  /** Sets the description of the image. */
  describe(imageID: string, description: Description, updatedOn: Date): Promise<ChangeOutcome>;

  /**
   * Disables an image. Idempotent: a disabled image keeps its time. Refuses an image in use if the policy of
   * the account is `refuse-in-use`.
   */
  disable(imageID: string, disabledOn: Date): Promise<DisableOutcome>;

  /**
   * Enables a disabled image again. Idempotent. Only the quotas can prevent it: no other image can have the
   * same bytes, because disabled images count in the check for duplicates.
   */
  enable(imageID: string, options: EnableOptions): Promise<EnableOutcome>;
}

/** The quotas are as for an insert. */
export interface EnableOptions extends Pick<InsertOptions, 'defaultQuota' | 'defaultByteQuota'> {
  readonly on: Date;
}

/** The orders of a list. Images that are equal follow in the order of insertion, in the same direction. */
export const IMAGE_SORTS = [
  '-createdOn',
  'createdOn',
  '-updatedOn',
  'updatedOn',
  'fileName',
  '-fileName',
  '-bytes',
  'bytes',
] as const;

/**
 * - `createdOn`: the order of insertion.
 * - `fileName`: without regard to case and accents. Images without a name are last.
 * - A `-` reverses the order.
 */
export type ImageSort = (typeof IMAGE_SORTS)[number];

/** The conditions of a list, and its order. An image must meet all conditions that are present. */
export interface ImageFilter {
  readonly disabled?: boolean;
  /** True: no product or line item shows the image. False: at least one shows it. */
  readonly unused?: boolean;
  readonly altText?: 'missing';
  /**
   * A text within the alt text, the file name or one of the tags, without regard to case and accents. No
   * character is special.
   */
  readonly search?: string;
  /** One of the tags, without regard to case. */
  readonly tag?: string;
  readonly format?: ImageFormat;
  /** In pixels. */
  readonly minWidth?: number;
  readonly minHeight?: number;
  readonly visibility?: Visibility | 'private';
  /** True finds none, because this version withdraws no images. */
  readonly withdrawn?: boolean;
  /** Default: `-createdOn`. */
  readonly sort?: ImageSort;
}

/**
 * An image to add. The store adds its account. Its `updatedOn` becomes `createdOn`, and it is not disabled.
 * Its version is 1. Without tags it has none, and without a visibility it is public.
 */
export type NewImage = Omit<
  Image,
  'accountID' | 'updatedOn' | 'disabledOn' | 'version' | 'tags' | 'visibility'
> &
  Partial<Pick<Image, 'tags' | 'visibility'>>;

export interface InsertOptions {
  /** The most enabled images, unless the account has its own limit. */
  readonly defaultQuota: number;
  /** The most bytes of originals, unless the account has its own limit. 0 or absent: no limit. */
  readonly defaultByteQuota?: number;
  /** The token of a `Collected` outcome, after the bytes were stored again. */
  readonly markerToken?: Collected['token'];
  readonly idempotency?: {
    readonly key: string;
    /** A digest of the whole upload. The same key with another fingerprint gives `key-reused`. */
    readonly fingerprint: string;
    /** Keys that were stored before this time are deleted, and can be used again. */
    readonly notBefore: Date;
  };
}

/** An upload that was stored under an idempotency key. */
export interface IdempotentUpload {
  readonly fingerprint: string;
  /** The image as it was in the answer to the upload. */
  readonly image: Image;
}

export type InsertOutcome =
  | { readonly kind: 'inserted'; readonly image: Image }
  /**
   * The idempotency key was used for the same upload. The image is that of the first answer. Nothing was
   * added.
   */
  | { readonly kind: 'replayed'; readonly image: Image }
  /** The idempotency key was used for another upload. */
  | { readonly kind: 'key-reused' }
  | { readonly kind: 'duplicate'; readonly existing: Image }
  | { readonly kind: 'quota-exceeded'; readonly limit: number }
  | ByteQuotaExceeded
  | Collected
  | { readonly kind: 'no-account' };

/** The originals of enabled images would exceed the limit, in bytes. Nothing was changed. */
export interface ByteQuotaExceeded {
  readonly kind: 'byte-quota-exceeded';
  readonly limit: number;
}

/**
 * The bytes were unreferenced, and the garbage collector has removed them or is about to. Nothing was
 * changed. Store the bytes again, and then repeat the call with the token as `markerToken`.
 */
export interface Collected {
  readonly kind: 'collected';
  readonly token: string;
}

export interface Replacement {
  readonly original: Original;
  /** As in InsertOptions. An original that is not larger than the previous one never exceeds it. */
  readonly defaultByteQuota?: number;
  readonly markerToken?: Collected['token'];
  /** Absent: the description stays as it is. */
  readonly description?: Description;
  readonly updatedOn: Date;
}

export type ChangeOutcome =
  | { readonly kind: 'changed'; readonly image: Image }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'not-found' };

export type ReplaceOutcome =
  | ChangeOutcome
  | { readonly kind: 'duplicate'; readonly existing: Image }
  | ByteQuotaExceeded
  | Collected;

export type DisableOutcome =
  | { readonly kind: 'disabled'; readonly image: Image }
  | { readonly kind: 'in-use'; readonly usage: ImageUsage }
  | { readonly kind: 'not-found' };

export type EnableOutcome =
  | { readonly kind: 'enabled'; readonly image: Image }
  | { readonly kind: 'quota-exceeded'; readonly limit: number }
  | ByteQuotaExceeded
  | { readonly kind: 'not-found' };
