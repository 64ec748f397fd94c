/** The statements about accounts themselves, without their images and products. */
import type { Kysely, Transaction } from 'kysely';
import type { Account, AccountSet, ApiKey } from '../../access/account.ts';
import type { Actor, NewAuditEntry } from '../../access/audit.ts';
import type { AccountChange, AccountRecords, Page } from '../../access/records.ts';
import { type Database, runTransaction, translateErrors } from '../dialect.ts';
import { type AccountRow, accountFromRow, rowFromAccount, type Schema } from '../schema/tables.ts';
import { addAuditEntry } from './audit.ts';
import { createKey } from './keys.ts';

export class SqlAccounts implements AccountRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  create(account: Account, by: Actor): Promise<'created' | 'exists'> {
    return runTransaction(this.#database, (trx) => createAccount(trx, account, by));
  }

  createFirst(account: Account, key: ApiKey, secretDigest: string, by: Actor): Promise<'created' | 'exists'> {
    return runTransaction(this.#database, async (trx) => {
      // Other nodes wait for this row. A row of an account or of a key cannot be locked before it exists.
      await trx
        .selectFrom('library')
        .select('library_id')
        .$if(this.#database.needsRowLocks, (query) => query.forUpdate())
        .executeTakeFirstOrThrow();
      if (await hasAccount(trx)) return 'exists';
      await createKey(trx, key, secretDigest, by);
      return createAccount(trx, account, by);
    });
  }

  find(accountID: string): Promise<Account | undefined> {
    return translateErrors(this.#database, async () => {
      const row = await this.#row(this.#database.db, accountID).executeTakeFirst();
      return row === undefined ? undefined : accountFromRow(row);
    });
  }

  isEmpty(): Promise<boolean> {
    return translateErrors(this.#database, async () => {
      return !(await hasAccount(this.#database.db));
    });
  }

  list(page: Page, accountIDs: AccountSet): Promise<{ accounts: Account[]; total: number }> {
    return translateErrors(this.#database, async () => {
      if (accountIDs !== 'all' && accountIDs.length === 0) return { accounts: [], total: 0 };
      const matching = this.#database.db
        .selectFrom('accounts')
        .$if(accountIDs !== 'all', (query) =>
          query.where('account_id', 'in', [...accountIDs]).where('suspended_on', 'is', null),
        );
      const { total } = await matching
        .select((row) => row.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const rows = await matching
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
    return runTransaction(this.#database, async (trx) => {
      const before = await this.#row(trx, accountID)
        .$if(this.#database.needsRowLocks, (query) => query.forNoKeyUpdate())
        .executeTakeFirst();
      if (before === undefined) return undefined;
      const columns = changedColumns(before, change, on);
      if (Object.keys(columns).length === 0) return accountFromRow(before);
      await trx.updateTable('accounts').set(columns).where('account_id', '=', accountID).execute();
      const after = accountFromRow({ ...before, ...columns });
      const action = auditedChange(change, before, columns);
      await addAuditEntry(trx, accountID, { on, by, subjectID: accountID, ...action });
      return after;
    });
  }

  #row(db: Kysely<Schema> | Transaction<Schema>, accountID: string) {
    return db.selectFrom('accounts').selectAll().where('account_id', '=', accountID);
  }
}

/** The columns that the change sets to other values. */
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

/** The action of the audit entry, with the settings before and after. */
function auditedChange(
  change: AccountChange,
  before: AccountRow,
  columns: Partial<AccountRow>,
): Pick<NewAuditEntry, 'action' | 'details'> {
  if (change.kind !== 'settings') return { action: `account.${change.kind}` };
  const entries = Object.entries(columns);
  return {
    action: 'account.change',
    details: {
      before: Object.fromEntries(entries.map(([name]) => [SETTINGS[name], before[name as keyof AccountRow]])),
      after: Object.fromEntries(entries.map(([name, value]) => [SETTINGS[name], value])),
    },
  };
}

/** The settings of an account, by column. */
const SETTINGS: Readonly<Record<string, string>> = {
  display_name: 'displayName',
  image_quota: 'imageQuota',
  byte_quota: 'byteQuota',
  disable_policy: 'disablePolicy',
};

async function hasAccount(db: Kysely<Schema>): Promise<boolean> {
  const rows = await db.selectFrom('accounts').select('account_id').limit(1).execute();
  return rows.length > 0;
}

async function createAccount(
  trx: Transaction<Schema>,
  account: Account,
  by: Actor,
): Promise<'created' | 'exists'> {
  const created = await trx
    .insertInto('accounts')
    .values(rowFromAccount(account))
    .onConflict((conflict) => conflict.column('account_id').doNothing())
    .returning('account_id')
    .executeTakeFirst();
  if (created === undefined) return 'exists';
  const { accountID, displayName, createdOn: on } = account;
  await addAuditEntry(trx, accountID, {
    on,
    by,
    action: 'account.create',
    subjectID: accountID,
    details: { displayName },
  });
  return 'created';
}
