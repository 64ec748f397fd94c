/**
 * The records as the database has them, read past the server, and what must be true of them at any moment: each change
 * was one transaction. Refuses to know what was asked and answered.
 */
import { DatabaseSync } from 'node:sqlite';
import { ACCOUNT } from '../../support/server.ts';
import type { ImageState } from './history.ts';

type Row = Readonly<Record<string, unknown>>;

/** Runs one statement and gives its rows. */
export type Query = (statement: string) => Promise<readonly Row[]>;

export interface StoredImage extends ImageState {
  readonly imageID: string;
  readonly publicID: string;
  /** Bytes of the original. */
  readonly size: number;
}

/** The database in a file, beside the server that has it open. */
export function sqliteQuery(path: string): Query {
  return async (statement) => {
    const database = new DatabaseSync(path, { readOnly: true, timeout: 10_000 });
    try {
      return database.prepare(statement).all() as Row[];
    } finally {
      database.close();
    }
  };
}

/** Newest first. */
export async function storedImages(query: Query): Promise<StoredImage[]> {
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

/** What SQLite itself finds wrong with its file. */
export async function sqliteFaults(query: Query): Promise<string[]> {
  const integrity = await query('pragma integrity_check');
  const foreign = await query('pragma foreign_key_check');
  return [
    ...integrity.map((row) => String(row.integrity_check)),
    ...foreign.map((row) => JSON.stringify(row)),
  ]
    .filter((said) => said !== 'ok')
    .map((said) => `the database file: ${said}`);
}

/** Each statement counts what must not be there. */
const NEVER: Readonly<Record<string, string>> = {
  'accounts whose counters differ from their images': `
    select count(*) as n from accounts a where
      image_count <> (select count(*) from images i where i.account_id = a.account_id) or
      enabled_count <> (select count(*) from images i where i.account_id = a.account_id and disabled_on is null) or
      byte_count <> (select coalesce(sum(size), 0) from images i where i.account_id = a.account_id and disabled_on is null)`,
  'accounts whose images are not numbered without gaps': `
    select count(*) as n from accounts a where
      image_count <> (select coalesce(max(sequence), 0) from images i where i.account_id = a.account_id)`,
  'images of which the trail tells no upload, or two': `
    select count(*) as n from images i where 1 <> (
      select count(*) from audit u where u.subject_id = i.image_id and u.action = 'image.upload')`,
  'images whose bytes are not those that the trail told of last': `
    select count(*) as n from images i where digest <> (
      select u.digest_after from audit u where u.subject_id = i.image_id and u.digest_after is not null
      order by u.sequence desc limit 1)`,
  'images that are disabled otherwise than the trail told last': `
    select count(*) as n from images i where
      (case when disabled_on is null then 'image.enable' else 'image.disable' end) <> coalesce((
        select u.action from audit u where u.subject_id = i.image_id
        and u.action in ('image.disable', 'image.enable') order by u.sequence desc limit 1), 'image.enable')`,
  'trails that are not numbered without gaps': `
    select count(*) as n from audit_heads h where
      sequence <> (select count(*) from audit u where u.account_id = h.account_id)`,
  'remembered uploads without an image of that account with the same trail': `
    select count(*) as n from idempotency_keys k where not exists (
      select 1 from audit u where u.account_id = k.account_id and u.action = 'image.upload'
      and k.image like '%"image_id":"' || u.subject_id || '"%')`,
  'uses of images by nothing': `
    select count(*) as n from image_uses u where not exists (
      select 1 from products p where u.kind <> 'line-item' and p.account_id = u.account_id and p.sequence = u.owner_sequence
    ) and not exists (
      select 1 from line_items l where u.kind = 'line-item' and l.account_id = u.account_id and l.sequence = u.owner_sequence)`,
};

/** What is wrong among the records themselves, whatever was asked. */
export async function recordFaults(query: Query): Promise<string[]> {
  const counted = await Promise.all(
    Object.entries(NEVER).map(async ([what, statement]) => {
      const [row] = await query(statement);
      return Number(row?.n) === 0 ? [] : [`${row?.n} ${what}`];
    }),
  );
  return [...counted.flat(), ...(await useFaults(query))];
}

/** Products and line items that show other images than `image_uses` says. */
async function useFaults(query: Query): Promise<string[]> {
  const products = await query('select account_id, sequence, content, disabled_on from products');
  const uses = await query(`select owner_sequence, image_id from image_uses where kind = 'product'`);
  const used = Map.groupBy(uses, (row) => Number(row.owner_sequence));
  return products.flatMap(({ sequence, content, disabled_on }) => {
    const { imageIDs } = JSON.parse(String(content)) as { imageIDs: string[] };
    const expected = disabled_on === null ? imageIDs.toSorted() : [];
    const told = (used.get(Number(sequence)) ?? []).map((row) => String(row.image_id)).sort();
    const same = JSON.stringify(expected) === JSON.stringify(told);
    return same ? [] : [`product ${sequence} shows ${expected}, but the uses are ${told}`];
  });
}
