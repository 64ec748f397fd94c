/**
 * The images behind public links: one query, or the record that is cached in memory.
 *
 * A record is confirmed if it is known to be the newest one of at most four seconds ago. It is confirmed by
 * its query, or by a listener that has heard no change of it since. While the database is away or slow, the
 * last known record is used, but caches keep such an answer only briefly.
 */
import { LRUCache } from 'lru-cache';
import { AppError, isAppError } from '../errors.ts';
import { type Image, isPublicID } from '../image.ts';
import type { PublicImageRecords, RecordChange, RecordChanges } from './records.ts';

/** The most cached records. */
const MAX_RECORDS = 50_000;

// All in milliseconds.
/** How long a record stays confirmed. With the time of an answer, no node is later than six seconds. */
const CONFIRMED_FOR = 4_000;
/** The same without a listener, where other processes seldom change anything. */
const CONFIRMED_FOR_ALONE = 5_000;
/** A record is read again after this time, even if no change was heard: an analysis is not reported. */
const LIFETIME = 5 * 60_000;
/** How long a request waits for the database before it uses the last known record. */
const LOOKUP_TIMEOUT = 250;
/** How long the last known record is used without another query. */
const UNCONFIRMED_FOR = 4_000;

/** The most lookups for one request. A lookup is repeated if the image changed while it ran. */
const MAX_LOOKUPS = 3;

/**
 * - `confirmed`: no node changed the image more than a few seconds ago.
 * - `unconfirmed`: the last known record. The database does not answer.
 */
export type RecordState = 'confirmed' | 'unconfirmed';

export interface FoundImage {
  readonly image: Image;
  readonly state: RecordState;
}

interface CachedRecord {
  readonly image: Image;
  /** The time before its query. Like all times here, that of `performance.now()`. */
  readonly readAt: number;
  /** Until this time the record may be used unconfirmed. */
  usableUntil: number;
}

interface Lookup {
  /** Undefined: there is no such image. */
  readonly record: CachedRecord | undefined;
  /** True if the image may have changed after the query read it. Then the record is not cached. */
  readonly isOvertaken: boolean;
}

export class PublicImages {
  readonly #source: PublicImageRecords;
  readonly #changes: RecordChanges | undefined;
  readonly #records = new LRUCache<string, CachedRecord>({ max: MAX_RECORDS });
  readonly #lookups = new Map<string, Promise<Lookup>>();

  /** @param changes absent: changes by other processes are seen only by reading records again. */
  constructor(source: PublicImageRecords, changes?: RecordChanges) {
    this.#source = source;
    this.#changes = changes;
    changes?.subscribe((change) => this.#drop(change));
  }

  /**
   * The image behind a public link, disabled or not. A change by this process is visible at once.
   * @param charge called for an ID that the database does not have; it may throw another error.
   * @throws AppError `not-found`.
   */
  async find(publicID: string, charge?: () => void): Promise<FoundImage> {
    if (!isPublicID(publicID)) throw unknownImage();
    const cached = this.#records.get(publicID);
    const state = cached && this.#stateOf(cached);
    const found = cached && state ? { image: cached.image, state } : await this.#lookUp(publicID);
    if (found) return found;
    charge?.();
    throw unknownImage();
  }

  /** The state of the record with exactly this image; undefined if it has to be looked up again. */
  stateOf(image: Image): RecordState | undefined {
    const cached = this.#records.get(image.publicID);
    return cached?.image === image ? this.#stateOf(cached) : undefined;
  }

  /** Drops the cached record of an image that was changed. */
  forget(publicID: string): void {
    this.#records.delete(publicID);
    // A running lookup may have read the state before the change.
    this.#lookups.delete(publicID);
  }

  #drop(change: RecordChange): void {
    if (change.kind === 'image') {
      this.forget(change.publicID);
      return;
    }
    for (const [publicID, { image }] of [...this.#records.entries()]) {
      if (change.kind === 'all' || image.accountID === change.accountID) this.#records.delete(publicID);
    }
    this.#lookups.clear();
  }

  #stateOf({ readAt, usableUntil }: CachedRecord): RecordState | undefined {
    const now = performance.now();
    const changes = this.#changes;
    const isHeard = changes !== undefined && readAt >= changes.listeningSince;
    const confirmedAt = isHeard ? Math.max(readAt, changes.heardUntil) : readAt;
    const duration = changes === undefined ? CONFIRMED_FOR_ALONE : CONFIRMED_FOR;
    if (now - confirmedAt <= duration && now - readAt <= LIFETIME) return 'confirmed';
    return now < usableUntil ? 'unconfirmed' : undefined;
  }

  async #lookUp(publicID: string): Promise<FoundImage | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const lookup = this.#lookups.get(publicID) ?? this.#startLookup(publicID);
      const last = this.#records.get(publicID);
      const result = last ? await answerInTime(lookup) : await lookup;
      if (result === undefined) {
        // Without an answer. The last record may have been dropped meanwhile, because the image has changed.
        if (!last || this.#records.get(publicID) !== last) continue;
        last.usableUntil = performance.now() + UNCONFIRMED_FOR;
        return { image: last.image, state: 'unconfirmed' };
      }
      const { record, isOvertaken } = result;
      if (record === undefined) return undefined;
      if (isOvertaken && attempt < MAX_LOOKUPS) continue;
      // After a slow query the record is not confirmed any more.
      const state = (isOvertaken ? undefined : this.#stateOf(record)) ?? 'unconfirmed';
      return { image: record.image, state };
    }
  }

  #startLookup(publicID: string): Promise<Lookup> {
    const readAt = performance.now();
    const lookup: Promise<Lookup> = this.#source.findPublicImage(publicID).then(
      (image) => {
        const isOvertaken = !this.#end(publicID, lookup);
        const record = image && { image, readAt, usableUntil: 0 };
        if (record && !isOvertaken) this.#records.set(publicID, record);
        return { record, isOvertaken };
      },
      (error: unknown) => {
        this.#end(publicID, lookup);
        throw error;
      },
    );
    this.#lookups.set(publicID, lookup);
    return lookup;
  }

  /** True if no change was heard while the lookup ran. */
  #end(publicID: string, lookup: Promise<Lookup>): boolean {
    return this.#lookups.get(publicID) === lookup && this.#lookups.delete(publicID);
  }
}

/** The result of the lookup; undefined if the database is away or does not answer in time. */
function answerInTime(lookup: Promise<Lookup>): Promise<Lookup | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, LOOKUP_TIMEOUT, undefined);
    lookup
      .then(resolve, (error: unknown) =>
        isAppError(error, 'unavailable') ? resolve(undefined) : reject(error),
      )
      .finally(() => clearTimeout(timer));
  });
}

function unknownImage(): AppError {
  return new AppError('not-found', 'image not found');
}
