/**
 * Servers with many records, for the rows about lists and lookups. The server creates its database and one
 * image; SQL copies that row. So this is the only file of the bench that depends on the database schema.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import sharp from 'sharp';
import { type OwnPostgres, startOwnPostgres } from '../packages/server/test/support/postgres.ts';
import { type Bench, check } from './bench.ts';
import { ACCOUNT, startVitrine, type Vitrine } from './vitrine.ts';

export interface Libraries {
  /** A server with a million images; with 100 000 in a quick run. */
  readonly large: Vitrine;
  /** A server with 1 000 images. */
  readonly small: Vitrine;
  /** The number of images in the large one, as text. */
  readonly total: string;
  /** Public IDs of images, in random order, at most this many. */
  publicIDs(of: 'large' | 'small', count: number): Promise<string[]>;
  stop(): Promise<void>;
}

/** One database with its SQL. */
interface Records {
  readonly env: Readonly<Record<string, string>>;
  /** Copies the only image: the first account then has `imageCount` images, and `others` have 1 000 each. */
  fill(imageCount: number, others: number): Promise<void>;
  publicIDs(count: number): Promise<string[]>;
}

/** @param imageCount the images of the first account in the large library. */
export async function startLibraries(bench: Bench, imageCount: number): Promise<Libraries> {
  const postgres = bench.database === 'postgres' ? await startDatabaseServer() : undefined;
  const start = async (name: string, images: number, others: number) => {
    bench.log(`${name} library: ${images + others * 1_000} records on ${bench.database}`);
    const folder = await mkdtemp(join(bench.folder, `${name}-`));
    const records = postgres ? postgresRecords(await postgres.createDatabase()) : sqliteRecords(folder);
    const options = { parent: bench.folder, folder, env: records.env };
    const first = await startVitrine(options);
    await first.upload(await makePicture());
    await first.stop();
    await records.fill(images, others);
    return { records, server: await startVitrine(options) };
  };
  const large = await start('large', imageCount, bench.quick ? 90 : 900);
  const small = await start('small', 1_000, 0);
  return {
    large: large.server,
    small: small.server,
    total: bench.quick ? '100 k' : '1 M',
    publicIDs: (of, count) => (of === 'large' ? large : small).records.publicIDs(count),
    async stop() {
      await large.server.stop();
      await small.server.stop();
      await postgres?.stop();
    },
  };
}

async function startDatabaseServer(): Promise<OwnPostgres> {
  const { postgres, skip } = await startOwnPostgres();
  if (postgres === undefined) throw new Error(skip);
  return postgres;
}

function makePicture(): Promise<Buffer> {
  return sharp({ create: { width: 64, height: 64, channels: 3, background: '#a08040' } })
    .jpeg()
    .toBuffer();
}

function postgresRecords(url: string): Records {
  const query = async (text: string) => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text)).rows;
    } finally {
      await client.end();
    }
  };
  const columnsOf = async (table: string) => {
    const rows = await query(
      `select column_name as name from information_schema.columns where table_name = '${table}'`,
    );
    return rows.map(({ name }) => String(name));
  };
  const copy = async (table: string, changes: Readonly<Record<string, string>>, from: string) => {
    const names = await columnsOf(table);
    for (const name of Object.keys(changes)) check(names.includes(name), `${table} has no column ${name}`);
    const values = names.map((name) => changes[name] ?? `template.${name}`);
    await query(
      `insert into vitrine_records.${table} (${names.join(', ')}) select ${values.join(', ')} from ${from}`,
    );
  };
  const template = (table: string) =>
    `(select * from vitrine_records.${table} where account_id = '${ACCOUNT}' limit 1) as template`;
  const image = {
    image_id: 'gen_random_uuid()',
    public_id: `substr(md5(random()::text) || md5(random()::text), 1, 21)`,
    digest: `sha256(gen_random_uuid()::text::bytea)`,
    alt_text: `'Picture ' || n || ' of the catalogue'`,
    created_on: `template.created_on + n * interval '1 millisecond'`,
    updated_on: `template.created_on + n * interval '1 millisecond'`,
  };
  return {
    env: { VITRINE_DATABASE: url },
    async fill(imageCount, others) {
      await copy(
        'images',
        { ...image, sequence: 'n' },
        `${template('images')}, generate_series(2, ${imageCount}) as n`,
      );
      await query(
        `update vitrine_records.accounts set image_count = ${imageCount}, enabled_count = ${imageCount}`,
      );
      if (others > 0) {
        const counters = { image_count: '1000', enabled_count: '1000' };
        await copy(
          'accounts',
          { account_id: 'gen_random_uuid()', ...counters },
          `${template('accounts')}, generate_series(1, ${others}) as n`,
        );
        await copy(
          'images',
          { ...image, account_id: 'others.account_id', sequence: 'n' },
          `${template('images')}, generate_series(1, 1000) as n,
            (select account_id from vitrine_records.accounts where account_id <> '${ACCOUNT}') as others`,
        );
      }
      await query('vacuum analyze');
    },
    async publicIDs(count) {
      const rows = await query(
        `select public_id from vitrine_records.images order by random() limit ${count}`,
      );
      return rows.map(({ public_id }) => String(public_id));
    },
  };
}

