/**
 * Owns what products and line items have in common in their tables: which images may be assigned, under the account's
 * lock, and the record of what shows them. Refuses to know products and line items.
 */
import type { Kysely, Transaction } from 'kysely';
import { inBatches } from '../dialect.ts';
import type { ImageUseRow } from '../schema/catalog-tables.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * Of those of the images that the account has, whether they are disabled. What a transaction decides by it holds only
 * if it locked the account before.
 */
export async function readDisabled(
  db: Kysely<Schema>,
  accountID: string,
  imageIDs: readonly string[],
): Promise<Map<string, boolean>> {
  const rows = await inBatches(imageIDs, (batch) =>
    db
      .selectFrom('images')
      .select(['image_id', 'disabled_on'])
      .where('account_id', '=', accountID)
      .where('image_id', 'in', batch)
      .execute(),
  );
  return new Map(rows.map(({ image_id, disabled_on }) => [image_id, disabled_on !== null]));
}

/** Writes down what shows images from now on. */
export async function insertUses(
  trx: Transaction<Schema>,
  accountID: string,
  uses: readonly Omit<ImageUseRow, 'account_id'>[],
): Promise<void> {
  await inBatches(uses, async (batch) => {
    await trx
      .insertInto('image_uses')
      .values(batch.map((use) => ({ account_id: accountID, ...use })))
      .execute();
    return [];
  });
}

/** Forgets what a product showed. */
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
