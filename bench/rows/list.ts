/**
 * The list: a page of 200 of an account of 100 000 images among a million, against the same page where there are 1 000
 * images in all. The server makes its database and one image; the rest are copies of that row, made with SQL, so this
 * is the one file that knows how records are stored.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import sharp from 'sharp';
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { closedLoop } from '../http.ts';
import { median, type Row } from '../numbers.ts';
import { ACCOUNT, startVitrine, type Vitrine } from '../vitrine.ts';

const PAGE = 200;
const REQUESTS = 60;

export const measureList: Measure = async (bench) => {
  const own = bench.quick ? 10_000 : 100_000;
  const deep = own / 2;
  const big = await filled(bench, 'big', own, bench.quick ? 90 : 900);
  const small = await filled(bench, 'small', 1_000, 0);
  try {
    const time = (server: Vitrine, skip: number, total: number) => async () => {
      const { latencies } = await closedLoop(Array(REQUESTS).fill(skip), 1, () => page(server, skip, total));
      return median(latencies);
    };
    const { first, skipped, reference } = await interleave(bench.rounds, {
      first: time(big, 0, own),
      skipped: time(big, deep, own),
      reference: time(small, 0, 1_000),
    });
    const of = `${own / 1_000} k images among ${bench.quick ? '100 k' : '1 M'}`;
    const common = { reference: '1 k in all', unit: 'ms', compare: 'ratio' as const, theirs: reference };
    return [
      { ...common, work: `list, first page of ${PAGE}, ${of}`, ours: first, target: { atMost: 1.3 } },
      { ...common, work: `list, at skip ${deep}, ${of}`, ours: skipped, target: { atMost: 5 } },
    ] satisfies Row[];
  } finally {
    await big.stop();
    await small.stop();
  }
};

async function page(server: Vitrine, skip: number, total: number): Promise<void> {
  const { status, headers, body } = await server.get(
    `/accounts/${ACCOUNT}/images?count=${PAGE}${skip === 0 ? '' : `&skip=${skip}`}`,
  );
  const list: unknown = JSON.parse(body.toString('utf8'));
  check(status === 200 && Array.isArray(list) && list.length === PAGE, `a list was answered ${status}`);
  // The newest comes first and the copies are numbered, so the place says which one it must be.
  const [entry] = list as { altText?: string }[];
  check(entry?.altText === `Picture ${total - skip} of the catalogue`, `at ${skip} is ${entry?.altText}`);
  check(headers['x-total-count'] === String(total), `X-Total-Count is ${headers['x-total-count']}`);
}

/** A server whose first account has `own` images, beside `others` accounts of 1 000 each. */
async function filled(bench: Bench, name: string, own: number, others: number): Promise<Vitrine> {
  bench.say(`list: ${own + others * 1_000} records`);
  const folder = join(bench.folder, name);
  await mkdir(folder);
  const first = await startVitrine({ parent: bench.folder, folder });
  const picture = await sharp({ create: { width: 64, height: 64, channels: 3, background: '#a08040' } })
    .jpeg()
    .toBuffer();
  await first.upload(picture);
  await first.stop();
  const database = new DatabaseSync(join(folder, 'vitrine.db'));
  try {
    database.exec('begin');
    fill(database, own, others);
    database.exec('commit');
    database.exec('pragma wal_checkpoint(truncate)');
  } finally {
    database.close();
  }
  return startVitrine({ parent: bench.folder, folder });
}

function fill(database: DatabaseSync, own: number, others: number): void {
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
    const strangers = `(select account_id as stranger from accounts where account_id <> '${ACCOUNT}') as strangers`;
    copy(
      'images',
      { ...image, account_id: 'strangers.stranger', sequence: 'numbers.n' },
      `${template}, ${strangers}, ${numbers(1, 1_000)}`,
    );
  }
  copy('images', { ...image, sequence: 'numbers.n' }, `${template}, ${numbers(2, own)}`);
  database.exec(
    `update accounts set image_count = ${own}, enabled_count = ${own} where account_id = '${ACCOUNT}'`,
  );
}
