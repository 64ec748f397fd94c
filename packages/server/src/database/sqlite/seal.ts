/** The statements that seal tables of SQLite: triggers that refuse every change. */
import { sql } from 'kysely';
import { SEALED, type SealStatements } from '../dialect.ts';

const EVENTS = ['insert', 'update', 'delete'];

const trigger = (table: string, event: string) => sql.ref(`${table}_sealed_${event}`);

export const sealStatements: SealStatements = {
  prepare: [],
  close: (table) =>
    EVENTS.map(
      (event) =>
        sql`create trigger if not exists ${trigger(table, event)} before ${sql.raw(event)} on ${sql.table(table)}
          begin select raise(abort, ${sql.lit(SEALED)}); end`,
    ),
  open: (table) => EVENTS.map((event) => sql`drop trigger if exists ${trigger(table, event)}`),
};
