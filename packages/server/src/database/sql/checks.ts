/**
 * Checks the records, and writes derived records again with `repair`.
 *
 * A first read uses no locks. A suspect record is read again under the lock of its account, and repaired in
 * that transaction. So a concurrent change is never a finding, and is never overwritten.
 */
import type { Kysely, Transaction } from 'kysely';
import type { LineItem } from '../../catalog/line-items.ts';
import type { ProductContent } from '../../catalog/product.ts';
import { throwIfFired } from '../../errors.ts';
import { isDigest, isImageFormat, isPublicID, MAX_ORIGINAL_BYTES } from '../../image.ts';
import type { CheckOptions, RecordFinding } from '../../maintenance/records.ts';
import { parseUUID } from '../../validation/uuid.ts';
import {
  BATCH_SIZE,
  type Database,
  lockAccount,
  runTransaction,
  scanInBatches,
  translateErrors,
} from '../dialect.ts';
import {
  type ImageUse,
  type LineItemsRow,
  type ProductRow,
  type UseKind,
  usesOfLineItems,
  usesOfProduct,
} from '../schema/catalog-tables.ts';
import {
  type AccountRow,
  type ImageRow,
  type ImageSearchRow,
  type ImageTagRow,
  type Schema,
  sortNameOf,
} from '../schema/tables.ts';
import { searchRowOf, tagRowsOf, updateFinders } from './image-search.ts';
import { insertUses, readDisabledStates } from './image-uses.ts';

/** The tables whose rows show images, with the kinds of their uses. */
const OWNER_TABLES = [
  { table: 'products', kinds: ['product', 'option'], name: 'product' },
  { table: 'line_items', kinds: ['line-item'], name: 'set of line items' },
] as const satisfies readonly { table: string; kinds: readonly UseKind[]; name: string }[];
type OwnerTable = (typeof OWNER_TABLES)[number];

/** See MaintenanceRecords. */
export async function* checkRecords(
  database: Database,
  options: CheckOptions,
): AsyncGenerator<RecordFinding> {
  const { db } = database;
  const { repair } = options;
  for await (const accounts of scanInBatches((last?: AccountRow) => accountsAfter(database, last))) {
    for (const account of accounts) {
      throwIfFired(options.signal);
      const { account_id } = account;
      if (!(await translateErrors(database, () => hasRightCounters(db, account_id)))) {
        yield* await runTransaction(database, (trx) => confirmCounters(database, trx, account_id, repair));
      }
      yield* checkImages(database, account_id, options);
      for (const ownerTable of OWNER_TABLES) yield* checkUses(database, account_id, ownerTable, options);
    }
  }
}

function accountsAfter(database: Database, last: AccountRow | undefined): Promise<AccountRow[]> {
  return translateErrors(database, () =>
    database.db
      .selectFrom('accounts')
      .selectAll()
      .where('account_id', '>', last?.account_id ?? '')
      .orderBy('account_id')
      .limit(BATCH_SIZE)
      .execute(),
  );
}

/**
 * Reads the stored counters and the right values. It uses one statement, so that both are from one moment.
 */
async function readCounters(db: Kysely<Schema>, accountID: string) {
  const row = await db
    .selectFrom('accounts')
    .select((eb) => {
      const images = eb.selectFrom('images').whereRef('images.account_id', '=', 'accounts.account_id');
      const enabled = images.where('disabled_on', 'is', null);
      return [
        'image_count',
        'enabled_count',
        'byte_count',
        images.select(({ fn }) => fn.countAll<number>().as('n')).as('rows'),
        images.select(({ fn }) => fn.max<number | null>('sequence').as('n')).as('newest'),
        enabled.select(({ fn }) => fn.countAll<number>().as('n')).as('enabled'),
        // A sum is a numeric in PostgreSQL, which pg returns as a text.
        enabled.select(({ fn }) => fn.sum<number | string | null>('size').as('n')).as('bytes'),
      ];
    })
    .where('account_id', '=', accountID)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { image_count, enabled_count, byte_count } = row;
  return {
    stored: { image_count, enabled_count, byte_count },
    right: {
      image_count: Number(row.newest ?? 0),
      enabled_count: Number(row.enabled ?? 0),
      byte_count: Number(row.bytes ?? 0),
    },
    rows: Number(row.rows ?? 0),
  };
}

type Counters = Pick<AccountRow, 'image_count' | 'enabled_count' | 'byte_count'>;

const COUNTERS = ['image_count', 'enabled_count', 'byte_count'] as const satisfies (keyof Counters)[];
const COUNTER_NAMES: Readonly<Record<keyof Counters, string>> = {
  image_count: 'images',
  enabled_count: 'enabled images',
  byte_count: 'bytes',
};

