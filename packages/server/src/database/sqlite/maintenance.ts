/**
 * Owns what maintenance asks of SQLite in particular: all records as they are at one moment, and what is wrong with the
 * file. Refuses to know threads, and what is done with the records. Loaded when it is needed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Kysely, sql } from 'kysely';
import type { DatabaseDamage } from '../../maintenance/records.ts';
import type { Schema } from '../schema/tables.ts';
import { isDamage } from './codes.ts';
import type { KyselyOverThreads } from './driver.ts';

/**
 * A copy, because a transaction of ours excludes all that write.
 * Beside the database, where there is room for it or else for nothing, and for nobody but this user.
 */
export async function overCopy<T>(
  db: Kysely<Schema>,
  path: string,
  open: (path: string) => Promise<KyselyOverThreads>,
  work: (db: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  const beside = path === ':memory:' ? tmpdir() : dirname(path);
  const folder = await mkdtemp(join(beside, 'vitrine-snapshot-'));
  try {
    const copy = join(folder, 'copy.db');
    await sql`vacuum into ${copy}`.execute(db);
    const { kysely, close } = await open(copy);
    try {
      return await work(kysely);
    } finally {
      await close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What SQLite finds wrong: with its pages and indexes, and with references that lead nowhere. */
export async function findDamage(db: Kysely<Schema>): Promise<DatabaseDamage[]> {
  const found = await orDamage(async () => {
    const { rows } = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db);
    const texts = rows.map(({ integrity_check }) => integrity_check).filter((text) => text !== 'ok');
    return texts.map((text) => ({ text, isReadable: false }));
  });
  // Where pages are broken this may break off as well, and says no more.
  if (found.length > 0) return found;
  return orDamage(async () => {
    const { rows } = await sql<{
      table: string;
      rowid: number | null;
      parent: string;
    }>`pragma foreign_key_check`.execute(db);
    return rows.map(({ table, rowid, parent }) => {
      return { text: `row ${rowid} of ${table} refers to nothing in ${parent}`, isReadable: true };
    });
  });
}

/** That a check breaks off because of damage is damage that it found. */
async function orDamage(check: () => Promise<DatabaseDamage[]>): Promise<DatabaseDamage[]> {
  try {
    return await check();
  } catch (error) {
    if (!isDamage(error)) throw error;
    return [{ text: (error as Error).message, isReadable: false }];
  }
}
