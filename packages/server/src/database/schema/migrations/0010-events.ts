/**
 * The outbox: the events of each account, and the purges of caches that are still to be sent. On PostgreSQL
 * also the notifications by which nodes hear of changed images (docs/adr/0056).
 */
import { sql } from 'kysely';
import type { AnySchema, MigrationDialect, ServedMigration } from '../migration.ts';

export function eventsMigration(dialect: MigrationDialect): ServedMigration {
  return {
    servesFrom: '0009-image-fields',
    async up(db: AnySchema): Promise<void> {
      await db.schema
        .createTable('events')
        .addColumn('account_id', 'text', (column) => column.notNull())
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .addColumn('type', 'text', (column) => column.notNull())
        .addColumn('created_on', 'bigint', (column) => column.notNull())
        .addColumn('data', 'text', (column) => column.notNull())
        .addPrimaryKeyConstraint('events_key', ['account_id', 'sequence'])
        .execute();
      // For the removal of old events.
      await db.schema.createIndex('events_by_age').on('events').column('created_on').execute();
      // An earlier version adds rows without this column.
      await db.schema
        .alterTable('audit_heads')
        .addColumn('event_sequence', 'bigint', (column) => column.notNull().defaultTo(0))
        .execute();

      await db.schema
        .createTable('purges')
        .addColumn('purge_id', 'text', (column) => column.primaryKey().notNull())
        .addColumn('public_id', 'text', (column) => column.notNull())
        .addColumn('created_on', 'bigint', (column) => column.notNull())
        .addColumn('not_before', 'bigint', (column) => column.notNull())
        .addColumn('attempts', 'integer', (column) => column.notNull())
        .execute();
      await db.schema.createIndex('purges_by_age').on('purges').column('created_on').execute();

      for (const statement of dialect.notifyImageChanges) await sql.raw(statement).execute(db);
    },
  };
}
