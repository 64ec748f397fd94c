/**
 * The types that every migration uses. A released migration is never edited.
 */
import type { Kysely } from 'kysely';

/** A migration sees the schema of its time and not today's, so it gets no row types. */
export type AnySchema = Kysely<unknown>;

/** The statements of a migration that differ between the databases. */
export interface MigrationDialect {
  /** Statements after which the database refuses to change or remove rows of this table. */
  appendOnly(table: string): readonly string[];
}
