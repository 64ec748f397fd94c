/** Pauses garbage collection while a backup or a move reads the originals. */
import { randomUUID } from 'node:crypto';
import type { MaintenanceRecords } from './records.ts';

/**
 * How long a killed process still pauses garbage collection, and how often a running one renews the pause; in
 * ms.
 */
const PAUSE = 15 * 60 * 1000;
const PAUSE_RENEWAL = 60 * 1000;

/** Runs `work` while no original of the library is garbage-collected. */
export async function withPausedCollection<T>(
  records: Pick<MaintenanceRecords, 'pauseCollection' | 'resumeCollection'>,
  now: () => Date,
  work: () => Promise<T>,
): Promise<T> {
  const pauseID = randomUUID();
  const pause = () => records.pauseCollection(pauseID, new Date(now().getTime() + PAUSE));
  await pause();
  const renewal = setInterval(() => void pause().catch(() => undefined), PAUSE_RENEWAL);
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    await records.resumeCollection(pauseID).catch(() => undefined);
  }
}
