/**
 * Owns the MetadataStore over any SQL database: every statement is written once, here and, for one account's
 * images, in images.ts. Refuses to know dialects: they are opened by sqlite.ts and postgres.ts.
 */
import type { Account, ApiKey, DisablePolicy } from '../account.ts';
import { AppError } from '../errors.ts';
import type { Digest, Image } from '../image.ts';
import type { AccountCatalog } from './catalog.ts';
import { type Database, guarded, transact } from './database.ts';
import { SqlAccountImages } from './images.ts';
import { SqlAccountCatalog } from './products.ts';
import { accountFromRow, imageFromRow, keyFromRow, rowFromAccount, rowFromKey } from './schema.ts';
import type { AccountImages, MetadataStore } from './store.ts';

// Below the number of parameters that every dialect allows in one statement (SQLite: 32 766).
const DIGESTS_A_STATEMENT = 500;

export class SqlMetadataStore implements MetadataStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  migrate(): Promise<void> {
    return guarded(this.#database, () => this.#database.migrate());
  }

  /**
   * Reads the records themselves: a database that answers but has lost its tables is of no use.
   * Rejects with `cancelled` when the signal fires.
   */
  async check(signal?: AbortSignal): Promise<void> {
    try {
      await guarded(this.#database, () =>
        this.#database.db
          .selectFrom('accounts')
          .select('account_id')
          .limit(1)
          .execute(signal === undefined ? undefined : { signal }),
      );
    } catch (error) {
      if (signal?.aborted) throw new AppError('cancelled', 'The check was cancelled.', { cause: error });
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  createAccount(account: Account): Promise<'created' | 'exists'> {
    return guarded(this.#database, async () => {
      const created = await this.#database.db
        .insertInto('accounts')
        .values(rowFromAccount(account))
        .onConflict((conflict) => conflict.column('account_id').doNothing())
        .returning('account_id')
        .executeTakeFirst();
      return created === undefined ? 'exists' : 'created';
    });
  }

  findAccount(accountID: string): Promise<Account | undefined> {
    return guarded(this.#database, async () => {
      const row = await this.#database.db
        .selectFrom('accounts')
        .selectAll()
        .where('account_id', '=', accountID)
        .executeTakeFirst();
      return row === undefined ? undefined : accountFromRow(row);
    });
  }

  isEmpty(): Promise<boolean> {
    return guarded(this.#database, async () => {
      const any = await this.#database.db.selectFrom('accounts').select('account_id').limit(1).execute();
      return any.length === 0;
    });
  }

  putKey(key: ApiKey): Promise<void> {
    const row = rowFromKey(key);
    const accounts = key.accounts === 'all' ? [] : key.accounts;
    return transact(this.#database, async (trx) => {
      // The row comes first: it is the lock under which the accounts of the key are exchanged.
      await trx
        .insertInto('api_keys')
        .values(row)
        .onConflict((conflict) => conflict.column('public_key').doUpdateSet(row))
        .execute();
      await trx.deleteFrom('api_key_accounts').where('public_key', '=', row.public_key).execute();
      if (accounts.length === 0) return;
      await trx
        .insertInto('api_key_accounts')
        .values(
          accounts.map((account_id, position) => ({ public_key: row.public_key, position, account_id })),
        )
        .execute();
    });
  }

  findKey(publicKey: string): Promise<ApiKey | undefined> {
    return guarded(this.#database, async () => {
      // One statement, because between two of them a key could be replaced and get the other's accounts.
      const rows = await this.#database.db
        .selectFrom('api_keys')
        .leftJoin('api_key_accounts', 'api_key_accounts.public_key', 'api_keys.public_key')
        .selectAll('api_keys')
        .select('api_key_accounts.account_id')
        .where('api_keys.public_key', '=', publicKey)
        .orderBy('api_key_accounts.position')
        .execute();
      const [first] = rows;
      if (first === undefined) return undefined;
      return keyFromRow(
        first,
        rows.flatMap(({ account_id }) => account_id ?? []),
      );
    });
  }

  forAccount(accountID: string): AccountImages {
    return new SqlAccountImages(this.#database, accountID);
  }

  catalogOf(accountID: string): AccountCatalog {
    return new SqlAccountCatalog(this.#database, accountID);
  }

  setDisablePolicy(accountID: string, policy: DisablePolicy): Promise<'changed' | 'not-found'> {
    return guarded(this.#database, async () => {
      const row = await this.#database.db
        .updateTable('accounts')
        .set({ disable_policy: policy })
        .where('account_id', '=', accountID)
        .returning('account_id')
        .executeTakeFirst();
      return row === undefined ? 'not-found' : 'changed';
    });
  }

  findPublicImage(publicID: string): Promise<Image | undefined> {
    return guarded(this.#database, async () => {
      const row = await this.#database.db
        .selectFrom('images')
        .selectAll()
        .where('public_id', '=', publicID)
        .executeTakeFirst();
      return row === undefined ? undefined : imageFromRow(row);
    });
  }

  referencedDigests(digests: readonly Digest[]): Promise<Set<Digest>> {
    return guarded(this.#database, async () => {
      const referenced = new Set<Digest>();
      for (let start = 0; start < digests.length; start += DIGESTS_A_STATEMENT) {
        const rows = await this.#database.db
          .selectFrom('images')
          .select('digest')
          .distinct()
          .where('digest', 'in', digests.slice(start, start + DIGESTS_A_STATEMENT))
          .execute();
        for (const { digest } of rows) referenced.add(digest);
      }
      return referenced;
    });
  }
}