function sqliteRecords(folder: string): Records {
  const path = join(folder, 'vitrine.db');
  return {
    env: {},
    async fill(imageCount, others) {
      const database = new DatabaseSync(path);
      try {
        database.exec('begin');
        fillSqlite(database, imageCount, others);
        database.exec('commit');
        database.exec('pragma wal_checkpoint(truncate)');
      } finally {
        database.close();
      }
    },
    async publicIDs(count) {
      const database = new DatabaseSync(path, { readOnly: true });
      const rows = database.prepare(`select public_id from images order by random() limit ${count}`).all();
      database.close();
      return rows.map(({ public_id }) => String(public_id));
    },
  };
}

function fillSqlite(database: DatabaseSync, imageCount: number, others: number): void {
  const copy = (table: string, changes: Readonly<Record<string, string>>, from: string) => {
    const columns = database.prepare(`select name from pragma_table_info('${table}')`).all();
    const names = columns.map(({ name }) => String(name));
    for (const name of Object.keys(changes)) check(names.includes(name), `${table} has no column ${name}`);
    const values = names.map((name) => changes[name] ?? `template.${name}`);
    database.exec(`insert into ${table} (${names.join(', ')}) select ${values.join(', ')} from ${from}`);
  };
  const hex = (bytes: number) => `lower(hex(randomblob(${bytes})))`;
  const uuid = `${hex(4)} || '-' || ${hex(2)} || '-4' || substr(${hex(2)}, 2) || '-8' || substr(${hex(2)}, 2) || '-' || ${hex(6)}`;
  const image = {
    image_id: uuid,
    public_id: `substr(${hex(11)}, 1, 21)`,
    digest: hex(32),
    alt_text: `'Picture ' || numbers.n || ' of the catalogue'`,
    created_on: 'template.created_on + numbers.n',
    updated_on: 'template.created_on + numbers.n',
  };
  const numbers = (low: number, high: number) =>
    `(with recursive up(n) as (select ${low} union all select n + 1 from up where n < ${high}) select n from up) as numbers`;
  const template = `(select * from images where account_id = '${ACCOUNT}' and sequence = 1) as template`;
  if (others > 0) {
    const account = `(select * from accounts where account_id = '${ACCOUNT}') as template`;
    const counters = { image_count: '1000', enabled_count: '1000' };
    copy('accounts', { account_id: uuid, ...counters }, `${account}, ${numbers(1, others)}`);
    const otherAccounts = `(select account_id as id from accounts where account_id <> '${ACCOUNT}') as others`;
    copy(
      'images',
      { ...image, account_id: 'others.id', sequence: 'numbers.n' },
      `${template}, ${otherAccounts}, ${numbers(1, 1_000)}`,
    );
  }
  copy('images', { ...image, sequence: 'numbers.n' }, `${template}, ${numbers(2, imageCount)}`);
  database.exec(
    `update accounts set image_count = ${imageCount}, enabled_count = ${imageCount} where account_id = '${ACCOUNT}'`,
  );
}
