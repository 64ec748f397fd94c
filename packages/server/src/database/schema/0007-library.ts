/**
 * An ID for the library. Its blobs have the same ID, so a database with the blobs of another library is
 * noticed. Since 0012 also the state of a library that is being moved to another place (ADR 64).
 */
import type { Migration } from 'kysely/migration';
import type { AnySchema, ServedMigration } from './migration.ts';

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

/** 0012-library-state. Its name comes before the native types, which may wait for `vitrine migrate`. */
export const libraryStateMigration: ServedMigration = {
  // Earlier versions ignore the state. The seal that belongs to it refuses their writes.
  servesFrom: '0009-image-fields',
  async up(db: AnySchema): Promise<void> {
    for (const column of ['state', 'blobs_epoch']) {
      await db.schema.alterTable('library').addColumn(column, 'text').execute();
    }
  },
};
