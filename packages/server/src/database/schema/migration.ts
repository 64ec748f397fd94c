/**
 * The types that every migration uses. A released migration is never edited.
 */
import type { Kysely } from 'kysely';

/** The schema of a migration. It has no row types, because a migration sees the schema of its own time. */
export type AnySchema = Kysely<unknown>;

/** Statements of migrations that differ between the databases. */
export interface MigrationDialect {
  /** Statements after which the database refuses to change or remove rows of this table. */
  appendOnly(table: string): readonly string[];
}
