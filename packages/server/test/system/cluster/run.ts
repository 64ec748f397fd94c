/**
 * Runs the cluster by hand: `npm run test:cluster -- --faults 60 --seed 1`. Prints a line for each round and
 * a table at the end. Exits with 1 after a problem, and then keeps a journal.
 *
 * `--kinds 'failover,node killed'` runs only these faults. `--bound MS` is the longest allowed staleness.
 * `--staleness` measures after how long a replace is visible on all nodes.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { findTools } from './cluster.ts';
import { FAULTS } from './faults.ts';
import { BOUND, type HarnessReport, runHarness } from './harness.ts';
import { formatReport, formatRound } from './report.ts';
import { measureStaleness } from './staleness.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      faults: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      bound: { type: 'string', default: String(BOUND) },
      kinds: { type: 'string' },
      staleness: { type: 'boolean', default: false },
      replaces: { type: 'string', default: '200' },
    },
  });
  const skip = await findTools();
  if (skip) {
    process.stderr.write(`${skip}\n`);
    return;
  }
  const seed = readNumber('--seed', values.seed);
  if (values.staleness) {
    const { p50, p99, max } = await measureStaleness(readNumber('--replaces', values.replaces));
    process.stdout.write(`${values.replaces} replaces, visible on all nodes after: `);
    process.stdout.write(`p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms, max ${max.toFixed(0)} ms\n`);
    return;
  }
  const kinds = values.kinds?.split(',');
  const unknown = kinds?.filter((name) => !FAULTS.some(({ kind }) => kind === name)) ?? [];
  if (unknown.length > 0) {
    const all = FAULTS.map(({ kind }) => kind).join(', ');
    throw new RangeError(`--kinds has unknown faults: ${unknown.join(', ')}. They are: ${all}`);
  }
  const report = await runHarness({
    faults: readNumber('--faults', values.faults),
    seed,
    bound: readNumber('--bound', values.bound),
    ...(kinds && { kinds }),
    onRound: (round) => process.stdout.write(`${formatRound(round)}\n`),
  });
  process.stdout.write(`\n${formatReport(report)}\n`);
  if (report.problems.length === 0) return;
  process.exitCode = 1;
  for (const problem of report.problems) process.stdout.write(`PROBLEM: ${problem}\n`);
  process.stdout.write(`The journal is ${await keepJournal(report)}\n`);
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new RangeError(`${name} must be a whole number from 1`);
  return number;
}

/** Writes the report with its evidence into a file. @returns its path */
async function keepJournal(report: HarnessReport): Promise<string> {
  const path = join(tmpdir(), `vitrine-cluster-seed-${report.seed}.json`);
  const asEntries = (_: string, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value);
  await writeFile(path, JSON.stringify(report, asEntries, 1));
  return path;
}

await main();
