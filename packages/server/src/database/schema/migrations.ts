/**
 * The list of migrations, and their application. A released migration is never edited; a change is a new
 * migration. Migrations run on every database. Statements that differ come from the dialect.
 */
import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { AppError } from '../../errors.ts';
import { initialMigration } from './0001-initial.ts';
import { accessMigration } from './0002-access.ts';
import { limitsMigration } from './0003-limits.ts';
import { catalogMigration } from './0004-catalog.ts';
import { focalPointsMigration } from './0005-focal-points.ts';
import { maintenanceMigration } from './0006-maintenance.ts';
import { libraryMigration } from './0007-library.ts';
import { productCategoriesMigration } from './0008-product-categories.ts';
import { imageFieldsMigration } from './0009-image-fields.ts';
import { eventsMigration } from './0010-events.ts';
import { collectionMigration } from './0011-collection.ts';
import type { MigrationDialect } from './migration.ts';
import type { Schema } from './tables.ts';

/** The table in which Kysely records applied migrations: its DEFAULT_MIGRATION_TABLE. */
const MIGRATION_TABLE = 'kysely_migration';

/**
 * All migrations by name. They are applied in the order of their names, so a new one takes the next number.
 */
export function migrationsFor(dialect: MigrationDialect): Record<string, Migration> {
  return {
    '0001-initial': initialMigration,
    '0002-access': accessMigration(dialect),
    '0003-limits': limitsMigration,
    '0004-catalog': catalogMigration,
    '0005-focal-points': focalPointsMigration,
    '0006-maintenance': maintenanceMigration,
    '0007-library': libraryMigration,
    '0008-product-categories': productCategoriesMigration,
    '0009-image-fields': imageFieldsMigration(dialect),
    '0010-events': eventsMigration(dialect),
    '0011-collection': collectionMigration,
  };
}

/** The names of all migrations, in order. */
export function migrationNames(): string[] {
  const noDialect: MigrationDialect = {
    appendOnly: () => [],
    codePointText: 'text',
    maintainUsed: [],
    indexSearchTexts: [],
    notifyImageChanges: [],
  };
  return Object.keys(migrationsFor(noDialect)).sort();
}

/**
 * Brings the schema to this version. Several processes may call it at once: one migrates, and the others wait
 * for it.
 * @param upTo the name of the last migration to apply. Kysely reverts newer migrations, so the caller must
 * check that there are none.
 * @throws AppError `unavailable` if a newer version made the schema; the error of the migration otherwise.
 */
export async function migrateToLatest(
  db: Kysely<Schema>,
  dialect: MigrationDialect,
  upTo?: string,
): Promise<void> {
  const available = migrationsFor(dialect);
  // Loaded on demand, because the start needs its time for other modules.
  const { Migrator } = await import('kysely/migration');
  const migrator = new Migrator({
    // The migrator has its own tables, and does not use the type.
    db: db as unknown as Kysely<Record<string, never>>,
    provider: { getMigrations: async () => available },
  });
  const { error } = await (upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(upTo));
  if (error === undefined) return;

  // If reading the migrations fails too, the first error is the more useful one.
  const applied = await appliedMigrations(db).catch(() => []);
  const unknown = applied.filter((name) => !Object.hasOwn(available, name));
  if (unknown.length === 0) throw error;
  throw new AppError(
    'unavailable',
    `this database belongs to a newer version of Vitrine: it has the unknown migration ${unknown.join(', ')}. ` +
      'Run the newer version, or restore a backup from before the upgrade',
  );
}

/** The names of the applied migrations, in order. Rejects if the database is empty. */
export async function appliedMigrations(db: Kysely<Schema>): Promise<string[]> {
  const rows = await db
    .withTables<{ [MIGRATION_TABLE]: { name: string } }>()
    .selectFrom(MIGRATION_TABLE)
    .select('name')
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}
