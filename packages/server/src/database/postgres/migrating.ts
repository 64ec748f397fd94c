/**
 * Migrations on PostgreSQL: their lock, and the limits of their waits.
 */
import { type Kysely, type MigrationLockOptions, PostgresAdapter, PostgresDialect, sql } from 'kysely';
import { LOCK, type MigrationLocks } from '../schema/migrate.ts';

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
