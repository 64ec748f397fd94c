/**
 * Owns the MetadataStore over any SQL database: every statement is written once, here and in the files
 * named after the records they are about. Refuses to know dialects: they are opened by sqlite.ts and postgres.ts.
 */
import type { Actor } from '../../access/audit.ts';
import type { AccountRecords, AuditRecords, KeyRecords, TokenRecords } from '../../access/records.ts';
import type { AccountCatalog, ReadableCatalog } from '../../catalog/records.ts';
import { AppError } from '../../errors.ts';
import type { Image } from '../../image.ts';
import type { AccountImages, ReadableImages } from '../../images/records.ts';
import type { MaintenanceRecords } from '../../maintenance/records.ts';
import { type Database, guarded, lockAccount, transact } from '../dialect.ts';
import { imageFromRow } from '../schema/tables.ts';
import type { MetadataStore } from '../store.ts';
import { SqlAccounts } from './accounts.ts';
import { SqlAudit } from './audit.ts';
import { SqlAccountImages } from './images.ts';
import { SqlKeys } from './keys.ts';
import { SqlMaintenance } from './maintenance.ts';
import { SqlAccountCatalog } from './products.ts';
import { SqlTokens } from './tokens.ts';

export class SqlMetadataStore implements MetadataStore {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly audit: AuditRecords;
  readonly maintenance: MaintenanceRecords;
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    this.accounts = new SqlAccounts(database);
    this.keys = new SqlKeys(database);
    this.tokens = new SqlTokens(database);
    this.audit = new SqlAudit(database);
    this.maintenance = new SqlMaintenance(database);
  }

  migrate(): Promise<void> {
    return guarded(this.#database, () => this.#database.migrate());
  }

  /**
   * Reads the records themselves: a database that answers but has lost its tables is of no use. Once in a transaction that
   * begins like one that writes, because neither is one that cannot be written; and once like whoever looks something up,
   * who may have another connection.
   *
   * Ends only when what it does has ended, because whoever asks again believes by then that nothing is left of it: the
   * signal only keeps it from going on.
   */
  async check(signal?: AbortSignal): Promise<void> {
    const goOn = () => {
      if (signal?.aborted) throw new AppError('cancelled', 'The check was cancelled.');
    };
    goOn();
    await transact(this.#database, async (trx) => {
      await trx.selectFrom('accounts').select('account_id').limit(1).execute();
      // A lock of no row: it holds up nobody, and is refused where nothing may be written.
      await lockAccount(this.#database, trx, '');
    });
    goOn();
    // Not beside the transaction: nobody had to wait for it then, and a server with little to do needs no second thread.
    await guarded(this.#database, () =>
      this.#database.db.selectFrom('accounts').select('account_id').limit(1).execute(),
    );
    goOn();
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  forAccount(accountID: string): ReadableImages;
  forAccount(accountID: string, by: Actor): AccountImages;
  forAccount(accountID: string, by?: Actor): ReadableImages {
    return new SqlAccountImages(this.#database, accountID, by);
  }

  catalogOf(accountID: string): ReadableCatalog;
  catalogOf(accountID: string, by: Actor): AccountCatalog;
  catalogOf(accountID: string, by?: Actor): ReadableCatalog {
    return new SqlAccountCatalog(this.#database, accountID, by);
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
}
