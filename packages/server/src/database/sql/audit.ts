/**
 * Owns the statements about the audit trail: how a line is added to a transaction, and how lines are read.
 * There are no others: the database refuses to change or remove lines.
 */
import type { Transaction } from 'kysely';
import type { AuditEntry, NewAuditEntry } from '../../access/audit.ts';
import type { AuditRecords, Page } from '../../access/records.ts';
import { type Database, guarded } from '../dialect.ts';
import { auditFromRow, rowFromAudit, type Schema } from '../schema/tables.ts';

/** The account of the lines that concern the server as a whole. */
const SERVER = '';

/**
 * Adds a line to the trail of an account, or of the server as a whole (undefined), in the transaction of the change
 * that it tells of. Takes a lock that all lines of the account need; so call it last, and for several accounts in the
 * order of their IDs (`recordFor`), or transactions wait for each other crosswise.
 */
export async function record(
  trx: Transaction<Schema>,
  accountID: string | undefined,
  entry: NewAuditEntry,
): Promise<void> {
  const account_id = accountID ?? SERVER;
  const { sequence } = await trx
    .insertInto('audit_heads')
    .values({ account_id, sequence: 1 })
    .onConflict((conflict) =>
      conflict.column('account_id').doUpdateSet((row) => ({ sequence: row('audit_heads.sequence', '+', 1) })),
    )
    .returning('sequence')
    .executeTakeFirstOrThrow();
  await trx
    .insertInto('audit')
    .values(rowFromAudit(account_id, sequence, entry))
    .execute();
}

/** Adds the same line to the trail of each account, or of the server if there are none or it concerns them all. */
export async function recordFor(
  trx: Transaction<Schema>,
  accounts: 'all' | readonly string[],
  entry: NewAuditEntry,
): Promise<void> {
  const named = accounts === 'all' ? [] : [...new Set(accounts)].sort();
  if (named.length === 0) return record(trx, undefined, entry);
  for (const accountID of named) await record(trx, accountID, entry);
}

export class SqlAudit implements AuditRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(accountID: string | undefined, page: Page): Promise<{ entries: AuditEntry[]; total: number }> {
    const account_id = accountID ?? SERVER;
    return guarded(this.#database, async () => {
      const head = await this.#database.db
        .selectFrom('audit_heads')
        .select('sequence')
        .where('account_id', '=', account_id)
        .executeTakeFirst();
      const total = head?.sequence ?? 0;
      if (page.skip >= total) return { entries: [], total };
      // There are no gaps, so a page is a range, however deep.
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
