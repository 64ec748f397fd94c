/**
 * The list of one account's images that match a filter. It counts the matches and scans from the newest
 * image, which takes 25 to 70 ms for 100 000 images on SQLite. The list without a filter (images.ts) does
 * neither, and takes 1 ms.
 */
import type { Kysely } from 'kysely';
import type { Page } from '../../access/records.ts';
import type { Image } from '../../image.ts';
import type { ImageFilter } from '../../images/records.ts';
import { imageFromRow, type Schema } from '../schema/tables.ts';
import { containsText } from './text-search.ts';

/** A page of the matching images, newest first, and the number of all matches. */
export async function listMatching(
  db: Kysely<Schema>,
  accountID: string,
  page: Page,
  filter: ImageFilter,
): Promise<{ images: Image[]; total: number }> {
  const total = await countMatching(db, accountID, filter);
  if (page.skip >= total) return { images: [], total };
  const rows = await matching(db, accountID, filter)
    .selectAll()
    .orderBy('sequence', 'desc')
    .limit(page.count)
    .offset(page.skip)
    .execute();
  return { images: rows.map(imageFromRow), total };
}

async function countMatching(db: Kysely<Schema>, accountID: string, filter: ImageFilter): Promise<number> {
  const { disabled, ...others } = filter;
  if (disabled !== undefined && Object.keys(others).length === 0) {
    // The counters of the account have this number.
    const account = await db
      .selectFrom('accounts')
      .select(['image_count', 'enabled_count'])
      .where('account_id', '=', accountID)
      .executeTakeFirst();
    const { image_count = 0, enabled_count = 0 } = account ?? {};
    return disabled ? image_count - enabled_count : enabled_count;
  }
  const { total } = await matching(db, accountID, filter)
    .select(({ fn }) => fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  return total;
}

function matching(db: Kysely<Schema>, accountID: string, filter: ImageFilter) {
  const { disabled, unused, altText, search } = filter;
  let query = db.selectFrom('images').where('account_id', '=', accountID);
  if (disabled !== undefined) query = query.where('disabled_on', disabled ? 'is not' : 'is', null);
  if (altText === 'missing') query = query.where('alt_text', 'is', null);
  if (search !== undefined) query = query.where(containsText('folded_alt_text', search));
  if (unused !== undefined) {
    query = query.where(({ exists, not, selectFrom }) => {
      const used = exists(
        selectFrom('image_uses')
          .select('image_uses.kind')
          .whereRef('image_uses.account_id', '=', 'images.account_id')
          .whereRef('image_uses.image_id', '=', 'images.image_id'),
      );
      return unused ? not(used) : used;
    });
  }
  return query;
}
