/**
 * Owns the statements about accounts themselves. Refuses to know dialects, and what is in the accounts.
 */
import type { Kysely, Transaction } from 'kysely';
import type { Account, AccountSet } from '../../access/account.ts';
import type { Actor, NewAuditEntry } from '../../access/audit.ts';
import type { AccountChange, Page } from '../../access/records.ts';
import { type Database, guarded, transact } from '../dialect.ts';
import { type AccountRow, accountFromRow, rowFromAccount, type Schema } from '../schema/tables.ts';
import { record } from './audit.ts';

export class SqlAccounts {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  create(account: Account, by: Actor): Promise<'created' | 'exists'> {
    return transact(this.#database, async (trx) => {
      const created = await trx
        .insertInto('accounts')
        .values(rowFromAccount(account))
        .onConflict((conflict) => conflict.column('account_id').doNothing())
        .returning('account_id')
        .executeTakeFirst();
      if (created === undefined) return 'exists';
      const { accountID, displayName, createdOn: on } = account;
      await record(trx, accountID, {
        on,
        by,
        action: 'account.create',
        subjectID: accountID,
        details: { displayName },
      });
      return 'created';
    });
  }

  find(accountID: string): Promise<Account | undefined> {
    return guarded(this.#database, async () => {
      const row = await this.#row(this.#database.db, accountID).executeTakeFirst();
      return row === undefined ? undefined : accountFromRow(row);
    });
  }

  isEmpty(): Promise<boolean> {
    return guarded(this.#database, async () => {
      const any = await this.#database.db.selectFrom('accounts').select('account_id').limit(1).execute();
      return any.length === 0;
    });
  }

  list(page: Page, among: AccountSet): Promise<{ accounts: Account[]; total: number }> {
    return guarded(this.#database, async () => {
      if (among !== 'all' && among.length === 0) return { accounts: [], total: 0 };
      const chosen = this.#database.db
        .selectFrom('accounts')
        .$if(among !== 'all', (query) =>
          query.where('account_id', 'in', [...among]).where('suspended_on', 'is', null),
        );
      const { total } = await chosen
        .select((row) => row.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const rows = await chosen
        .selectAll()
        .orderBy('created_on', 'desc')
        .orderBy('account_id')
        .limit(page.count)
        .offset(page.skip)
        .execute();
      return { accounts: rows.map(accountFromRow), total: Number(total) };
    });
  }

  change(accountID: string, change: AccountChange, on: Date, by: Actor): Promise<Account | undefined> {
    return transact(this.#database, async (trx) => {
      const before = await this.#row(trx, accountID)
        .$if(this.#database.locksRows, (query) => query.forNoKeyUpdate())
        .executeTakeFirst();
      if (before === undefined) return undefined;
      const changed = changedColumns(before, change, on);
      if (Object.keys(changed).length === 0) return accountFromRow(before);
      await trx.updateTable('accounts').set(changed).where('account_id', '=', accountID).execute();
      const after = accountFromRow({ ...before, ...changed });
      await record(trx, accountID, { on, by, subjectID: accountID, ...told(change, before, changed) });
      return after;
    });
  }

  #row(db: Kysely<Schema> | Transaction<Schema>, accountID: string) {
    return db.selectFrom('accounts').selectAll().where('account_id', '=', accountID);
  }
}

/** What the change makes different in the row. */
function changedColumns(row: AccountRow, change: AccountChange, on: Date): Partial<AccountRow> {
  switch (change.kind) {
    case 'settings': {
      const { displayName, imageQuota, byteQuota, disablePolicy } = change;
      return {
        ...(displayName !== undefined && displayName !== row.display_name && { display_name: displayName }),
        ...(imageQuota !== undefined && imageQuota !== row.image_quota && { image_quota: imageQuota }),
        ...(byteQuota !== undefined && byteQuota !== row.byte_quota && { byte_quota: byteQuota }),
        ...(disablePolicy !== undefined &&
          disablePolicy !== row.disable_policy && { disable_policy: disablePolicy }),
      };
    }
    case 'suspend':
      return row.suspended_on === null ? { suspended_on: on.getTime() } : {};
    case 'resume':
      return row.suspended_on === null ? {} : { suspended_on: null };
  }
}

function told(
  change: AccountChange,
  before: AccountRow,
  changed: Partial<AccountRow>,
): Pick<NewAuditEntry, 'action' | 'details'> {
  if (change.kind !== 'settings') return { action: `account.${change.kind}` };
  const columns = Object.entries(changed);
  return {
    action: 'account.change',
    details: {
      before: Object.fromEntries(columns.map(([name]) => [SETTINGS[name], before[name as keyof AccountRow]])),
      after: Object.fromEntries(columns.map(([name, value]) => [SETTINGS[name], value])),
    },
  };
}

/** The settings of an account by their columns. */
const SETTINGS: Readonly<Record<string, string>> = {
  display_name: 'displayName',
  image_quota: 'imageQuota',
  byte_quota: 'byteQuota',
  disable_policy: 'disablePolicy',
};
