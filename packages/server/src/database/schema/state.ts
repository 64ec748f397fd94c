/**
 * Which migrations a database has, and whether this version can serve its schema. Reading it changes nothing.
 */
import { type Kysely, sql } from 'kysely';
import type { SchemaState } from '../../maintenance/records.ts';
import { OPTIONAL_MIGRATIONS } from './migrations.ts';
import type { Schema } from './tables.ts';

/** The table in which Kysely records applied migrations: its DEFAULT_MIGRATION_TABLE. */
export const MIGRATION_TABLE = 'kysely_migration';
/** For each migration with such a statement, the oldest version that can serve its schema. */
export const SUPPORT_TABLE = 'schema_support';

type MigrationTables = {
  [MIGRATION_TABLE]: { name: string; timestamp: string };
  [SUPPORT_TABLE]: { migration: string; serves_from: string };
};

/** The database with the tables of migrations. */
export function withMigrationTables(db: Kysely<Schema>): Kysely<Schema & MigrationTables> {
  return db.withTables<MigrationTables>();
}

/** The names of the applied migrations, in order. Rejects if the database is empty. */
export async function appliedMigrations(db: Kysely<Schema>): Promise<string[]> {
  const rows = await withMigrationTables(db)
    .selectFrom(MIGRATION_TABLE)
    .select('name')
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}

/** @param available the names of the migrations of this version, in order. */
export async function readSchemaState(
  db: Kysely<Schema>,
  available: readonly string[],
): Promise<SchemaState> {
  // This statement fails if the database cannot be reached. Otherwise such a database would look empty.
  await sql`select 1 as one`.execute(db);
  const tables = await db.introspection.getTables({ withInternalKyselyTables: true });
  const has = (table: string) => tables.some(({ name }) => name === table);
  const applied = has(MIGRATION_TABLE) ? await appliedMigrations(db) : [];
  return schemaState(db, applied, available, has(SUPPORT_TABLE));
}

/** The state of a database with these migrations. @param hasSupport whether the support table exists. */
export async function schemaState(
  db: Kysely<Schema>,
  applied: readonly string[],
  available: readonly string[],
  hasSupport = true,
): Promise<SchemaState> {
  const pending = available.filter((name) => !applied.includes(name));
  const newer = applied.filter((name) => !available.includes(name));
  const servesFrom = newer.length > 0 && hasSupport ? await readSupport(db) : new Map<string, string>();
  const own = available.at(-1) ?? '';
  const allows = (oldest: string | undefined) => oldest !== undefined && oldest <= own;
  const isServable =
    pending.every((name) => OPTIONAL_MIGRATIONS.has(name)) &&
    newer.every((name) => allows(servesFrom.get(name)));
  return { applied, available, pending, newer, isServable };
}

async function readSupport(db: Kysely<Schema>): Promise<Map<string, string>> {
  const rows = await withMigrationTables(db).selectFrom(SUPPORT_TABLE).selectAll().execute();
  return new Map(rows.map(({ migration, serves_from }) => [migration, serves_from]));
}
