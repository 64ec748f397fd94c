/**
 * The MetadataStore port: where records live. Owns the vocabulary of outcomes and what every backend guarantees.
 * Refuses to know SQL and HTTP. `test/conformance/metadata.ts` is this contract in executable form and runs
 * whole against every backend.
 *
 * Guarantees to every caller:
 * - What a promise resolved to is durable: it survives a crash of the process and of the machine.
 * - Duplicates, quota and disable races are settled here, in one transaction, whatever runs at the same time on
 *   this node or another. Nobody needs to check first; checking first is only ever an optimisation.
 * - Expected refusals are values (`kind`), so that forgetting one does not compile. Only faults are thrown:
 *   `AppError('unavailable')` when the database cannot be reached or is busy beyond patience,
 *   `AppError('storage-full')` when it has no room.
 * - Text comes back exactly as it went in. Times are kept to the millisecond.
 */
import type { Actor } from '../audit.ts';
import type { Digest, Image, Original } from '../image.ts';
import type { AccountRecords, AuditRecords, KeyRecords, Page, TokenRecords } from './access.ts';

export interface MetadataStore extends AccountRecords {
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly audit: AuditRecords;

  /** Brings the schema to this version. Safe to call at once from several processes; a newer schema is refused. */
  migrate(): Promise<void>;
  /** Resolves if the database answers. */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;

  /**
   * The only way to one account's images. The account need not exist: then it has none, and none can be added.
   * To change them takes an Actor, who then stands in the audit trail of each change.
   */
  forAccount(accountID: string): ReadableImages;
  forAccount(accountID: string, by: Actor): AccountImages;

  /** The image behind a public link, of whatever account, disabled or not. */
  findPublicImage(publicID: string): Promise<Image | undefined>;

  /** Of these digests, those that at least one image of any account holds now. For collecting the rest. */
  referencedDigests(digests: readonly Digest[]): Promise<Set<Digest>>;
}

/** One account's images, to be read. Nothing read through it can belong to another account. */
export interface ReadableImages {
  /**
   * Newest first by order of insertion (not by clock), disabled ones included.
   * @param page `skip` from 0, `count` from 1. A skip past the end gives no images.
   * @returns the page, and how many images the account has in all (from a counter, not by counting).
   */
  list(page: Page): Promise<{ images: Image[]; total: number }>;
  find(imageID: string): Promise<Image | undefined>;
  findByDigest(digest: Digest): Promise<Image | undefined>;

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
   * images, quota of bytes.
   * With `remember`, the key and the image as it is now are kept in the same transaction.
   */
  insert(image: NewImage, options: InsertOptions): Promise<InsertOutcome>;

  /**
   * Gives an image other bytes; keeps imageID, publicID, createdOn and (unless `altText` is given) the alt text.
   * The same bytes as before are a success, also when nothing else changes. Settled in this order: existence, disabled,
   * duplicate, quota of bytes.
   */
  replace(imageID: string, change: Replacement): Promise<ReplaceOutcome>;

  /** Sets or clears (undefined) the alt text. */
  setAltText(imageID: string, altText: string | undefined, updatedOn: Date): Promise<ChangeOutcome>;

  /** Disables an image; one that is disabled already stays as it is and is a success. */
  disable(imageID: string, disabledOn: Date): Promise<DisableOutcome>;
}

/** An image to add: complete but for what the store says. `createdOn` is `updatedOn`, and it is not disabled. */
export type NewImage = Omit<Image, 'accountID' | 'updatedOn' | 'disabledOn'>;

export interface InsertOptions {
  /** How many images may be enabled at once, unless the account sets its own limit. */
  readonly defaultQuota: number;
  /** How many bytes their originals may have, unless the account sets its own limit; 0, or absent: no limit. */
  readonly defaultByteQuota?: number;
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
  | { readonly kind: 'no-account' };

/** The originals of enabled images would have more bytes than the limit. Nothing was changed. */
export interface ByteQuotaExceeded {
  readonly kind: 'byte-quota-exceeded';
  readonly limit: number;
}

export interface Replacement {
  readonly original: Original;
  /** As in InsertOptions. An original that is no larger than the one before is always within it. */
  readonly defaultByteQuota?: number;
  /** Absent: keep the alt text. `{ value: undefined }`: clear it. */
  readonly altText?: { readonly value: string | undefined };
  readonly updatedOn: Date;
}

export type ChangeOutcome =
  | { readonly kind: 'changed'; readonly image: Image }
  | { readonly kind: 'disabled' }
  | { readonly kind: 'not-found' };

export type ReplaceOutcome =
  | ChangeOutcome
  | { readonly kind: 'duplicate'; readonly existing: Image }
  | ByteQuotaExceeded;

export type DisableOutcome =
  | { readonly kind: 'disabled'; readonly image: Image }
  | { readonly kind: 'not-found' };
