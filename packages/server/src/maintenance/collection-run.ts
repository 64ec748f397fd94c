/**
 * The state and the failures of one run of garbage collection. A failure of the blob store costs one blob,
 * and the run continues. A store that is away, and any failure of the database, end the run.
 */
import { randomUUID } from 'node:crypto';
import type { BlobStore } from '../blobs/store.ts';
import { AppError, isAppError } from '../errors.ts';
import type { Digest } from '../image.ts';

/** A run ends after this number of failures. It bounds the memory of a run too. */
const MAX_FAILURES = 1_000;

/** What was removed, or would be. */
export interface CollectionSummary {
  originals: number;
  /** Rungs without an original, and rungs of earlier ladders. */
  rungs: number;
  /** Bytes of originals and rungs. */
  bytes: number;
  stagedFiles: number;
  /** Unreferenced originals within the grace period. */
  waiting: number;
  /** Blobs, and parts of the store, that the store failed to remove or to list. The next run tries again. */
  failed: number;
  /** The part of the store that was listed, from 0 to 1. */
  swept: number;
}

/** An error of the blob store, as opposed to one of the database. */
class BlobFailure extends Error {
  override readonly cause: unknown;

  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause));
    this.cause = cause;
  }
}

export interface RunOptions {
  readonly blobs: BlobStore;
  readonly now: Date;
  /** Milliseconds. */
  readonly grace: number;
  /** Originals that an unfinished removal of an earlier run may restore again. They stay candidates. */
  readonly restorable: ReadonlySet<Digest>;
  readonly onFailure: ((subject: string, reason: string) => void) | undefined;
}

export class CollectionRun {
  readonly id = randomUUID();
  readonly now: Date;
  readonly summary: CollectionSummary = {
    originals: 0,
    rungs: 0,
    bytes: 0,
    stagedFiles: 0,
    waiting: 0,
    failed: 0,
    swept: 0,
  };
  readonly restorable: ReadonlySet<Digest>;
  readonly #blobs: BlobStore;
  readonly #grace: number;
  readonly #onFailure: RunOptions['onFailure'];

  constructor({ blobs, now, grace, restorable, onFailure }: RunOptions) {
    this.now = now;
    this.restorable = restorable;
    this.#blobs = blobs;
    this.#grace = grace;
    this.#onFailure = onFailure;
  }

  /** What lost its reference until this time is out of the grace period. */
  get due(): Date {
    return new Date(this.now.getTime() - this.#grace);
  }

  /** True if all these times are out of the grace period. */
  isOld(...times: (Date | undefined)[]): boolean {
    return times.every((time) => time === undefined || time.getTime() <= this.due.getTime());
  }

  /** Runs a call of the blob store, so that `survive` knows its errors. */
  async blob<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw toBlobFailure(error);
    }
  }

  /** The same for a listing. */
  async *listed<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = items[Symbol.asyncIterator]();
    try {
      for (;;) {
        const item = await this.blob(() => iterator.next());
        if (item.done) return;
        yield item.value;
      }
    } finally {
      await iterator.return?.();
    }
  }

  /**
   * Runs work on one blob or part. A failure of the store is counted and reported.
   * @returns false after a failure.
   * @throws any other error; AppError `unavailable` if the store is away.
   */
  async survive(subject: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof BlobFailure)) throw error;
      this.summary.failed += 1;
      this.#onFailure?.(subject, error.message);
      this.#throwIfAway(error);
      return false;
    }
  }

  #throwIfAway(failure: BlobFailure): void {
    let reason: string | undefined;
    try {
      this.#blobs.ensureAvailable();
      if (this.summary.failed >= MAX_FAILURES) reason = `the blob store failed ${MAX_FAILURES} times`;
    } catch {
      reason = 'the blob store does not answer';
    }
    if (reason === undefined) return;
    const text = `${reason}: ${this.summary.originals} originals were removed, and the next run continues`;
    throw new AppError('unavailable', text, { cause: failure.cause });
  }
}

function toBlobFailure(error: unknown): unknown {
  return isAppError(error, 'cancelled') || error instanceof BlobFailure ? error : new BlobFailure(error);
}
