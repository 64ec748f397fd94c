/**
 * Sends purges to the cache in front of the nodes. Every node runs one, and they share the work through the
 * database.
 *
 * A cache that drops an image asks a node for it again. So a purge must not be sent before every node shows
 * the change, or the cache would store the earlier picture again. A node waits for this time after it has
 * seen the purge, and it sees only purges whose change is committed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FailureLog } from '../telemetry/failure-log.ts';
import type { ServiceLog } from '../telemetry/log.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Purge, PurgeRecords } from './records.ts';

// All in milliseconds.
/** The longest time in which a node may still answer with the earlier picture, and two seconds more. */
const VISIBLE_AFTER = 6_000;
const POLL_INTERVAL = 1_000;
/** A claim ends after this time, if its node died. It is longer than all requests of a batch may take. */
const CLAIM = 30_000;
const REQUESTS_DEADLINE = 25_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 60_000;
/** After this time a purge is given up. The copies in caches have expired by then. */
const LIFETIME = 3 * 24 * 60 * 60_000;

const MAX_SEEN = 1_000;
const BATCH = 50;

/** A cache, or a service that purges caches. */
export interface PurgeTarget {
  /**
   * Asks the cache to drop all public links of these images.
   * @returns the failures by public ID. A purge that succeeded may be sent again.
   */
  purge(publicIDs: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Error>>;
}

export interface PurgerDependencies {
  readonly records: PurgeRecords;
  readonly target: PurgeTarget;
  readonly log: ServiceLog;
  readonly telemetry: Telemetry;
}

export class Purger {
  readonly #dependencies: PurgerDependencies;
  readonly #control = new AbortController();
  /** When this node first saw a purge, by its ID, as a time of `performance.now()`. */
  #seen = new Map<string, number>();
  #run: Promise<void> | undefined;
  readonly #failures: FailureLog;

  constructor(dependencies: PurgerDependencies) {
    this.#dependencies = dependencies;
    this.#failures = new FailureLog(dependencies.log, {
      failed: 'caches could not be purged: it is tried again, and they may show earlier pictures until then',
      recovered: 'caches are purged again',
    });
  }

  /** Starts to send purges in the background, until `close`. */
  start(): void {
    this.#run ??= this.#sendAll();
  }

  /** Ends running requests. Their purges are sent by another node, or after the next start. */
  async close(): Promise<void> {
    this.#control.abort();
    await this.#run;
  }

  async #sendAll(): Promise<void> {
    const { signal } = this.#control;
    while (!signal.aborted) {
      // A full batch is followed by the next one at once.
      const isFull = await this.#sendBatch().catch((error: unknown) => {
        this.#report(error);
        return false;
      });
      if (!isFull) await sleep(POLL_INTERVAL, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Sends the purges that have waited long enough. @returns true if there may be more. */
  async #sendBatch(): Promise<boolean> {
    const { records } = this.#dependencies;
    const due = await records.listDue(new Date(), MAX_SEEN);
    // After the query, because a change may have been committed while the query waited.
    const now = performance.now();
    this.#seen = new Map(due.map(({ purgeID }) => [purgeID, this.#seen.get(purgeID) ?? now]));
    const ready = due
      .filter(({ purgeID }) => now - (this.#seen.get(purgeID) ?? now) >= VISIBLE_AFTER)
      .slice(0, BATCH)
      .map(({ purgeID }) => purgeID);
    const claimedOn = Date.now();
    const claimed = await records.claim(ready, new Date(claimedOn), new Date(claimedOn + CLAIM));
    if (claimed.length > 0) await this.#send(claimed);
    return ready.length === BATCH;
  }

  async #send(purges: readonly Purge[]): Promise<void> {
    const { records, target, telemetry } = this.#dependencies;
    // Several changes of an image need one request.
    const publicIDs = [...new Set(purges.map(({ publicID }) => publicID))];
    const signal = AbortSignal.any([this.#control.signal, AbortSignal.timeout(REQUESTS_DEADLINE)]);
    const failures = await target.purge(publicIDs, signal);
    telemetry.counter('purges', { outcome: 'failed' }).value += failures.size;
    telemetry.counter('purges', { outcome: 'sent' }).value += publicIDs.length - failures.size;
    const [failure] = failures.values();
    if (failure) this.#report(failure);
    else this.#failures.recovered();
    const isOver = ({ createdOn }: Purge) => Date.now() - createdOn.getTime() >= LIFETIME;
    const failed = purges.filter((purge) => failures.has(purge.publicID) && !isOver(purge));
    await records.remove(purges.filter((purge) => !failed.includes(purge)).map(({ purgeID }) => purgeID));
    for (const { purgeID, attempts } of failed) {
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempts - 1));
      await records.postpone(purgeID, new Date(Date.now() + pause));
    }
  }

  #report(error: unknown): void {
    if (!this.#control.signal.aborted) this.#failures.failed(error);
  }
}
