/**
 * The statements about one account's images. Their order inside a transaction settles the races of
 * duplicates, quotas and disabling. Each statement has a condition on the account.
 */
import type { Kysely, Transaction } from 'kysely';
import { type Actor, type AuditAction, requireActor } from '../../access/audit.ts';
import type { Page } from '../../access/records.ts';
import type { EventType } from '../../events/event.ts';
import type { Description, Digest, Image } from '../../image.ts';
import type {
  AccountImages,
  ByteQuotaExceeded,
  ChangeOutcome,
  DisableOutcome,
  EnableOptions,
  EnableOutcome,
  IdempotentUpload,
  ImageFilter,
  InsertOptions,
  InsertOutcome,
  NewImage,
  Replacement,
  ReplaceOutcome,
} from '../../images/records.ts';
import { type ImageUsage, isInUse } from '../../images/usage.ts';
import { type Database, lockAccount, readInBatches, runTransaction, translateErrors } from '../dialect.ts';
import { checkBlobsEpoch } from '../moves/blobs-epoch.ts';
import type { AccountRow, ImageRow, RememberedRow, Schema } from '../schema/tables.ts';
import { columnsOfDescription, columnsOfOriginal, imageFromRow, sortNameOf } from '../schema/tables.ts';
import { addAuditEntry } from './audit.ts';
import { addCandidates } from './candidates.ts';
import { claimOriginal } from './garbage.ts';
import { listMatching } from './image-filters.ts';
import { insertFinders, updateFinders } from './image-search.ts';
import { readUsage } from './image-usage.ts';
import { addPurge } from './purges.ts';

/** The event of each change. */
const EVENTS = {
  'image.upload': 'image.uploaded',
  'image.replace': 'image.replaced',
  'image.describe': 'image.described',
  'image.disable': 'image.disabled',
  'image.enable': 'image.enabled',
} as const satisfies Partial<Record<AuditAction, EventType>>;

/** The columns on which the bytes of a public link depend. A disabled image is still shown. */
const SHOWN = ['digest', 'focal_x', 'focal_y', 'visibility'] as const;

export class SqlAccountImages implements AccountImages {
  readonly #database: Database;
  readonly #accountID: string;
  readonly #by: Actor | undefined;

  /** @param by undefined: the caller gets the port ReadableImages, which has no changes. */
  constructor(database: Database, accountID: string, by: Actor | undefined) {
    this.#database = database;
    this.#accountID = accountID;
    this.#by = by;
  }

