/** The statements that seal tables of PostgreSQL: triggers that refuse every change. */
import { sql } from 'kysely';
import { SEALED, type SealStatements } from '../dialect.ts';

/** The SQLSTATE of the triggers, from the range that is left to applications. */
export const SEALED_STATE = 'VT001';

const trigger = (table: string) => sql.ref(`${table}_sealed`);

export const sealStatements: SealStatements = {
  prepare: [
    sql`create or replace function library_sealed() returns trigger language plpgsql as
      $$ begin raise exception ${sql.lit(SEALED)} using errcode = ${sql.lit(SEALED_STATE)}; end $$`,
  ],
  // Creating a trigger waits for the transactions that have written to the table. So a later read sees all
  // changes that there will ever be.
  close: (table) => [
    sql`create or replace trigger ${trigger(table)} before insert or update or delete or truncate
      on ${sql.table(table)} for each statement execute function library_sealed()`,
  ],
  open: (table) => [sql`drop trigger if exists ${trigger(table)} on ${sql.table(table)}`],
};
