/** The row types of the tables of garbage collection. See sql/garbage.ts. */

/**
 * The marker row of an original that was garbage-collected, or is about to be. An upload must store its bytes
 * again before an image references them.
 */
export interface CollectedOriginalRow {
  digest: string;
  /** A new token means that the bytes must be stored again. */
  token: string;
  /** 1: a collector works under the token and may remove the bytes. 0: the token belongs to an upload. */
  collecting: number;
  collected_on: number;
}

/** A pause of garbage collection, for example during a backup. While one lasts, no original is collected. */
export interface CollectionHoldRow {
  hold_id: string;
  held_until: number;
}

/**
 * A candidate of garbage collection: an original that may have lost its last reference. Each change that
 * takes a reference away writes the row. The collector verifies it.
 */
export interface UnreferencedOriginalRow {
  digest: string;
  unreferenced_on: number;
  /** Another one after each change of the row, so that a collector deletes only what it has read. */
  token: string;
  /** The run that has taken the candidate. Another run takes it too, but last. */
  run_id: string | null;
}

/** A row to lock, one for each possible start of a digest. It is never changed. See sql/garbage.ts. */
export interface CollectionLockRow {
  /** Two hexadecimal digits. */
  prefix: string;
}

/** The progress of a sweep. All runs share it. */
export interface CollectionSweepRow {
  /** `blobs`: over the stored blobs. `replacements`: over the audit trail of earlier versions. */
  name: 'blobs' | 'replacements';
  /** The start of a digest. The sweep has passed all digests before it in this round. */
  position: string;
  round: number;
  /** The end of the last complete round. */
  completed_on: number | null;
}

/** A part of the sweep over the blobs that a run has begun and not ended. */
export interface CollectionSweepClaimRow {
  /** All digests with this start. */
  prefix: string;
  run_id: string;
}
