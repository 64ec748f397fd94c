/**
 * The condition of text searches: one text within another, without regard to case. No character is special.
 */
import { type RawBuilder, sql } from 'kysely';
import { fold } from '../../validation/text.ts';

/** True for rows whose column contains the text. The column must have folded text. */
export function containsText(column: string, text: string): RawBuilder<boolean> {
  const literal = fold(text).replace(/[!%_]/g, '!$&');
  return sql<boolean>`${sql.ref(column)} like ${`%${literal}%`} escape '!'`;
}
