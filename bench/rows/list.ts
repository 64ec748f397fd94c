/**
 * Measures a page of 200 images from an account with 100 000 of a million images. The reference is the same
 * page from a server with 1 000 images. The server creates its database and one image; SQL copies that row.
 * So this is the only file of the bench that depends on the database schema.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import sharp from 'sharp';
import { type Bench, check, interleave, type Measure } from '../bench.ts';
import { runClosedLoop } from '../http.ts';
import { median, type Row } from '../numbers.ts';
import { ACCOUNT, startVitrine, type Vitrine } from '../vitrine.ts';

const PAGE = 200;
const REQUESTS = 60;

export const measureList: Measure = async (bench) => {
  const imageCount = bench.quick ? 10_000 : 100_000;
  const deepSkip = imageCount / 2;
  const large = await startFilled(bench, 'big', imageCount, bench.quick ? 90 : 900);
  const small = await startFilled(bench, 'small', 1_000, 0);
  try {
    const measure = (server: Vitrine, skip: number, total: number) => async () => {
      const { latencies } = await runClosedLoop(Array(REQUESTS).fill(skip), 1, () =>
        readPage(server, skip, total),
      );
      return median(latencies);
    };
    const { first, deep, reference } = await interleave(bench.rounds, {
      first: measure(large, 0, imageCount),
      deep: measure(large, deepSkip, imageCount),
      reference: measure(small, 0, 1_000),
    });
    const size = `${imageCount / 1_000} k images among ${bench.quick ? '100 k' : '1 M'}`;
    const common = { reference: '1 k in all', unit: 'ms', compare: 'ratio' as const, theirs: reference };
    return [
      { ...common, work: `list, first page of ${PAGE}, ${size}`, ours: first, target: { atMost: 1.3 } },
      { ...common, work: `list, at skip ${deepSkip}, ${size}`, ours: deep, target: { atMost: 5 } },
    ] satisfies Row[];
  } finally {
    await large.stop();
    await small.stop();
  }
};

async function readPage(server: Vitrine, skip: number, total: number): Promise<void> {
  const { status, headers, body } = await server.get(
    `/accounts/${ACCOUNT}/images?count=${PAGE}${skip === 0 ? '' : `&skip=${skip}`}`,
  );
  const list: unknown = JSON.parse(body.toString('utf8'));
  check(status === 200 && Array.isArray(list) && list.length === PAGE, `a list request got ${status}`);
  // The newest image comes first and the copies are numbered, so the position determines the image.
  const [entry] = list as { altText?: string }[];
  check(entry?.altText === `Picture ${total - skip} of the catalogue`, `at ${skip} is ${entry?.altText}`);
  check(headers['x-total-count'] === String(total), `X-Total-Count is ${headers['x-total-count']}`);
}

/**
 * Starts a server with `imageCount` images in the first account, and `others` accounts of 1 000 images each.
 */
async function startFilled(bench: Bench, name: string, imageCount: number, others: number): Promise<Vitrine> {
  bench.log(`list: ${imageCount + others * 1_000} records`);
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
    fill(database, imageCount, others);
    database.exec('commit');
    database.exec('pragma wal_checkpoint(truncate)');
  } finally {
    database.close();
  }
  return startVitrine({ parent: bench.folder, folder });
}

function fill(database: DatabaseSync, imageCount: number, others: number): void {
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
