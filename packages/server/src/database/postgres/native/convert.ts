/**
 * Gives a library native types, in one transaction (docs/adr/0059). A large library is copied before by
 * online.ts while servers work, and then only changes its tables here.
 */
import { type Kysely, sql } from 'kysely';
import { AppError } from '../../../errors.ts';
import { NIL_UUID } from '../../../validation/uuid.ts';
import { NAMESPACE } from '../dialect.ts';
import {
  addForeignKey,
  addUnique,
  conversion,
  createIndex,
  createTable,
  createTriggers,
  dropSource,
  nativeTable,
  readSource,
  type Source,
  type SourceTable,
  tableOf,
} from './catalog.ts';
import { isUnconvertible } from './columns.ts';

/** Makes the library native, in the transaction of `trx`. It locks all tables. */
export async function convert(trx: Kysely<unknown>): Promise<void> {
  const isCopied = await isPrepared(trx);
  const locked = await readSource(trx);
  await refuseNilAccount(trx, locked);
  if (locked.tables.length > 0) {
    const tables = locked.tables.map((table) => tableOf(locked, table)).join(', ');
    await run(trx, `lock table ${tables} in access exclusive mode`);
  }
  if (isCopied) {
    await dropMirrors(trx, locked);
    await run(trx, `drop table ${nativeTable('conversion')}`);
  } else {
    await createNamespace(trx);
    await fill(trx, locked);
  }
  for (const statement of [...createTriggers(locked), ...dropSource(locked)]) await run(trx, statement);
}

/** An account with the nil UUID would share the audit trail of the server. */
export async function refuseNilAccount(db: Kysely<unknown>, source: Source): Promise<void> {
  const accounts = source.tables.find(({ name }) => name === 'accounts');
  if (accounts === undefined) return;
  const { rows } = await sql`
    select 1 as one from ${sql.raw(tableOf(source, accounts))} where account_id = ${NIL_UUID}`.execute(db);
  if (rows.length === 0) return;
  const text = `the account ${NIL_UUID} cannot be converted: export its images to another account before`;
  throw new AppError('conflict', text);
}

/** Whether online.ts has copied the tables. */
async function isPrepared(db: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql<{ exists: boolean }>`
    select to_regclass(${`${NAMESPACE}.conversion`}) is not null as exists`.execute(db);
  return rows[0]?.exists === true;
}

async function fill(trx: Kysely<unknown>, source: Source): Promise<void> {
  for (const statement of source.tables.flatMap(createTable)) await run(trx, statement);
  const filled: SourceTable[] = [];
  for (const table of source.tables) {
    const { columns, values } = conversion(table, 'source');
    const from = tableOf(source, table);
    const order = table.key.map((name) => `source."${name}"`).join(', ');
    const copied = await explained(trx, source, table, () =>
      run(
        trx,
        `insert into ${nativeTable(table.name)} (${columns}) select ${values} from ${from} as source order by ${order}`,
      ),
    );
    if (copied > 0n) filled.push(table);
  }
  for (const table of source.tables) {
    for (const index of table.indexes) {
      if (!isOfKey(table, index.constraint)) await run(trx, createIndex(source, table, index));
    }
    for (const constraint of table.constraints) {
      if (constraint.kind === 'u') await run(trx, addUnique(table, constraint));
    }
  }
  for (const table of source.tables) {
    for (const constraint of table.constraints) {
      if (constraint.kind === 'f') await run(trx, addForeignKey(source, table, constraint));
    }
  }
  // Without statistics, the first queries would have bad plans.
  for (const { name } of filled) await run(trx, `analyze ${nativeTable(name)}`);
}

/** Whether an index belongs to the primary key, which the table has from its start. */
export function isOfKey({ constraints }: SourceTable, constraint: string | null): boolean {
  return constraints.some(({ name, kind }) => kind === 'p' && name === constraint);
}

/**
 * Creates the namespace of the native tables, if it does not exist.
 * @throws AppError `conflict` if it has another library, or the user may not create it.
 */
export async function createNamespace(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ exists: boolean; tables: number; user: string; database: string }>`
    select to_regnamespace(${NAMESPACE}) is not null as exists, current_user::text as user,
      current_database()::text as database,
      (select count(*) from pg_class where relnamespace = to_regnamespace(${NAMESPACE})) as tables`.execute(
    db,
  );
  const { exists = false, tables = 0, user = '', database = '' } = rows[0] ?? {};
  if (user === NAMESPACE) {
    throw new AppError(
      'conflict',
      `the user of the database must not be called ${NAMESPACE}: use another user`,
    );
  }
  if (tables > 0) {
    throw new AppError(
      'conflict',
      `the schema ${NAMESPACE} of the database is not empty: a database can hold only one library`,
    );
  }
  if (exists) return;
  const statement = `create schema ${NAMESPACE}`;
  try {
    await run(db, statement);
  } catch (error) {
    if (!hasCode(error, ['42501'])) throw error;
    throw new AppError(
      'conflict',
      `the user ${user} may not create a schema in the database ${database}. ` +
        `Run this as an administrator: ${statement} authorization "${user}"`,
      { cause: error },
    );
  }
}

/** Runs a statement, and returns the number of its rows. */
export async function run(db: Kysely<unknown>, statement: string): Promise<bigint> {
  const { numAffectedRows } = await sql.raw(statement).execute(db);
  return numAffectedRows ?? 0n;
}

/** The function of the trigger that repeats each write to a table in its native table. */
export const mirrorOf = ({ name }: Pick<SourceTable, 'name'>) => `mirror_${name}`;

async function dropMirrors(trx: Kysely<unknown>, source: Source): Promise<void> {
  for (const table of source.tables) {
    await run(trx, `drop trigger ${mirrorOf(table)} on ${tableOf(source, table)}`);
    await run(trx, `drop function ${nativeTable(mirrorOf(table))}()`);
  }
}

/** SQLSTATEs of texts and numbers without a native form. */
const MALFORMED = ['22P02', '22023', '22008', '22003'];

/**
 * Runs the work that converts rows of a table.
 * @throws AppError `conflict` with a row that cannot be converted.
 */
export async function explained<T>(
  db: Kysely<unknown>,
  source: Source,
  table: SourceTable,
  work: () => Promise<T>,
): Promise<T> {
  await run(db, 'savepoint converted');
  try {
    const result = await work();
    await run(db, 'release savepoint converted');
    return result;
  } catch (error) {
    if (!hasCode(error, MALFORMED)) throw error;
    await run(db, 'rollback to savepoint converted');
    throw (await findMalformed(db, source, table)) ?? error;
  }
}

function hasCode(error: unknown, codes: readonly unknown[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(error.code);
}

async function findMalformed(
  db: Kysely<unknown>,
  source: Source,
  table: SourceTable,
): Promise<AppError | undefined> {
  const key = table.key.map((name) => `source."${name}"::text`).join(', ');
  for (const { name, native } of table.columns) {
    const condition = isUnconvertible(native, `source."${name}"`);
    if (condition === undefined) continue;
    const { rows } = await sql<{ key: string[]; value: string }>`${sql.raw(
      `select array[${key}] as key, source."${name}"::text as value
        from ${tableOf(source, table)} as source where ${condition} limit 1`,
    )}`.execute(db);
    const [row] = rows;
    if (row === undefined) continue;
    const found = `${name} of the row ${row.key.join(', ')} is ${JSON.stringify(row.value)}`;
    return new AppError(
      'conflict',
      `the table ${table.name} cannot be converted: ${found}, which is no ${native}. ` +
        'Correct this row, and start again',
    );
  }
  return undefined;
}
