/**
 * The list of one account's images with conditions or in another order (docs/adr/0052).
 *
 * The matches are counted first. Then the sequences of the page are read from one index, which has the order
 * and all conditions. The rows of these images are read last. So a page deep in the list reads no more rows
 * than the first one.
 */
import { type Kysely, type RawBuilder, type SelectQueryBuilder, sql } from 'kysely';
import type { Page } from '../../access/records.ts';
import type { Image } from '../../image.ts';
import type { ImageFilter, ImageSort } from '../../images/records.ts';
import { foldForSearch } from '../../validation/text.ts';
import type { Database, TextMatches } from '../dialect.ts';
import { imageFromRow, type Schema } from '../schema/tables.ts';
import { foldTag } from './image-search.ts';

/**
 * A text or a tag with at most this many images is read first, and its images are then filtered and sorted.
 * With more, the index of the order is read, until the page is full.
 */
const MAX_READ_FIRST = 5_000;

type Conditions = Omit<ImageFilter, 'search' | 'tag' | 'sort'>;

/** The images with a text or a tag: rows of a table, as `found`. */
interface Source extends TextMatches {
  /** True for a row of `images` that is one of them. */
  readonly contains: RawBuilder<boolean>;
}

const SEQUENCE = sql<number>`images.sequence`;

interface Order {
  readonly column: 'sequence' | 'updated_on' | 'sort_name' | 'size';
  readonly direction: 'asc' | 'desc';
}

/** A page of the matching images, and the number of all matches. */
export async function listMatching(
  { findText }: Pick<Database, 'findText'>,
  db: Kysely<Schema>,
  accountID: string,
  page: Page,
  { search = '', tag, sort = '-createdOn', ...conditions }: ImageFilter,
): Promise<{ images: Image[]; total: number }> {
  const text = foldForSearch(search);
  const sources = [
    ...(text === '' ? [] : [containing(await findText(db, accountID, text))]),
    ...(tag === undefined ? [] : [tagged(accountID, foldTag(tag))]),
  ];
  const order = orderOf(sort);
  const isOnlySource = sources.length === 1 && Object.keys(conditions).length === 0;
  const sizes: { readonly source: Source; readonly size: number }[] = [];
  for (const source of sources) {
    sizes.push({ source, size: await sizeOf(db, source, isOnlySource ? undefined : MAX_READ_FIRST + 1) });
  }
  const [smallest, ...others] = sizes.toSorted((one, other) => one.size - other.size);
  const first =
    smallest !== undefined &&
    (smallest.size <= MAX_READ_FIRST || (isOnlySource && order.column === 'sequence'))
      ? smallest.source
      : undefined;

  const query =
    first === undefined
      ? fromImages(db, accountID, sources, conditions)
      : isOnlySource && order.column === 'sequence'
        ? fromSourceAlone(db, first)
        : fromSource(db, accountID, first, others, conditions);
  const total =
    isOnlySource && smallest ? smallest.size : await count(db, accountID, sources, conditions, query);
  if (page.skip >= total) return { images: [], total };

  const keys = await inOrder(query, order, first).limit(page.count).offset(page.skip).execute();
  return { images: await readImages(db, accountID, keys), total };
}

function containing(matches: TextMatches): Source {
  const { table, condition, sequence } = matches;
  return {
    ...matches,
    contains: sql`images.sequence in (select ${sequence} from ${table} as found where ${condition})`,
  };
}

function tagged(accountID: string, tag: string): Source {
  const sequence = sql<number>`found.sequence`;
  const table = sql.table('image_tags');
  const condition = sql<boolean>`found.account_id = ${accountID} and found.tag = ${tag}`;
  return {
    table,
    condition,
    sequence,
    order: sequence,
    contains: sql`exists (
      select 1 from ${table} as found where ${condition} and ${sequence} = images.sequence
    )`,
  };
}

/** The number of images of a source. @param limit the largest number that matters. */
async function sizeOf(db: Kysely<Schema>, source: Source, limit: number | undefined): Promise<number> {
  const rows = fromSourceAlone(db, source).select(sql<number>`1`.as('one'));
  const { size } = await db
    .selectFrom((limit === undefined ? rows : rows.limit(limit)).as('counted'))
    .select(sql<number>`count(*)`.as('size'))
    .executeTakeFirstOrThrow();
  return size;
}

function orderOf(sort: ImageSort): Order {
  const direction = sort.startsWith('-') ? 'desc' : 'asc';
  switch (sort) {
    case 'createdOn':
    case '-createdOn':
      return { column: 'sequence', direction };
    case 'updatedOn':
    case '-updatedOn':
      return { column: 'updated_on', direction };
    case 'fileName':
    case '-fileName':
      return { column: 'sort_name', direction };
    case 'bytes':
    case '-bytes':
      return { column: 'size', direction };
  }
}

