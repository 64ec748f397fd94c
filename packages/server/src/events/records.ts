/**
 * The records of the outbox: the events of accounts, and the purges of caches that are still to be sent.
 * `test/conformance/metadata-events.ts` tests this contract against every database.
 */
import type { Event } from './event.ts';

export interface EventRecords {
  /**
   * Reads the events of an account after this sequence, oldest first.
   * @param after 0: from the oldest event that is kept.
   */
  list(accountID: string, after: number, limit: number): Promise<readonly Event[]>;
  /**
   * Removes events of all accounts that were created before this time, oldest first and at most `limit`.
   * Several nodes may call it at once.
   * @returns the number of removed events.
   */
  prune(before: Date, limit: number): Promise<number>;
}

/** An image whose public links caches have to drop. */
export interface Purge {
  readonly purgeID: string;
  readonly publicID: string;
  readonly createdOn: Date;
  /** Claims so far. */
  readonly attempts: number;
}

export interface PurgeRecords {
  /** Reads purges that no node has claimed at this time, oldest first. */
  listDue(on: Date, limit: number): Promise<readonly Purge[]>;
  /**
   * Claims purges for this node, so that no other node sends them at the same time.
   * @param until the claim ends at this time. Then any node may claim the purge again.
   * @returns those that were still there and not claimed. Each has one more attempt.
   */
  claim(purgeIDs: readonly string[], on: Date, until: Date): Promise<readonly Purge[]>;
  /** Ends the claim of a purge that failed. Any node may claim it again from this time on. */
  postpone(purgeID: string, until: Date): Promise<void>;
  /** Removes purges that were sent. */
  remove(purgeIDs: readonly string[]): Promise<void>;
}
