/** The file name, tags, version and visibility of images, and the analysis of their originals. */
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { AnySchema } from './migration.ts';

export const imageFieldsMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    const add = db.schema.alterTable('images');
    for (const name of ['file_name', 'content', 'placeholder', 'color']) {
      await add.addColumn(name, 'text').execute();
    }
    await add.addColumn('tags', 'text', (column) => column.notNull().defaultTo('[]')).execute();
    await add.addColumn('version', 'integer', (column) => column.notNull().defaultTo(1)).execute();
    await add.addColumn('visibility', 'text', (column) => column.notNull().defaultTo('public')).execute();
    // Empty as soon as all originals are analysed.
    await db.schema
      .createIndex('images_unanalysed')
      .on('images')
      .column('digest')
      .where(sql.ref('content'), 'is', null)
      .execute();
  },
};
