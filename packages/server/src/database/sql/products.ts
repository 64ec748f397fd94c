/**
 * The statements about one account's products. The lock of the account settles races with the disabling of
 * images. Each statement has a condition on the account.
 */
import type { Kysely, Transaction } from 'kysely';
import { type Actor, type AuditAction, requireActor } from '../../access/audit.ts';
import type { Page } from '../../access/records.ts';
import { type AssignmentRefusals, refusalsOf } from '../../catalog/assignment.ts';
import type { LineItems } from '../../catalog/line-items.ts';
import { imagesOf, type Product, type RequestedContent } from '../../catalog/product.ts';
import type {
  AccountCatalog,
  LineItemsInsertOutcome,
  NewLineItems,
  NewProduct,
  ProductChangeOutcome,
  ProductDisableOutcome,
  ProductFilter,
  ProductInsertOutcome,
} from '../../catalog/records.ts';
import type { EventType } from '../../events/event.ts';
import { type Database, lockAccount, runTransaction, translateErrors } from '../dialect.ts';
import {
  columnsOfProduct,
  type ProductRow,
  productFromRow,
  usesOfProduct,
} from '../schema/catalog-tables.ts';
import type { Schema } from '../schema/tables.ts';
import { addAuditEntry } from './audit.ts';
import { deleteUsesOfProduct, insertUses, readDisabledStates } from './image-uses.ts';
import { findLineItems, insertLineItems, listLineItems } from './line-items.ts';
import { containsText } from './text-search.ts';

/** The event of each change. */
const EVENTS = {
  'product.create': 'product.created',
  'product.change': 'product.updated',
  'product.disable': 'product.disabled',
} as const satisfies Partial<Record<AuditAction, EventType>>;

export class SqlAccountCatalog implements AccountCatalog {
  readonly #database: Database;
  readonly #accountID: string;
  readonly #by: Actor | undefined;

  /** @param by undefined: the caller gets the port ReadableCatalog, which has no changes. */
  constructor(database: Database, accountID: string, by: Actor | undefined) {
    this.#database = database;
    this.#accountID = accountID;
    this.#by = by;
  }

