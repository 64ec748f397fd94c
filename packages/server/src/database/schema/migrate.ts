/**
 * Applies migrations. Several processes may do so at once: one works, and the others wait for it.
 * The lock is a row of Kysely's own lock table. Not every database has advisory locks, and a pooler such as
 * PgBouncer gives each transaction another connection.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
import type { Migration } from 'kysely/migration';
import { AppError } from '../../errors.ts';
import type { SchemaState } from '../../maintenance/records.ts';
import type { AnySchema, ReportProgress } from './migration.ts';
import type { Migrations } from './migrations.ts';
import {
  appliedMigrations,
  MIGRATION_TABLE,
  SUPPORT_TABLE,
  schemaState,
  withMigrationTables,
} from './state.ts';
import type { Schema } from './tables.ts';

/** Kysely's DEFAULT_MIGRATION_LOCK_TABLE and MIGRATION_LOCK_ID. */
const LOCK_TABLE = 'kysely_migration_lock';
export const LOCK = { lockTable: LOCK_TABLE, lockRowId: 'migration_lock' };

/** Milliseconds between two attempts to get the lock of the migrations. */
const LOCK_INTERVAL = 200;

/**
 * Milliseconds for which a migration waits for a lock on a table. Meanwhile, later requests for this table
 * wait behind it, so this time is short. It is below the statement timeout of servers.
 */
const LOCK_TIMEOUT = 1_000;
/** Milliseconds between two attempts, in which the requests that waited are answered. */
const PAUSE = 2_000;
/** Milliseconds after which a migration that gets no lock fails. */
const PATIENCE = 10 * 60 * 1_000;

export interface MigrateOptions {
  /** The name of the last migration to apply. Absent: all migrations of this version. */
  readonly upTo?: string;
  /** Gets the progress of parts that take long. */
  readonly report?: ReportProgress;
  /** Leaves out a migration that takes long and that this version can do without. For starts. */
  readonly postpones?: boolean;
  /** Milliseconds. */
  readonly patience?: number;
}

export interface MigrateOutcome {
  /** The migrations that this call applied, in order. */
  readonly applied: readonly string[];
  /** The migrations of a newer version, whose schema this version can serve. */
  readonly newer: readonly string[];
  /** The migrations that this call left out. */
  readonly postponed: readonly string[];
}

/** A database as migrations need it. */
export interface MigratedDatabase {
  /** Without timeouts. */
  readonly db: Kysely<Schema>;
  readonly migrations: Migrations;
  /** Absent where a transaction excludes all other writers. */
  readonly locks?: MigrationLocks;
}

/** Locks of a database in which transactions wait for each other. */
export interface MigrationLocks {
  /**
   * Takes the lock of the migrations until the transaction ends. It does not wait, because a transaction that
   * waits could delay the online part of another process.
   * @returns false if another process has the lock.
   */
  take(trx: Transaction<Schema>): Promise<boolean>;
  /** Limits each wait for a lock until the transaction ends, and lifts its other timeouts. */
  limitWaits(trx: Transaction<Schema>, milliseconds: number): Promise<void>;
  /** Whether another transaction held a lock, so that a later attempt may succeed. */
  isConflict(error: unknown): boolean;
}

/**
 * Brings the schema to this version. An error of a migration is thrown as it is.
 * @throws AppError `unavailable` if this version cannot serve a newer schema, or if it gets no lock.
 */
export async function migrate(
  database: MigratedDatabase,
  options: MigrateOptions = {},
): Promise<MigrateOutcome> {
  const { db, migrations } = database;
  const available = Object.keys(migrations).sort();
  const wanted =
    options.upTo === undefined ? available : available.filter((name) => name <= (options.upTo ?? ''));
  const isWanted = (name: string) => wanted.includes(name);

  // A database that has everything is not written to: its user may lack the rights to change tables.
  const before = await readState(db, available);
  if (before !== undefined) {
    refuseUnservable(before);
    const pending = before.pending.filter(isWanted);
    const isPostponed = await postpones(database, pending, options);
    if (pending.length === 0 || isPostponed) return { applied: [], newer: before.newer, postponed: pending };
  }
  await createMigrationTables(db);
  const applied: string[] = [];
  let isWaiting = false;
  for (;;) {
    const step = await db.transaction().execute(async (trx) => {
      if ((await database.locks?.take(trx)) === false) return undefined;
      const state = await schemaState(trx, await appliedMigrations(trx), available);
      refuseUnservable(state);
      const pending = state.pending.filter(isWanted);
      if (await postpones(database, pending, options)) {
        return { names: [], newer: state.newer, postponed: pending, isLast: true };
      }
      const names = await runOnlinePart(database, pending, options.report);
      if (names.length > 0) await apply(database, trx, names, options);
      return { names, newer: state.newer, postponed: [], isLast: names.length === pending.length };
    });
    if (step === undefined) {
      if (!isWaiting) options.report?.('waiting: another process applies migrations');
      isWaiting = true;
      await sleep(LOCK_INTERVAL);
      continue;
    }
    applied.push(...step.names);
    if (step.isLast) return { applied, newer: step.newer, postponed: step.postponed };
  }
}

/** Whether only a migration is left that may wait for `vitrine migrate`. */
async function postpones(
  { db, migrations }: MigratedDatabase,
  [first = '', ...others]: readonly string[],
  options: MigrateOptions,
): Promise<boolean> {
  const migration = migrations[first];
  if (!options.postpones || others.length > 0 || !migration || !('takesLong' in migration)) return false;
  return (await migration.takesLong?.(db as unknown as AnySchema)) === true;
}

