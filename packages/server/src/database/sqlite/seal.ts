/** The statements that seal tables of SQLite: triggers that refuse every change. */
import { SEALED, type SealStatements } from '../dialect.ts';

const EVENTS = ['insert', 'update', 'delete'];

export const sealStatements: SealStatements = {
  prepare: [],
  close: (table) =>
    EVENTS.map(
      (event) =>
        `create trigger if not exists ${table}_sealed_${event} before ${event} on ${table} ` +
        `begin select raise(abort, '${SEALED}'); end`,
    ),
  open: (table) => EVENTS.map((event) => `drop trigger if exists ${table}_sealed_${event}`),
};
