/**
 * The RenditionCache port: where renditions are kept that were made before. Refuses to know how they are made.
 *
 * A rendition is named by the digest of its original and the key of its plan, so that what is under a name is never
 * wrong, only ever no longer needed. Everything here can be made again: a cache never fails its caller.
 */
import type { Digest } from '../image.ts';

/** A rendition's name; `renditionKey` makes it. */
export interface RenditionKey {
  readonly digest: Digest;
  /** As `planKey` gives it: characters `[a-z0-9.,-]`. */
  readonly plan: string;
  /** Both as one text, with a space between them. Made once, because caches look for it with every request. */
  readonly name: string;
}

/** The key of a plan for an original. Neither part has a space in it. */
export function renditionKey(digest: Digest, plan: string): RenditionKey {
  return { digest, plan, name: `${digest} ${plan}` };
}

/** A file of a cache that does not hold what was once put there. */
export interface DamagedRendition extends Pick<RenditionKey, 'digest' | 'plan'> {
  /** Removes it. */
  drop(): Promise<void>;
}

export interface RenditionCache {
  /** The bytes, whole and undamaged, or undefined. Never rejects. */
  get(key: RenditionKey): Promise<Buffer | undefined>;
  /** False if `get` would certainly find nothing. At once, and does not count as a use. */
  mayHave(key: RenditionKey): boolean;
  /** Keeps the bytes for as long as there is room; the least recently used go first. Never rejects. */
  put(key: RenditionKey, bytes: Buffer): Promise<void>;
  /** Lets go of all renditions of an original. Never rejects. */
  forget(digest: Digest): Promise<void>;
  /** Bytes held now. */
  readonly bytes: number;
}
