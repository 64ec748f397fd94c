/**
 * The query plans of lists with conditions and orders, in databases with many images. Each list is read from
 * an index. Only the rows of its page are read from the table.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import {
  type CompiledQuery,
  Kysely,
  PostgresDialect,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import pg from 'pg';
import type { Database } from '../../src/database/dialect.ts';
import { findText as findPostgresText } from '../../src/database/postgres/search.ts';
import type { Schema } from '../../src/database/schema/tables.ts';
import { listMatching } from '../../src/database/sql/image-filters.ts';
import { findText as findSqliteText } from '../../src/database/sqlite/search.ts';
import { openSqlite } from '../../src/database/sqlite/sqlite.ts';
import { IMAGE_SORTS, type ImageFilter } from '../../src/images/records.ts';
import { startPostgres } from '../support/postgres.ts';

const IMAGES = 20_000;
const ACCOUNTS = ['3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb', '0f0e0d0c-0b0a-4908-8706-050403020100'] as const;

/** Expressions of an ID, a digest and a time in milliseconds. */
interface Values {
  readonly id: (text: string) => string;
  readonly digest: (text: string) => string;
  readonly time: (milliseconds: string) => string;
}

const PORTABLE: Values = { id: (text) => text, digest: (text) => text, time: (milliseconds) => milliseconds };
const NATIVE: Values = {
  id: (text) => `md5(${text})::uuid`,
  digest: (text) => `sha256((${text})::bytea)`,
  time: (milliseconds) => `to_timestamp(${milliseconds})`,
};

/** Statements for SQLite and PostgreSQL. Every thousandth image has a rare format, tag and text. */
const statementsWith = ({ id, digest, time }: Values) =>
  ACCOUNTS.flatMap((account, index) => [
    `insert into accounts (account_id, display_name, created_on, image_count, enabled_count, byte_count)
    values ('${account}', 'many', ${time('0')}, ${IMAGES}, ${IMAGES - IMAGES / 1_000}, 0)`,
    `with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ${IMAGES})
    insert into images (account_id, sequence, image_id, public_id, digest, size, format, width, height,
      frames, transparent, alt_text, has_alt_text, sort_name, created_on, updated_on, disabled_on, used)
    select accounts.account_id, n, ${id(`'image ' || n`)}, '${index} public ' || n, ${digest(`'digest ' || n`)}, (n * 7919) % 65521,
      case when n % 1000 = 1 then 'webp' when n % 3 = 0 then 'png' else 'jpeg' end,
      (n * 31) % 4001, (n * 37) % 4001, 1, 0, '${'words '.repeat(60)}', case when n % 5 = 0 then 0 else 1 end,
      'name ' || ((n * 7919) % 65521), ${time('n')}, ${time('(n * 104729) % 65521')},
      case when n % 1000 = 2 then ${time('1')} end,
      case when n % 2 = 0 then 1 else 0 end
    from numbers join accounts on account_id = '${account}'`,
    `insert into image_tags (account_id, tag, sequence) select account_id, 'all', sequence from images where account_id = '${account}'`,
    `insert into image_tags (account_id, tag, sequence) select account_id, 'rare', sequence from images
    where account_id = '${account}' and sequence % 1000 = 1`,
    `insert into image_search (account_id, sequence, content) select account_id, sequence,
      'a common text ' || case when sequence % 1000 = 1 then 'with a needle' else 'without it' end
    from images where account_id = '${account}'`,
  ]);

const CONDITIONS: readonly ImageFilter[] = [
  {},
  { disabled: true },
  { disabled: false },
  { unused: true },
  { unused: false },
  { altText: 'missing' },
  { format: 'png' },
  { format: 'webp' },
  { minWidth: 4_000 },
  { minHeight: 10 },
  { visibility: 'public' },
  { withdrawn: false },
  { format: 'png', minWidth: 1_000, minHeight: 1_000, disabled: false, unused: true, altText: 'missing' },
];
const SOURCES: readonly ImageFilter[] = [
  { tag: 'all' },
  { tag: 'rare' },
  { search: 'common' },
  { search: 'needle' },
  { tag: 'rare', search: 'common' },
];

interface Statement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** Runs a list, and returns its statements. */
type RunList = (filter: ImageFilter, skip: number) => Promise<readonly Statement[]>;

function recordList(findText: Database['findText'], db: Kysely<Schema>, statements: Statement[]): RunList {
  return async (filter, skip) => {
    statements.length = 0;
    const { images, total } = await listMatching({ findText }, db, ACCOUNTS[0], { skip, count: 20 }, filter);
    assert.equal(images.length, Math.min(20, Math.max(0, total - skip)), JSON.stringify(filter));
    return [...statements];
  };
}

