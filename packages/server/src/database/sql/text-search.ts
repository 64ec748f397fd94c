/**
 * Owns the one way to ask for a text within a text: without regard to case, and with no special characters.
 * Refuses to know tables.
 */
import { type RawBuilder, sql } from 'kysely';
import { fold } from '../../validation/text.ts';

/** True of rows whose column, which holds folded text, has this text somewhere in it. */
export function holdsText(column: string, text: string): RawBuilder<boolean> {
  const literal = fold(text).replace(/[!%_]/g, '!$&');
  return sql<boolean>`${sql.ref(column)} like ${`%${literal}%`} escape '!'`;
}
