/**
 * The statements of migrations that are special to PostgreSQL, and the search for texts with pg_trgm.
 */
import { type Kysely, sql } from 'kysely';
import type { TextMatches } from '../dialect.ts';
import type { MigrationDialect } from '../schema/migration.ts';
import type { Schema } from '../schema/tables.ts';

/** Runs statements, and continues without them if they fail. */
const optional = (...statements: string[]) =>
  `do $optional$ begin ${statements.join('; ')}; exception when others then
    raise notice 'searches have no index: %', sqlerrm; end $optional$`;

export const postgresMigrations: MigrationDialect = {
  appendOnly: (table) => [
    `create function ${table}_append_only() returns trigger language plpgsql as ` +
      `$$ begin raise exception '${table} is append-only'; end $$`,
    `create trigger ${table}_no_change before update or delete or truncate on ${table} ` +
      `for each statement execute function ${table}_append_only()`,
  ],
  codePointText: 'text collate "C"',
  maintainUsed: [
    `create function image_uses_inserted() returns trigger language plpgsql as $$ begin
      update images set used = 1
      where account_id = new.account_id and image_id = new.image_id and used = 0;
      return null;
    end $$`,
    `create function image_uses_deleted() returns trigger language plpgsql as $$ begin
      update images set used = 0
      where account_id = old.account_id and image_id = old.image_id and not exists (
        select 1 from image_uses where account_id = old.account_id and image_id = old.image_id
      );
      return null;
    end $$`,
    `create trigger image_uses_inserted after insert on image_uses
      for each row execute function image_uses_inserted()`,
    `create trigger image_uses_deleted after delete on image_uses
      for each row execute function image_uses_deleted()`,
  ],
  // A trigger, so that changes by an earlier version, or by hand, are heard too. It compares only what public
  // links show. An upload changes no link, so it does not notify: notifications serialise commits. Columns
  // stand in the function, because a column of a trigger cannot get another type.
  notifyImageChanges: [
    `create function image_changed() returns trigger language plpgsql as $$ begin
      if (old.digest, old.focal_x, old.focal_y, old.visibility, old.disabled_on)
        is distinct from (new.digest, new.focal_x, new.focal_y, new.visibility, new.disabled_on)
      then perform pg_notify('vitrine_changes', 'image ' || new.public_id); end if;
      return null;
    end $$`,
    `create trigger image_changed after update on images
      for each row execute function image_changed()`,
  ],
  nativeTypes: undefined,
  // The extension may be absent, or this user may not create it. Searches then read all texts of the account.
  indexSearchTexts: [
    optional(
      'create extension if not exists pg_trgm',
      'create index image_search_by_text on image_search using gin (content gin_trgm_ops)',
    ),
  ],
};

/** See Database. */
export async function findText(_db: Kysely<Schema>, accountID: string, text: string): Promise<TextMatches> {
  const pattern = `%${text.replace(/[!%_]/g, '!$&')}%`;
  const sequence = sql<number>`found.sequence`;
  return {
    table: sql.table('image_search'),
    condition: sql`found.account_id = ${accountID} and found.content like ${pattern} escape '!'`,
    sequence,
    order: sequence,
  };
}
