/**
 * The statements about one account's line items. An item copies the images of its product when it is written.
 * Each statement has a condition on the account.
 */
import type { Transaction } from 'kysely';
import type { Actor } from '../../access/audit.ts';
import type { Page } from '../../access/records.ts';
import { refusalsOf } from '../../catalog/assignment.ts';
import { itemBeyondLimit, type LineItems, withProductImages } from '../../catalog/line-items.ts';
import type { Product } from '../../catalog/product.ts';
import type { LineItemsInsertOutcome, NewLineItems } from '../../catalog/records.ts';
import { type Database, lockAccount, readInBatches, runTransaction, translateErrors } from '../dialect.ts';
import {
  type LineItemsRow,
  lineItemsFromRow,
  productFromRow,
  usesOfLineItems,
} from '../schema/catalog-tables.ts';
import type { Schema } from '../schema/tables.ts';
import { addAuditEntry } from './audit.ts';
import { insertUses, readDisabledStates } from './image-uses.ts';

/** See AccountCatalog. */
export function insertLineItems(
  database: Database,
  accountID: string,
  by: Actor,
  { lineItemsID, items, createdOn }: NewLineItems,
): Promise<LineItemsInsertOutcome> {
  return runTransaction(database, async (trx): Promise<LineItemsInsertOutcome> => {
    const account = await lockAccount(database, trx, accountID);
    if (account === undefined) return { kind: 'no-account' };

    const productIDs = [...new Set(items.flatMap(({ productID }) => productID ?? []))];
    const products = await readProducts(trx, accountID, productIDs);
    const refusedProducts = new Map<string, 'unknown' | 'disabled'>();
    for (const productID of productIDs) {
      const product = products.get(productID);
      if (product === undefined) refusedProducts.set(productID, 'unknown');
      else if (product.disabledOn !== undefined) refusedProducts.set(productID, 'disabled');
    }

    const ownImages = new Set(
      items.flatMap(({ imageIDs, options }) => [...imageIDs, ...options.flatMap((o) => o.imageIDs)]),
    );
    const productImages = [...products.values()].flatMap(({ content }) => content.imageIDs);
    const disabled = await readDisabledStates(trx, accountID, [...new Set([...ownImages, ...productImages])]);
    const refusals = refusalsOf(ownImages, disabled);
    if (refusals.size > 0 || refusedProducts.size > 0) {
      return { kind: 'refused', refusals, products: refusedProducts };
    }

    const resolvedItems = withProductImages(items, products, disabled);
    const item = itemBeyondLimit(resolvedItems);
    if (item !== undefined) return { kind: 'too-many-images', item };

    const row: LineItemsRow = {
      account_id: accountID,
      sequence: (await newestSequence(trx, accountID)) + 1,
      line_items_id: lineItemsID,
      content: JSON.stringify(resolvedItems),
      created_on: createdOn.getTime(),
    };
    await trx.insertInto('line_items').values(row).execute();
    await insertUses(trx, accountID, usesOfLineItems(resolvedItems, row.sequence));
    await addAuditEntry(trx, accountID, {
      on: createdOn,
      by,
      action: 'line-items.create',
      subjectID: lineItemsID,
    });
    return { kind: 'inserted', lineItems: lineItemsFromRow(row) };
  });
}

/** See AccountCatalog. */
export function findLineItems(
  database: Database,
  accountID: string,
  lineItemsID: string,
): Promise<LineItems | undefined> {
  return translateErrors(database, async () => {
    const row = await database.db
      .selectFrom('line_items')
      .selectAll()
      .where('account_id', '=', accountID)
      .where('line_items_id', '=', lineItemsID)
      .executeTakeFirst();
    return row === undefined ? undefined : lineItemsFromRow(row);
  });
}

/** See AccountCatalog. */
export function listLineItems(
  database: Database,
  accountID: string,
  page: Page,
): Promise<{ sets: LineItems[]; total: number }> {
  return translateErrors(database, async () => {
    // The sequence has no gaps. So the newest one is the number of sets, and each page is a range.
    const total = await newestSequence(database.db, accountID);
    if (page.skip >= total) return { sets: [], total };
    const newest = total - page.skip;
    const rows = await database.db
      .selectFrom('line_items')
      .selectAll()
      .where('account_id', '=', accountID)
      .where('sequence', '<=', newest)
      .where('sequence', '>', newest - page.count)
      .orderBy('sequence', 'desc')
      .execute();
    return { sets: rows.map(lineItemsFromRow), total };
  });
}

async function newestSequence(db: Database['db'], accountID: string): Promise<number> {
  const row = await db
    .selectFrom('line_items')
    .select(({ fn }) => fn.max('sequence').as('newest'))
    .where('account_id', '=', accountID)
    .executeTakeFirst();
  return row?.newest ?? 0;
}

async function readProducts(
  trx: Transaction<Schema>,
  accountID: string,
  productIDs: readonly string[],
): Promise<Map<string, Product>> {
  const rows = await readInBatches(productIDs, (batch) =>
    trx
      .selectFrom('products')
      .selectAll()
      .where('account_id', '=', accountID)
      .where('product_id', 'in', batch)
      .execute(),
  );
  return new Map(rows.map((row) => [row.product_id, productFromRow(row)]));
}
