/**
 * Owns what can be wrong in the records, and how what is derived in them is made anew. Refuses to know blobs.
 *
 * Reading goes without locks; what looks wrong is looked at again under the lock of its account, and mended there. So
 * what a running server changes in between is never a finding, and never overwritten.
 */
import type { Kysely, Transaction } from 'kysely';
import type { LineItem } from '../../catalog/line-items.ts';
import type { ProductContent } from '../../catalog/product.ts';
import { throwIfFired } from '../../errors.ts';
import { isDigest, isImageFormat, isPublicID, MAX_ORIGINAL_BYTES } from '../../image.ts';
import type { CheckOptions, RecordFinding } from '../../maintenance/records.ts';
import { fold } from '../../validation/text.ts';
import { parseUUID } from '../../validation/uuid.ts';
import { type Database, guarded, lockAccount, transact } from '../dialect.ts';
import {
  type ImageUseRow,
  type LineItemsRow,
  type ProductRow,
  type UseKind,
  usesOfLineItems,
  usesOfProduct,
} from '../schema/catalog-tables.ts';
import type { AccountRow, ImageRow, Schema } from '../schema/tables.ts';
import { insertUses } from './image-uses.ts';

const BATCH = 500;

/** What shows images, by the table it is in. */
const OWNERS = [
  { table: 'products', kinds: ['product', 'option'], name: 'product' },
  { table: 'line_items', kinds: ['line-item'], name: 'set of line items' },
] as const satisfies readonly { table: string; kinds: readonly UseKind[]; name: string }[];
type Owners = (typeof OWNERS)[number];

/** See MaintenanceRecords. */
export async function* checkRecords(
  database: Database,
  options: CheckOptions,
): AsyncGenerator<RecordFinding> {
  const { db } = database;
  const { repair } = options;
  for await (const accounts of accountsInBatches(database)) {
    for (const account of accounts) {
      throwIfFired(options.signal);
      const { account_id } = account;
      if (!(await guarded(database, () => hasRightCounters(db, account_id)))) {
        yield* await transact(database, (trx) => confirmCounters(database, trx, account_id, repair));
      }
      yield* checkImages(database, account_id, options);
      for (const owners of OWNERS) yield* checkUses(database, account_id, owners, options);
    }
  }
}

async function* accountsInBatches(database: Database): AsyncGenerator<AccountRow[]> {
  for (let after = ''; ; ) {
    const accounts = await guarded(database, () =>
      database.db
        .selectFrom('accounts')
        .selectAll()
        .where('account_id', '>', after)
        .orderBy('account_id')
        .limit(BATCH)
        .execute(),
    );
    yield accounts;
    const last = accounts.at(-1);
    if (last === undefined) return;
    after = last.account_id;
  }
}

/** The counters as they stand, and as they should; in one statement, so that both are of one moment. */
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
        // A sum is a numeric in PostgreSQL, which comes as a text.
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
  enabled_count: 'images that are not disabled',
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
    const told = wrong.map((name) => `${stored[name]} ${COUNTER_NAMES[name]} for ${right[name]}`);
    const text = `the account counts ${told.join(', ')}`;
    findings.push({ kind: 'counters', accountID, text, repaired: repair });
  }
  if (rows !== right.image_count) {
    const text = `the account has ${rows} images, numbered up to ${right.image_count}: some are gone`;
    findings.push({ kind: 'record', accountID, text, repaired: false });
  }
  return findings;
}

async function* checkImages(
  database: Database,
  accountID: string,
  options: CheckOptions,
): AsyncGenerator<RecordFinding> {
  for (let after = 0; ; ) {
    throwIfFired(options.signal);
    const rows = await guarded(database, () =>
      database.db
        .selectFrom('images')
        .selectAll()
        .where('account_id', '=', accountID)
        .where('sequence', '>', after)
        .orderBy('sequence')
        .limit(BATCH)
        .execute(),
    );
    for (const row of rows) {
      const about = { kind: 'record', accountID, imageID: row.image_id } as const;
      for (const text of problemsOf(row)) yield { ...about, text, repaired: false };
      if (row.folded_alt_text === foldedAltText(row)) continue;
      if (!(await transact(database, (trx) => confirmAltText(database, trx, row, options.repair)))) continue;
      yield { ...about, text: 'the alt text is not found as it should be', repaired: options.repair };
    }
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last.sequence;
  }
}

