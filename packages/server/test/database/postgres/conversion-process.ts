/**
 * A process that copies a library into native tables, so that a test can kill it. Its parameters are the URL
 * of the database and the rows in a batch. It prints its progress.
 */
import type { Kysely } from 'kysely';
import pg from 'pg';
import { copyWhileServing } from '../../../src/database/postgres/native/online.ts';
import { ConnectionPool } from '../../../src/database/postgres/pool.ts';
import { POSTGRES_LIMITS } from '../../../src/database/postgres/postgres.ts';

const [, , url = '', batch] = process.argv;
const limits = { ...POSTGRES_LIMITS, wait: 2 ** 31 - 1 };
const pool = new ConnectionPool(pg, { url, size: 4, limits });
const db = pool.kyselyFor({ name: 'copy', isLong: false }) as unknown as Kysely<unknown>;
await copyWhileServing(db, (text) => process.stdout.write(`${text}\n`), {
  minRows: 1,
  batch: Number(batch),
});
await pool.close();
