/**
 * The statements of migrations that are special to SQLite, and the search for texts with FTS5.
 *
 * FTS5 has no accounts. So a row ID in its index is the number of the account times 2^32, plus the `sequence`
 * of the image. The matches of one account are a range, in the order of the list.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { TextMatches } from '../dialect.ts';
import type { MigrationDialect } from '../schema/migration.ts';
import type { Schema } from '../schema/tables.ts';

/** Images of one account. Row IDs stay below 2^53 with two million accounts. */
const ACCOUNT_SIZE = 2 ** 32;

/** The length of the terms of the index, in code points. */
const TERM = 3;

/** A short text that begins more terms is found by reading the texts. */
const MAX_TERMS = 100;

const rowID = (row: 'new' | 'old') =>
  `(select number from image_search_accounts where account_id = ${row}.account_id) * ${ACCOUNT_SIZE} + ${row}.sequence`;

export const sqliteMigrations: MigrationDialect = {
  appendOnly: (table) =>
    ['update', 'delete'].map(
      (event) =>
        `create trigger ${table}_no_${event} before ${event} on ${table} ` +
        `begin select raise(abort, '${table} is append-only'); end`,
    ),
  codePointText: 'text',
  maintainUsed: [
    `create trigger image_uses_inserted after insert on image_uses begin
      update images set used = 1
      where account_id = new.account_id and image_id = new.image_id and used = 0;
    end`,
    `create trigger image_uses_deleted after delete on image_uses begin
      update images set used = 0
      where account_id = old.account_id and image_id = old.image_id and not exists (
        select 1 from image_uses where account_id = old.account_id and image_id = old.image_id
      );
    end`,
  ],
  // The records of other processes are read again every few seconds.
  notifyImageChanges: [],
  nativeTypes: undefined,
  indexSearchTexts: [
    'create table image_search_accounts (number integer primary key, account_id text not null unique)',
    // It stores no texts. `image_search` has them.
    `create virtual table image_text using fts5(
      content, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1'
    )`,
    `create virtual table image_text_terms using fts5vocab(image_text, 'row')`,
    `create trigger image_search_inserted after insert on image_search begin
      insert into image_search_accounts (account_id) select new.account_id
      where not exists (select 1 from image_search_accounts where account_id = new.account_id);
      insert into image_text (rowid, content) values (${rowID('new')}, new.content);
    end`,
    `create trigger image_search_updated after update on image_search when new.content <> old.content begin
      update image_text set content = new.content where rowid = ${rowID('new')};
    end`,
    `create trigger image_search_deleted after delete on image_search begin
      delete from image_text where rowid = ${rowID('old')};
    end`,
  ],
};

/** See Database. The query runs in the thread for searches if `db` does. */
export async function findText(db: Kysely<Schema>, accountID: string, text: string): Promise<TextMatches> {
  const query = await matchQuery(db, text);
  if (query === 'nothing') return textsWith(sql`false`);
  if (query === 'too many') {
    return textsWith(sql`found.account_id = ${accountID} and instr(found.content, ${text}) > 0`);
  }
  const first = sql`(select number from image_search_accounts where account_id = ${accountID}) * ${sql.lit(ACCOUNT_SIZE)}`;
  return {
    table: sql`image_text`,
    condition: sql`found.image_text match ${query}
      and found.rowid between ${first} and ${first} + ${sql.lit(ACCOUNT_SIZE - 1)}`,
    sequence: sql`(found.rowid & ${sql.lit(ACCOUNT_SIZE - 1)})`,
    order: sql`found.rowid`,
  };
}

/** The FTS5 query for texts that contain this one, unless it would have no terms or too many. */
async function matchQuery(db: Kysely<Schema>, text: string): Promise<`"${string}"` | 'nothing' | 'too many'> {
  if ([...text].length >= TERM) return quote(text);
  // A shorter text is the beginning of terms.
  const rows = await db
    .withTables<{ image_text_terms: { term: string } }>()
    .selectFrom('image_text_terms')
    .select('term')
    .where('term', '>=', text)
    .where('term', '<=', text + '\u{10ffff}'.repeat(TERM))
    .limit(MAX_TERMS + 1)
    .execute();
  if (rows.length === 0) return 'nothing';
  if (rows.length > MAX_TERMS) return 'too many';
  return rows.map(({ term }) => quote(term)).join(' OR ') as `"${string}"`;
}

/** A string of FTS5, in which no character is special. */
function quote(text: string): `"${string}"` {
  return `"${text.replaceAll('"', '""')}"`;
}

function textsWith(condition: RawBuilder<boolean>): TextMatches {
  const sequence = sql<number>`found.sequence`;
  return { table: sql`image_search`, condition, sequence, order: sequence };
}