/** What cannot be true of any image, and nobody can mend. */
function problemsOf(row: ImageRow): string[] {
  const rules: [boolean, string][] = [
    [parseUUID(row.image_id) === row.image_id, 'the imageID is no UUID'],
    [isPublicID(row.public_id), 'the publicID is not 21 URL-safe characters'],
    [isDigest(row.digest), 'the digest is no SHA-256'],
    [
      row.size >= 1 && row.size <= MAX_ORIGINAL_BYTES,
      `the size of ${row.size} bytes is none that is accepted`,
    ],
    [isImageFormat(row.format), `the format ${JSON.stringify(row.format)} is unknown`],
    [Math.min(row.width, row.height, row.frames) >= 1, 'the picture has no pixels'],
  ];
  return rules.filter(([holds]) => !holds).map(([, text]) => text);
}

function foldedAltText({ alt_text }: Pick<ImageRow, 'alt_text'>): string | null {
  return alt_text === null ? null : fold(alt_text);
}

async function confirmAltText(
  database: Database,
  trx: Transaction<Schema>,
  { account_id, sequence }: ImageRow,
  repair: boolean,
): Promise<boolean> {
  await lockAccount(database, trx, account_id);
  const row = await trx
    .selectFrom('images')
    .select(['alt_text', 'folded_alt_text'])
    .where('account_id', '=', account_id)
    .where('sequence', '=', sequence)
    .$if(database.locksRows, (query) => query.forNoKeyUpdate())
    .executeTakeFirst();
  if (row === undefined || row.folded_alt_text === foldedAltText(row)) return false;
  if (repair) {
    await trx
      .updateTable('images')
      .set({ folded_alt_text: foldedAltText(row) })
      .where('account_id', '=', account_id)
      .where('sequence', '=', sequence)
      .execute();
  }
  return true;
}

type Use = Omit<ImageUseRow, 'account_id'>;

/** What shows images, and whatever else is said to do so: each by its number in its table. */
async function* checkUses(
  database: Database,
  accountID: string,
  owners: Owners,
  options: CheckOptions,
): AsyncGenerator<RecordFinding> {
  for (let after = 0; ; ) {
    throwIfFired(options.signal);
    const batch = await guarded(database, () => readOwners(database.db, accountID, owners, after, BATCH));
    const last = batch.at(-1)?.sequence;
    const uses = await guarded(database, () => readUses(database.db, accountID, owners, after, last));
    const suspects = new Set(
      difference(
        uses,
        batch.flatMap((owner) => owner.uses),
      ).map((u) => u.owner_sequence),
    );
    for (const { sequence, isReadable } of batch) if (!isReadable) suspects.add(sequence);
    for (const sequence of suspects) {
      const finding = await transact(database, (trx) =>
        confirmUses(database, trx, accountID, owners, sequence, options.repair),
      );
      if (finding !== undefined) yield finding;
    }
    if (last === undefined) return;
    after = last;
  }
}

async function confirmUses(
  database: Database,
  trx: Transaction<Schema>,
  accountID: string,
  owners: Owners,
  sequence: number,
  repair: boolean,
): Promise<RecordFinding | undefined> {
  await lockAccount(database, trx, accountID);
  const [owner] = await readOwners(trx, accountID, owners, sequence - 1, 1);
  const own = owner?.sequence === sequence ? owner : undefined;
  if (own?.isReadable === false) {
    // What it shows cannot be told, so what is written down of that stays.
    const text = `the content of the ${owners.name} ${own.id} cannot be read`;
    return { kind: 'record', accountID, text, repaired: false };
  }
  const uses = await readUses(trx, accountID, owners, sequence - 1, sequence);
  const right = await ofExistingImages(trx, accountID, own?.uses ?? []);
  const wrong = difference(uses, right);
  const lost = (own?.uses.length ?? 0) - right.length;
  if (wrong.length === 0 && lost === 0) return undefined;
  if (repair && wrong.length > 0) {
    await trx
      .deleteFrom('image_uses')
      .where('account_id', '=', accountID)
      .where('kind', 'in', owners.kinds)
      .where('owner_sequence', '=', sequence)
      .execute();
    await insertUses(trx, accountID, right);
  }
  const name = own === undefined ? `a ${owners.name} that is not there` : `the ${owners.name} ${own.id}`;
  const told = [
    wrong.length > 0 && `${wrong.length} uses of images by ${name} are not written down as they are`,
    lost > 0 && `${name} shows ${lost} images that are not there`,
  ];
  const text = told.filter((each) => each !== false).join('; ');
  return { kind: 'uses', accountID, text, repaired: repair && lost === 0 };
}

