/**
 * Garbage-collects unreferenced originals while uploads of the same bytes may run. See ADR 34 and 58.
 *
 * An upload stores its bytes first and inserts its row second, so a collector may run between the two steps.
 * Neither clocks nor ages can settle that race. Two rows do. The lock row of the digest in `collection_locks`
 * keeps an upload and the marking of a digest apart. The marker row in `collected_originals` keeps an upload
 * and a removal apart:
 * - The collector locks the lock row. If no image references the digest, it writes a marker row with its own
 *   token. In a second transaction it locks the marker row. It removes the bytes if its token is still there.
 * - An upload shares the lock row with other uploads until its transaction ends. If it finds a marker row, it
 *   locks that row and adds no image. It replaces the collector's token by its own, which stops the
 *   collector. Then it stores the bytes again, and repeats its insert with the token.
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
 *
 * These statements need the isolation level READ COMMITTED: each one must see what was committed before it.
 */
import { randomUUID } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Digest } from '../../image.ts';
import type { Collected } from '../../images/records.ts';
import { type Database, readInBatches, runTransaction, translateErrors } from '../dialect.ts';
import type { CollectedOriginalRow } from '../schema/collection-tables.ts';
import type { Schema } from '../schema/tables.ts';

/** Digits of a digest that name its lock row. */
const LOCK_DIGITS = 2;

/**
 * Prepares an image's first reference to a digest. Call it under the lock of the account, before the image is
 * written.
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
  await lockDigest(database, trx, digest, 'shared');
  // Waits for a removal of the bytes to end.
  const marker = await trx
    .selectFrom('collected_originals')
    .select(['token', 'collecting'])
    .where('digest', '=', digest)
    .$if(database.needsRowLocks, (query) => query.forUpdate())
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
): Promise<'collected' | 'referenced' | 'busy' | 'paused'> {
  const token = randomUUID();
  const obstacle = await runTransaction(database, async (trx) => {
    await lockDigest(database, trx, digest, 'exclusive');
    // The order matters. A backup pauses collection and then reads the records. In the opposite order, it
    // could do both between the two checks, and read a reference that is replaced before the second check.
    if (await isReferenced(trx, digest)) return 'referenced';
    if (await isPaused(trx, on)) return 'paused';
    const marker = { digest, token, collecting: 1, collected_on: on.getTime() };
    return (await writeMarker(database, trx, marker)) ? undefined : 'busy';
  });
  if (obstacle !== undefined) return obstacle;
  return runTransaction(database, async (trx) => {
    // The transaction may idle, because the disk may be slow. If it loses the lock, it does not commit.
    await database.allowIdle?.(trx);
    const current = await trx
      .selectFrom('collected_originals')
      .select('token')
      .where('digest', '=', digest)
      .$if(database.needsRowLocks, (query) => query.forUpdate())
      .executeTakeFirst();
    if (current?.token !== token) return 'busy';
    await remove();
    return 'collected';
  });
}

/**
 * Writes a marker row, and replaces an older one.
 * @returns false if another transaction has locked the older one. To wait for it under the lock row would
 * stop the uploads of other originals for as long as a removal takes.
 */
async function writeMarker(
  database: Database,
  trx: Transaction<Schema>,
  marker: CollectedOriginalRow,
): Promise<boolean> {
  const { digest } = marker;
  const inserted = await trx
    .insertInto('collected_originals')
    .values(marker)
    .onConflict((conflict) => conflict.column('digest').doNothing())
    .returning('digest')
    .executeTakeFirst();
  if (inserted !== undefined) return true;
  const free = await trx
    .selectFrom('collected_originals')
    .select('digest')
    .where('digest', '=', digest)
    .$if(database.needsRowLocks, (query) => query.forUpdate().skipLocked())
    .executeTakeFirst();
  if (free === undefined) return false;
  await trx.updateTable('collected_originals').set(marker).where('digest', '=', digest).execute();
  return true;
}

/**
 * Locks a digest until the transaction ends, together with the others that have its lock row. Uploads share
 * the lock. On SQLite, the transaction excludes all other writers already.
 */
async function lockDigest(
  database: Database,
  trx: Transaction<Schema>,
  digest: Digest,
  mode: 'shared' | 'exclusive',
): Promise<void> {
  if (!database.needsRowLocks) return;
  const prefix = digest.slice(0, LOCK_DIGITS);
  const query = trx.selectFrom('collection_locks').select('prefix').where('prefix', '=', prefix);
  const locked = await (mode === 'shared' ? query.forKeyShare() : query.forUpdate()).executeTakeFirst();
  if (locked === undefined) throw new Error(`the table collection_locks lacks its row ${prefix}`);
}

/** See MaintenanceRecords. */
export function findUnreferenced(
  database: Database,
  digests: readonly Digest[],
): Promise<Map<Digest, Date | undefined>> {
  return translateErrors(database, () => unreferencedOf(database.db, digests));
}

/** See `findUnreferenced`. */
export async function unreferencedOf(
  db: Kysely<Schema>,
  digests: readonly Digest[],
): Promise<Map<Digest, Date | undefined>> {
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
  const lastOn = new Map(replacements.map(({ digest_before, on }) => [digest_before, new Date(Number(on))]));
  return new Map(unreferenced.map((digest) => [digest, lastOn.get(digest)]));
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
