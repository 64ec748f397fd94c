/**
 * Owns the statements about one account's images, and the order in which duplicates, quota and disable races are
 * settled. Refuses to know dialects, and every account but its own: each statement names it.
 */
import type { Kysely, Transaction } from 'kysely';
import type { Digest, Image } from '../image.ts';
import { type ImageUsage, isInUse } from '../usage.ts';
import { type Database, guarded, inBatches, lockAccount, transact } from './database.ts';
import { listMatching } from './filters.ts';
import type { AccountRow, ImageRow, Schema } from './schema.ts';
import { columnsOfAltText, columnsOfOriginal, imageFromRow } from './schema.ts';
import type {
  AccountImages,
  ChangeOutcome,
  DisableOutcome,
  EnableOutcome,
  ImageFilter,
  InsertOptions,
  InsertOutcome,
  NewImage,
  RememberedUpload,
  Replacement,
  ReplaceOutcome,
} from './store.ts';
import { readUsage } from './usage.ts';

export class SqlAccountImages implements AccountImages {
  readonly #database: Database;
  readonly #accountID: string;

  constructor(database: Database, accountID: string) {
    this.#database = database;
    this.#accountID = accountID;
  }

  list(
    page: { readonly skip: number; readonly count: number },
    filter?: ImageFilter,
  ): Promise<{ images: Image[]; total: number }> {
    return guarded(this.#database, async () => {
      if (filter !== undefined) return listMatching(this.#database.db, this.#accountID, page, filter);
      const account = await this.#account(this.#database.db);
      const total = account?.image_count ?? 0;
      if (page.skip >= total) return { images: [], total };
      // The page follows from the counter, so what is added between the two statements cannot shift it.
      const newest = total - page.skip;
      const rows = await this.#images(this.#database.db)
        .where('sequence', '<=', newest)
        .where('sequence', '>', newest - page.count)
        .orderBy('sequence', 'desc')
        .execute();
      return { images: rows.map(imageFromRow), total };
    });
  }