interface Owner {
  readonly sequence: number;
  readonly id: string;
  readonly uses: readonly Use[];
  /** False: its content is no JSON, or not that of such a record; then its uses are not known. */
  readonly isReadable: boolean;
}

/** What can show images, with the uses that it makes of them. */
async function readOwners(
  db: Kysely<Schema>,
  accountID: string,
  owners: Owners,
  after: number,
  limit: number,
): Promise<Owner[]> {
  const rows = await db
    .selectFrom(db.dynamic.table(owners.table).as('owner'))
    .selectAll()
    .where('owner.account_id', '=', accountID)
    .where('owner.sequence', '>', after)
    .orderBy('owner.sequence')
    .limit(limit)
    // Of either table, and of each all columns; the builder only knows those that both have.
    .$castTo<ProductRow | LineItemsRow>()
    .execute();
  return rows.map((row): Owner => {
    const { sequence } = row;
    if ('line_items_id' in row) {
      const usesOf = (read: unknown) => usesOfLineItems(read as LineItem[], sequence);
      return { sequence, id: row.line_items_id, ...readContent(row.content, usesOf) };
    }
    const { product_id: id, content, disabled_on } = row;
    // A disabled product shows nothing to anybody who asks what is used.
    const usesOf = (read: unknown) =>
      disabled_on === null ? usesOfProduct(read as ProductContent, sequence) : [];
    return { sequence, id, ...readContent(content, usesOf) };
  });
}

function readContent(content: string, usesOf: (read: unknown) => Use[]): Pick<Owner, 'isReadable' | 'uses'> {
  try {
    return { isReadable: true, uses: usesOf(JSON.parse(content)) };
  } catch {
    return { isReadable: false, uses: [] };
  }
}

/** The uses written down of whatever has a number in this range; `to` undefined: of all above. */
function readUses(
  db: Kysely<Schema>,
  accountID: string,
  { kinds }: Owners,
  after: number,
  to: number | undefined,
): Promise<Use[]> {
  return db
    .selectFrom('image_uses')
    .select(['image_id', 'kind', 'owner_sequence', 'outer_index', 'inner_index'])
    .where('account_id', '=', accountID)
    .where('kind', 'in', kinds)
    .where('owner_sequence', '>', after)
    .$if(to !== undefined, (query) => query.where('owner_sequence', '<=', to ?? 0))
    .execute();
}

async function ofExistingImages(db: Kysely<Schema>, accountID: string, uses: readonly Use[]): Promise<Use[]> {
  const existing = new Set<string>();
  for (const image_id of new Set(uses.map((use) => use.image_id))) {
    const image = await db
      .selectFrom('images')
      .select('image_id')
      .where('account_id', '=', accountID)
      .where('image_id', '=', image_id)
      .executeTakeFirst();
    if (image !== undefined) existing.add(image_id);
  }
  return uses.filter(({ image_id }) => existing.has(image_id));
}

/** The uses that are in one of the lists only. */
function difference(one: readonly Use[], other: readonly Use[]): Use[] {
  const nameOf = (use: Use) =>
    [use.kind, use.owner_sequence, use.outer_index, use.inner_index, use.image_id].join(' ');
  const [ones, others] = [one, other].map((uses) => new Set(uses.map(nameOf)));
  return [
    ...one.filter((use) => !others?.has(nameOf(use))),
    ...other.filter((use) => !ones?.has(nameOf(use))),
  ];
}
