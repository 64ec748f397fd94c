/**
 * Reads all records of one moment, and fills an empty database with them. Rows have the same form in every
 * database, so a snapshot of one database can be restored into another.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { AppError } from '../../errors.ts';
import type { Cell, Row, SchemaState, Snapshot, TableRows } from '../../maintenance/records.ts';
import { BATCH_SIZE, batchesOf, type Database, scanInBatches, translateErrors } from '../dialect.ts';
import { migrationNames } from '../schema/migrations.ts';
import { readSchemaState } from '../schema/state.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * The tables of a library, each with its key, and after the tables that it refers to. The tables of the
 * installation are not among them: its ID, the marker rows and the pauses of garbage collection, and the
 * purges.
 */
export const TABLES = {
  accounts: ['account_id'],
  api_keys: ['public_key'],
  api_key_accounts: ['public_key', 'position'],
  key_secrets: ['key_id', 'digest'],
  tokens: ['token_id'],
  audit_heads: ['account_id'],
  audit: ['account_id', 'sequence'],
  events: ['account_id', 'sequence'],
  images: ['account_id', 'sequence'],
  image_tags: ['account_id', 'tag', 'sequence'],
  image_search: ['account_id', 'sequence'],
  idempotency_keys: ['account_id', 'key'],
  products: ['account_id', 'sequence'],
  line_items: ['account_id', 'sequence'],
  image_uses: ['account_id', 'image_id', 'kind', 'owner_sequence', 'outer_index', 'inner_index'],
} as const satisfies Partial<Record<keyof Schema, readonly string[]>>;

/** The names of these tables, in this order. */
export const PORTABLE_TABLES: readonly string[] = Object.keys(TABLES);

/** The key of a table. @throws Error for a table that is not among these. */
export function keyOf(table: string): readonly string[] {
  if (!Object.hasOwn(TABLES, table)) throw new Error(`the table ${table} is unknown`);
  return TABLES[table as keyof typeof TABLES];
}

const DIGEST_LENGTH = 64;

/** Rows in one read. With the largest sets of line items, these are some megabytes. */
const ROWS_PER_READ = 200;

/** Parameters in one statement, below the limit of every database. */
const MAX_PARAMETERS = 10_000;

/** The form of column names, also in other versions. Other names could contain SQL. */
const COLUMN_NAME = /^[a-z][a-z0-9_]{0,62}$/;

/** See MaintenanceRecords. */
export function readSchema(database: Database): Promise<SchemaState> {
  return translateErrors(database, () => readSchemaState(database.db, migrationNames()));
}

/** See MaintenanceRecords. */
export function takeSnapshot<T>(
  database: Database,
  work: (snapshot: Snapshot) => Promise<T>,
  isSealed: boolean,
): Promise<T> {
  return translateErrors(database, () =>
    database.snapshot(async (db) => {
      const { applied, available, newer, isServable } = await readSchemaState(db, migrationNames());
      const schema = applied.at(-1) ?? '';
      if (!isServable || newer.length > 0) {
        throw new AppError(
          'conflict',
          `the database has the schema ${schema} and this version needs ${available.at(-1)}: ` +
            'run "vitrine migrate", or use the version that made it',
        );
      }
      return work({
        schema,
        rows: () => readRows(db),
        async findAbsent(table, rows) {
          const present = await readRowsByKey(db, table, rows);
          return rows.filter((row) => !present.has(keyText(table, row)));
        },
        originals: () => readOriginals(db),
        async countOriginals() {
          const { count } = await db
            .selectFrom('images')
            .select(({ fn }) => fn.count<number>('digest').distinct().as('count'))
            .executeTakeFirstOrThrow();
          return Number(count);
        },
      });
    }, isSealed),
  );
}

async function* readRows(db: Kysely<Schema>): AsyncGenerator<TableRows> {
  for (const table of PORTABLE_TABLES) yield* readTable(db, table);
}

/** All rows of a table, in batches. */
export async function* readTable(db: Kysely<Schema>, table: string): AsyncGenerator<TableRows> {
  const read = async (last?: Row) => (await selectAfter(table, keyOf(table), last).execute(db)).rows;
  for await (const rows of scanInBatches(read)) yield { table, rows };
}

/** The key of a row, as a text. */
export function keyText(table: string, row: Row): string {
  return JSON.stringify(keyOf(table).map((column) => row[column] ?? null));
}

/** The stored rows that have the keys of these rows, by the text of their key. */
export async function readRowsByKey(
  db: Kysely<Schema>,
  table: string,
  rows: readonly Row[],
): Promise<Map<string, Row>> {
  const stored = new Map<string, Row>();
  for (const batch of batchesOf(rows, ROWS_PER_READ)) {
    const condition = hasKeyOfAny(table, batch);
    const found = await sql<Row>`select * from ${sql.table(table)} where ${condition}`.execute(db);
    for (const row of found.rows) stored.set(keyText(table, row), row);
  }
  return stored;
}