  list(page: Page, filter?: ImageFilter, signal?: AbortSignal): Promise<{ images: Image[]; total: number }> {
    return translateErrors(this.#database, async () => {
      const { sort = '-createdOn', ...conditions } = filter ?? {};
      const isInserted = sort === 'createdOn' || sort === '-createdOn';
      if (filter !== undefined && (!isInserted || Object.keys(conditions).length > 0)) {
        return this.#database.search(this.#accountID, signal, (db) =>
          listMatching(this.#database, db, this.#accountID, page, filter),
        );
      }
      const account = await this.#account(this.#database.db);
      const total = account?.image_count ?? 0;
      if (page.skip >= total) return { images: [], total };
      // The page is computed from the counter, so an insert between the two statements does not shift it.
      const isNewestFirst = sort === '-createdOn';
      const before = isNewestFirst ? total - page.skip - page.count : page.skip;
      const rows = await this.#images(this.#database.db)
        .where('sequence', '>', before)
        .where('sequence', '<=', before + page.count)
        .orderBy('sequence', isNewestFirst ? 'desc' : 'asc')
        .execute();
      return { images: rows.map(imageFromRow), total };
    });
  }

  find(imageID: string): Promise<Image | undefined> {
    return translateErrors(this.#database, async () =>
      optionalImage(await this.#row(this.#database.db, imageID)),
    );
  }

  findByDigest(digest: Digest): Promise<Image | undefined> {
    return translateErrors(this.#database, async () =>
      optionalImage(await this.#rowByDigest(this.#database.db, digest)),
    );
  }

  findMany(imageIDs: readonly string[]): Promise<Map<string, Image>> {
    return translateErrors(this.#database, async () => {
      const rows = await readInBatches(imageIDs, (batch) =>
        this.#images(this.#database.db).where('image_id', 'in', batch).execute(),
      );
      return new Map(rows.map((row) => [row.image_id, imageFromRow(row)]));
    });
  }

  usage(imageID: string, signal?: AbortSignal): Promise<ImageUsage | undefined> {
    return translateErrors(this.#database, async () => {
      const row = await this.#row(this.#database.db, imageID);
      if (row === undefined) return undefined;
      return this.#database.search(this.#accountID, signal, (db) => readUsage(db, this.#accountID, imageID));
    });
  }

  recallUpload(key: string, notBefore: Date): Promise<IdempotentUpload | undefined> {
    return translateErrors(this.#database, () => this.#idempotentUpload(this.#database.db, key, notBefore));
  }

  insert(image: NewImage, options: InsertOptions): Promise<InsertOutcome> {
    return runTransaction(this.#database, async (trx): Promise<InsertOutcome> => {
      const account = await this.#lockAccount(trx);
      if (account === undefined) return { kind: 'no-account' };

      const { idempotency } = options;
      if (idempotency !== undefined) {
        const { key, fingerprint, notBefore } = idempotency;
        await this.#deleteExpiredKeys(trx, notBefore);
        const upload = await this.#idempotentUpload(trx, key, notBefore);
        if (upload !== undefined) {
          return upload.fingerprint === fingerprint
            ? { kind: 'replayed', image: upload.image }
            : { kind: 'key-reused' };
        }
      }

      const twin = await this.#rowByDigest(trx, image.original.digest);
      if (twin !== undefined) return { kind: 'duplicate', existing: imageFromRow(twin) };

      const limit = account.image_quota ?? options.defaultQuota;
      if (account.enabled_count >= limit) return { kind: 'quota-exceeded', limit };

      const { digest, size } = image.original;
      const excess = byteExcess(account, size, options.defaultByteQuota);
      if (excess !== undefined) return excess;
      const collected = await claimOriginal(this.#database, trx, digest, options.markerToken);
      if (collected !== undefined) return collected;

      const row = this.#newRow(image, account.image_count + 1);
      await trx.insertInto('images').values(row).execute();
      await checkBlobsEpoch(this.#database, trx);
      await insertFinders(trx, row);
      await this.#setCounters(trx, {
        image_count: row.sequence,
        enabled_count: account.enabled_count + 1,
        byte_count: account.byte_count + size,
      });
      if (idempotency !== undefined) {
        await trx
          .insertInto('idempotency_keys')
          .values({
            account_id: this.#accountID,
            key: idempotency.key,
            fingerprint: idempotency.fingerprint,
            image: JSON.stringify(row),
            created_on: row.created_on,
          })
          .execute();
      }
      await this.#addAuditEntry(trx, 'image.upload', image.createdOn, undefined, row);
      return { kind: 'inserted', image: imageFromRow(row) };
    });
  }

  replace(imageID: string, change: Replacement): Promise<ReplaceOutcome> {
    return runTransaction(this.#database, async (trx): Promise<ReplaceOutcome> => {
      const account = await this.#lockAccount(trx);
      const before = await this.#row(trx, imageID);
      if (account === undefined || before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled' };

      const twin = await this.#rowByDigest(trx, change.original.digest);
      if (twin !== undefined && twin.image_id !== imageID) {
        return { kind: 'duplicate', existing: imageFromRow(twin) };
      }

      const growth = change.original.size - before.size;
      const excess = growth > 0 ? byteExcess(account, growth, change.defaultByteQuota) : undefined;
      if (excess !== undefined) return excess;
      const { digest } = change.original;
      const collected =
        digest === before.digest
          ? undefined
          : await claimOriginal(this.#database, trx, digest, change.markerToken);
      if (collected !== undefined) return collected;

      // The condition on `disabled_on` protects against a writer that ignores the lock.
      const after = await trx
        .updateTable('images')
        .set({
          // The same bytes keep their analysis, which may be newer than what the caller read.
          ...(digest === before.digest ? {} : columnsOfOriginal(change.original)),
          ...(change.description === undefined ? {} : columnsOfDescription(change.description)),
          updated_on: change.updatedOn.getTime(),
        })
        .where('account_id', '=', this.#accountID)
        .where('image_id', '=', imageID)
        .where('disabled_on', 'is', null)
        .returningAll()
        .executeTakeFirst();
      if (after === undefined) return { kind: 'disabled' };
      if (digest !== before.digest) await checkBlobsEpoch(this.#database, trx);
      if (change.description !== undefined) await updateFinders(trx, after);
      if (growth !== 0) await this.#setCounters(trx, { byte_count: account.byte_count + growth });
      if (digest !== before.digest) {
        await addCandidates(trx, [{ digest: before.digest, unreferencedOn: change.updatedOn }]);
      }
      await this.#purgeIfShown(trx, before, after);
      await this.#addAuditEntry(trx, 'image.replace', change.updatedOn, before, after);
      return { kind: 'changed', image: imageFromRow(after) };
    });
  }

  describe(imageID: string, description: Description, updatedOn: Date): Promise<ChangeOutcome> {
    return runTransaction(this.#database, async (trx): Promise<ChangeOutcome> => {
      const before = await this.#images(trx)
        .where('image_id', '=', imageID)
        // Otherwise a concurrent change could hide that the focal point changes.
        .$if(this.#database.needsRowLocks, (query) => query.forNoKeyUpdate())
        .executeTakeFirst();
      if (before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled' };
      const after = await trx
        .updateTable('images')
        .set({ ...columnsOfDescription(description), updated_on: updatedOn.getTime() })
        .where('account_id', '=', this.#accountID)
        .where('image_id', '=', imageID)
        .returningAll()
        .executeTakeFirstOrThrow();
      await updateFinders(trx, after);
      await this.#purgeIfShown(trx, before, after);
      await this.#addAuditEntry(trx, 'image.describe', updatedOn, before, after);
      return { kind: 'changed', image: imageFromRow(after) };
    });
  }

  disable(imageID: string, disabledOn: Date): Promise<DisableOutcome> {
    return runTransaction(this.#database, async (trx): Promise<DisableOutcome> => {
      const account = await this.#lockAccount(trx);
      const before = await this.#row(trx, imageID);
      if (account === undefined || before === undefined) return { kind: 'not-found' };
      if (before.disabled_on !== null) return { kind: 'disabled', image: imageFromRow(before) };
      if (account.disable_policy === 'refuse-in-use') {
        const usage = await readUsage(trx, this.#accountID, imageID);
        if (isInUse(usage)) return { kind: 'in-use', usage };
      }

      const after = await this.#setDisabled(trx, account, before, disabledOn);
      await this.#addAuditEntry(trx, 'image.disable', disabledOn, before, after);
      return { kind: 'disabled', image: imageFromRow(after) };
    });
  }

  enable(imageID: string, { on, defaultQuota, defaultByteQuota }: EnableOptions): Promise<EnableOutcome> {
    return runTransaction(this.#database, async (trx): Promise<EnableOutcome> => {
      const account = await this.#lockAccount(trx);
      const before = await this.#row(trx, imageID);
      if (account === undefined || before === undefined) return { kind: 'not-found' };
      if (before.disabled_on === null) return { kind: 'enabled', image: imageFromRow(before) };

      const limit = account.image_quota ?? defaultQuota;
      if (account.enabled_count >= limit) return { kind: 'quota-exceeded', limit };
      const excess = byteExcess(account, before.size, defaultByteQuota);
      if (excess !== undefined) return excess;
      const after = await this.#setDisabled(trx, account, before, undefined);
      await this.#addAuditEntry(trx, 'image.enable', on, before, after);
      return { kind: 'enabled', image: imageFromRow(after) };
    });
  }

  /** Disables an enabled image, or enables a disabled one (undefined), and updates the counters. */
  async #setDisabled(
    trx: Transaction<Schema>,
    account: AccountRow,
    before: ImageRow,
    disabledOn: Date | undefined,
  ): Promise<ImageRow> {
    const after = await trx
      .updateTable('images')
      .set({ disabled_on: disabledOn?.getTime() ?? null })
      .where('account_id', '=', this.#accountID)
      .where('image_id', '=', before.image_id)
      .returningAll()
      .executeTakeFirstOrThrow();
    const sign = disabledOn === undefined ? 1 : -1;
    await this.#setCounters(trx, {
      enabled_count: account.enabled_count + sign,
      byte_count: account.byte_count + sign * before.size,
    });
    return after;
  }

  /** Caches drop the links of an image whose renditions change. */
  async #purgeIfShown(trx: Transaction<Schema>, before: ImageRow, after: ImageRow): Promise<void> {
    const isShown = SHOWN.some((column) => before[column] !== after[column]);
    if (isShown) await addPurge(this.#database, trx, after.public_id, new Date(after.updated_on));
  }

  /** Also adds the event. Must be the last call of its transaction. */
  #addAuditEntry(
    trx: Transaction<Schema>,
    action: keyof typeof EVENTS,
    on: Date,
    before: ImageRow | undefined,
    after: ImageRow,
  ): Promise<void> {
    const { image_id: imageID, public_id: publicID, version } = after;
    const entry = {
      on,
      by: requireActor(this.#by),
      action,
      subjectID: imageID,
      ...(before !== undefined && { before: before.digest }),
      after: after.digest,
    };
    const event = { type: EVENTS[action], data: { imageID, publicID, version } };
    return addAuditEntry(trx, this.#accountID, entry, event);
  }

  #account(db: Kysely<Schema>): Promise<AccountRow | undefined> {
    return db.selectFrom('accounts').selectAll().where('account_id', '=', this.#accountID).executeTakeFirst();
  }

  #lockAccount(trx: Transaction<Schema>): Promise<AccountRow | undefined> {
    return lockAccount(this.#database, trx, this.#accountID);
  }

  /** Call it only under the lock of the account, with values that were computed from the locked row. */
  async #setCounters(
    trx: Transaction<Schema>,
    counters: Partial<Pick<AccountRow, 'image_count' | 'enabled_count' | 'byte_count'>>,
  ): Promise<void> {
    await trx.updateTable('accounts').set(counters).where('account_id', '=', this.#accountID).execute();
  }

  #images(db: Kysely<Schema>) {
    return db.selectFrom('images').selectAll().where('account_id', '=', this.#accountID);
  }

  #row(db: Kysely<Schema>, imageID: string): Promise<ImageRow | undefined> {
    return this.#images(db).where('image_id', '=', imageID).executeTakeFirst();
  }

  #rowByDigest(db: Kysely<Schema>, digest: Digest): Promise<ImageRow | undefined> {
    return this.#images(db).where('digest', '=', digest).executeTakeFirst();
  }

  async #idempotentUpload(
    db: Kysely<Schema>,
    key: string,
    notBefore: Date,
  ): Promise<IdempotentUpload | undefined> {
    const row = await db
      .selectFrom('idempotency_keys')
      .select(['fingerprint', 'image'])
      .where('account_id', '=', this.#accountID)
      .where('key', '=', key)
      .where('created_on', '>=', notBefore.getTime())
      .executeTakeFirst();
    if (row === undefined) return undefined;
    return { fingerprint: row.fingerprint, image: imageFromRow(JSON.parse(row.image) as RememberedRow) };
  }

  async #deleteExpiredKeys(trx: Transaction<Schema>, notBefore: Date): Promise<void> {
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
      file_name: null,
      sort_name: sortNameOf(null),
      visibility: 'public',
      used: 0,
      ...columnsOfDescription({ altText: undefined, ...image }),
      version: 1,
      created_on: image.createdOn.getTime(),
      updated_on: image.createdOn.getTime(),
      disabled_on: null,
    };
  }
}

/** The outcome if the account may not have this many more bytes; undefined if it may. */
function byteExcess(account: AccountRow, growth: number, defaultQuota = 0): ByteQuotaExceeded | undefined {
  const limit = account.byte_quota ?? defaultQuota;
  const fits = limit === 0 || account.byte_count + growth <= limit;
  return fits ? undefined : { kind: 'byte-quota-exceeded', limit };
}

function optionalImage(row: ImageRow | undefined): Image | undefined {
  return row === undefined ? undefined : imageFromRow(row);
}
