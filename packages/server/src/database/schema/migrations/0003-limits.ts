/** A byte quota for each account, with a counter of the bytes in use. */
import { sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { AnySchema } from '../migration.ts';

export const limitsMigration: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema.alterTable('accounts').addColumn('byte_quota', 'bigint').execute();
    await db.schema
      .alterTable('accounts')
      .addColumn('byte_count', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
    // Existing images count. The sum is a numeric in PostgreSQL, hence the cast.
    await sql`update accounts set byte_count = (
      select cast(coalesce(sum(images.size), 0) as bigint) from images
      where images.account_id = accounts.account_id and images.disabled_on is null
    )`.execute(db);
  },
};
