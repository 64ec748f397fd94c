/** The statements that seal tables of PostgreSQL: triggers that refuse every change. */
import { SEALED, type SealStatements } from '../dialect.ts';

/** The SQLSTATE of the triggers, from the range that is left to applications. */
export const SEALED_STATE = 'VT001';

export const sealStatements: SealStatements = {
  prepare: [
    `create or replace function library_sealed() returns trigger language plpgsql as
      $$ begin raise exception '${SEALED}' using errcode = '${SEALED_STATE}'; end $$`,
  ],
  // Creating a trigger waits for the transactions that have written to the table. So a later read sees all
  // changes that there will ever be.
  close: (table) => [
    `create or replace trigger ${table}_sealed before insert or update or delete or truncate on ${table} ` +
      'for each statement execute function library_sealed()',
  ],
  open: (table) => [`drop trigger if exists ${table}_sealed on ${table}`],
};
