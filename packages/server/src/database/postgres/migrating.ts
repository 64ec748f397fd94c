/**
 * Migrations on PostgreSQL: their lock, and the limits of their waits.
 */
import { type Kysely, type MigrationLockOptions, PostgresAdapter, PostgresDialect, sql } from 'kysely';
import { AppError } from '../../errors.ts';
import {
  LOCK,
  type MigrateOptions,
  type MigrateOutcome,
  type MigrationLocks,
  migrate,
} from '../schema/migrate.ts';
import type { MigrationDialect } from '../schema/migration.ts';
import { migrationsFor } from '../schema/migrations.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * The lock is a row, and ends with its transaction. Kysely's own is an advisory lock of the connection.
 *
 * The statements have no parameters. After a statement with parameters, PostgreSQL keeps its snapshot until
 * the next statement, and an index that is built concurrently waits for all earlier snapshots.
 */
const selectLock = sql`select id from ${sql.table(LOCK.lockTable)} where id = ${sql.lit(LOCK.lockRowId)} for update`;

class RowLockAdapter extends PostgresAdapter {
  /** The caller has the lock already. */
  override async acquireMigrationLock(db: Kysely<unknown>, _lock: MigrationLockOptions): Promise<void> {
    await selectLock.execute(db);
  }

  override async releaseMigrationLock(): Promise<void> {}
}

export class RowLockDialect extends PostgresDialect {
  override createAdapter(): PostgresAdapter {
    return new RowLockAdapter();
  }
}

/** A lock that was not free in time, and a deadlock: a later attempt may succeed. */
const CONFLICTS: readonly unknown[] = ['55P03', '40P01'];

export const migrationLocks: MigrationLocks = {
  async take(trx) {
    // Statements of the online part may be far apart, and so this transaction is idle.
    await sql`set local idle_in_transaction_session_timeout = 0`.execute(trx);
    return (await sql`${selectLock} skip locked`.execute(trx)).rows.length > 0;
  },
  async limitWaits(trx, milliseconds) {
    await sql`set local statement_timeout = 0`.execute(trx);
    await sql`set local lock_timeout = ${sql.lit(milliseconds)}`.execute(trx);
  },
  isConflict: (error) => error instanceof Error && 'code' in error && CONFLICTS.includes(error.code),
};

/** The SQLSTATE of a missing right. */
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Brings the schema to this version. See `migrate`.
 * @param db without timeouts, and with several connections.
 * @throws AppError `forbidden` if the user of the database may not change its tables.
 */
export async function migratePostgres(
  db: Kysely<Schema>,
  dialect: MigrationDialect,
  options?: MigrateOptions,
): Promise<MigrateOutcome> {
  try {
    return await migrate({ db, migrations: migrationsFor(dialect), locks: migrationLocks }, options);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === INSUFFICIENT_PRIVILEGE)) throw cause;
    // No cause: this text says what to do, and the start would print only the cause.
    throw new AppError(
      'forbidden',
      `the user of the database may not change the schema (${cause.message}): ` +
        'run "vitrine migrate" with the owner of the tables in VITRINE_DATABASE',
    );
  }
}
