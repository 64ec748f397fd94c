/**
 * An ID for the library. Its blobs have the same ID, so a database with the blobs of another library is
 * noticed.
 */
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const libraryMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .createTable('library')
      // Always 1, so that there is only one row.
      .addColumn('only_row', 'integer', (column) => column.primaryKey().notNull())
      .addColumn('library_id', 'text', (column) => column.notNull())
      .execute();
  },
};
