/**
 * Owns how all records are read as they are at one moment, and how an empty database is filled with them: tables and rows
 * as they are, in a form that every database takes. Refuses to know files.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { AppError } from '../../errors.ts';
import type { Cell, Row, Snapshot, TableRows } from '../../maintenance/records.ts';
import { type Database, guarded } from '../dialect.ts';
import { appliedMigrations, migrations } from '../schema/migrations.ts';
import type { Schema } from '../schema/tables.ts';

/**
 * Every table whose rows belong to a library, after those that it refers to, with its key. What is of this installation
 * only is not among them: its ID, what was collected, and who holds on to what.
 */
const TABLES = {
  accounts: ['account_id'],
  api_keys: ['public_key'],
  api_key_accounts: ['public_key', 'position'],
  key_secrets: ['key_id', 'digest'],
  tokens: ['token_id'],
  audit_heads: ['account_id'],
  audit: ['account_id', 'sequence'],
  images: ['account_id', 'sequence'],
  idempotency_keys: ['account_id', 'key'],
  products: ['account_id', 'sequence'],
  line_items: ['account_id', 'sequence'],
  image_uses: ['account_id', 'image_id', 'kind', 'owner_sequence', 'outer_index', 'inner_index'],
} as const satisfies Partial<Record<keyof Schema, readonly string[]>>;

/** Rows of one read: even sets of line items of the largest kind then stay within some megabytes. */
const BATCH = 200;

/** Below what every database allows in one statement. */
const MAX_CELLS = 10_000;

/** Tables and columns of a version that is not this one's have names like these as well. */
const NAME = /^[a-z][a-z0-9_]{0,62}$/;

/** The names of the migrations that this version knows, in order. */
export function knownMigrations(): string[] {
  return Object.keys(migrations({ appendOnly: () => [] })).sort();
}

/** See MaintenanceRecords. */
export async function readSchema(
  database: Database,
): Promise<{ applied: readonly string[]; known: readonly string[] }> {
  const applied = await guarded(database, async () => {
    // An answer at all comes first: a database that cannot be reached is not an empty one.
    await sql`select 1 as one`.execute(database.db);
    const tables = await database.db.introspection.getTables({ withInternalKyselyTables: true });
    return tables.some(({ name }) => name === 'kysely_migration') ? appliedMigrations(database.db) : [];
  });
  return { applied, known: knownMigrations() };
}

/** See MaintenanceRecords. */
export function takeSnapshot<T>(database: Database, work: (snapshot: Snapshot) => Promise<T>): Promise<T> {
  return guarded(database, () =>
    database.snapshot(async (db) => {
      const schema = (await appliedMigrations(db)).at(-1) ?? '';
      const known = knownMigrations().at(-1);
      if (schema !== known) {
        throw new AppError(
          'conflict',
          `the database has the schema ${schema} and this version needs ${known}: start the server once, or use the version that made it`,
        );
      }
      return work({
        schema,
        rows: () => readRows(db),
        originals: () => readOriginals(db),
        async countOriginals() {
          const { count } = await db
            .selectFrom('images')
            .select(({ fn }) => fn.count<number>('digest').distinct().as('count'))
            .executeTakeFirstOrThrow();
          return Number(count);
        },
      });
    }),
  );
}

async function* readRows(db: Kysely<Schema>): AsyncGenerator<TableRows> {
  for (const [table, key] of Object.entries(TABLES)) {
    for (let after: readonly Cell[] | undefined; ; ) {
      const rows: readonly Row[] = (await page(table, key, after).execute(db)).rows;
      const last = rows.at(-1);
      if (last === undefined) break;
      yield { table, rows };
      after = key.map((column) => last[column] ?? null);
    }
  }
}

function page(table: string, key: readonly string[], after: readonly Cell[] | undefined): RawBuilder<Row> {
  const columns = sql.join(key.map((column) => sql.ref(column)));
  const beyond = after === undefined ? sql`` : sql`where (${columns}) > (${sql.join(after)})`;
  return sql<Row>`select * from ${sql.table(table)} ${beyond} order by ${columns} limit ${sql.lit(BATCH)}`;
}

async function* readOriginals(db: Kysely<Schema>): AsyncGenerator<{ digest: string; size: number }> {
  for (let after = ''; ; ) {
    const originals = await db
      .selectFrom('images')
      .select(({ fn }) => ['digest', fn.max('size').as('size')])
      .where('digest', '>', after)
      .groupBy('digest')
      .orderBy('digest')
      .limit(BATCH)
      .execute();
    yield* originals.map(({ digest, size }) => ({ digest, size: Number(size) }));
    const last = originals.at(-1);
    if (last === undefined) return;
    after = last.digest;
  }
}

/** See MaintenanceRecords. */
export async function restoreRecords(
  database: Database,
  schema: string,
  rows: AsyncIterable<TableRows>,
): Promise<void> {
  const { applied, known } = await readSchema(database);
  const newest = applied.at(-1);
  if (!known.includes(schema)) {
    throw new AppError(
      'conflict',
      `these records belong to another version of Vitrine: their schema is ${schema}, and this version knows up to ${known.at(-1)}`,
    );
  }
  // A restore that was refused leaves a schema behind, of the records that it refused: what is older is brought up.
  const older = known.slice(0, known.indexOf(schema) + 1);
  if (newest !== undefined && !older.includes(newest)) {
    throw new AppError(
      'conflict',
      `the database has the schema ${newest} already, and these records have ${schema}: name a database that was never used`,
    );
  }
  await guarded(database, async () => {
    if (newest !== schema) {
      await throwUnlessEmpty(database.db);
      await database.migrate(schema);
    }
    await database.longTransaction(async (trx) => {
      await throwUnlessEmpty(trx);
      for await (const batch of rows) await insertRows(trx, batch);
    });
  });
}

async function throwUnlessEmpty(db: Kysely<Schema>): Promise<void> {
  // A schema of before may lack tables of today.
  const there = new Set((await db.introspection.getTables()).map(({ name }) => name));
  for (const table of Object.keys(TABLES)) {
    if (!there.has(table)) continue;
    const found = await sql`select 1 as one from ${sql.table(table)} limit 1`.execute(db);
    if (found.rows.length === 0) continue;
    throw new AppError(
      'conflict',
      `the database is not empty: there are ${table.replaceAll('_', ' ')} in it`,
    );
  }
}

async function insertRows(db: Kysely<Schema>, { table, rows }: TableRows): Promise<void> {
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first);
  if (!Object.hasOwn(TABLES, table) || !columns.every((name) => NAME.test(name))) {
    throw new AppError('invalid-request', `the records have a table or a column that cannot be: ${table}`);
  }
  const names = sql.join(columns.map((name) => sql.ref(name)));
  const atOnce = Math.max(1, Math.floor(MAX_CELLS / columns.length));
  for (let start = 0; start < rows.length; start += atOnce) {
    const values = rows.slice(start, start + atOnce).map((row) => {
      return sql`(${sql.join(columns.map((name) => row[name] ?? null))})`;
    });
    await sql`insert into ${sql.table(table)} (${names}) values ${sql.join(values)}`.execute(db);
  }
}
