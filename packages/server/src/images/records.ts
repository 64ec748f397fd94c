/**
 * The records of images: the port of the library, and its outcomes.
 * `test/conformance/metadata.ts` is this contract in executable form and runs whole against every database.
 *
 * The guarantees of every records port hold here too; see `database/store.ts`.
 */
import type { Actor } from '../access/audit.ts';
import type { Page } from '../access/records.ts';
import type { Description, Digest, Image, Original } from '../image.ts';
import type { ImageUsage } from './usage.ts';

export interface ImageRecords {
  /**
   * The only way to the images of one account. An account that does not exist has no images, and none can be added.
   * Changes need an Actor, who is recorded in the audit trail of each change.
   */
  forAccount(accountID: string): ReadableImages;
  forAccount(accountID: string, by: Actor): AccountImages;
}

/** One account's images, to be read. Nothing read through it can belong to another account. */
export interface ReadableImages {
  /**
   * Newest first by order of insertion (not by clock), disabled ones included.
   * @param page `skip` from 0, `count` from 1. A skip past the end gives no images.
   * @returns the page, and how many images the account has in all (from a counter, not by counting); with a
   * filter, how many match it (by counting), which is a search.
   */
  list(page: Page, filter?: ImageFilter, signal?: AbortSignal): Promise<{ images: Image[]; total: number }>;
  find(imageID: string): Promise<Image | undefined>;
  findByDigest(digest: Digest): Promise<Image | undefined>;

  /** Of these images, those that exist, by imageID. */
  findMany(imageIDs: readonly string[]): Promise<Map<string, Image>>;

  /** What shows the image. Undefined if there is no such image. A search. */
  usage(imageID: string, signal?: AbortSignal): Promise<ImageUsage | undefined>;

  /** What an idempotency key was used for, if it is not older than `notBefore`. */
  recallUpload(key: string, notBefore: Date): Promise<RememberedUpload | undefined>;
}

/**
 * The same, to be changed as well. Each change writes a line of the audit trail in its transaction; what changes
 * nothing (a refusal, a replay, disabling again) writes none.
 */
export interface AccountImages extends ReadableImages {
  /**
   * Adds an image. Settled in this order, in one transaction: account, idempotency key, duplicate, quota of
   * images, quota of bytes, whether the bytes were collected since they were stored.
   * With `remember`, the key and the image as it is now are kept in the same transaction.
   */
  insert(image: NewImage, options: InsertOptions): Promise<InsertOutcome>;

  /**
   * Gives an image other bytes; keeps imageID, publicID, createdOn and (unless one is given) the description.
   * The same bytes as before are a success, also when nothing else changes. Settled in this order: existence, disabled,
   * duplicate, quota of bytes, as for an insert whether other bytes than before were collected.
   */
  replace(imageID: string, change: Replacement): Promise<ReplaceOutcome>;

  /** Sets what is said about the picture. */
  describe(imageID: string, description: Description, updatedOn: Date): Promise<ChangeOutcome>;

  /**
   * Disables an image; one that is disabled already stays as it is and is a success. Refused for an image in use if
   * the account's policy says so.
   */
  disable(imageID: string, disabledOn: Date): Promise<DisableOutcome>;

  /**
   * Makes a disabled image what it was before; one that is not disabled stays as it is and is a success. No other image
   * can have its bytes, since bytes of disabled images are held as well; so only the quotas may be in the way.
   */
  enable(imageID: string, options: EnableOptions): Promise<EnableOutcome>;
}

/** The quotas as for an insert. */
export interface EnableOptions extends Pick<InsertOptions, 'defaultQuota' | 'defaultByteQuota'> {
  readonly on: Date;
}

/** What an image must be to be listed: all that is given. */
export interface ImageFilter {
  readonly disabled?: boolean;
  /** True: only images that nothing shows; false: only images that something does. */
  readonly unused?: boolean;
  readonly altText?: 'missing';
  /** Has this text in its alt text, in whatever case. No character of it is special. */
  readonly search?: string;
}

/** An image to add: complete but for what the store says. `createdOn` is `updatedOn`, and it is not disabled. */
export type NewImage = Omit<Image, 'accountID' | 'updatedOn' | 'disabledOn'>;

export interface InsertOptions {
  /** How many images may be enabled at once, unless the account sets its own limit. */
  readonly defaultQuota: number;
  /** How many bytes their originals may have, unless the account sets its own limit; 0, or absent: no limit. */
  readonly defaultByteQuota?: number;
  readonly storedAfter?: Collected['token'];
  readonly remember?: {
    readonly key: string;
    /** Stands for everything the client sent: the same key with another fingerprint is `key-reused`. */
    readonly fingerprint: string;
    /** Keys remembered before this are forgotten, and may be used again. */
    readonly notBefore: Date;
  };
}

export interface RememberedUpload {
  readonly fingerprint: string;
  /** The image as it was when the upload was answered. */
  readonly image: Image;
}

export type InsertOutcome =
  | { readonly kind: 'inserted'; readonly image: Image }
  /** The idempotency key was used for the same upload before: its first answer. Nothing was added. */
  | { readonly kind: 'replayed'; readonly image: Image }
  /** The idempotency key was used for another upload before. */
  | { readonly kind: 'key-reused' }
  | { readonly kind: 'duplicate'; readonly existing: Image }
  | { readonly kind: 'quota-exceeded'; readonly limit: number }
  | ByteQuotaExceeded
  | Collected
  | { readonly kind: 'no-account' };

/** The originals of enabled images would have more bytes than the limit. Nothing was changed. */
export interface ByteQuotaExceeded {
  readonly kind: 'byte-quota-exceeded';
  readonly limit: number;
}

/**
 * No image named these bytes, and they were removed, or may be. Store them anew, and then come again with the token as
 * `storedAfter`. Nothing was changed.
 */
export interface Collected {
  readonly kind: 'collected';
  readonly token: string;
}

export interface Replacement {
  readonly original: Original;
  /** As in InsertOptions. An original that is no larger than the one before is always within it. */
  readonly defaultByteQuota?: number;
  readonly storedAfter?: Collected['token'];
  /** Absent: keep what is said about the picture. */
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
