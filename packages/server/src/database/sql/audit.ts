/**
 * The statements that add and read entries of the audit trail. The database refuses to change or remove
 * entries. The event of a change is added with its entry, under the same lock.
 */
import type { Transaction } from 'kysely';
import type { AuditEntry, NewAuditEntry } from '../../access/audit.ts';
import type { AuditRecords, Page } from '../../access/records.ts';
import type { NewEvent } from '../../events/event.ts';
import { type Database, translateErrors } from '../dialect.ts';
import { auditFromRow, rowFromAudit, type Schema } from '../schema/tables.ts';

/** The `account_id` of entries of the server as a whole. */
const SERVER = '';

/**
 * Adds an entry to the trail of an account, in the transaction of the change. Undefined: the trail of the
 * server. It locks the trail until the transaction ends, so call it last. For several accounts use
 * `addAuditEntries`, which takes the locks in one order and so prevents deadlocks.
 * @param event the event of the change, for clients that follow the account.
 */
export async function addAuditEntry(
  trx: Transaction<Schema>,
  accountID: string | undefined,
  entry: NewAuditEntry,
  event?: NewEvent,
): Promise<void> {
  const account_id = accountID ?? SERVER;
  const events = event === undefined ? 0 : 1;
  const { sequence, event_sequence } = await trx
    .insertInto('audit_heads')
    .values({ account_id, sequence: 1, event_sequence: events })
    .onConflict((conflict) =>
      conflict.column('account_id').doUpdateSet((row) => ({
        sequence: row('audit_heads.sequence', '+', 1),
        event_sequence: row('audit_heads.event_sequence', '+', events),
      })),
    )
    .returning(['sequence', 'event_sequence'])
    .executeTakeFirstOrThrow();
  await trx
    .insertInto('audit')
    .values(rowFromAudit(account_id, sequence, entry))
    .execute();
  if (event === undefined) return;
  const data = JSON.stringify(event.data);
  await trx
    .insertInto('events')
    .values({ account_id, sequence: event_sequence, type: event.type, created_on: entry.on.getTime(), data })
    .execute();
}

/**
 * Adds the same entry to the trail of each account. For all accounts, or for none, adds it to the trail of
 * the server.
 */
export async function addAuditEntries(
  trx: Transaction<Schema>,
  accounts: 'all' | readonly string[],
  entry: NewAuditEntry,
): Promise<void> {
  const accountIDs = accounts === 'all' ? [] : [...new Set(accounts)].sort();
  if (accountIDs.length === 0) return addAuditEntry(trx, undefined, entry);
  for (const accountID of accountIDs) await addAuditEntry(trx, accountID, entry);
}

export class SqlAudit implements AuditRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }> {
    const account_id = accountID ?? SERVER;
    return translateErrors(this.#database, async () => {
      const head = await this.#database.db
        .selectFrom('audit_heads')
        .select('sequence')
        .where('account_id', '=', account_id)
        .executeTakeFirst();
      const total = head?.sequence ?? 0;
      if (page.skip >= total) return { entries: [], total };
      // The sequence has no gaps, so each page is a range of it.
      const newest = total - page.skip;
      const rows = await this.#database.db
        .selectFrom('audit')
        .selectAll()
        .where('account_id', '=', account_id)
        .where('sequence', '<=', newest)
        .where('sequence', '>', newest - page.count)
        .orderBy('sequence', 'desc')
        .execute();
      return { entries: rows.map(auditFromRow), total };
    });
  }
}
