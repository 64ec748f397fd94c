/**
 * The work list of garbage collection: candidates, and the progress of the sweeps that find more of them. A
 * candidate is a hint. `garbageCollect` verifies that no image references it.
 */
import { randomUUID } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Digest } from '../../image.ts';
import type {
  Candidate,
  NewCandidate,
  SweepOptions,
  SweepPosition,
  TakeOptions,
} from '../../maintenance/records.ts';
import {
  BATCH_SIZE,
  batchesOf,
  type Database,
  readInBatches,
  runTransaction,
  scanInBatches,
  translateErrors,
} from '../dialect.ts';
import type { CollectionSweepRow } from '../schema/collection-tables.ts';
import type { Schema } from '../schema/tables.ts';
import { unreferencedOf } from './garbage.ts';

/**
 * Records originals that may have lost their last reference. Call it in the transaction of the change. It
 * does not check for other references: the ends of two references could miss each other.
 */
export async function addCandidates(db: Kysely<Schema>, candidates: readonly NewCandidate[]): Promise<void> {
  // In the order of the digests, so that two transactions lock the rows in the same order.
  const rows = [...candidates]
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
    .map(({ digest, unreferencedOn }) => {
      return { digest, unreferenced_on: unreferencedOn.getTime(), token: randomUUID() };
    });
  for (const batch of batchesOf(rows)) {
    await db
      .insertInto('unreferenced_originals')
      .values(batch)
      .onConflict((conflict) =>
        conflict.column('digest').doUpdateSet({
          // The clocks of two nodes may differ.
          unreferenced_on: sql<number>`case
            when excluded.unreferenced_on > unreferenced_originals.unreferenced_on
            then excluded.unreferenced_on else unreferenced_originals.unreferenced_on end`,
          token: sql<string>`excluded.token`,
        }),
      )
      .execute();
  }
}

/** See MaintenanceRecords. */
export function recordCandidates(database: Database, candidates: readonly NewCandidate[]): Promise<void> {
  return runTransaction(database, (trx) => addCandidates(trx, candidates));
}

/** See MaintenanceRecords. */
export function takeCandidates(
  database: Database,
  { runID, upTo, limit, takenBy, after }: TakeOptions,
): Promise<readonly Candidate[]> {
  return runTransaction(database, async (trx) => {
    const due = trx
      .selectFrom('unreferenced_originals')
      .select('digest')
      .where('unreferenced_on', '<=', upTo.getTime())
      .$if(takenBy === 'none', (query) => query.where('run_id', 'is', null))
      .$if(takenBy === 'others', (query) => query.where('run_id', '!=', runID))
      .$if(after !== undefined, (query) => query.where(isAfter(after as Candidate)))
      .orderBy('unreferenced_on')
      .orderBy('digest')
      .limit(limit)
      .$if(database.needsRowLocks, (query) => query.forUpdate().skipLocked());
    const digests = (await due.execute()).map(({ digest }) => digest);
    if (digests.length === 0) return [];
    const rows = await trx
      .updateTable('unreferenced_originals')
      .set({ run_id: runID })
      .where('digest', 'in', digests)
      .returning(['digest', 'unreferenced_on', 'token'])
      .execute();
    return rows.map(candidateFrom).sort(inOrder);
  });
}

/** See MaintenanceRecords. */
export async function* listCandidates(
  database: Database,
  range: { readonly upTo?: Date; readonly after?: Date },
): AsyncGenerator<readonly Candidate[]> {
  const read = (last?: Candidate) =>
    translateErrors(database, async () => {
      const rows = await database.db
        .selectFrom('unreferenced_originals')
        .select(['digest', 'unreferenced_on', 'token'])
        .$if(range.upTo !== undefined, (query) =>
          query.where('unreferenced_on', '<=', (range.upTo as Date).getTime()),
        )
        .$if(range.after !== undefined, (query) =>
          query.where('unreferenced_on', '>', (range.after as Date).getTime()),
        )
        .$if(last !== undefined, (query) => query.where(isAfter(last as Candidate)))
        .orderBy('unreferenced_on')
        .orderBy('digest')
        .limit(BATCH_SIZE)
        .execute();
      return rows.map(candidateFrom);
    });
  yield* scanInBatches(read);
}

/** See MaintenanceRecords. */
export function countCandidates(database: Database, upTo: Date): Promise<number> {
  return translateErrors(database, async () => {
    const { count } = await database.db
      .selectFrom('unreferenced_originals')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('unreferenced_on', '<=', upTo.getTime())
      .executeTakeFirstOrThrow();
    return Number(count);
  });
}

/** See MaintenanceRecords. */
export function findCandidates(database: Database, digests: readonly Digest[]): Promise<Set<Digest>> {
  return translateErrors(database, async () => {
    const rows = await readInBatches(digests, (batch) =>
      database.db
        .selectFrom('unreferenced_originals')
        .select('digest')
        .where('digest', 'in', batch)
        .execute(),
    );
    return new Set(rows.map(({ digest }) => digest));
  });
}

