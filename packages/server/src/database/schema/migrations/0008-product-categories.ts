/** A category for each product, and the index for lists of one category and the categories below it. */
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const productCategoriesMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema.alterTable('products').addColumn('category_id', 'text').execute();
    await db.schema
      .createIndex('products_by_category')
      .on('products')
      .columns(['account_id', 'category_id', 'sequence'])
      .where(sql.ref('disabled_on'), 'is', null)
      .execute();
  },
};