  insertProduct({ productID, content, createdOn }: NewProduct): Promise<ProductInsertOutcome> {
    return runTransaction(this.#database, async (trx): Promise<ProductInsertOutcome> => {
      const account = await lockAccount(this.#database, trx, this.#accountID);
      if (account === undefined) return { kind: 'no-account' };
      const refusals = await this.#refusals(trx, [...imagesOf(content)]);
      if (refusals.size > 0) return { kind: 'refused', refusals };

      const row: ProductRow = {
        account_id: this.#accountID,
        sequence: await this.#nextSequence(trx),
        product_id: productID,
        ...columnsOfProduct(content),
        created_on: createdOn.getTime(),
        updated_on: createdOn.getTime(),
        disabled_on: null,
      };
      await trx.insertInto('products').values(row).execute();
      await insertUses(trx, this.#accountID, usesOfProduct(content, row.sequence));
      await this.#addAuditEntry(trx, 'product.create', createdOn, productID);
      return { kind: 'inserted', product: productFromRow(row) };
    });
  }

  replaceProduct(
    productID: string,
    requested: RequestedContent,
    updatedOn: Date,
  ): Promise<ProductChangeOutcome> {
    return runTransaction(this.#database, async (trx): Promise<ProductChangeOutcome> => {
      // An unknown account has no products, so the next statement gives `not-found`.
      await lockAccount(this.#database, trx, this.#accountID);
      const before = await this.#row(trx, productID);
      if (before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled' };
      const refusals = await this.#refusals(trx, [...imagesOf(requested)], before);
      if (refusals.size > 0) return { kind: 'refused', refusals };
      // Read under the lock of the account: a concurrent update may have set it.
      const { isTaxable } = productFromRow(before).content;
      const content = { isTaxable, ...requested };

      const columns = { ...columnsOfProduct(content), updated_on: updatedOn.getTime() };
      await this.#update(trx, before, columns);
      await deleteUsesOfProduct(trx, this.#accountID, before.sequence);
      await insertUses(trx, this.#accountID, usesOfProduct(content, before.sequence));
      await this.#addAuditEntry(trx, 'product.change', updatedOn, productID);
      return { kind: 'changed', product: productFromRow({ ...before, ...columns }) };
    });
  }

  disableProduct(productID: string, disabledOn: Date): Promise<ProductDisableOutcome> {
    return runTransaction(this.#database, async (trx): Promise<ProductDisableOutcome> => {
      await lockAccount(this.#database, trx, this.#accountID);
      const before = await this.#row(trx, productID);
      if (before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled', product: productFromRow(before) };

      const columns = { disabled_on: disabledOn.getTime() };
      await this.#update(trx, before, columns);
      await deleteUsesOfProduct(trx, this.#accountID, before.sequence);
      await this.#addAuditEntry(trx, 'product.disable', disabledOn, productID);
      return { kind: 'disabled', product: productFromRow({ ...before, ...columns }) };
    });
  }

  findProduct(productID: string): Promise<Product | undefined> {
    return translateErrors(this.#database, async () => {
      const row = await this.#row(this.#database.db, productID);
      return row === undefined ? undefined : productFromRow(row);
    });
  }

  listProducts(
    page: Page,
    { title, categoryIDs }: ProductFilter = {},
    signal?: AbortSignal,
  ): Promise<{ products: Product[]; total: number }> {
    const list = async (db: Kysely<Schema>) => {
      let query = db
        .selectFrom('products')
        .where('account_id', '=', this.#accountID)
        .where('disabled_on', 'is', null);
      if (title !== undefined) query = query.where(containsText('folded_title', title));
      if (categoryIDs !== undefined) query = query.where('category_id', 'in', categoryIDs);
      const { total } = await query
        .select(({ fn }) => fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      if (page.skip >= total) return { products: [], total };
      const rows = await query
        .selectAll()
        .orderBy('sequence', 'desc')
        .limit(page.count)
        .offset(page.skip)
        .execute();
      return { products: rows.map(productFromRow), total };
    };
    // This is a search without a filter too, because it counts the products that are not disabled.
    return translateErrors(this.#database, () => this.#database.search(this.#accountID, signal, list));
  }

  refusals(imageIDs: readonly string[], productID?: string): Promise<AssignmentRefusals> {
    return translateErrors(this.#database, async () => {
      const { db } = this.#database;
      const before = productID === undefined ? undefined : await this.#row(db, productID);
      return this.#refusals(db, imageIDs, before);
    });
  }

  insertLineItems(lineItems: NewLineItems): Promise<LineItemsInsertOutcome> {
    return insertLineItems(this.#database, this.#accountID, requireActor(this.#by), lineItems);
  }

  findLineItems(lineItemsID: string): Promise<LineItems | undefined> {
    return findLineItems(this.#database, this.#accountID, lineItemsID);
  }

  listLineItems(page: Page): Promise<{ sets: LineItems[]; total: number }> {
    return listLineItems(this.#database, this.#accountID, page);
  }

  /** Also adds the event. Must be the last call of its transaction. */
  #addAuditEntry(
    trx: Transaction<Schema>,
    action: keyof typeof EVENTS,
    on: Date,
    productID: string,
  ): Promise<void> {
    const entry = { on, by: requireActor(this.#by), action, subjectID: productID };
    return addAuditEntry(trx, this.#accountID, entry, { type: EVENTS[action], data: { productID } });
  }

  #row(db: Kysely<Schema>, productID: string): Promise<ProductRow | undefined> {
    return db
      .selectFrom('products')
      .selectAll()
      .where('account_id', '=', this.#accountID)
      .where('product_id', '=', productID)
      .executeTakeFirst();
  }

  /**
   * Finds the images that may not be assigned.
   * @param before a product, which may keep the images that it shows.
   */
  async #refusals(
    db: Kysely<Schema>,
    imageIDs: readonly string[],
    before?: ProductRow,
  ): Promise<AssignmentRefusals> {
    const disabled = await readDisabledStates(db, this.#accountID, imageIDs);
    const ownImages = before === undefined ? undefined : imagesOf(productFromRow(before).content);
    return refusalsOf(imageIDs, disabled, ownImages);
  }

  async #nextSequence(trx: Transaction<Schema>): Promise<number> {
    const row = await trx
      .selectFrom('products')
      .select(({ fn }) => fn.max('sequence').as('newest'))
      .where('account_id', '=', this.#accountID)
      .executeTakeFirst();
    return (row?.newest ?? 0) + 1;
  }

  async #update(trx: Transaction<Schema>, before: ProductRow, columns: Partial<ProductRow>): Promise<void> {
    await trx
      .updateTable('products')
      .set(columns)
      .where('account_id', '=', this.#accountID)
      .where('sequence', '=', before.sequence)
      .execute();
  }
}