/** See MaintenanceRecords. */
export function forgetCandidate(database: Database, { digest, token }: Candidate): Promise<void> {
  return translateErrors(database, async () => {
    await database.db
      .deleteFrom('unreferenced_originals')
      .where('digest', '=', digest)
      .where('token', '=', token)
      .execute();
  });
}

/** See MaintenanceRecords. */
export function releaseCandidates(database: Database, runID: string): Promise<void> {
  return runTransaction(database, async (trx) => {
    await trx
      .updateTable('unreferenced_originals')
      .set({ run_id: null })
      .where('run_id', '=', runID)
      .execute();
  });
}

/** See MaintenanceRecords. */
export function adoptReplacements(database: Database, on: Date): Promise<boolean> {
  return runTransaction(database, async (trx) => {
    const sweep = await lockSweep(database, trx, 'replacements');
    if (sweep.completed_on !== null) return false;
    const rows = await trx
      .selectFrom('audit')
      .select('digest_before')
      .distinct()
      // A literal, because a query with a parameter cannot use the index.
      .where(sql<boolean>`action = 'image.replace'`)
      .where('digest_before', '>', sweep.position)
      .orderBy('digest_before')
      .limit(BATCH_SIZE)
      .execute();
    const digests = rows.flatMap(({ digest_before }) => digest_before ?? []);
    const position = digests.at(-1);
    const found = await unreferencedOf(trx, digests);
    await addCandidates(
      trx,
      [...found].map(([digest, lastOn]) => ({ digest, unreferencedOn: lastOn ?? on })),
    );
    await trx
      .updateTable('collection_sweeps')
      .set(position === undefined ? { position: '', completed_on: on.getTime() } : { position })
      .where('name', '=', 'replacements')
      .execute();
    return position !== undefined;
  });
}

/** See MaintenanceRecords. */
export function sweepPosition(database: Database): Promise<SweepPosition> {
  return translateErrors(database, async () =>
    positionFrom(
      await database.db
        .selectFrom('collection_sweeps')
        .selectAll()
        .where('name', '=', 'blobs')
        .executeTakeFirstOrThrow(),
    ),
  );
}

/** See MaintenanceRecords. */
export function beginSweepPart(
  database: Database,
  { runID, partAt, on }: SweepOptions,
): Promise<string | undefined> {
  return runTransaction(database, async (trx) => {
    const sweep = await lockSweep(database, trx, 'blobs');
    const part = partAt(positionFrom(sweep));
    if (part === undefined) return takeOver(trx, runID);
    const { start: prefix, next } = part;
    await trx
      .updateTable('collection_sweeps')
      .set({
        position: next.passed,
        round: next.round,
        ...(next.round > sweep.round && { completed_on: on.getTime() }),
      })
      .where('name', '=', 'blobs')
      .execute();
    await trx
      .insertInto('collection_sweep_claims')
      .values({ prefix, run_id: runID })
      .onConflict((conflict) => conflict.column('prefix').doUpdateSet({ run_id: runID }))
      .execute();
    return prefix;
  });
}

/** See MaintenanceRecords. */
export function endSweepPart(database: Database, prefix: string): Promise<void> {
  return translateErrors(database, async () => {
    // Also if another run has taken the part over meanwhile: it is swept.
    await database.db.deleteFrom('collection_sweep_claims').where('prefix', '=', prefix).execute();
  });
}

/** Takes a part of another run, which was killed or is still at it. Call it under the lock of the sweep. */
async function takeOver(trx: Transaction<Schema>, runID: string): Promise<string | undefined> {
  const left = await trx
    .selectFrom('collection_sweep_claims')
    .select('prefix')
    .where('run_id', '!=', runID)
    .orderBy('prefix')
    .limit(1)
    .executeTakeFirst();
  if (left === undefined) return undefined;
  await trx
    .updateTable('collection_sweep_claims')
    .set({ run_id: runID })
    .where('prefix', '=', left.prefix)
    .execute();
  return left.prefix;
}

function lockSweep(
  database: Database,
  trx: Transaction<Schema>,
  name: CollectionSweepRow['name'],
): Promise<CollectionSweepRow> {
  return trx
    .selectFrom('collection_sweeps')
    .selectAll()
    .where('name', '=', name)
    .$if(database.needsRowLocks, (query) => query.forUpdate())
    .executeTakeFirstOrThrow();
}

function positionFrom({ round, position }: CollectionSweepRow): SweepPosition {
  return { round, passed: position };
}

/** In the order of the index. */
function isAfter({ unreferencedOn, digest }: Candidate) {
  return sql<boolean>`(unreferenced_on, digest) > (${unreferencedOn.getTime()}, ${digest})`;
}

function inOrder(a: Candidate, b: Candidate): number {
  return a.unreferencedOn.getTime() - b.unreferencedOn.getTime() || (a.digest < b.digest ? -1 : 1);
}

function candidateFrom(row: { digest: string; unreferenced_on: number; token: string }): Candidate {
  return { digest: row.digest, unreferencedOn: new Date(row.unreferenced_on), token: row.token };
}
