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
  /** The type of texts that are sorted by their code points, as SQLite does. */
  readonly codePointText: string;
  /** Statements after which `images.used` says whether `image_uses` has a row of the image. */
  readonly maintainUsed: readonly string[];
  /** Statements that make an index for searches in the column `image_search.content`. */
  readonly indexSearchTexts: readonly string[];
  /** Statements after which nodes hear of changes that public links show. Empty where they cannot. */
  readonly notifyImageChanges: readonly string[];
}
