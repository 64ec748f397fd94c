/**
 * Copies the tables of a large library into native tables while servers work (docs/adr/0059).
 *
 * Triggers repeat each write in the native tables. Then the rows from before are copied in batches, and the
 * indexes are built without blocking writers. It may end at any statement, and continues at its next run.
 * convert.ts ends the conversion in one short transaction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { AppError } from '../../../errors.ts';
import type { ReportProgress } from '../../schema/migration.ts';
import {
  addForeignKey,
  addUnique,
  conversion,
  createIndex,
  createTable,
  nativeTable,
  quote,
  readSource,
  type Source,
  type SourceTable,
  tableOf,
} from './catalog.ts';
import { createNamespace, explained, isOfKey, mirrorOf, refuseNilAccount, run } from './convert.ts';

/** A library with fewer rows is converted by convert.ts alone, in a second or two. */
const MIN_ROWS = 50_000;

/** Rows in one transaction. Writers of these rows wait for it. */
const BATCH = 2_000;

/** Milliseconds to wait for the lock of a table. Writers wait behind this request. */
const LOCK_TIMEOUT = 500;
/** Milliseconds before the next attempt. */
const LOCK_PAUSE = 1_000;

export interface CopyOptions {
  /** @see MIN_ROWS */
  readonly minRows?: number;
  /** @see BATCH */
  readonly batch?: number;
}

/** Whether the library is copied, and not converted in one transaction. */
export async function isLargeLibrary(db: Kysely<unknown>): Promise<boolean> {
  const source = await db.transaction().execute(readSource);
  return (await exists(db, 'conversion')) || hasRows(db, source, MIN_ROWS);
}

/** See ServedMigration.online. */
export async function copyWhileServing(
  db: Kysely<unknown>,
  report: ReportProgress,
  { minRows = MIN_ROWS, batch = BATCH }: CopyOptions = {},
): Promise<void> {
  const source = await db.transaction().execute(readSource);
  const isStarted = await exists(db, 'conversion');
  if (!isStarted && !(await hasRows(db, source, minRows))) return;
  await refuseNilAccount(db, source);
  await refuseDependents(db, source);
  if (!isStarted) {
    await db.transaction().execute(async (trx) => {
      await createNamespace(trx);
      await run(
        trx,
        `create table ${nativeTable('conversion')} (
          name text primary key, last_key jsonb, copied bigint not null default 0, is_copied boolean not null default false)`,
      );
    });
  }
  for (const table of source.tables) await startMirror(db, source, table);
  for (const table of source.tables) await copyRows(db, source, table, batch, report);
  for (const table of source.tables) await buildIndexes(db, source, table, report);
  for (const table of source.tables) await addForeignKeys(db, source, table, report);
  for (const { name } of source.tables) {
    // The statistics for the plans, and the map of pages that an index can answer alone.
    report(`${name}: statistics`);
    await run(db, `vacuum (analyze) ${nativeTable(name)}`);
  }
  await compareCounts(db, source);
}

async function exists(db: Kysely<unknown>, name: string): Promise<boolean> {
  const { rows } = await sql<{ exists: boolean }>`
    select to_regclass(${nativeTable(name)}) is not null as exists`.execute(db);
  return rows[0]?.exists === true;
}

async function hasRows(db: Kysely<unknown>, source: Source, minRows: number): Promise<boolean> {
  let total = 0;
  for (const table of source.tables) {
    const from = tableOf(source, table);
    const { rows } = await sql<{ count: number }>`${sql.raw(
      `select count(*) as count from (select 1 from ${from} limit ${minRows}) as counted`,
    )}`.execute(db);
    total += Number(rows[0]?.count ?? 0);
    if (total >= minRows) return true;
  }
  return false;
}

