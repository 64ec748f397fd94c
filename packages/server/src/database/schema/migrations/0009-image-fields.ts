/**
 * Further fields of images, and the analysis of their originals. The rest of this migration serves to find
 * images: an index for each order of a list, the tags, and the texts for searches (docs/adr/0052).
 */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { foldForSearch } from '../../../validation/text.ts';
import type { AnySchema, MigrationDialect } from '../migration.ts';

/** The columns that this migration reads and writes, as they were at its time. */
interface EarlierSchema {
  images: { account_id: string; sequence: number; alt_text: string | null };
  image_search: { account_id: string; sequence: number; content: string };
}

/** Texts in one read. */
const BATCH = 500;

/** The conditions of a list. Each index for an order has them, so that it answers a list alone. */
const CONDITIONS = ['format', 'width', 'height', 'disabled_on', 'has_alt_text', 'used', 'visibility'];

const ORDERS = {
  images_by_sequence: ['account_id', 'sequence'],
  images_by_updated_on: ['account_id', 'updated_on', 'sequence'],
  images_by_size: ['account_id', 'size', 'sequence'],
  images_by_name: ['account_id', 'sort_name', 'sequence'],
};

export function imageFieldsMigration(dialect: MigrationDialect): Migration {
  return {
    async up(db: AnySchema): Promise<void> {
      const add = db.schema.alterTable('images');
      for (const name of ['file_name', 'content', 'placeholder', 'color']) {
        await add.addColumn(name, 'text').execute();
      }
      await add.addColumn('tags', 'text', (column) => column.notNull().defaultTo('[]')).execute();
      await add.addColumn('version', 'integer', (column) => column.notNull().defaultTo(1)).execute();
      await add.addColumn('visibility', 'text', (column) => column.notNull().defaultTo('public')).execute();
      await add
        // The last code point: images without a name come last.
        .addColumn('sort_name', sql.raw(dialect.codePointText), (column) =>
          column.notNull().defaultTo('\u{10ffff}'),
        )
        .execute();
      for (const name of ['has_alt_text', 'used']) {
        await add.addColumn(name, 'integer', (column) => column.notNull().defaultTo(0)).execute();
      }
      await sql`update images set has_alt_text = 1 where alt_text is not null`.execute(db);
      await sql`update images set used = 1 where exists (
        select 1 from image_uses
        where image_uses.account_id = images.account_id and image_uses.image_id = images.image_id
      )`.execute(db);
      for (const statement of dialect.maintainUsed) await sql.raw(statement).execute(db);
      // The texts of image_search replace it.
      await add.dropColumn('folded_alt_text').execute();

      for (const [index, columns] of Object.entries(ORDERS)) {
        await db.schema
          .createIndex(index)
          .on('images')
          .columns([...columns, ...CONDITIONS])
          .execute();
      }
      // Empty as soon as all originals are analysed.
      await db.schema
        .createIndex('images_unanalysed')
        .on('images')
        .column('digest')
        .where(sql.ref('content'), 'is', null)
        .execute();

      await db.schema
        .createTable('image_tags')
        .addColumn('account_id', 'text', (column) => column.notNull())
        .addColumn('tag', 'text', (column) => column.notNull())
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .addPrimaryKeyConstraint('image_tags_key', ['account_id', 'tag', 'sequence'])
        .addForeignKeyConstraint(
          'image_tags_image',
          ['account_id', 'sequence'],
          'images',
          ['account_id', 'sequence'],
          (constraint) => constraint.onDelete('cascade'),
        )
        .execute();
      await db.schema
        .createIndex('image_tags_by_image')
        .on('image_tags')
        .columns(['account_id', 'sequence'])
        .execute();

      await db.schema
        .createTable('image_search')
        .addColumn('account_id', 'text', (column) => column.notNull())
        .addColumn('sequence', 'bigint', (column) => column.notNull())
        .addColumn('content', 'text', (column) => column.notNull())
        .addPrimaryKeyConstraint('image_search_key', ['account_id', 'sequence'])
        .addForeignKeyConstraint(
          'image_search_image',
          ['account_id', 'sequence'],
          'images',
          ['account_id', 'sequence'],
          (constraint) => constraint.onDelete('cascade'),
        )
        .execute();
      for (const statement of dialect.indexSearchTexts) await sql.raw(statement).execute(db);
      await addSearchTexts(db as Kysely<EarlierSchema>);
    },
  };
}

/** Until now, images had no file names and no tags. */
async function addSearchTexts(db: Kysely<EarlierSchema>): Promise<void> {
  let after = { account_id: '', sequence: 0 };
  for (;;) {
    const rows = await db
      .selectFrom('images')
      .select(['account_id', 'sequence', 'alt_text'])
      .where(sql<boolean>`(account_id, sequence) > (${after.account_id}, ${after.sequence})`)
      .orderBy('account_id')
      .orderBy('sequence')
      .limit(BATCH)
      .execute();
    const last = rows.at(-1);
    if (last === undefined) return;
    const texts = rows.map(({ account_id, sequence, alt_text }) => ({
      account_id,
      sequence,
      content: `${foldForSearch(alt_text ?? '')}\n\n`,
    }));
    await db.insertInto('image_search').values(texts).execute();
    after = last;
  }
}
