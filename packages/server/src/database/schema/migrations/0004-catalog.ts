/** Products, line items, the images that they use, and the search in alt texts. */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { fold } from '../../../validation/text.ts';
import type { AnySchema } from '../migration.ts';

/** The columns that this migration reads and writes, as they were at its time. */
interface EarlierSchema {
  images: { account_id: string; sequence: number; alt_text: string | null; folded_alt_text: string | null };
}

// Alt texts in one read.
const BATCH = 500;

export const catalogMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .alterTable('accounts')
      .addColumn('disable_policy', 'text', (column) => column.notNull().defaultTo('allow'))
      .execute();

    await db.schema
      .createTable('products')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('sequence', 'bigint', (column) => column.notNull())
      .addColumn('product_id', 'text', (column) => column.notNull())
      .addColumn('folded_title', 'text', (column) => column.notNull())
      .addColumn('content', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addColumn('updated_on', 'bigint', (column) => column.notNull())
      .addColumn('disabled_on', 'bigint')
      .addPrimaryKeyConstraint('products_key', ['account_id', 'sequence'])
      .addUniqueConstraint('products_product_id', ['account_id', 'product_id'])
      .execute();

    // For the list of products that are not disabled, and its length.
    await db.schema
      .createIndex('products_listed')
      .on('products')
      .columns(['account_id', 'sequence'])
      .where(sql.ref('disabled_on'), 'is', null)
      .execute();

    await db.schema
      .createTable('line_items')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('sequence', 'bigint', (column) => column.notNull())
      .addColumn('line_items_id', 'text', (column) => column.notNull())
      .addColumn('content', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('line_items_key', ['account_id', 'sequence'])
      .addUniqueConstraint('line_items_line_items_id', ['account_id', 'line_items_id'])
      .execute();

    await db.schema
      .createTable('image_uses')
      .addColumn('account_id', 'text', (column) => column.notNull())
      .addColumn('image_id', 'text', (column) => column.notNull())
      .addColumn('kind', 'text', (column) => column.notNull())
      .addColumn('owner_sequence', 'bigint', (column) => column.notNull())
      .addColumn('outer_index', 'integer', (column) => column.notNull())
      .addColumn('inner_index', 'integer', (column) => column.notNull())
      .addPrimaryKeyConstraint('image_uses_key', [
        'account_id',
        'image_id',
        'kind',
        'owner_sequence',
        'outer_index',
        'inner_index',
      ])
      .addForeignKeyConstraint('image_uses_image', ['account_id', 'image_id'], 'images', [
        'account_id',
        'image_id',
      ])
      .execute();

    // For the removal of a product's previous uses.
    await db.schema
      .createIndex('image_uses_by_owner')
      .on('image_uses')
      .columns(['account_id', 'owner_sequence'])
      .execute();

    await db.schema.alterTable('images').addColumn('folded_alt_text', 'text').execute();
    await foldAltTexts(db as Kysely<EarlierSchema>);
  },
};

async function foldAltTexts(db: Kysely<EarlierSchema>): Promise<void> {
  let after = { account_id: '', sequence: 0 };
  for (;;) {
    const rows = await db
      .selectFrom('images')
      .select(['account_id', 'sequence', 'alt_text'])
      .where(sql<boolean>`(account_id, sequence) > (${after.account_id}, ${after.sequence})`)
      .where('alt_text', 'is not', null)
      .orderBy('account_id')
      .orderBy('sequence')
      .limit(BATCH)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    for (const { account_id, sequence, alt_text } of rows) {
      await db
        .updateTable('images')
        .set({ folded_alt_text: fold(alt_text ?? '') })
        .where('account_id', '=', account_id)
        .where('sequence', '=', sequence)
        .execute();
    }
    after = last;
  }
}