/** True for the rows that have the key of one of these. At most some hundred, because SQLite nests them. */
export function hasKeyOfAny(table: string, rows: readonly Row[]): RawBuilder<boolean> {
  const hasKey = (row: Row) => {
    const columns = keyOf(table).map((column) => sql`${sql.ref(column)} = ${row[column] ?? null}`);
    return sql`(${sql.join(columns, sql` and `)})`;
  };
  return sql<boolean>`(${sql.join(rows.map(hasKey), sql` or `)})`;
}

/** The query for the rows that follow the last one of the previous batch. */
function selectAfter(table: string, key: readonly string[], last: Row | undefined): RawBuilder<Row> {
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const values = (row: Row): Cell[] => key.map((column) => row[column] ?? null);
  const condition = last === undefined ? sql`` : sql`where (${columns}) > (${sql.join(values(last))})`;
  const limit = sql.lit(ROWS_PER_READ);
  return sql<Row>`select * from ${sql.table(table)} ${condition} order by ${columns} limit ${limit}`;
}

/** @param prefix only originals whose digest begins with these hexadecimal digits. */
export async function* readOriginals(
  db: Kysely<Schema>,
  prefix = '',
): AsyncGenerator<{ digest: string; size: number }> {
  const read = (last?: { digest: string; size: number }) =>
    db
      .selectFrom('images')
      .select(({ fn }) => ['digest', fn.max('size').as('size')])
      .where('digest', last === undefined ? '>=' : '>', last?.digest ?? prefix.padEnd(DIGEST_LENGTH, '0'))
      .where('digest', '<=', prefix.padEnd(DIGEST_LENGTH, 'f'))
      .groupBy('digest')
      .orderBy('digest')
      .limit(BATCH_SIZE)
      .execute();
  for await (const originals of scanInBatches(read)) {
    yield* originals.map(({ digest, size }) => ({ digest, size: Number(size) }));
  }
}

/** See MaintenanceRecords. */
export async function restoreRecords(
  database: Database,
  schema: string,
  rows: AsyncIterable<TableRows>,
): Promise<void> {
  const { applied, available } = await readSchema(database);
  const newest = applied.at(-1);
  if (!available.includes(schema)) {
    throw new AppError(
      'conflict',
      `these records belong to another version of Vitrine: their schema is ${schema}, ` +
        `and the newest schema of this version is ${available.at(-1)}`,
    );
  }
  // A restore that failed leaves the schema of its records in the empty database. An older schema can be
  // migrated.
  const older = available.slice(0, available.indexOf(schema) + 1);
  if (newest !== undefined && !older.includes(newest)) {
    throw new AppError(
      'conflict',
      `the database has the schema ${newest} already, and these records have the older schema ${schema}: ` +
        'use a new database',
    );
  }
  await translateErrors(database, async () => {
    if (newest !== schema) {
      await throwUnlessEmpty(database.db);
      await database.migrate({ upTo: schema });
    }
    await database.longTransaction(async (trx) => {
      await throwUnlessEmpty(trx);
      for await (const batch of rows) await insertRows(trx, batch);
    });
  });
}

export async function throwUnlessEmpty(db: Kysely<Schema>): Promise<void> {
  // An older schema may lack some of the tables.
  const existing = new Set((await db.introspection.getTables()).map(({ name }) => name));
  for (const table of PORTABLE_TABLES) {
    if (!existing.has(table)) continue;
    const { rows } = await sql`select 1 as one from ${sql.table(table)} limit 1`.execute(db);
    if (rows.length === 0) continue;
    throw new AppError(
      'conflict',
      `the database is not empty: there are ${table.replaceAll('_', ' ')} in it`,
    );
  }
}

/** @param replaces whether a row takes the place of a stored one with its key. */
export async function insertRows(
  db: Kysely<Schema>,
  { table, rows }: TableRows,
  replaces = false,
): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first);
  if (!Object.hasOwn(TABLES, table) || !columns.every((name) => COLUMN_NAME.test(name))) {
    const text = `the records have an unknown table or an invalid column name: table ${table}`;
    throw new AppError('invalid-request', text);
  }
  const names = sql.join(columns.map((name) => sql.ref(name)));
  const ending = replaces ? updateOnConflict(table, columns) : sql``;
  const size = Math.max(1, Math.floor(MAX_PARAMETERS / columns.length));
  for (const batch of batchesOf(rows, size)) {
    const values = batch.map((row) => sql`(${sql.join(columns.map((name) => row[name] ?? null))})`);
    await sql`insert into ${sql.table(table)} (${names}) values ${sql.join(values)} ${ending}`.execute(db);
  }
}

function updateOnConflict(table: string, columns: readonly string[]): RawBuilder<unknown> {
  const key = keyOf(table);
  const others = columns.filter((name) => !key.includes(name));
  const changes = others.map((name) => sql`${sql.ref(name)} = ${sql.ref(`excluded.${name}`)}`);
  return sql`on conflict (${sql.join(key.map((name) => sql.ref(name)))}) do update set ${sql.join(changes)}`;
}