/** Undefined if the database has no migrations yet. @throws AppError `unavailable`. */
async function readState(db: Kysely<Schema>, available: readonly string[]): Promise<SchemaState | undefined> {
  let applied: readonly string[];
  try {
    applied = await appliedMigrations(db);
  } catch (error) {
    if (error instanceof AppError) throw error;
    return undefined;
  }
  // The table of a first release has no statements beside it.
  return schemaState(db, applied, available).catch((error: unknown) => {
    if (error instanceof AppError) throw error;
    return schemaState(db, applied, available, false);
  });
}

function refuseUnservable({ newer, isServable }: SchemaState): void {
  if (newer.length === 0 || isServable) return;
  throw new AppError(
    'unavailable',
    `this database belongs to a newer version of Vitrine: it has the unknown migration ${newer.join(', ')}, ` +
      'and this version cannot serve its schema. Run the newer version, or restore a backup from before the upgrade',
  );
}

/**
 * Runs the online part of the first migration, if it has one. Other processes wait for the lock meanwhile.
 * @returns the migrations that one transaction can apply now: those before the next online part.
 */
async function runOnlinePart(
  { db, migrations }: MigratedDatabase,
  pending: readonly string[],
  report: ReportProgress = () => undefined,
): Promise<readonly string[]> {
  const schema = db as unknown as AnySchema;
  const onlinePart = async (name: string) => {
    const migration = migrations[name];
    if (migration === undefined || !('online' in migration)) return undefined;
    return (await migration.takesLong?.(schema)) === false ? undefined : migration.online;
  };
  const names: string[] = [];
  for (const name of pending) {
    const online = await onlinePart(name);
    if (online !== undefined && names.length > 0) break;
    await online?.(schema, (text) => report(`${name}: ${text}`));
    names.push(name);
  }
  return names;
}

/** Applies migrations, and starts again when another transaction holds a lock that they need. */
async function apply(
  { migrations, locks }: MigratedDatabase,
  trx: Transaction<Schema>,
  names: readonly string[],
  { report, patience = PATIENCE }: MigrateOptions,
): Promise<void> {
  // Loaded on demand, because most starts have nothing to apply.
  const [{ Migrator }, { sql }] = await Promise.all([import('kysely/migration'), import('kysely')]);
  const stated = withStatements(migrations);
  const migrator = new Migrator({
    // The migrator has its own tables, and does not use the type.
    db: trx as unknown as Kysely<Record<string, never>>,
    provider: { getMigrations: async () => stated },
  });
  const attempt = async () => (await migrator.migrateTo(names.at(-1) ?? '')).error;
  if (locks === undefined) {
    const error = await attempt();
    if (error !== undefined) throw error;
    return;
  }
  const deadline = performance.now() + patience;
  for (;;) {
    // The savepoint comes after the lock of the migrations, so that no other process tries meanwhile.
    await sql`savepoint migrations`.execute(trx);
    await locks.limitWaits(trx, LOCK_TIMEOUT);
    const error = await attempt();
    if (error === undefined) return;
    if (!locks.isConflict(error)) throw error;
    await sql`rollback to savepoint migrations`.execute(trx);
    if (performance.now() >= deadline) {
      throw new AppError(
        'unavailable',
        `the schema cannot be changed: for ${patience / 1_000} s, other transactions held locks on its tables. ` +
          'Wait until a running backup or a long query has ended',
        { cause: error },
      );
    }
    report?.('waiting: another transaction, such as a backup, holds a lock on the tables');
    await sleep(PAUSE);
  }
}

/** The migrations, each of which also stores its statement about earlier versions. */
function withStatements(migrations: Migrations): Record<string, Migration> {
  const entries = Object.entries(migrations).map(([name, migration]): [string, Migration] => {
    if (!('servesFrom' in migration)) return [name, migration];
    const { servesFrom: serves_from } = migration;
    const up = async (db: AnySchema) => {
      await migration.up(db);
      await withMigrationTables(db as unknown as Kysely<Schema>)
        .insertInto(SUPPORT_TABLE)
        .values({ migration: name, serves_from })
        .execute();
    };
    return [name, { up }];
  });
  return Object.fromEntries(entries);
}

/** Creates the tables of Kysely, with its columns, and the one beside them. */
async function createMigrationTables(db: Kysely<Schema>): Promise<void> {
  const { schema } = db;
  const statements = [
    schema
      .createTable(MIGRATION_TABLE)
      .addColumn('name', 'varchar(255)', (column) => column.notNull().primaryKey())
      .addColumn('timestamp', 'varchar(255)', (column) => column.notNull()),
    schema
      .createTable(LOCK_TABLE)
      .addColumn('id', 'varchar(255)', (column) => column.notNull().primaryKey())
      .addColumn('is_locked', 'integer', (column) => column.notNull().defaultTo(0)),
    schema
      .createTable(SUPPORT_TABLE)
      .addColumn('migration', 'varchar(255)', (column) => column.notNull().primaryKey())
      .addColumn('serves_from', 'varchar(255)', (column) => column.notNull()),
  ].map((statement) => statement.ifNotExists());
  for (const statement of statements) {
    // PostgreSQL fails if another process creates the table at this moment. Then it exists.
    await statement.execute().catch(() => statement.execute());
  }
  await db
    .withTables<{ [LOCK_TABLE]: { id: string; is_locked: number } }>()
    .insertInto(LOCK_TABLE)
    .values({ id: LOCK.lockRowId, is_locked: 0 })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
}
