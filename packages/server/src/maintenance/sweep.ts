/**
 * The sweep of garbage collection: lists a part of the stored blobs, and finds those that no record knows. It
 * records unreferenced originals as candidates, and removes unneeded rungs.
 */
import type { BlobStore, StoredOriginal, StoredRung } from '../blobs/store.ts';
import { throwIfFired } from '../errors.ts';
import type { Digest } from '../image.ts';
import { isOutdatedRung } from '../imaging/ladder.ts';
import type { CollectionRun } from './collection-run.ts';
import { inGroups } from './groups.ts';
import type { MaintenanceRecords } from './records.ts';

/** Blobs whose records are looked up in one query. */
const BATCH = 500;

export interface SweepDependencies {
  readonly records: MaintenanceRecords;
  readonly blobs: BlobStore;
  readonly run: CollectionRun;
  readonly dryRun: boolean;
  readonly onOriginal: ((digest: Digest, size: number) => void) | undefined;
  readonly onChecked: (() => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @param start the first digits of the digests of the part. */
export async function sweepPart(dependencies: SweepDependencies, start: string): Promise<void> {
  const { blobs, run, signal } = dependencies;
  for await (const batch of inGroups(run.listed(blobs.listOriginals({ start, signal })), BATCH)) {
    await findOrphans(dependencies, batch);
  }
  for await (const batch of inGroups(run.listed(blobs.listRungs({ start, signal })), BATCH)) {
    await removeRungs(dependencies, batch);
  }
}

async function findOrphans(
  { records, run, dryRun, onOriginal, onChecked, signal }: SweepDependencies,
  batch: readonly StoredOriginal[],
): Promise<void> {
  throwIfFired(signal);
  for (const _ of batch) onChecked?.();
  const unreferenced = await records.findUnreferenced(batch.map(({ digest }) => digest));
  if (unreferenced.size === 0) return;
  const known = await records.findCandidates([...unreferenced.keys()]);
  const orphans = batch.filter(({ digest }) => unreferenced.has(digest) && !known.has(digest));
  if (!dryRun) {
    await records.recordCandidates(
      orphans.map(({ digest, storedOn }) => ({
        digest,
        unreferencedOn: laterOf(storedOn, unreferenced.get(digest)),
      })),
    );
    return;
  }
  for (const { digest, size, storedOn } of orphans) {
    if (!run.isOld(storedOn, unreferenced.get(digest))) {
      run.summary.waiting += 1;
      continue;
    }
    run.summary.originals += 1;
    run.summary.bytes += size;
    onOriginal?.(digest, size);
  }
}

/** Removes rungs without an original, and rungs of earlier ladders. */
async function removeRungs(
  { records, blobs, run, dryRun, signal }: SweepDependencies,
  batch: readonly StoredRung[],
): Promise<void> {
  const unreferenced = await records.findUnreferenced(batch.map(({ digest }) => digest));
  for (const { digest, name, size, storedOn } of batch) {
    throwIfFired(signal);
    if (!run.isOld(storedOn)) continue;
    // The rungs of an unreferenced original go with it.
    if (!unreferenced.has(digest) && !isOutdatedRung(name)) continue;
    await run.survive(`rung ${name} of ${digest}`, async () => {
      if (unreferenced.has(digest)) {
        const original = await run.blob(() => blobs.statOriginal(digest, signal));
        if (original !== undefined) return;
      }
      // If the same picture is uploaded right now, the first request for a missing rung rebuilds the ladder.
      if (!dryRun) await run.blob(() => blobs.dropRung(digest, name));
      run.summary.rungs += 1;
      run.summary.bytes += size;
    });
  }
}

function laterOf(time: Date, other: Date | undefined): Date {
  return other !== undefined && other > time ? other : time;
}
