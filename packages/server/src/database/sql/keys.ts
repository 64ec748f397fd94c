/** The statements about keys and their secrets. They do not check whether a key is valid. */
import type { Expression, SqlBool, Transaction } from 'kysely';
import type { ApiKey } from '../../access/account.ts';
import type { Actor, NewAuditEntry } from '../../access/audit.ts';
import type { KeyRecords, Page, RotateOutcome, Rotation, StoredKey } from '../../access/records.ts';
import { type Database, runTransaction, translateErrors } from '../dialect.ts';
import { type ApiKeyRow, keyFromRow, rowFromKey, type Schema, secretFromRow } from '../schema/tables.ts';
import { addAuditEntries } from './audit.ts';

export class SqlKeys implements KeyRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  create(key: ApiKey, secretDigest: string, by: Actor): Promise<'created' | 'exists'> {
    return runTransaction(this.#database, (trx) => createKey(trx, key, secretDigest, by));
  }

  put(
    key: ApiKey,
    secretDigest: string,
    on: Date,
    by: Actor,
    isCurrent: (stored: StoredKey) => boolean = () => false,
  ): Promise<'created' | 'replaced' | 'kept'> {
    return runTransaction(this.#database, async (trx) => {
      // The insert comes first. It waits for another node that creates the key at this moment.
      if ((await createKey(trx, key, secretDigest, by, on)) === 'created') return 'created';
      const { publicKey } = key;
      const { key_id } = await trx
        .selectFrom('api_keys')
        .select('key_id')
        .where('public_key', '=', publicKey)
        .$if(this.#database.needsRowLocks, (query) => query.forNoKeyUpdate())
        .executeTakeFirstOrThrow();
      const stored = await findStoredKey(trx, { publicKey });
      if (stored !== undefined && isCurrent(stored)) return 'kept';
      for (const table of ['key_secrets', 'tokens'] as const) {
        await trx.deleteFrom(table).where('key_id', '=', key_id).execute();
      }
      const { key_id: _, public_key, created_on, ...changes } = rowFromKey(key);
      await trx.updateTable('api_keys').set(changes).where('public_key', '=', public_key).execute();
      await trx.deleteFrom('api_key_accounts').where('public_key', '=', public_key).execute();
      await addAccounts(trx, key);
      await addSecret(trx, key_id, secretDigest, on);
      const replaced = { ...key, keyID: key_id };
      await addAuditEntries(trx, key.accounts, detailedEntry(replaced, 'key.replace', on, by));
      return 'replaced';
    });
  }

  find(publicKey: string): Promise<StoredKey | undefined> {
    return translateErrors(this.#database, () => findStoredKey(this.#database.db, { publicKey }));
  }

  findByID(keyID: string): Promise<ApiKey | undefined> {
    return translateErrors(
      this.#database,
      async () => (await findStoredKey(this.#database.db, { keyID }))?.key,
    );
  }

  list(page: Page, accountID?: string): Promise<{ keys: ApiKey[]; total: number }> {
    return translateErrors(this.#database, async () => {
      const { db } = this.#database;
      const matching = db.selectFrom('api_keys').$if(accountID !== undefined, (query) =>
        query.where((row) =>
          row.exists(
            row
              .selectFrom('api_key_accounts')
              .select('position')
              .whereRef('api_key_accounts.public_key', '=', 'api_keys.public_key')
              .where('account_id', '=', accountID ?? ''),
          ),
        ),
      );
      const { total } = await matching
        .select((row) => row.fn.countAll<number>().as('total'))
        .executeTakeFirstOrThrow();
      const rows = await matching
        .selectAll()
        .orderBy('created_on', 'desc')
        .orderBy('key_id')
        .limit(page.count)
        .offset(page.skip)
        .execute();
      if (rows.length === 0) return { keys: [], total: Number(total) };
      const accounts = await db
        .selectFrom('api_key_accounts')
        .selectAll()
        .where(
          'public_key',
          'in',
          rows.map(({ public_key }) => public_key),
        )
        .orderBy('position')
        .execute();
      const keys = rows.map((row) =>
        keyFromRow(
          row,
          accounts
            .filter(({ public_key }) => public_key === row.public_key)
            .map(({ account_id }) => account_id),
        ),
      );
      return { keys, total: Number(total) };
    });
  }

  rotate(keyID: string, rotation: Rotation, by: Actor): Promise<RotateOutcome> {
    return runTransaction(this.#database, async (trx): Promise<RotateOutcome> => {
      const key = await this.#lockKey(trx, keyID);
      if (key === undefined) return { kind: 'not-found' };
      if (key.revokedOn !== undefined) return { kind: 'revoked' };
      const on = rotation.createdOn;
      await trx
        .deleteFrom('key_secrets')
        .where('key_id', '=', keyID)
        .where('valid_until', 'is not', null)
        .execute();
      await trx
        .updateTable('key_secrets')
        .set({ valid_until: rotation.overlapUntil.getTime() })
        .where('key_id', '=', keyID)
        .execute();
      await addSecret(trx, keyID, rotation.secretDigest, on);
      const details = { overlapUntil: rotation.overlapUntil.toISOString() };
      await addAuditEntries(trx, key.accounts, { ...auditEntry(key, 'key.rotate', on, by), details });
      return { kind: 'rotated', key };
    });
  }

  revoke(keyID: string, on: Date, by: Actor): Promise<ApiKey | undefined> {
    return runTransaction(this.#database, async (trx) => {
      const key = await this.#lockKey(trx, keyID);
      if (key === undefined || key.revokedOn !== undefined) return key;
      await trx
        .updateTable('api_keys')
        .set({ revoked_on: on.getTime() })
        .where('key_id', '=', keyID)
        .execute();
      await trx.deleteFrom('tokens').where('key_id', '=', keyID).execute();
      await addAuditEntries(trx, key.accounts, auditEntry(key, 'key.revoke', on, by));
      return { ...key, revokedOn: on };
    });
  }

