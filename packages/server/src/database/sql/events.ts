/** The statements that read and remove events. sql/audit.ts adds them. */
import type { Event, EventData, EventType } from '../../events/event.ts';
import type { EventRecords } from '../../events/records.ts';
import { type Database, runTransaction, translateErrors } from '../dialect.ts';
import type { EventRow } from '../schema/tables.ts';

export class SqlEvents implements EventRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(accountID: string, after: number, limit: number): Promise<readonly Event[]> {
    return translateErrors(this.#database, async () => {
      const rows = await this.#database.db
        .selectFrom('events')
        .selectAll()
        .where('account_id', '=', accountID)
        .where('sequence', '>', after)
        .orderBy('sequence')
        .limit(limit)
        .execute();
      return rows.map(eventFromRow);
    });
  }

  prune(before: Date, limit: number): Promise<number> {
    return runTransaction(this.#database, async (trx) => {
      const rows = await trx
        .selectFrom('events')
        .select(['account_id', 'sequence'])
        .where('created_on', '<', before.getTime())
        .orderBy('created_on')
        .limit(limit)
        // Another node may remove the same events.
        .$if(this.#database.needsRowLocks, (query) => query.forUpdate().skipLocked())
        .execute();
      // Whole ranges, so that an account never has a gap between two of its events.
      const newest = new Map<string, number>();
      for (const { account_id, sequence } of rows) {
        newest.set(account_id, Math.max(sequence, newest.get(account_id) ?? 0));
      }
      for (const [account_id, sequence] of newest) {
        await trx
          .deleteFrom('events')
          .where('account_id', '=', account_id)
          .where('sequence', '<=', sequence)
          .execute();
      }
      return rows.length;
    });
  }
}

function eventFromRow(row: EventRow): Event {
  return {
    sequence: row.sequence,
    type: row.type as EventType,
    createdOn: new Date(row.created_on),
    data: JSON.parse(row.data) as EventData,
  };
}
