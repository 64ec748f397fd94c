/**
 * Owns the migration that gives a library a name of its own, by which its records and its blobs know that they belong
 * together. Never edited after its release.
 */
import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

export const libraryMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
    await db.schema
      .createTable('library')
      // Always 1: so there is one library, whoever names it first.
      .addColumn('only_row', 'integer', (column) => column.primaryKey().notNull())
      .addColumn('library_id', 'text', (column) => column.notNull())
      .execute();
  },
};
