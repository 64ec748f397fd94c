/**
 * Refuses new originals from servers whose blobs were moved elsewhere while the database stayed. They would
 * store the bytes at the former place.
 *
 * The check must follow the write of the image. The seal of the move waits for earlier writes, and refuses
 * those that come meanwhile. A later write sees the new epoch.
 */
import type { Kysely, Transaction } from 'kysely';
import { AppError } from '../../errors.ts';
import { type Database, translateErrors } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';

const RETRY_AFTER = 10;

/** See MaintenanceRecords. */
export async function joinBlobs(database: Database): Promise<void> {
  database.blobsEpoch.value = await translateErrors(database, () => readEpoch(database.db));
}

/**
 * Call it after an image got another original, in its transaction.
 * @throws AppError `unavailable`.
 */
export async function checkBlobsEpoch(database: Database, trx: Transaction<Schema>): Promise<void> {
  const { value } = database.blobsEpoch;
  if (value === undefined || value === (await readEpoch(trx))) return;
  throw new AppError(
    'unavailable',
    'This server must be restarted, because its blobs were moved. Try again.',
    {
      retryAfter: RETRY_AFTER,
    },
  );
}

async function readEpoch(db: Kysely<Schema>): Promise<string | null> {
  const row = await db.selectFrom('library').select('blobs_epoch').executeTakeFirst();
  return row?.blobs_epoch ?? null;
}