/** Views of an administrator would stop the conversion at its end. */
async function refuseDependents(db: Kysely<unknown>, source: Source): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select distinct r.ev_class::regclass::text as name
    from pg_depend d join pg_rewrite r on r.oid = d.objid
    join pg_class c on c.oid = d.refobjid join pg_namespace n on n.oid = c.relnamespace
    where d.classid = 'pg_rewrite'::regclass and r.ev_class <> c.oid and n.nspname = ${source.namespace}
      and c.relname = any(${source.tables.map(({ name }) => name)})`.execute(db);
  if (rows.length === 0) return;
  throw new AppError(
    'conflict',
    `views use the tables of the library: ${rows.map(({ name }) => name).join(', ')}. ` +
      'Drop them, and create them again after the update',
  );
}

/** Runs a statement that needs a lock, again and again until it gets it within a short time. */
async function withShortLock(
  db: Kysely<unknown>,
  work: (trx: Kysely<unknown>) => Promise<void>,
): Promise<void> {
  for (;;) {
    try {
      return await db.transaction().execute(async (trx) => {
        await sql`select set_config('lock_timeout', ${String(LOCK_TIMEOUT)}, true)`.execute(trx);
        await work(trx);
      });
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code !== '55P03' && code !== '40P01') throw error;
      await sleep(LOCK_PAUSE);
    }
  }
}

/** Creates the native table, and the trigger that repeats each later write of a row in it. */
async function startMirror(db: Kysely<unknown>, source: Source, table: SourceTable): Promise<void> {
  if (await exists(db, table.name)) return;
  const native = nativeTable(table.name);
  const mirror = mirrorOf(table);
  const { columns, values } = conversion(table, 'new');
  const keys = table.columns.filter(({ name }) => table.key.includes(name));
  const key = keys.map(({ name }) => quote(name)).join(', ');
  const tuple = (row: string) => `row(${keys.map(({ name }) => `${row}.${quote(name)}`).join(', ')})`;
  const old = conversion({ ...table, columns: keys }, 'old').values;
  const assignments = table.columns.map(({ name }) => `${quote(name)} = excluded.${quote(name)}`).join(', ');
  await withShortLock(db, async (trx) => {
    for (const statement of createTable(table)) await run(trx, statement);
    await run(
      trx,
      `create function ${nativeTable(mirror)}() returns trigger language plpgsql
        security definer set search_path = pg_catalog as $mirror$ begin
        if tg_op = 'DELETE' or (tg_op = 'UPDATE' and ${tuple('old')} is distinct from ${tuple('new')}) then
          delete from ${native} where (${key}) = (${old});
        end if;
        if tg_op <> 'DELETE' then
          insert into ${native} (${columns}) values (${values})
            on conflict (${key}) do update set ${assignments};
        end if;
        return null;
      end $mirror$`,
    );
    await run(
      trx,
      `create trigger ${mirror} after insert or update or delete on ${tableOf(source, table)}
        for each row execute function ${nativeTable(mirror)}()`,
    );
    await sql`insert into ${sql.raw(nativeTable('conversion'))} (name) values (${table.name})`.execute(trx);
  });
}

interface Progress {
  readonly last_key: readonly (string | number)[] | null;
  readonly copied: number;
  readonly is_copied: boolean;
}

async function copyRows(
  db: Kysely<unknown>,
  source: Source,
  table: SourceTable,
  batch: number,
  report: ReportProgress,
): Promise<void> {
  for (;;) {
    const { copied, is_copied } = await db
      .transaction()
      .execute((trx) => explained(trx, source, table, () => copyBatch(trx, source, table, batch)));
    if (copied > 0) report(`${table.name}: ${copied} rows`);
    if (is_copied) return;
  }
}

/**
 * Copies the next rows. Their lock makes a deletion wait, so that it also deletes the copy. A changed row was
 * copied by its change, and stays.
 */
async function copyBatch(
  trx: Kysely<unknown>,
  source: Source,
  table: SourceTable,
  batch: number,
): Promise<Progress> {
  const progress = sql.raw(nativeTable('conversion'));
  const { rows } = await sql<Progress>`
    select last_key, copied, is_copied from ${progress} where name = ${table.name} for update`.execute(trx);
  const before = rows[0];
  if (before === undefined) throw new AppError('conflict', 'the conversion was ended by another process');
  if (before.is_copied) return before;
  const key = table.key.map(quote).join(', ');
  const { columns, values } = conversion(table, 'batch');
  const from = sql.raw(tableOf(source, table));
  const after =
    before.last_key === null ? sql`` : sql`where (${sql.raw(key)}) > (${sql.join(before.last_key)})`;
  const inBatch = table.key.map((name) => `batch.${quote(name)}`);
  const newest = inBatch.map((name) => `${name} desc`).join(', ');
  const { rows: copied } = await sql<{ newest_key: (string | number)[]; count: number }>`
    with batch as materialized (
      select * from ${from} ${after} order by ${sql.raw(key)} limit ${sql.lit(batch)} for key share
    ), copied as (
      insert into ${sql.raw(nativeTable(table.name))} (${sql.raw(columns)})
      select ${sql.raw(values)} from batch on conflict (${sql.raw(key)}) do nothing
    )
    select json_build_array(${sql.raw(inBatch.join(', '))}) as newest_key, count(*) over () as count
    from batch order by ${sql.raw(newest)} limit 1`.execute(trx);
  const [last] = copied;
  const now = {
    last_key: last?.newest_key ?? before.last_key,
    copied: Number(before.copied) + Number(last?.count ?? 0),
    is_copied: last === undefined,
  };
  await sql`update ${progress} set last_key = ${JSON.stringify(now.last_key)}::jsonb, copied = ${now.copied},
    is_copied = ${now.is_copied} where name = ${table.name}`.execute(trx);
  return now;
}

async function buildIndexes(
  db: Kysely<unknown>,
  source: Source,
  table: SourceTable,
  report: ReportProgress,
): Promise<void> {
  for (const index of table.indexes) {
    if (isOfKey(table, index.constraint)) continue;
    let state = await readIndex(db, index.name);
    // The build of a process that was killed continues until its end.
    while (state === 'building') {
      await sleep(LOCK_PAUSE);
      state = await readIndex(db, index.name);
    }
    if (state === 'valid') continue;
    report(`${table.name}: index ${index.name}`);
    if (state === 'invalid') await run(db, `drop index ${nativeTable(index.name)}`);
    await run(db, createIndex(source, table, index, true));
  }
  for (const constraint of table.constraints) {
    if (constraint.kind !== 'u' || (await hasConstraint(db, table, constraint.name))) continue;
    await withShortLock(db, async (trx) => {
      await run(trx, addUnique(table, constraint));
    });
  }
}

/** An interrupted build leaves an invalid index. */
async function readIndex(
  db: Kysely<unknown>,
  name: string,
): Promise<'valid' | 'invalid' | 'building' | undefined> {
  const { rows } = await sql<{ is_valid: boolean; is_building: boolean }>`
    select indisvalid as is_valid, exists (
      select 1 from pg_stat_progress_create_index p where p.index_relid = x.indexrelid
    ) as is_building
    from pg_index x where x.indexrelid = to_regclass(${nativeTable(name)})`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  if (row.is_valid) return 'valid';
  return row.is_building ? 'building' : 'invalid';
}

async function hasConstraint(
  db: Kysely<unknown>,
  table: SourceTable,
  name: string,
  isValidated = false,
): Promise<boolean> {
  const { rows } = await sql`
    select 1 as one from pg_constraint where conrelid = to_regclass(${nativeTable(table.name)})
      and conname = ${name} and (convalidated or not ${isValidated}::boolean)`.execute(db);
  return rows.length > 0;
}

/** The check of the existing rows does not block writers. */
async function addForeignKeys(
  db: Kysely<unknown>,
  source: Source,
  table: SourceTable,
  report: ReportProgress,
): Promise<void> {
  for (const constraint of table.constraints) {
    if (constraint.kind !== 'f' || (await hasConstraint(db, table, constraint.name, true))) continue;
    report(`${table.name}: foreign key ${constraint.name}`);
    if (!(await hasConstraint(db, table, constraint.name))) {
      await withShortLock(db, async (trx) => {
        await run(trx, addForeignKey(source, table, constraint, true));
      });
    }
    await run(db, `alter table ${nativeTable(table.name)} validate constraint ${quote(constraint.name)}`);
  }
}

/** One statement reads both tables of one moment. A difference is a defect, and nothing is switched. */
async function compareCounts(db: Kysely<unknown>, source: Source): Promise<void> {
  for (const table of source.tables) {
    const { rows } = await sql<{ before: number; after: number }>`${sql.raw(
      `select (select count(*) from ${tableOf(source, table)}) as before,
        (select count(*) from ${nativeTable(table.name)}) as after`,
    )}`.execute(db);
    const { before, after } = rows[0] ?? {};
    if (before === after) continue;
    throw new Error(`the native table ${table.name} has ${after} rows instead of ${before}`);
  }
}
