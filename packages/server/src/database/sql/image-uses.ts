/**
 * The uses of images by products and line items, and the states that decide whether an image may be assigned.
 */
import type { Kysely, Transaction } from 'kysely';
import { batchesOf, readInBatches } from '../dialect.ts';
import type { ImageUse } from '../schema/catalog-tables.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * Finds those of the images that exist in the account. A transaction that decides by it must lock the account
 * first.
 * @returns by imageID, whether the image is disabled.
 */
export async function readDisabledStates(
  db: Kysely<Schema>,
  accountID: string,
  imageIDs: readonly string[],
): Promise<Map<string, boolean>> {
  const rows = await readInBatches(imageIDs, (batch) =>
    db
      .selectFrom('images')
      .select(['image_id', 'disabled_on'])
      .where('account_id', '=', accountID)
      .where('image_id', 'in', batch)
      .execute(),
  );
  return new Map(rows.map(({ image_id, disabled_on }) => [image_id, disabled_on !== null]));
}

export async function insertUses(
  trx: Transaction<Schema>,
  accountID: string,
  uses: readonly ImageUse[],
): Promise<void> {
  for (const batch of batchesOf(uses)) {
    const rows = batch.map((use) => ({ account_id: accountID, ...use }));
    await trx.insertInto('image_uses').values(rows).execute();
  }
}

export async function deleteUsesOfProduct(
  trx: Transaction<Schema>,
  accountID: string,
  owner_sequence: number,
): Promise<void> {
  await trx
    .deleteFrom('image_uses')
    .where('account_id', '=', accountID)
    .where('owner_sequence', '=', owner_sequence)
    .where('kind', 'in', ['product', 'option'])
    .execute();
}
