/**
 * Owns the history of the schema: each version is one migration, applied once, never edited after its release.
 * Refuses to know dialects: what is written here runs on all of them,
 * but for the few statements that a dialect brings along.
 */
import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';
import { AppError } from '../../errors.ts';
import { accessMigration } from './0002-access.ts';
import { catalogMigration } from './0004-catalog.ts';
import { maintenanceMigration } from './0006-maintenance.ts';
import { libraryMigration } from './0007-library.ts';
import type { Schema } from './tables.ts';

/** Where Kysely writes down what it has applied: its DEFAULT_MIGRATION_TABLE. */
const MIGRATION_TABLE = 'kysely_migration';

// A migration sees the schema of its time, not today's; so it gets none.
type AnySchema = Kysely<unknown>;

const initial: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema
      .createTable('accounts')
      .addColumn('account_id', 'text', (column) => column.primaryKey().notNull())
      .addColumn('display_name', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addColumn('image_quota', 'bigint')
      .addColumn('image_count', 'bigint', (column) => column.notNull())
      .addColumn('enabled_count', 'bigint', (column) => column.notNull())
      .execute();

    await db.schema
      .createTable('api_keys')
      .addColumn('public_key', 'text', (column) => column.primaryKey().notNull())
      .addColumn('key_id', 'text', (column) => column.notNull().unique())
      .addColumn('secret_digest', 'text', (column) => column.notNull())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('all_accounts', 'integer', (column) => column.notNull())
      .addColumn('scopes', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .execute();

    await db.schema
      .createTable('api_key_accounts')
      .addColumn('public_key', 'text', (column) =>
        column.notNull().references('api_keys.public_key').onDelete('cascade'),
      )
      .addColumn('position', 'integer', (column) => column.notNull())
      // Not a foreign key: a key may name an account before it exists.
      .addColumn('account_id', 'text', (column) => column.notNull())
      .addPrimaryKeyConstraint('api_key_accounts_key', ['public_key', 'position'])
      .execute();

    await db.schema
      .createTable('images')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('sequence', 'bigint', (column) => column.notNull())
      .addColumn('image_id', 'text', (column) => column.notNull())
      .addColumn('public_id', 'text', (column) => column.notNull().unique())
      .addColumn('digest', 'text', (column) => column.notNull())
      .addColumn('size', 'bigint', (column) => column.notNull())
      .addColumn('format', 'text', (column) => column.notNull())
      .addColumn('width', 'integer', (column) => column.notNull())
      .addColumn('height', 'integer', (column) => column.notNull())
      .addColumn('frames', 'integer', (column) => column.notNull())
      .addColumn('transparent', 'integer', (column) => column.notNull())
      .addColumn('alt_text', 'text')
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addColumn('updated_on', 'bigint', (column) => column.notNull())
      .addColumn('disabled_on', 'bigint')
      .addPrimaryKeyConstraint('images_key', ['account_id', 'sequence'])
      .addUniqueConstraint('images_image_id', ['account_id', 'image_id'])
      .addUniqueConstraint('images_digest', ['account_id', 'digest'])
      .execute();

    // For the collection of blobs, which asks across accounts.
    await db.schema.createIndex('images_by_digest').on('images').column('digest').execute();

    await db.schema
      .createTable('idempotency_keys')
      .addColumn('account_id', 'text', (column) => column.notNull().references('accounts.account_id'))
      .addColumn('key', 'text', (column) => column.notNull())
      .addColumn('fingerprint', 'text', (column) => column.notNull())
      .addColumn('image', 'text', (column) => column.notNull())
      .addColumn('created_on', 'bigint', (column) => column.notNull())
      .addPrimaryKeyConstraint('idempotency_keys_key', ['account_id', 'key'])
      .execute();

    // For forgetting the expired keys of an account without reading the others.
    await db.schema
      .createIndex('idempotency_keys_by_age')
      .on('idempotency_keys')
      .columns(['account_id', 'created_on'])
      .execute();
  },
};

const limits: Migration = {
  async up(db: AnySchema): Promise<void> {
    await db.schema.alterTable('accounts').addColumn('byte_quota', 'bigint').execute();
    await db.schema
      .alterTable('accounts')
      .addColumn('byte_count', 'bigint', (column) => column.notNull().defaultTo(0))
      .execute();
    // What the accounts hold already counts. The sum is a numeric in PostgreSQL.
    await sql`update accounts set byte_count = (
      select cast(coalesce(sum(images.size), 0) as bigint) from images
      where images.account_id = accounts.account_id and images.disabled_on is null
    )`.execute(db);
  },
};

const focalPoints: Migration = {
  async up(db: AnySchema): Promise<void> {
    for (const column of ['focal_x', 'focal_y']) {
      await db.schema.alterTable('images').addColumn(column, 'integer').execute();
    }
  },
};

/** What a migration cannot say in words that every dialect understands. */
export interface MigrationDialect {
  /** Statements after which the database refuses to change or remove rows of this table. */
  appendOnly(table: string): readonly string[];
}

/** By name; applied in the order of the names, so a new one takes the next number. */
export function migrations(dialect: MigrationDialect): Record<string, Migration> {
  return {
    '0001-initial': initial,
    '0002-access': accessMigration(dialect),
    '0003-limits': limits,
    '0004-catalog': catalogMigration,
    '0005-focal-points': focalPoints,
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
