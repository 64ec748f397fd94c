/**
 * Reads the records from the database without the server, and checks invariants that must hold at any moment.
 * A violation shows a change that was not one transaction.
 */
import { DatabaseSync } from 'node:sqlite';
import { ACCOUNT } from '../../../support/client.ts';
import type { ImageState } from './history.ts';

type Row = Readonly<Record<string, unknown>>;

/** Runs one statement and returns its rows. */
export type Query = (statement: string) => Promise<readonly Row[]>;

export interface StoredImage extends ImageState {
  readonly imageID: string;
  readonly publicID: string;
  /** Bytes of the original. */
  readonly size: number;
}

/** Queries a SQLite file while the server has it open. */
export function createSqliteQuery(path: string): Query {
  return async (statement) => {
    const database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
    try {
      return database.prepare(statement).all() as Row[];
    } finally {
      database.close();
    }
  };
}

/** Reads the images of the account, newest first. */
export async function readImages(query: Query): Promise<StoredImage[]> {
  const rows = await query(`select * from images where account_id = '${ACCOUNT}' order by sequence desc`);
  return rows.map((row) => ({
    imageID: String(row.image_id),
    publicID: String(row.public_id),
    digest: String(row.digest),
    size: Number(row.size),
    altText: row.alt_text === null ? undefined : String(row.alt_text),
    disabled: row.disabled_on !== null,
  }));
}

/** Runs the checks of SQLite on its file. @returns a sentence for each problem */
export async function checkSqliteFile(query: Query): Promise<string[]> {
  const integrity = await query('pragma integrity_check');
  const foreignKeys = await query('pragma foreign_key_check');
  return [
    ...integrity.map((row) => String(row.integrity_check)),
    ...foreignKeys.map((row) => JSON.stringify(row)),
  ]
    .filter((message) => message !== 'ok')
    .map((message) => `the database file: ${message}`);
}

/** Statements that count violations. Every count must be 0. */
const VIOLATIONS: Readonly<Record<string, string>> = {
  'accounts whose counters differ from their images': `
    select count(*) as n from accounts a where
      image_count <> (select count(*) from images i where i.account_id = a.account_id) or
      enabled_count <> (
        select count(*) from images i where i.account_id = a.account_id and disabled_on is null) or
      byte_count <> (
        select coalesce(sum(size), 0) from images i where i.account_id = a.account_id and disabled_on is null)`,
  'accounts with gaps in the numbers of their images': `
    select count(*) as n from accounts a where
      image_count <> (select coalesce(max(sequence), 0) from images i where i.account_id = a.account_id)`,
  'images without exactly one upload in the audit trail': `
    select count(*) as n from images i where 1 <> (
      select count(*) from audit u where u.subject_id = i.image_id and u.action = 'image.upload')`,
  'images whose bytes differ from the last entry of the audit trail': `
    select count(*) as n from images i where digest <> (
      select u.digest_after from audit u where u.subject_id = i.image_id and u.digest_after is not null
      order by u.sequence desc limit 1)`,
  'images whose disabled state differs from the last entry of the audit trail': `
    select count(*) as n from images i where
      (case when disabled_on is null then 'image.enable' else 'image.disable' end) <> coalesce((
        select u.action from audit u where u.subject_id = i.image_id
        and u.action in ('image.disable', 'image.enable') order by u.sequence desc limit 1), 'image.enable')`,
  'audit trails with gaps in their numbers': `
    select count(*) as n from audit_heads h where
      sequence <> (select count(*) from audit u where u.account_id = h.account_id)`,
  'feeds of events with gaps in their numbers': `
    select count(*) as n from audit_heads h where
      event_sequence <> (select count(*) from events e where e.account_id = h.account_id)`,
  'changes without their event, or events without their change': `
    select count(*) as n from audit_heads h where
      event_sequence <> (select count(*) from audit u where u.account_id = h.account_id
        and u.action in ('image.upload', 'image.replace', 'image.describe', 'image.disable', 'image.enable',
          'product.create', 'product.change', 'product.disable'))`,
  'idempotency keys without an upload of their image in the audit trail': `
    select count(*) as n from idempotency_keys k where not exists (
      select 1 from audit u where u.account_id = k.account_id and u.action = 'image.upload'
      and k.image like '%"image_id":"' || u.subject_id || '"%')`,
  'uses of images by missing products and line items': `
    select count(*) as n from image_uses u where not exists (
      select 1 from products p
      where u.kind <> 'line-item' and p.account_id = u.account_id and p.sequence = u.owner_sequence
    ) and not exists (
      select 1 from line_items l
      where u.kind = 'line-item' and l.account_id = u.account_id and l.sequence = u.owner_sequence)`,
};

/** Checks invariants that hold after any requests. @returns a sentence for each violation */
export async function checkRecords(query: Query): Promise<string[]> {
  const problems = await Promise.all(
    Object.entries(VIOLATIONS).map(async ([name, statement]) => {
      const [row] = await query(statement);
      return Number(row?.n) === 0 ? [] : [`${row?.n} ${name}`];
    }),
  );
  return [...problems.flat(), ...(await checkUses(query))];
}

/** Compares the images of products with `image_uses`. @returns a sentence for each difference */
async function checkUses(query: Query): Promise<string[]> {
  const products = await query('select account_id, sequence, content, disabled_on from products');
  const uses = await query(`select owner_sequence, image_id from image_uses where kind = 'product'`);
  const usesByProduct = Map.groupBy(uses, (row) => Number(row.owner_sequence));
  return products.flatMap(({ sequence, content, disabled_on }) => {
    const { imageIDs } = JSON.parse(String(content)) as { imageIDs: string[] };
    const expected = disabled_on === null ? imageIDs.toSorted() : [];
    const actual = (usesByProduct.get(Number(sequence)) ?? []).map((row) => String(row.image_id)).sort();
    const isEqual = JSON.stringify(expected) === JSON.stringify(actual);
    return isEqual ? [] : [`product ${sequence} shows ${expected}, but its uses are ${actual}`];
  });
}