async function hasRightCounters(db: Kysely<Schema>, accountID: string): Promise<boolean> {
  const counters = await readCounters(db, accountID);
  if (counters === undefined) return true;
  const { stored, right, rows } = counters;
  return COUNTERS.every((name) => stored[name] === right[name]) && rows === right.image_count;
}

async function confirmCounters(
  database: Database,
  trx: Transaction<Schema>,
  accountID: string,
  repair: boolean,
): Promise<RecordFinding[]> {
  await lockAccount(database, trx, accountID);
  const counters = await readCounters(trx, accountID);
  if (counters === undefined) return [];
  const { stored, right, rows } = counters;
  const findings: RecordFinding[] = [];
  const wrong = COUNTERS.filter((name) => stored[name] !== right[name]);
  if (wrong.length > 0) {
    if (repair) await trx.updateTable('accounts').set(right).where('account_id', '=', accountID).execute();
    const values = wrong.map((name) => `${COUNTER_NAMES[name]} ${stored[name]} instead of ${right[name]}`);
    const text = `wrong counters of the account: ${values.join(', ')}`;
    findings.push({ kind: 'counters', accountID, text, repaired: repair });
  }
  if (rows !== right.image_count) {
    const text = `the account has ${rows} images, numbered up to ${right.image_count}: images are missing`;
    findings.push({ kind: 'record', accountID, text, repaired: false });
  }
  return findings;
}

async function* checkImages(
  database: Database,
  accountID: string,
  { repair, signal }: CheckOptions,
): AsyncGenerator<RecordFinding> {
  const read = async (last?: ImageRow): Promise<ImageRow[]> => {
    throwIfFired(signal);
    return imagesAfter(database, accountID, last);
  };
  for await (const rows of scanInBatches(read)) {
    const wrong = await translateErrors(database, () => wrongFinders(database.db, accountID, rows));
    for (const row of rows) {
      const finding = { kind: 'record', accountID, imageID: row.image_id } as const;
      for (const text of problemsOf(row)) yield { ...finding, text, repaired: false };
      if (!wrong.has(row.sequence)) continue;
      const names = await runTransaction(database, (trx) => confirmFinders(database, trx, row, repair));
      if (names.length === 0) continue;
      const text = `the records for searches and filters are wrong: ${names.join(', ')}`;
      yield { ...finding, text, repaired: repair };
    }
  }
}

function imagesAfter(database: Database, accountID: string, last: ImageRow | undefined): Promise<ImageRow[]> {
  return translateErrors(database, () =>
    database.db
      .selectFrom('images')
      .selectAll()
      .where('account_id', '=', accountID)
      .where('sequence', '>', last?.sequence ?? 0)
      .orderBy('sequence')
      .limit(BATCH_SIZE)
      .execute(),
  );
}

/** The impossible values of an image. They cannot be repaired, because the right values are unknown. */
function problemsOf(row: ImageRow): string[] {
  const rules: [boolean, string][] = [
    [parseUUID(row.image_id) === row.image_id, 'the imageID is not a UUID'],
    [isPublicID(row.public_id), 'the publicID is not 21 URL-safe characters'],
    [isDigest(row.digest), 'the digest is not a SHA-256'],
    [
      row.size >= 1 && row.size <= MAX_ORIGINAL_BYTES,
      `the size of ${row.size} bytes is not from 1 to ${MAX_ORIGINAL_BYTES}`,
    ],
    [isImageFormat(row.format), `the format ${JSON.stringify(row.format)} is unknown`],
    [
      Math.min(row.width, row.height, row.frames) >= 1,
      'the width, height or number of frames is less than 1',
    ],
  ];
  return rules.filter(([holds]) => !holds).map(([, text]) => text);
}

/**
 * Compares the derived columns and records of images with the right ones.
 * @returns the names of the wrong ones, by the sequence of the image.
 */
