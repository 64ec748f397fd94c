/**
 * Owns how originals that nothing names are collected beside uploads of the same bytes. Refuses to know files.
 *
 * Bytes come first and rows second, so a collector may meet an upload between the two. Neither clocks nor ages settle
 * that, but the row of the original in `collected_originals`, under a lock on the digest:
 * - The collector marks the digest, with a token of its own, where no image names it; and in a second transaction
 *   removes the bytes, if its token still stands.
 * - Who adds an image and finds the digest marked adds nothing. They put a token of their own in the place of the
 *   collector's, which ends its work; store the bytes anew; and come again with the token.
 * - If the token stands then, nobody removed anything since: the mark goes, and the image is added.
 * A mark outlives the removal, and whoever made it; so an end in the middle is as safe.
 * A database may end the transaction, and with it the lock, while the bytes are being removed. Then it does not commit, and the
 * collector takes its removal back.
 *
 * The removal cannot come after the lock. Whoever stores the bytes anew could do so between the look at the token and the
 * removal, and their bytes would go. A lock of another kind would have to end with the process that holds it, and a lease
 * that runs out does not: a collector that the disk kept waiting would wake up and remove what is named by then. On SQLite
 * that lock is the one of all who write, so a transaction is of one original, and `remove` is one call of the driver: one
 * file, and its folder synced. If even that takes seconds, writes of the server wait as long, and answer 503 after their
 * patience; uploads to such a disk would do no better.
 */
import { randomUUID } from 'node:crypto';
import { type Kysely, sql, type Transaction } from 'kysely';
import type { Digest } from '../../image.ts';
import type { Collected } from '../../images/records.ts';
import { type Database, guarded, inBatches, transact } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * Why the digest may not be named yet; undefined: it may. Comes last in the transaction of whoever names it, under the lock
 * of the account. The mark, if there is one, is then either gone or the token's that is returned.
 * @param storedAfter the token under which the bytes were stored anew.
 */
export async function claimOriginal(
  database: Database,
  trx: Transaction<Schema>,
  digest: Digest,
  storedAfter: string | undefined,
): Promise<Collected | undefined> {
  await database.lockName?.(trx, digest, false);
  const mark = await trx
    .selectFrom('collected_originals')
    .select(['token', 'collecting'])
    .where('digest', '=', digest)
    .executeTakeFirst();
  if (mark === undefined) return undefined;
  if (mark.token === storedAfter) {
    await trx.deleteFrom('collected_originals').where('digest', '=', digest).execute();
    return undefined;
  }
  // Nobody collects under the token of an upload: another one that finds it may go by it as well.
  if (mark.collecting === 0) return { kind: 'collected', token: mark.token };
  const token = randomUUID();
  await trx
    .updateTable('collected_originals')
    .set({ token, collecting: 0 })
    .where('digest', '=', digest)
    .execute();
  return { kind: 'collected', token };
}

/** See MaintenanceRecords. */
export async function collectOriginal(
  database: Database,
  digest: Digest,
  on: Date,
  remove: () => Promise<void>,
): Promise<'collected' | 'named' | 'wanted' | 'held'> {
  const mark = { token: randomUUID(), collecting: 1, collected_on: on.getTime() };
  const refusal = await transact(database, async (trx) => {
    await database.lockName?.(trx, digest, false);
    // In this order: whoever holds first and reads the records then, reads them after nothing named the digest. The other
    // way round they could hold, read that an image names it, and lose it when that image is replaced before the second look.
    if (await isNamed(trx, digest)) return 'named';
    if (await isHeld(trx, on)) return 'held';
    await trx
      .insertInto('collected_originals')
      .values({ digest, ...mark })
      .onConflict((conflict) => conflict.column('digest').doUpdateSet(mark))
      .execute();
    return undefined;
  });
  if (refusal !== undefined) return refusal;
  return transact(database, async (trx) => {
    // Patiently, for a disk that is slow. Where the lock is lost nevertheless, this does not commit.
    await database.lockName?.(trx, digest, true);
    const found = await trx
      .selectFrom('collected_originals')
      .select('token')
      .where('digest', '=', digest)
      .executeTakeFirst();
    if (found?.token !== mark.token) return 'wanted';
    await remove();
    return 'collected';
  });
}

/** See MaintenanceRecords. */
export function unnamedDigests(
  database: Database,
  digests: readonly Digest[],
): Promise<Map<Digest, Date | undefined>> {
  const { db } = database;
  return guarded(database, async () => {
    const named = await inBatches(digests, (batch) =>
      db.selectFrom('images').select('digest').distinct().where('digest', 'in', batch).execute(),
    );
    const taken = new Set(named.map(({ digest }) => digest));
    const free = [...new Set(digests)].filter((digest) => !taken.has(digest));
    const replaced = await inBatches(free, (batch) =>
      db
        .selectFrom('audit')
        .select(({ fn }) => ['digest_before', fn.max('happened_on').as('on')])
        .where(sql<boolean>`action = 'image.replace'`)
        .where('digest_before', 'in', batch)
        .groupBy('digest_before')
        .execute(),
    );
    const lastOn = new Map(replaced.map(({ digest_before, on }) => [digest_before, new Date(Number(on))]));
    return new Map(free.map((digest) => [digest, lastOn.get(digest)]));
  });
}

/** See MaintenanceRecords. */
export function forgetCollected(database: Database, before: Date): Promise<void> {
  return guarded(database, async () => {
    await database.db
      .deleteFrom('collected_originals')
      .where('collected_on', '<', before.getTime())
      .execute();
  });
}

/** See MaintenanceRecords. */
export function holdOriginals(database: Database, hold_id: string, until: Date): Promise<void> {
  const held_until = until.getTime();
  return guarded(database, async () => {
    await database.db
      .insertInto('collection_holds')
      .values({ hold_id, held_until })
      .onConflict((conflict) => conflict.column('hold_id').doUpdateSet({ held_until }))
      .execute();
  });
}

/** See MaintenanceRecords. */
export function releaseOriginals(database: Database, hold_id: string): Promise<void> {
  return guarded(database, async () => {
    await database.db.deleteFrom('collection_holds').where('hold_id', '=', hold_id).execute();
  });
}

async function isHeld(db: Kysely<Schema>, on: Date): Promise<boolean> {
  const hold = await db
    .selectFrom('collection_holds')
    .select('hold_id')
    .where('held_until', '>', on.getTime())
    .limit(1)
    .executeTakeFirst();
  return hold !== undefined;
}

async function isNamed(db: Kysely<Schema>, digest: Digest): Promise<boolean> {
  const image = await db
    .selectFrom('images')
    .select('image_id')
    .where('digest', '=', digest)
    .limit(1)
    .executeTakeFirst();
  return image !== undefined;
}
