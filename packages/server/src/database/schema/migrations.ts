/**
 * Owns the history of the schema: each version is one migration, applied once, never edited after its release.
 * Refuses to know dialects: what is written here runs on all of them,
 * but for the few statements that a dialect brings along.
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
import type { MigrationDialect } from './migration.ts';
import type { Schema } from './tables.ts';

/** Where Kysely writes down what it has applied: its DEFAULT_MIGRATION_TABLE. */
const MIGRATION_TABLE = 'kysely_migration';

/** By name; applied in the order of the names, so a new one takes the next number. */
export function migrations(dialect: MigrationDialect): Record<string, Migration> {
  return {
    '0001-initial': initialMigration,
    '0002-access': accessMigration(dialect),
    '0003-limits': limitsMigration,
    '0004-catalog': catalogMigration,
    '0005-focal-points': focalPointsMigration,
    '0006-maintenance': maintenanceMigration,
    '0007-library': libraryMigration,
  };
}

/**
 * Brings the schema to this version. Several processes may do so at once: one works, the others wait and find it
 * done. `upTo` names the last migration to apply, for records from that time; a schema that has more than that loses it,
 * so that is for whoever has looked before. Throws an AppError `unavailable` that says so if the schema was made by a newer version, and whatever went wrong otherwise.
 */
export async function migrateToLatest(
  db: Kysely<Schema>,
  dialect: MigrationDialect,
  upTo?: string,
): Promise<void> {
  const known = migrations(dialect);
  // Loaded here because a server that is being started has better things to do until it needs it.
  const { Migrator } = await import('kysely/migration');
  const migrator = new Migrator({
    // The migrator keeps its own tables beside ours; it does not look at the type.
    db: db as unknown as Kysely<Record<string, never>>,
    provider: { getMigrations: async () => known },
  });
  const { error } = await (upTo === undefined ? migrator.migrateToLatest() : migrator.migrateTo(upTo));
  if (error === undefined) return;

  // The first error is the one that tells.
  const applied = await appliedMigrations(db).catch(() => []);
  const unknown = applied.filter((name) => !Object.hasOwn(known, name));
  if (unknown.length === 0) throw error;
  throw new AppError(
    'unavailable',
    `this database belongs to a newer version of Vitrine: it has the migration ${unknown.join(', ')}, ` +
      'which this version does not know. Run the newer version, or restore a backup from before it',
  );
}

/** The names of the migrations that a database has had, in order. Rejects if it has had none. */
export async function appliedMigrations(db: Kysely<Schema>): Promise<string[]> {
  const rows = await db
    .withTables<{ [MIGRATION_TABLE]: { name: string } }>()
    .selectFrom(MIGRATION_TABLE)
    .select('name')
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}
