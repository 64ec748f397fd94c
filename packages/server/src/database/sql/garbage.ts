/**
 * Garbage-collects unreferenced originals while uploads of the same bytes may run. See ADR 34.
 *
 * An upload stores its bytes first and inserts its row second, so a collector may run between the two steps.
 * Neither clocks nor ages can settle that race. The marker row of the original in `collected_originals` does,
 * under a lock on the digest:
 * - The collector writes a marker row with its own token, if no image references the digest. In a second
 *   transaction it removes the bytes, if its token is still in the row.
 * - An upload that finds a marker row adds no image. It replaces the collector's token by its own, which
 *   stops the collector. Then it stores the bytes again, and repeats its insert with the token.
 * - If that token is still in the row, no collector has removed the bytes since. The upload deletes the row
 *   and adds the image.
 *
 * The marker row outlives the removal and its writer, so a collector may be killed at any step. A database
 * may end the second transaction while the bytes are being removed, which releases the lock. Then the
 * transaction does not commit, and the collector undoes its removal.
 *
 * The removal must run under the lock. After the lock, an upload could store the bytes again between the
 * check of the token and the removal, and the removal would delete them. A lock outside the database would
 * have to end with its process. A lease expires instead, and a collector that waited for a slow disk would
 * then remove referenced bytes.
 *
 * On SQLite, the lock is the one write lock of the database. So a transaction removes one original, and
 * `remove` is one call of the driver: one file and the sync of its folder. If that takes seconds, writes of
 * the server wait as long, and get 503 after their timeout. Uploads to such a disk would be as slow.
 */
import { randomUUID } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Digest } from '../../image.ts';
import type { Collected } from '../../images/records.ts';
import { type Database, readInBatches, runTransaction, translateErrors } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * Prepares an image's first reference to a digest. Call it last in the transaction, under the lock of the
 * account.
 * @param markerToken the token of an earlier outcome, if the bytes were stored again since.
 * @returns the outcome that asks the caller to store the bytes again; undefined if the image may reference
 * the digest.
 */
export async function claimOriginal(
  database: Database,
  trx: Transaction<Schema>,
  digest: Digest,
  markerToken: string | undefined,
): Promise<Collected | undefined> {
  await database.lockName?.(trx, digest, false);
  const marker = await trx
    .selectFrom('collected_originals')
    .select(['token', 'collecting'])
    .where('digest', '=', digest)
    .executeTakeFirst();
  if (marker === undefined) return undefined;
  if (marker.token === markerToken) {
    await trx.deleteFrom('collected_originals').where('digest', '=', digest).execute();
    return undefined;
  }
  // No collector works under the token of an upload, so concurrent uploads can share it.
  if (marker.collecting === 0) return { kind: 'collected', token: marker.token };
  const token = randomUUID();
  await trx
    .updateTable('collected_originals')
    .set({ token, collecting: 0 })
    .where('digest', '=', digest)
    .execute();
  return { kind: 'collected', token };
}

/** See MaintenanceRecords. */
export async function garbageCollect(
  database: Database,
  digest: Digest,
  on: Date,
  remove: () => Promise<void>,
): Promise<'collected' | 'referenced' | 'uploading' | 'paused'> {
  const marker = { token: randomUUID(), collecting: 1, collected_on: on.getTime() };
  const obstacle = await runTransaction(database, async (trx) => {
    await database.lockName?.(trx, digest, false);
    // The order matters. A backup pauses collection and then reads the records. In the opposite order, it
    // could do both between the two checks, and read a reference that is replaced before the second check.
    if (await isReferenced(trx, digest)) return 'referenced';
    if (await isPaused(trx, on)) return 'paused';
    await trx
      .insertInto('collected_originals')
      .values({ digest, ...marker })
      .onConflict((conflict) => conflict.column('digest').doUpdateSet(marker))
      .execute();
    return undefined;
  });
  if (obstacle !== undefined) return obstacle;
  return runTransaction(database, async (trx) => {
    // The transaction may idle, because the disk may be slow. If it loses the lock, it does not commit.
    await database.lockName?.(trx, digest, true);
    const current = await trx
      .selectFrom('collected_originals')
      .select('token')
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (current?.token !== marker.token) return 'uploading';
    await remove();
    return 'collected';
  });
}

/** See MaintenanceRecords. */
export function findUnreferenced(
  database: Database,
  digests: readonly Digest[],
): Promise<Map<Digest, Date | undefined>> {
  const { db } = database;
  return translateErrors(database, async () => {
    const images = await readInBatches(digests, (batch) =>
      db.selectFrom('images').select('digest').distinct().where('digest', 'in', batch).execute(),
    );
    const referenced = new Set(images.map(({ digest }) => digest));
    const unreferenced = [...new Set(digests)].filter((digest) => !referenced.has(digest));
    const replacements = await readInBatches(unreferenced, (batch) =>
      db
        .selectFrom('audit')
        .select(({ fn }) => ['digest_before', fn.max('happened_on').as('on')])
        .where(sql<boolean>`action = 'image.replace'`)
        .where('digest_before', 'in', batch)
        .groupBy('digest_before')
        .execute(),
    );
    const lastOn = new Map(
      replacements.map(({ digest_before, on }) => [digest_before, new Date(Number(on))]),
    );
    return new Map(unreferenced.map((digest) => [digest, lastOn.get(digest)]));
  });
}

/** See MaintenanceRecords. */
export function deleteMarkers(database: Database, before: Date): Promise<void> {
  return translateErrors(database, async () => {
    await database.db
      .deleteFrom('collected_originals')
      .where('collected_on', '<', before.getTime())
      .execute();
  });
}

/** See MaintenanceRecords. */
export function pauseCollection(database: Database, hold_id: string, until: Date): Promise<void> {
  const held_until = until.getTime();
  return translateErrors(database, async () => {
    await database.db
      .insertInto('collection_holds')
      .values({ hold_id, held_until })
      .onConflict((conflict) => conflict.column('hold_id').doUpdateSet({ held_until }))
      .execute();
  });
}

/** See MaintenanceRecords. */
export function resumeCollection(database: Database, hold_id: string): Promise<void> {
  return translateErrors(database, async () => {
    await database.db.deleteFrom('collection_holds').where('hold_id', '=', hold_id).execute();
  });
}

async function isPaused(db: Kysely<Schema>, on: Date): Promise<boolean> {
  const pause = await db
    .selectFrom('collection_holds')
    .select('hold_id')
    .where('held_until', '>', on.getTime())
    .limit(1)
    .executeTakeFirst();
  return pause !== undefined;
}

async function isReferenced(db: Kysely<Schema>, digest: Digest): Promise<boolean> {
  const image = await db
    .selectFrom('images')
    .select('image_id')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst();
  return image !== undefined;
}
