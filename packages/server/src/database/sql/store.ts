/**
 * The MetadataStore over any SQL database. Each statement is written once, for every database, in the file of
 * its records. sqlite/sqlite.ts and postgres/postgres.ts open the databases.
 */
import type { Actor } from '../../access/audit.ts';
import type { AccountRecords, AuditRecords, KeyRecords, TokenRecords } from '../../access/records.ts';
import type { AccountCatalog, ReadableCatalog } from '../../catalog/records.ts';
import type { ListenOptions, RecordChanges } from '../../delivery/records.ts';
import { throwIfFired } from '../../errors.ts';
import type { EventRecords, PurgeRecords } from '../../events/records.ts';
import type { Image } from '../../image.ts';
import type { AccountImages, ReadableImages } from '../../images/records.ts';
import type { MoveRecords } from '../../maintenance/moving/records.ts';
import type { MaintenanceRecords } from '../../maintenance/records.ts';
import { type Database, lockAccount, runTransaction, translateErrors } from '../dialect.ts';
import { SqlMoves } from '../moves/records.ts';
import type { MigrateOptions, MigrateOutcome } from '../schema/migrate.ts';
import { imageFromRow } from '../schema/tables.ts';
import type { MetadataStore } from '../store.ts';
import { SqlAccounts } from './accounts.ts';
import { SqlAudit } from './audit.ts';
import { SqlEvents } from './events.ts';
import { SqlAccountImages } from './images.ts';
import { SqlKeys } from './keys.ts';
import { SqlMaintenance } from './maintenance.ts';
import { SqlAccountCatalog } from './products.ts';
import { SqlPurges } from './purges.ts';
import { SqlTokens } from './tokens.ts';

export class SqlMetadataStore implements MetadataStore {
  readonly accounts: AccountRecords;
  readonly keys: KeyRecords;
  readonly tokens: TokenRecords;
  readonly audit: AuditRecords;
  readonly events: EventRecords;
  readonly purges: PurgeRecords;
  readonly maintenance: MaintenanceRecords;
  readonly moves: MoveRecords;
  readonly #database: Database;

  /** @param patient the same database, with longer deadlines. */
  constructor(database: Database, patient = database) {
    this.#database = database;
    this.accounts = new SqlAccounts(database);
    this.keys = new SqlKeys(database);
    this.tokens = new SqlTokens(database);
    this.audit = new SqlAudit(database);
    this.events = new SqlEvents(database);
    this.purges = new SqlPurges(database);
    this.maintenance = new SqlMaintenance(patient);
    this.moves = new SqlMoves(patient);
  }

  migrate(options?: Omit<MigrateOptions, 'upTo'>): Promise<MigrateOutcome> {
    return translateErrors(this.#database, () => this.#database.migrate(options));
  }

  listen(options: ListenOptions): RecordChanges | undefined {
    return this.#database.listen?.(options);
  }

  /**
   * Reads a table, because a database may answer but have lost its tables. It reads once in a transaction,
   * which fails if the database is read-only, and once outside, which may use another connection.
   *
   * The signal prevents the next statement and does not end the running one. The caller starts the next check
   * when this one has ended, and so at most one check uses a connection.
   */
  async check(signal?: AbortSignal): Promise<void> {
    throwIfFired(signal);
    await runTransaction(this.#database, async (trx) => {
      await trx.selectFrom('accounts').select('account_id').limit(1).execute();
      // Locks no row, so no writer waits for it. A read-only database refuses it.
      await lockAccount(this.#database, trx, '');
    });
    throwIfFired(signal);
    // After the transaction, and not at the same time: otherwise SQLite would start its second thread for the
    // check.
    await translateErrors(this.#database, () =>
      this.#database.db.selectFrom('accounts').select('account_id').limit(1).execute(),
    );
    throwIfFired(signal);
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  forAccount(accountID: string): ReadableImages;
  forAccount(accountID: string, by: Actor): AccountImages;
  forAccount(accountID: string, by?: Actor): ReadableImages {
    return new SqlAccountImages(databaseFor(this.#database, accountID), accountID, by);
  }

  catalogOf(accountID: string): ReadableCatalog;
  catalogOf(accountID: string, by: Actor): AccountCatalog;
  catalogOf(accountID: string, by?: Actor): ReadableCatalog {
    return new SqlAccountCatalog(databaseFor(this.#database, accountID), accountID, by);
  }

  findPublicImage(publicID: string): Promise<Image | undefined> {
    return translateErrors(this.#database, async () => {
      const row = await this.#database.db
        .selectFrom('images')
        .selectAll()
        .where('public_id', '=', publicID)
        .executeTakeFirst();
      return row === undefined ? undefined : imageFromRow(row);
    });
  }
}

/** The database whose transactions take the turns of one account. */
function databaseFor(database: Database, accountID: string): Database {
  return { ...database, transact: (work) => database.transact(work, accountID) };
}
