/**
 * The types that every migration uses. A released migration is never edited.
 */
import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** The schema of a migration. It has no row types, because a migration sees the schema of its own time. */
export type AnySchema = Kysely<unknown>;

/**
 * A migration that says which versions can serve its schema. While a library is updated, servers of the
 * version before run on the new schema. CONTRIBUTING.md has the rules.
 */
export interface ServedMigration extends Migration {
  /**
   * The newest migration of the oldest version that can serve the schema after this migration. Usually it is
   * the migration before this one. It is this migration itself if no earlier version can. It is stored in the
   * database, so that an earlier version finds it.
   */
  readonly servesFrom: string;
  /**
   * The part that takes long, for PostgreSQL: it fills new columns and builds indexes concurrently. It runs
   * before `up`, outside of a transaction, while servers work. All earlier migrations are committed. It has
   * no timeouts, and may use several connections.
   *
   * Without `takesLong`, it runs for an empty library too. It may end at any statement, and then runs again
   * from its start, so it continues its own work. After the loss of a connection, two processes may run it at
   * once. `up` must be short, and must finish what servers wrote after this part.
   */
  readonly online?: (db: AnySchema, report: ReportProgress) => Promise<void>;
  /**
   * Whether the online part takes so long that a start leaves it to `vitrine migrate`. Otherwise it does not
   * run, and `up` does everything. Only for the newest migration, and only if this version serves the schema
   * without it: see OPTIONAL_MIGRATIONS.
   */
  readonly takesLong?: (db: AnySchema) => Promise<boolean>;
}

/** Takes the progress of a migration as a phrase for operators, such as `images: 2000 of 52310`. */
export type ReportProgress = (text: string) => void;

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
  /** Undefined where columns have portable types only. */
  readonly nativeTypes: NativeTypes | undefined;
}

/** The conversion of all columns from portable types to the native types of the database. */
export interface NativeTypes {
  /** Whether `copy` has work. */
  isLarge(db: AnySchema): Promise<boolean>;
  /** Copies a large library while servers work. It may end at any statement, and then runs again. */
  copy(db: AnySchema, report: ReportProgress): Promise<void>;
  /** Converts all tables in one transaction. After `copy`, this is short. */
  convert(trx: AnySchema): Promise<void>;
}
