/** How long events are kept, and the removal of older ones. */
import type { EventRecords } from './records.ts';

/** Milliseconds: 30 days. */
const KEPT_FOR = 30 * 24 * 60 * 60_000;

/** Events in one transaction, so that writers wait briefly. */
const BATCH = 500;

/** Removes the events that are older than 30 days. */
export async function removeOldEvents(records: EventRecords, now: Date, signal: AbortSignal): Promise<void> {
  const before = new Date(now.getTime() - KEPT_FOR);
  while (!signal.aborted && (await records.prune(before, BATCH)) === BATCH);
}