  touch(keyID: string, usedOn: Date, recentSince: Date): Promise<void> {
    return translateErrors(this.#database, async () => {
      await this.#database.db
        .updateTable('api_keys')
        .set({ last_used_on: usedOn.getTime() })
        .where('key_id', '=', keyID)
        .where((row) =>
          row.or([row('last_used_on', 'is', null), row('last_used_on', '<=', recentSince.getTime())]),
        )
        .execute();
    });
  }

  /** Reads the key, and locks its row until the transaction ends. */
  async #lockKey(trx: Transaction<Schema>, keyID: string): Promise<ApiKey | undefined> {
    await trx
      .selectFrom('api_keys')
      .select('key_id')
      .where('key_id', '=', keyID)
      .$if(this.#database.needsRowLocks, (query) => query.forNoKeyUpdate())
      .execute();
    return (await findStoredKey(trx, { keyID }))?.key;
  }
}

/** Creates a key in a transaction. @param on the time of the secret and of the audit entry. */
export async function createKey(
  trx: Transaction<Schema>,
  key: ApiKey,
  secretDigest: string,
  by: Actor,
  on = key.createdOn,
): Promise<'created' | 'exists'> {
  const created = await trx
    .insertInto('api_keys')
    .values(rowFromKey(key))
    .onConflict((conflict) => conflict.column('public_key').doNothing())
    .returning('key_id')
    .executeTakeFirst();
  if (created === undefined) return 'exists';
  await addAccounts(trx, key);
  await addSecret(trx, key.keyID, secretDigest, on);
  await addAuditEntries(trx, key.accounts, detailedEntry(key, 'key.create', on, by));
  return 'created';
}

/** Finds a key with its accounts and secrets. */
export async function findStoredKey(
  db: Database['db'] | Transaction<Schema>,
  by: { readonly publicKey: string } | { readonly keyID: string },
): Promise<StoredKey | undefined> {
  // One statement, because a key could be replaced between two, and get the accounts of the other one.
  const rows = await db
    .selectFrom('api_keys')
    .leftJoin('api_key_accounts', 'api_key_accounts.public_key', 'api_keys.public_key')
    .leftJoin('key_secrets', 'key_secrets.key_id', 'api_keys.key_id')
    .selectAll('api_keys')
    .select(['api_key_accounts.account_id', 'api_key_accounts.position'])
    .select([
      'key_secrets.digest as secret_digest',
      'key_secrets.created_on as secret_created_on',
      'key_secrets.valid_until as secret_valid_until',
    ])
    .where(
      (row): Expression<SqlBool> =>
        'publicKey' in by
          ? row('api_keys.public_key', '=', by.publicKey)
          : row('api_keys.key_id', '=', by.keyID),
    )
    .orderBy('api_key_accounts.position')
    .execute();
  const [first] = rows;
  if (first === undefined) return undefined;
  // The join gives each account with each secret.
  const accounts = new Map(rows.map(({ position, account_id }) => [position, account_id]));
  const secrets = new Map(rows.map((row) => [row.secret_digest, row]));
  return {
    key: keyFromRow(
      first as ApiKeyRow,
      [...accounts.values()].flatMap((accountID) => accountID ?? []),
    ),
    secrets: [...secrets.values()]
      .flatMap(({ secret_digest: digest, secret_created_on: created_on, secret_valid_until: valid_until }) =>
        digest === null || created_on === null ? [] : secretFromRow({ digest, created_on, valid_until }),
      )
      .sort((a, b) => Number(a.validUntil !== undefined) - Number(b.validUntil !== undefined)),
  };
}

async function addAccounts(trx: Transaction<Schema>, { publicKey, accounts }: ApiKey): Promise<void> {
  if (accounts === 'all' || accounts.length === 0) return;
  const rows = accounts.map((account_id, position) => ({ public_key: publicKey, position, account_id }));
  await trx.insertInto('api_key_accounts').values(rows).execute();
}

async function addSecret(
  trx: Transaction<Schema>,
  key_id: string,
  digest: string,
  createdOn: Date,
): Promise<void> {
  const row = { key_id, digest, created_on: createdOn.getTime(), valid_until: null };
  await trx.insertInto('key_secrets').values(row).execute();
}

function auditEntry({ keyID }: ApiKey, action: NewAuditEntry['action'], on: Date, by: Actor): NewAuditEntry {
  return { on, by, action, subjectID: keyID };
}

/** An audit entry with the properties of the key. */
function detailedEntry(key: ApiKey, action: NewAuditEntry['action'], on: Date, by: Actor): NewAuditEntry {
  const { name, publicKey, scopes, expiresOn } = key;
  const details = { name, publicKey, scopes, ...(expiresOn && { expiresOn: expiresOn.toISOString() }) };
  return { ...auditEntry(key, action, on, by), details };
}
