/**
 * The command line of the bench: runs the measurements and writes the results.
 * docs/benchmarks.md explains the results.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Measure } from './bench.ts';
import type { Row, Skipped } from './numbers.ts';
import { makeOriginals } from './originals.ts';
import { formatTable, writeResults } from './report.ts';
import { measureBytes } from './rows/bytes.ts';
import { measureCli } from './rows/cli.ts';
import { measureCold } from './rows/cold.ts';
import { measureList } from './rows/list.ts';
import { measureLookup } from './rows/lookup.ts';
import { measureMemory } from './rows/memory.ts';
import { measureStart } from './rows/start.ts';
import { measureStore } from './rows/store.ts';
import { measureUpload } from './rows/upload.ts';
import { measureWarm } from './rows/warm.ts';

const MEASURES: Readonly<Record<string, Measure>> = {
  cold: measureCold,
  warm: measureWarm,
  upload: measureUpload,
  list: measureList,
  lookup: measureLookup,
  store: measureStore,
  bytes: measureBytes,
  memory: measureMemory,
  start: measureStart,
  cli: measureCli,
};

const USAGE = `npm run bench -- [options]

  --rows NAMES     measurements, separated by commas: ${Object.keys(MEASURES).join(', ')} (default: all)
  --database NAME  sqlite or postgres, for the rows list and lookup (default: sqlite)
  --photos FOLDER  photographs for the originals (default: generated pictures)
  --rounds N       rounds of each comparison (default: 7)
  --quick          a few small rounds, to check that the bench works
  --out FOLDER     the folder for the results, or "none" (default: bench/results)
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: Object.keys(MEASURES).join(',') },
      database: { type: 'string', default: 'sqlite' },
      photos: { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string', default: join(import.meta.dirname, 'results') },
      help: { type: 'boolean', default: false },
    },
  });
  const names = values.rows.split(',');
  const rounds = Number(values.rounds ?? (values.quick ? 2 : 7));
  const unknown = names.filter((name) => MEASURES[name] === undefined);
  const { database } = values;
  const isKnown = database === 'sqlite' || database === 'postgres';
  if (values.help || !isKnown || unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
    process.stderr.write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-bench-'));
  const start = new Date();
  const log = (text: string) => process.stderr.write(`· ${text}\n`);
  try {
    log('making the originals');
    const originalsFolder = join(folder, 'originals');
    const photos = values.photos === undefined ? undefined : resolve(values.photos);
    const originals = await makeOriginals(originalsFolder, photos, values.quick ? 1 : 3);
    const bench: Bench = { folder, originalsFolder, originals, rounds, database, quick: values.quick, log };
    const rows: (Row | Skipped)[] = [];
    for (const name of names) rows.push(...((await MEASURES[name]?.(bench)) ?? []));
    process.stdout.write(formatTable(rows));
    if (values.out === 'none') return;
    const written = await writeResults(resolve(values.out), rows, {
      start,
      rounds,
      photographs: photos !== undefined,
      originals,
    });
    process.stdout.write(`\nWritten to ${written}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
