/**
 * The images behind public links: one query, or the record that is cached in memory for a few seconds.
 * While the database is away or slow, the last known record is used.
 */
import { LRUCache } from 'lru-cache';
import { AppError, isAppError } from '../errors.ts';
import { type Image, isPublicID } from '../image.ts';
import type { PublicImageRecords } from './records.ts';

/** The most cached records. */
const MAX_RECORDS = 50_000;
/** How long a cached record is fresh, in milliseconds. Changes by other processes are visible after that. */
const RECORD_LIFETIME = 5_000;
/** How long a request waits for the database before it uses a stale record, in milliseconds. */
const LOOKUP_TIMEOUT = 250;

export class PublicImages {
  readonly #source: PublicImageRecords;
  readonly #records = new LRUCache<string, Image>({
    max: MAX_RECORDS,
    ttl: RECORD_LIFETIME,
    // Reading the clock on each lookup would cost more than the lookup.
    ttlResolution: 50,
    // A stale record stays, for use while the database does not answer.
    noDeleteOnStaleGet: true,
  });
  readonly #lookups = new Map<string, Promise<Image | undefined>>();

  constructor(source: PublicImageRecords) {
    this.#source = source;
  }

  /**
   * The image behind a public link, disabled or not. A change by this process is visible at once.
   * @param charge called for an ID that the database does not have; it may throw another error.
   * @throws AppError `not-found`.
   */
  async find(publicID: string, charge?: () => void): Promise<Image> {
    if (!isPublicID(publicID)) throw unknownImage();
    const image = this.#records.get(publicID) ?? (await this.#lookUp(publicID));
    if (image) return image;
    charge?.();
    throw unknownImage();
  }

  /** The record, if it is cached and fresh. */
  peek(publicID: string): Image | undefined {
    return this.#records.get(publicID);
  }

  /** Drops the cached record of an image that was changed. */
  forget(publicID: string): void {
    this.#records.delete(publicID);
    this.#lookups.delete(publicID);
  }

  #lookUp(publicID: string): Promise<Image | undefined> {
    const running = this.#lookups.get(publicID);
    if (running) return running;
    const stale = this.#records.get(publicID, { allowStale: true });
    const query = this.#source.findPublicImage(publicID);
    const lookup = (stale ? withStaleRecord(query, stale) : query).then(
      (image) => {
        // `forget` removes a running lookup from the map, because it may have read the state before the
        // change.
        if (this.#lookups.get(publicID) === lookup) {
          this.#lookups.delete(publicID);
          if (image) this.#records.set(publicID, image);
        }
        return image;
      },
      (error: unknown) => {
        if (this.#lookups.get(publicID) === lookup) this.#lookups.delete(publicID);
        throw error;
      },
    );
    this.#lookups.set(publicID, lookup);
    return lookup;
  }
}

/** The result of the query, or the stale record if the database is away or does not answer in time. */
function withStaleRecord(query: Promise<Image | undefined>, stale: Image): Promise<Image | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, LOOKUP_TIMEOUT, stale);
    query
      .then(resolve, (error: unknown) => (isAppError(error, 'unavailable') ? resolve(stale) : reject(error)))
      .finally(() => clearTimeout(timer));
  });
}

function unknownImage(): AppError {
  return new AppError('not-found', 'image not found');
}
