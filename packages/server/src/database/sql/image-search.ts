/**
 * The derived records that find an image: its tags and its text for searches. They are written in the
 * transaction that writes the image.
 */
import type { Transaction } from 'kysely';
import { fold, foldForSearch } from '../../validation/text.ts';
import type { ImageRow, ImageSearchRow, ImageTagRow, Schema } from '../schema/tables.ts';

type Described = Pick<ImageRow, 'account_id' | 'sequence' | 'alt_text' | 'file_name' | 'tags'>;

/** The form in which tags are compared. */
export function foldTag(tag: string): string {
  return fold(tag.normalize('NFC').trim());
}

/** The rows of `image_tags` that the image must have. */
export function tagRowsOf({ account_id, sequence, tags }: Described): ImageTagRow[] {
  return (JSON.parse(tags) as string[]).map((tag) => ({ account_id, tag: foldTag(tag), sequence }));
}

/**
 * The row of `image_search` that the image must have. After two empty lines each character has two others
 * behind it, so an index of three characters contains all of them.
 */
export function searchRowOf({ account_id, sequence, alt_text, file_name, tags }: Described): ImageSearchRow {
  const texts = [alt_text, file_name, ...(JSON.parse(tags) as string[])];
  const lines = texts.flatMap((text) => (text ? [foldForSearch(text)] : []));
  return { account_id, sequence, content: `${lines.join('\n')}\n\n` };
}

/** Adds the records of a new image. */
export async function insertFinders(trx: Transaction<Schema>, row: Described): Promise<void> {
  await trx.insertInto('image_search').values(searchRowOf(row)).execute();
  await insertTags(trx, row);
}

/** Writes the records of a changed image again. */
export async function updateFinders(trx: Transaction<Schema>, row: Described): Promise<void> {
  const { account_id, sequence, content } = searchRowOf(row);
  await trx
    .insertInto('image_search')
    .values({ account_id, sequence, content })
    .onConflict((conflict) => conflict.columns(['account_id', 'sequence']).doUpdateSet({ content }))
    .execute();
  await trx
    .deleteFrom('image_tags')
    .where('account_id', '=', account_id)
    .where('sequence', '=', sequence)
    .execute();
  await insertTags(trx, row);
}

async function insertTags(trx: Transaction<Schema>, row: Described): Promise<void> {
  const tags = tagRowsOf(row);
  if (tags.length > 0) await trx.insertInto('image_tags').values(tags).execute();
}