async function wrongFinders(
  db: Kysely<Schema>,
  accountID: string,
  rows: readonly ImageRow[],
): Promise<Map<number, string[]>> {
  const [first, last] = [rows[0]?.sequence ?? 0, rows.at(-1)?.sequence ?? 0];
  const read = (table: 'image_tags' | 'image_search') =>
    db
      .selectFrom(table)
      .where('account_id', '=', accountID)
      .where('sequence', '>=', first)
      .where('sequence', '<=', last);
  const tags = Map.groupBy(
    await read('image_tags').selectAll().$castTo<ImageTagRow>().execute(),
    ({ sequence }) => sequence,
  );
  const texts = new Map(
    (await read('image_search').selectAll().$castTo<ImageSearchRow>().execute()).map(
      ({ sequence, content }) => [sequence, content],
    ),
  );
  const used = new Set(
    (
      await db
        .selectFrom('image_uses')
        .select('image_id')
        .distinct()
        .where('account_id', '=', accountID)
        .where(
          'image_id',
          'in',
          rows.map(({ image_id }) => image_id),
        )
        .execute()
    ).map(({ image_id }) => image_id),
  );
  const tagList = (list: readonly ImageTagRow[]) => JSON.stringify(list.map(({ tag }) => tag).sort());
  return new Map(
    rows.flatMap((row): [number, string[]][] => {
      const isRight: Record<string, boolean> = {
        'search text': texts.get(row.sequence) === searchRowOf(row).content,
        tags: tagList(tags.get(row.sequence) ?? []) === tagList(tagRowsOf(row)),
        'name for sorting': row.sort_name === sortNameOf(row.file_name),
        'alt text': row.has_alt_text === (row.alt_text === null ? 0 : 1),
        use: row.used === (used.has(row.image_id) ? 1 : 0),
      };
      const wrong = Object.keys(isRight).filter((name) => !isRight[name]);
      return wrong.length === 0 ? [] : [[row.sequence, wrong]];
    }),
  );
}

async function confirmFinders(
  database: Database,
  trx: Transaction<Schema>,
  { account_id, sequence }: ImageRow,
  repair: boolean,
): Promise<string[]> {
  await lockAccount(database, trx, account_id);
  const row = await trx
    .selectFrom('images')
    .selectAll()
    .where('account_id', '=', account_id)
    .where('sequence', '=', sequence)
    .$if(database.needsRowLocks, (query) => query.forNoKeyUpdate())
    .executeTakeFirst();
  if (row === undefined) return [];
  const names = (await wrongFinders(trx, account_id, [row])).get(sequence) ?? [];
  if (names.length > 0 && repair) {
    await trx
      .updateTable('images')
      .set(({ exists, selectFrom, case: choose }) => ({
        sort_name: sortNameOf(row.file_name),
        has_alt_text: row.alt_text === null ? 0 : 1,
        used: choose()
          .when(
            exists(
              selectFrom('image_uses')
                .select('image_uses.kind')
                .where('image_uses.account_id', '=', account_id)
                .where('image_uses.image_id', '=', row.image_id),
            ),
          )
          .then(1)
          .else(0)
          .end(),
      }))
      .where('account_id', '=', account_id)
      .where('sequence', '=', sequence)
      .execute();
    await updateFinders(trx, row);
  }
  return names;
}

/** Checks the uses of all owners in a table, and the uses of owners that do not exist. */
async function* checkUses(
  database: Database,
  accountID: string,
  ownerTable: OwnerTable,
  options: CheckOptions,
): AsyncGenerator<RecordFinding> {
  let after = 0;
  const read = async (last?: Owner): Promise<Owner[]> => {
    throwIfFired(options.signal);
    const from = last?.sequence ?? 0;
    return translateErrors(database, () => readOwners(database.db, accountID, ownerTable, from, BATCH_SIZE));
  };
  for await (const owners of scanInBatches(read)) {
    const to = owners.at(-1)?.sequence;
    yield* checkUsesInRange(database, accountID, ownerTable, { after, to, owners }, options);
    after = to ?? after;
  }
  // Uses above the last owner have no owner.
  yield* checkUsesInRange(database, accountID, ownerTable, { after, to: undefined, owners: [] }, options);
}

/** A range of the sequence of owners. */
interface OwnerRange {
  readonly after: number;
  /** Undefined: no upper end. */
  readonly to: number | undefined;
  /** All owners in the range. */
  readonly owners: readonly Owner[];
}

async function* checkUsesInRange(
  database: Database,
  accountID: string,
  ownerTable: OwnerTable,
  { after, to, owners }: OwnerRange,
  { repair }: CheckOptions,
): AsyncGenerator<RecordFinding> {
  const stored = await translateErrors(database, () =>
    readUses(database.db, accountID, ownerTable, after, to),
  );
  const right = owners.flatMap(({ uses }) => uses);
  const suspects = new Set(difference(stored, right).map(({ owner_sequence }) => owner_sequence));
  for (const { sequence, isReadable } of owners) if (!isReadable) suspects.add(sequence);
  for (const sequence of suspects) {
    const finding = await runTransaction(database, (trx) =>
      confirmUses(database, trx, accountID, ownerTable, sequence, repair),
    );
    if (finding !== undefined) yield finding;
  }
}