  find(imageID: string): Promise<Image | undefined> {
    return guarded(this.#database, async () => optional(await this.#row(this.#database.db, imageID)));
  }

  findByDigest(digest: Digest): Promise<Image | undefined> {
    return guarded(this.#database, async () => optional(await this.#holder(this.#database.db, digest)));
  }

  findMany(imageIDs: readonly string[]): Promise<Map<string, Image>> {
    return guarded(this.#database, async () => {
      const rows = await inBatches(imageIDs, (batch) =>
        this.#images(this.#database.db).where('image_id', 'in', batch).execute(),
      );
      return new Map(rows.map((row) => [row.image_id, imageFromRow(row)]));
    });
  }

  usage(imageID: string): Promise<ImageUsage | undefined> {
    return guarded(this.#database, async () => {
      const { db } = this.#database;
      const row = await this.#row(db, imageID);
      return row === undefined ? undefined : readUsage(db, this.#accountID, imageID);
    });
  }

  recallUpload(key: string, notBefore: Date): Promise<RememberedUpload | undefined> {
    return guarded(this.#database, () => this.#remembered(this.#database.db, key, notBefore));
  }

  insert(image: NewImage, options: InsertOptions): Promise<InsertOutcome> {
    return transact(this.#database, async (trx): Promise<InsertOutcome> => {
      const account = await this.#lockedAccount(trx);
      if (account === undefined) return { kind: 'no-account' };

      const { remember } = options;
      if (remember !== undefined) {
        await this.#forget(trx, remember.notBefore);
        const upload = await this.#remembered(trx, remember.key, remember.notBefore);
        if (upload !== undefined) {
          return upload.fingerprint === remember.fingerprint
            ? { kind: 'replayed', image: upload.image }
            : { kind: 'key-reused' };
        }
      }

      const holder = await this.#holder(trx, image.original.digest);
      if (holder !== undefined) return { kind: 'duplicate', existing: imageFromRow(holder) };

      const limit = account.image_quota ?? options.defaultQuota;
      if (account.enabled_count >= limit) return { kind: 'quota-exceeded', limit };

      const row = this.#newRow(image, account.image_count + 1);
      await trx.insertInto('images').values(row).execute();
      await trx
        .updateTable('accounts')
        .set({ image_count: row.sequence, enabled_count: account.enabled_count + 1 })
        .where('account_id', '=', this.#accountID)
        .execute();
      if (remember !== undefined) {
        await trx
          .insertInto('idempotency_keys')
          .values({
            account_id: this.#accountID,
            key: remember.key,
            fingerprint: remember.fingerprint,
            image: JSON.stringify(row),
            created_on: row.created_on,
          })
          .execute();
      }
      return { kind: 'inserted', image: imageFromRow(row) };
    });
  }

  replace(imageID: string, change: Replacement): Promise<ReplaceOutcome> {
    return transact(this.#database, async (trx): Promise<ReplaceOutcome> => {
      // An account that does not exist has no images; the next statement finds that out.
      await this.#lockedAccount(trx);
      const before = await this.#row(trx, imageID);
      if (before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled' };

      const holder = await this.#holder(trx, change.original.digest);
      if (holder !== undefined && holder.image_id !== imageID) {
        return { kind: 'duplicate', existing: imageFromRow(holder) };
      }

      // `disabled_on` is asked again so that not even a writer who ignores the lock is overwritten.
      const after = await trx
        .updateTable('images')
        .set({
          ...columnsOfOriginal(change.original),
          ...(change.altText === undefined ? {} : columnsOfAltText(change.altText.value)),
          updated_on: change.updatedOn.getTime(),
        })
        .where('account_id', '=', this.#accountID)
        .where('image_id', '=', imageID)
        .where('disabled_on', 'is', null)
        .returningAll()
        .executeTakeFirst();
      return after === undefined ? { kind: 'disabled' } : { kind: 'changed', image: imageFromRow(after) };
    });
  }

  setAltText(imageID: string, altText: string | undefined, updatedOn: Date): Promise<ChangeOutcome> {
    return guarded(this.#database, async (): Promise<ChangeOutcome> => {
      const { db } = this.#database;
      const row = await db
        .updateTable('images')
        .set({ ...columnsOfAltText(altText), updated_on: updatedOn.getTime() })
        .where('account_id', '=', this.#accountID)
        .where('image_id', '=', imageID)
        .where('disabled_on', 'is', null)
        .returningAll()
        .executeTakeFirst();
      if (row !== undefined) return { kind: 'changed', image: imageFromRow(row) };
      // Images neither vanish nor come back, so the reason can be asked for afterwards.
      return { kind: (await this.#row(db, imageID)) === undefined ? 'not-found' : 'disabled' };
    });
  }

  disable(imageID: string, disabledOn: Date): Promise<DisableOutcome> {
    return transact(this.#database, async (trx): Promise<DisableOutcome> => {
      const account = await this.#lockedAccount(trx);
      const before = await this.#row(trx, imageID);
      if (account === undefined || before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled', image: imageFromRow(before) };
      if (account.disable_policy === 'refuse-in-use') {
        const usage = await readUsage(trx, this.#accountID, imageID);
        if (isInUse(usage)) return { kind: 'in-use', usage };
      }

      const image = await this.#setDisabled(trx, account, imageID, disabledOn);
      return { kind: 'disabled', image };
    });
  }

  enable(imageID: string, defaultQuota: number): Promise<EnableOutcome> {
    return transact(this.#database, async (trx): Promise<EnableOutcome> => {
      const account = await this.#lockedAccount(trx);
      const before = await this.#row(trx, imageID);
      if (account === undefined || before === undefined) return { kind: 'not-found' };
      if (before.disabled_on === null) return { kind: 'enabled', image: imageFromRow(before) };

      const limit = account.image_quota ?? defaultQuota;
      if (account.enabled_count >= limit) return { kind: 'quota-exceeded', limit };
      const image = await this.#setDisabled(trx, account, imageID, undefined);
      return { kind: 'enabled', image };
    });
  }

  /** Disables an image that is not disabled, or (undefined) the opposite, and counts it. */
  async #setDisabled(
    trx: Transaction<Schema>,
    account: AccountRow,
    imageID: string,
    disabledOn: Date | undefined,
  ): Promise<Image> {
    const after = await trx
      .updateTable('images')
      .set({ disabled_on: disabledOn?.getTime() ?? null })
      .where('account_id', '=', this.#accountID)
      .where('image_id', '=', imageID)
      .returningAll()
      .executeTakeFirstOrThrow();
    await trx
      .updateTable('accounts')
      .set({ enabled_count: account.enabled_count + (disabledOn === undefined ? 1 : -1) })
      .where('account_id', '=', this.#accountID)
      .execute();
    return imageFromRow(after);
  }

  #account(db: Kysely<Schema>): Promise<AccountRow | undefined> {
    return db.selectFrom('accounts').selectAll().where('account_id', '=', this.#accountID).executeTakeFirst();
  }

  #lockedAccount(trx: Transaction<Schema>): Promise<AccountRow | undefined> {
    return lockAccount(this.#database, trx, this.#accountID);
  }

  #images(db: Kysely<Schema>) {
    return db.selectFrom('images').selectAll().where('account_id', '=', this.#accountID);
  }

  #row(db: Kysely<Schema>, imageID: string): Promise<ImageRow | undefined> {
    return this.#images(db).where('image_id', '=', imageID).executeTakeFirst();
  }

  #holder(db: Kysely<Schema>, digest: Digest): Promise<ImageRow | undefined> {
    return this.#images(db).where('digest', '=', digest).executeTakeFirst();
  }

  async #remembered(db: Kysely<Schema>, key: string, notBefore: Date): Promise<RememberedUpload | undefined> {
    const row = await db
      .selectFrom('idempotency_keys')
      .select(['fingerprint', 'image'])
      .where('account_id', '=', this.#accountID)
      .where('key', '=', key)
      .where('created_on', '>=', notBefore.getTime())
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return { fingerprint: row.fingerprint, image: imageFromRow(JSON.parse(row.image) as ImageRow) };
  }

  async #forget(trx: Transaction<Schema>, notBefore: Date): Promise<void> {
    await trx
      .deleteFrom('idempotency_keys')
      .where('account_id', '=', this.#accountID)
      .where('created_on', '<', notBefore.getTime())
      .execute();
  }

  #newRow(image: NewImage, sequence: number): ImageRow {
    return {
      account_id: this.#accountID,
      sequence,
      image_id: image.imageID,
      public_id: image.publicID,
      ...columnsOfOriginal(image.original),
      ...columnsOfAltText(image.altText),
      created_on: image.createdOn.getTime(),
      updated_on: image.createdOn.getTime(),
      disabled_on: null,
    };
  }
}

function optional(row: ImageRow | undefined): Image | undefined {
  return row === undefined ? undefined : imageFromRow(row);
}