/** A selection without columns, over `images` or over a source as `found`. */
type Matches = SelectQueryBuilder<Schema, never, object>;

async function count(
  db: Kysely<Schema>,
  accountID: string,
  sources: readonly Source[],
  { disabled, ...others }: Conditions,
  query: Matches,
): Promise<number> {
  if (sources.length > 0 || Object.keys(others).length > 0) {
    const { total } = await query.select(sql<number>`count(*)`.as('total')).executeTakeFirstOrThrow();
    return total;
  }
  // The counters of the account have this number.
  const account = await db
    .selectFrom('accounts')
    .select(['image_count', 'enabled_count'])
    .where('account_id', '=', accountID)
    .executeTakeFirst();
  const { image_count = 0, enabled_count = 0 } = account ?? {};
  if (disabled === undefined) return image_count;
  return disabled ? image_count - enabled_count : enabled_count;
}

function fromSourceAlone(db: Kysely<Schema>, { table, condition }: Source): Matches {
  return db.selectFrom(table.as('found')).where(condition) as unknown as Matches;
}

/** Reads a source and then the conditions of its images. SQLite does not reorder a cross join. */
function fromSource(
  db: Kysely<Schema>,
  accountID: string,
  { table, condition, sequence }: Source,
  others: readonly { readonly source: Source }[],
  conditions: Conditions,
): Matches {
  const query = db
    .selectFrom(table.as('found'))
    .crossJoin('images')
    .where(condition)
    .where('images.account_id', '=', accountID)
    .where(sql<boolean>`images.sequence = ${sequence}`);
  return narrow(
    query,
    conditions,
    others.map(({ source }) => source.contains),
  );
}

/** Reads the index of an order, and looks up the other tables for rows that meet the conditions. */
function fromImages(
  db: Kysely<Schema>,
  accountID: string,
  sources: readonly Source[],
  conditions: Conditions,
): Matches {
  const query = db.selectFrom('images').where('images.account_id', '=', accountID);
  return narrow(
    query,
    conditions,
    sources.map(({ contains }) => contains),
  );
}

/** @param source the table that is read first, if it is not `images`. */
function inOrder(query: Matches, { column, direction }: Order, source: Source | undefined) {
  const { sequence, order } = source ?? { sequence: SEQUENCE, order: SEQUENCE };
  const sorted = column === 'sequence' ? query : query.orderBy(sql.ref(`images.${column}`), direction);
  return sorted.orderBy(order, direction).select(sequence.as('sequence'));
}

/** Uses only columns that each index of an order has. */
function narrow<DB, Tables extends keyof DB, Selection>(
  query: SelectQueryBuilder<DB, Tables, Selection>,
  { disabled, unused, altText, format, minWidth, minHeight, visibility, withdrawn }: Conditions,
  memberships: readonly RawBuilder<boolean>[],
): Matches {
  const conditions: (RawBuilder<boolean> | undefined)[] = [
    disabled === undefined ? undefined : disabled ? sql`disabled_on is not null` : sql`disabled_on is null`,
    unused === undefined ? undefined : sql`used = ${unused ? 0 : 1}`,
    altText === undefined ? undefined : sql`has_alt_text = 0`,
    format === undefined ? undefined : sql`format = ${format}`,
    minWidth === undefined ? undefined : sql`width >= ${minWidth}`,
    minHeight === undefined ? undefined : sql`height >= ${minHeight}`,
    visibility === undefined ? undefined : sql`visibility = ${visibility}`,
    withdrawn ? sql`1 = 0` : undefined,
    ...memberships,
  ];
  const narrowed = conditions.reduce(
    (result, condition) => (condition === undefined ? result : result.where(condition)),
    query,
  );
  // All later columns are raw expressions, because the tables differ.
  return narrowed as unknown as Matches;
}

async function readImages(
  db: Kysely<Schema>,
  accountID: string,
  keys: readonly { readonly sequence: number }[],
): Promise<Image[]> {
  if (keys.length === 0) return [];
  const sequences = keys.map(({ sequence }) => sequence);
  const rows = await db
    .selectFrom('images')
    .selectAll()
    .where('account_id', '=', accountID)
    .where('sequence', 'in', sequences)
    .execute();
  const bySequence = new Map(rows.map((row) => [row.sequence, row]));
  // Images are never deleted, so every sequence has its row.
  return sequences.flatMap((sequence) => {
    const row = bySequence.get(sequence);
    return row === undefined ? [] : [imageFromRow(row)];
  });
}