async function confirmUses(
  database: Database,
  trx: Transaction<Schema>,
  accountID: string,
  ownerTable: OwnerTable,
  sequence: number,
  repair: boolean,
): Promise<RecordFinding | undefined> {
  await lockAccount(database, trx, accountID);
  const [next] = await readOwners(trx, accountID, ownerTable, sequence - 1, 1);
  const owner = next?.sequence === sequence ? next : undefined;
  if (owner?.isReadable === false) {
    // The right uses are unknown, so the stored ones stay.
    const text = `the content of the ${ownerTable.name} ${owner.id} cannot be read`;
    return { kind: 'record', accountID, text, repaired: false };
  }
  const stored = await readUses(trx, accountID, ownerTable, sequence - 1, sequence);
  const right = await usesOfExistingImages(trx, accountID, owner?.uses ?? []);
  const wrong = difference(stored, right);
  const missingImages = (owner?.uses.length ?? 0) - right.length;
  if (wrong.length === 0 && missingImages === 0) return undefined;
  if (repair && wrong.length > 0) {
    await trx
      .deleteFrom('image_uses')
      .where('account_id', '=', accountID)
      .where('kind', 'in', ownerTable.kinds)
      .where('owner_sequence', '=', sequence)
      .execute();
    await insertUses(trx, accountID, right);
  }
  const name =
    owner === undefined ? `a ${ownerTable.name} that does not exist` : `the ${ownerTable.name} ${owner.id}`;
  const texts = [
    wrong.length > 0 && `${wrong.length} records of image uses are wrong for ${name}`,
    missingImages > 0 && `${name} shows ${missingImages} images that do not exist`,
  ];
  const text = texts.filter((each) => each !== false).join('; ');
  return { kind: 'uses', accountID, text, repaired: repair && missingImages === 0 };
}

/** A product or a set of line items. */
interface Owner {
  readonly sequence: number;
  readonly id: string;
  /** The uses of images that the content makes. Empty if the content cannot be read. */
  readonly uses: readonly ImageUse[];
  /** False: the content is not JSON, or not the content of such a record. */
  readonly isReadable: boolean;
}

async function readOwners(
  db: Kysely<Schema>,
  accountID: string,
  { table }: OwnerTable,
  after: number,
  limit: number,
): Promise<Owner[]> {
  const rows = await db
    .selectFrom(db.dynamic.table(table).as('owner'))
    .selectAll()
    .where('owner.account_id', '=', accountID)
    .where('owner.sequence', '>', after)
    .orderBy('owner.sequence')
    .limit(limit)
    // The builder knows only the columns that both tables have.
    .$castTo<ProductRow | LineItemsRow>()
    .execute();
  return rows.map((row): Owner => {
    const { sequence } = row;
    if ('line_items_id' in row) {
      const usesOf = (items: unknown) => usesOfLineItems(items as LineItem[], sequence);
      return { sequence, id: row.line_items_id, ...readContent(row.content, usesOf) };
    }
    const { product_id: id, content, disabled_on } = row;
    // A disabled product uses no images.
    const usesOf = (product: unknown) =>
      disabled_on === null ? usesOfProduct(product as ProductContent, sequence) : [];
    return { sequence, id, ...readContent(content, usesOf) };
  });
}

function readContent(
  content: string,
  usesOf: (content: unknown) => ImageUse[],
): Pick<Owner, 'isReadable' | 'uses'> {
  try {
    return { isReadable: true, uses: usesOf(JSON.parse(content)) };
  } catch {
    return { isReadable: false, uses: [] };
  }
}

/** Reads the stored uses of owners in a range. @param to undefined: all owners after `after`. */
function readUses(
  db: Kysely<Schema>,
  accountID: string,
  { kinds }: OwnerTable,
  after: number,
  to: number | undefined,
): Promise<ImageUse[]> {
  return db
    .selectFrom('image_uses')
    .select(['image_id', 'kind', 'owner_sequence', 'outer_index', 'inner_index'])
    .where('account_id', '=', accountID)
    .where('kind', 'in', kinds)
    .where('owner_sequence', '>', after)
    .$if(to !== undefined, (query) => query.where('owner_sequence', '<=', to ?? 0))
    .execute();
}

async function usesOfExistingImages(
  db: Kysely<Schema>,
  accountID: string,
  uses: readonly ImageUse[],
): Promise<ImageUse[]> {
  const imageIDs = [...new Set(uses.map(({ image_id }) => image_id))];
  const existing = await readDisabledStates(db, accountID, imageIDs);
  return uses.filter(({ image_id }) => existing.has(image_id));
}

/** The uses that are in only one of the lists. */
function difference(one: readonly ImageUse[], other: readonly ImageUse[]): ImageUse[] {
  const keyOf = (use: ImageUse) =>
    [use.kind, use.owner_sequence, use.outer_index, use.inner_index, use.image_id].join(' ');
  const [keysOfOne, keysOfOther] = [one, other].map((uses) => new Set(uses.map(keyOf)));
  return [
    ...one.filter((use) => !keysOfOther?.has(keyOf(use))),
    ...other.filter((use) => !keysOfOne?.has(keyOf(use))),
  ];
}
