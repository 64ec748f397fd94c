/**
 * The SQLite part of maintenance: a snapshot of all records, and a search for damage in the file. Loaded on
 * demand.
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
 * Runs `work` with a copy of the database, because each transaction of the driver excludes all other writers.
 * The copy is in a private folder next to the database, on the same disk.
 */
export async function withCopy<T>(
  db: Kysely<Schema>,
  path: string,
  open: (path: string) => Promise<KyselyOverThreads>,
  work: (db: Kysely<Schema>) => Promise<T>,
): Promise<T> {
  const parent = path === ':memory:' ? tmpdir() : dirname(path);
  const folder = await mkdtemp(join(parent, 'vitrine-snapshot-'));
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

/** Finds damaged pages and indexes, and rows that refer to missing rows. */
export async function findDamage(db: Kysely<Schema>): Promise<DatabaseDamage[]> {
  const damage = await runCheck(async () => {
    const { rows } = await sql<{ integrity_check: string }>`pragma integrity_check`.execute(db);
    const texts = rows.map(({ integrity_check }) => integrity_check).filter((text) => text !== 'ok');
    return texts.map((text) => ({ text, isReadable: false }));
  });
  // With damaged pages the second check could fail, and it would find nothing new.
  if (damage.length > 0) return damage;
  return runCheck(async () => {
    const { rows } = await sql<{
      table: string;
      rowid: number | null;
      parent: string;
    }>`pragma foreign_key_check`.execute(db);
    return rows.map(({ table, rowid, parent }) => {
      return { text: `row ${rowid} of ${table} refers to a missing row of ${parent}`, isReadable: true };
    });
  });
}

/** Runs a check. If damage makes it fail, that error is its finding. */
async function runCheck(check: () => Promise<DatabaseDamage[]>): Promise<DatabaseDamage[]> {
  try {
    return await check();
  } catch (error) {
    if (!isDamage(error)) throw error;
    return [{ text: (error as Error).message, isReadable: false }];
  }
}
