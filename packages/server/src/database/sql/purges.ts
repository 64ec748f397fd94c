/** The statements about purges that are still to be sent. */
import { randomUUID } from 'node:crypto';
import type { Kysely, Transaction } from 'kysely';
import type { Purge, PurgeRecords } from '../../events/records.ts';
import { type Database, runTransaction, translateErrors } from '../dialect.ts';
import type { PurgeRow, Schema } from '../schema/tables.ts';

/** Adds a purge in the transaction of the change, if this server purges caches. */
export async function addPurge(
  database: Database,
  trx: Transaction<Schema>,
  publicID: string,
  on: Date,
): Promise<void> {
  if (!database.writesPurges) return;
  const created_on = on.getTime();
  await trx
    .insertInto('purges')
    .values({ purge_id: randomUUID(), public_id: publicID, created_on, not_before: 0, attempts: 0 })
    .execute();
}

export class SqlPurges implements PurgeRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  listDue(on: Date, limit: number): Promise<readonly Purge[]> {
    return translateErrors(this.#database, async () => {
      const rows = await duePurges(this.#database.db, on)
        .selectAll()
        .orderBy('created_on')
        .limit(limit)
        .execute();
      return rows.map(purgeFromRow);
    });
  }

  claim(purgeIDs: readonly string[], on: Date, until: Date): Promise<readonly Purge[]> {
    if (purgeIDs.length === 0) return Promise.resolve([]);
    return runTransaction(this.#database, async (trx) => {
      const free = duePurges(trx, on)
        .select('purge_id')
        .where('purge_id', 'in', purgeIDs)
        .$if(this.#database.needsRowLocks, (query) => query.forUpdate().skipLocked());
      const rows = await trx
        .updateTable('purges')
        .set((row) => ({ not_before: until.getTime(), attempts: row('attempts', '+', 1) }))
        .where('purge_id', 'in', free)
        .returningAll()
        .execute();
      return rows.map(purgeFromRow);
    });
  }

  async postpone(purgeID: string, until: Date): Promise<void> {
    await translateErrors(this.#database, () =>
      this.#database.db
        .updateTable('purges')
        .set({ not_before: until.getTime() })
        .where('purge_id', '=', purgeID)
        .execute(),
    );
  }

  async remove(purgeIDs: readonly string[]): Promise<void> {
    if (purgeIDs.length === 0) return;
    await translateErrors(this.#database, () =>
      this.#database.db.deleteFrom('purges').where('purge_id', 'in', purgeIDs).execute(),
    );
  }
}

function duePurges(db: Kysely<Schema>, on: Date) {
  return db.selectFrom('purges').where('not_before', '<=', on.getTime());
}

function purgeFromRow(row: PurgeRow): Purge {
  return {
    purgeID: row.purge_id,
    publicID: row.public_id,
    createdOn: new Date(row.created_on),
    attempts: row.attempts,
  };
}
