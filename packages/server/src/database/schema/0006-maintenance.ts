/**
 * Owns the migration that brings what maintenance needs to work beside a running server. Never edited after its release.
 */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

export const maintenanceMigration: Migration = {
  async up(db: Kysely<unknown>): Promise<void> {
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

    // When an original was last taken away from an image. The text must be a literal, or no query can use the index.
    await db.schema
      .createIndex('audit_replacements')
      .on('audit')
      .column('digest_before')
      .where(sql<boolean>`action = 'image.replace'`)
      .execute();
  },
};
