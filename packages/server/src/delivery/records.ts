/**
 * The records of delivery: the port that serves public links, and the port by which a node hears of changes.
 */
import type { Image } from '../image.ts';
import type { ServiceLog } from '../telemetry/log.ts';

export interface PublicImageRecords {
  /** The image behind a public link, of any account, disabled or not. */
  findPublicImage(publicID: string): Promise<Image | undefined>;
}

/**
 * A change after which nodes must read records again: those of one image, of an account, or all. The last is
 * a change of a kind that only a newer version knows.
 */
export type RecordChange =
  | { readonly kind: 'image'; readonly publicID: string }
  | { readonly kind: 'account'; readonly accountID: string }
  | { readonly kind: 'all' };

/**
 * The changes that this node hears from all nodes. Times are those of `performance.now()`.
 *
 * A record that was read at `listeningSince` or later, and has not been reported since, is that of
 * `heardUntil` or newer.
 */
export interface RecordChanges {
  /** From this time on, no change is missed. Infinity: nothing was heard yet. */
  readonly listeningSince: number;
  /** Each change that was committed before this time has been reported. */
  readonly heardUntil: number;
  /** Calls `report` for each change, also for changes by this node. */
  subscribe(report: (change: RecordChange) => void): void;
  close(): Promise<void>;
}

export interface ListenOptions {
  /** A direct connection to the database of the records. Absent: the address of the store. */
  readonly url?: string | undefined;
  readonly log: ServiceLog;
}
