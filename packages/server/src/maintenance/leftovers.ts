/**
 * Removes what is left over while a server runs: files of uploads that a crash ended, and old events. Also
 * restores originals whose removal a killed collector left unfinished. A new image may reference them.
 */
import { STALE_UPLOAD } from '../blobs/staging.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { EventRecords } from '../events/records.ts';
import { removeOldEvents } from '../events/retention.ts';
import type { WarnLog } from '../telemetry/log.ts';

/** The interval between two sweeps, in milliseconds. */
const INTERVAL = STALE_UPLOAD;

export interface LeftoversDependencies {
  readonly blobs: BlobStore;
  readonly events: EventRecords;
  readonly log: WarnLog;
}

export class Leftovers {
  readonly #blobs: BlobStore;
  readonly #events: EventRecords;
  readonly #log: WarnLog;
  readonly #stopping = new AbortController();
  #sweeping: NodeJS.Timeout | undefined;

  constructor({ blobs, events, log }: LeftoversDependencies) {
    this.#blobs = blobs;
    this.#events = events;
    this.#log = log;
  }

  /**
   * Sweeps once, and from then on in the background. After a quick restart the left-over files are too young;
   * a later sweep removes them.
   * @throws the error of the files. That of an unfinished removal is only logged.
   */
  async start(): Promise<void> {
    await this.#sweepFiles();
    await this.#undoRemovals();
    this.#sweeping = setInterval(() => {
      void this.#undoRemovals();
      void this.removeEvents();
      this.#sweepFiles().catch((err: unknown) => {
        this.#log.warn({ err }, 'left-over files could not be removed');
      });
    }, INTERVAL);
    this.#sweeping.unref();
  }

  /** Removes old events now. Never rejects. */
  async removeEvents(): Promise<void> {
    await removeOldEvents(this.#events, new Date(), this.#stopping.signal).catch((err: unknown) => {
      this.#log.warn({ err }, 'old events could not be removed');
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#sweeping);
    this.#stopping.abort();
  }

  async #sweepFiles(): Promise<void> {
    await this.#blobs.sweepStaging(new Date(Date.now() - STALE_UPLOAD));
  }

  async #undoRemovals(): Promise<void> {
    await this.#blobs.undoUnfinishedRemovals().catch((err: unknown) => {
      this.#log.warn({ err }, 'unfinished removals of originals could not be undone');
    });
  }
}
