/**
 * The records with which garbage collection finds its work: candidates from changes of images, and the
 * progress of its sweep over the stored blobs. Also the rows that uploads and collectors lock (ADR 58).
 */
import type { Kysely } from 'kysely';
import type { AnySchema, ServedMigration } from '../migration.ts';

/** The rows that this migration writes. */
interface NewSchema {
  collection_locks: { prefix: string };
  collection_sweeps: { name: string; position: string; round: number };
}

export const collectionMigration: ServedMigration = {
  servesFrom: '0009-image-fields',
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .createTable('unreferenced_originals')
      .addColumn('digest', 'text', (column) => column.primaryKey().notNull())
      .addColumn('unreferenced_on', 'bigint', (column) => column.notNull())
      .addColumn('token', 'text', (column) => column.notNull())
      .addColumn('run_id', 'text')
      .execute();
    await db.schema
      .createIndex('unreferenced_originals_by_time')
      .on('unreferenced_originals')
      .columns(['unreferenced_on', 'digest'])
      .execute();

    await db.schema
      .createTable('collection_locks')
      .addColumn('prefix', 'text', (column) => column.primaryKey().notNull())
      .execute();

    await db.schema
      .createTable('collection_sweeps')
      .addColumn('name', 'text', (column) => column.primaryKey().notNull())
      .addColumn('position', 'text', (column) => column.notNull())
      .addColumn('round', 'bigint', (column) => column.notNull())
      .addColumn('completed_on', 'bigint')
      .execute();
    await db.schema
      .createTable('collection_sweep_claims')
      .addColumn('prefix', 'text', (column) => column.primaryKey().notNull())
      .addColumn('run_id', 'text', (column) => column.notNull())
      .execute();

    const rows = db as Kysely<NewSchema>;
    const prefixes = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'));
    await rows
      .insertInto('collection_locks')
      .values(prefixes.map((prefix) => ({ prefix })))
      .execute();
    await rows
      .insertInto('collection_sweeps')
      .values(['blobs', 'replacements'].map((name) => ({ name, position: '', round: 0 })))
      .execute();
  },
};
