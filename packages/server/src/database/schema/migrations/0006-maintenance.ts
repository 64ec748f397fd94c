/** The marker rows and pauses of garbage collection, so that maintenance can run while the server runs. */
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const maintenanceMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .createTable('collected_originals')
      .addColumn('digest', 'text', (column) => column.primaryKey().notNull())
      .addColumn('token', 'text', (column) => column.notNull())
      .addColumn('collecting', 'integer', (column) => column.notNull())
      .addColumn('collected_on', 'bigint', (column) => column.notNull())
      .execute();

    await db.schema
      .createTable('collection_holds')
      .addColumn('hold_id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('held_until', 'bigint', (column) => column.notNull())
      .execute();

    // For the time at which an image last stopped referencing an original. The text must be a literal,
    // because a query with a parameter cannot use the index.
    await db.schema
      .createIndex('audit_replacements')
      .on('audit')
      .column('digest_before')
      .where(sql<boolean>`action = 'image.replace'`)
      .execute();
  },
};