async function assertPlans(
  run: RunList,
  explain: (statement: Statement) => Promise<string[]> | string[],
  isBad: (line: string, filter: ImageFilter) => boolean,
): Promise<void> {
  const filters = [
    ...CONDITIONS,
    ...SOURCES,
    ...SOURCES.map((source) => ({ ...source, format: 'png' as const })),
  ];
  for (const conditions of filters) {
    for (const sort of IMAGE_SORTS) {
      const filter = { ...conditions, sort };
      for (const skip of [0, 5]) {
        for (const statement of await run(filter, skip)) {
          const plan = await explain(statement);
          const bad = plan.filter((line) => isBad(line, filter));
          assert.deepEqual(bad, [], `${JSON.stringify(filter)}\n${statement.sql}\n${plan.join('\n')}`);
        }
      }
    }
  }
}

const isFew = ({ tag, search }: ImageFilter) => tag === 'rare' || search === 'needle';

describe('a list of many images', () => {
  test('is read from indexes in SQLite', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vitrine-plans-'));
    const path = join(folder, 'vitrine.db');
    const store = await openSqlite({ path });
    await store.migrate();
    await store.close();
    const raw = new DatabaseSync(path);
    try {
      for (const statement of statementsWith(PORTABLE)) raw.exec(statement);
      const statements: Statement[] = [];
      const db = new Kysely<Schema>({
        dialect: {
          createAdapter: () => new SqliteAdapter(),
          createIntrospector: (kysely) => new SqliteIntrospector(kysely),
          createQueryCompiler: () => new SqliteQueryCompiler(),
          createDriver: () => ({
            init: async () => undefined,
            acquireConnection: async () => ({
              executeQuery: async <R>({ sql, parameters }: CompiledQuery) => {
                statements.push({ sql, parameters });
                return { rows: raw.prepare(sql).all(...(parameters as SQLInputValue[])) as R[] };
              },
              streamQuery: () => assert.fail('nothing streams'),
            }),
            beginTransaction: async () => undefined,
            commitTransaction: async () => undefined,
            rollbackTransaction: async () => undefined,
            releaseConnection: async () => undefined,
            destroy: async () => undefined,
          }),
        },
      });
      const explain = ({ sql, parameters }: Statement) =>
        raw
          .prepare(`explain query plan ${sql}`)
          .all(...(parameters as SQLInputValue[]))
          .map(({ detail }) => String(detail));
      await assertPlans(recordList(findSqliteText, db, statements), explain, (line, filter) => {
        // The matches of a text are a range of its index. A subquery has its own lines.
        if (/^SCAN (found VIRTUAL TABLE|counted$)/.test(line)) return false;
        if (/^SCAN/.test(line)) return true;
        if (/TEMP B-TREE FOR ORDER BY/.test(line)) return !isFew(filter);
        // Only the rows of the page are read by their keys. All others are read from an index alone.
        return (
          /^SEARCH (images|found)/.test(line) &&
          !/COVERING INDEX/.test(line) &&
          !/\(account_id=\? AND sequence=\?\)/.test(line)
        );
      });
    } finally {
      raw.close();
      await rm(folder, { recursive: true });
    }
  });
});

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

describe('a list of many images', { skip }, () => {
  test('is read from indexes in PostgreSQL', async () => {
    const url = (await postgres?.createDatabase()) ?? '';
    const pool = new pg.Pool({ connectionString: url, max: 1 });
    // The server may end a connection after the test.
    pool.on('error', () => undefined);
    pg.types.setTypeParser(20, Number);
    try {
      for (const statement of statementsWith(NATIVE)) await pool.query(statement);
      await pool.query('vacuum analyze');
      const statements: Statement[] = [];
      const db = new Kysely<Schema>({
        dialect: new PostgresDialect({ pool }),
        log: ({ query }) => {
          statements.push(query);
        },
      });
      const explain = async ({ sql, parameters }: Statement) => {
        const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`explain ${sql}`, [...parameters]);
        return rows.map((row) => row['QUERY PLAN'].trim());
      };
      await assertPlans(recordList(findPostgresText, db, statements), explain, (line) =>
        /Seq Scan on images/.test(line),
      );
      const [count] = await recordList(findPostgresText, db, statements)({ search: 'needle' }, 0);
      const plan = await explain(count ?? assert.fail());
      assert.ok(
        plan.some((line) => /Bitmap Index Scan on image_search_by_text/.test(line)),
        plan.join('\n'),
      );
    } finally {
      await pool.end();
    }
  });
});
