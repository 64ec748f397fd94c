/**
 * The command of the fuzz run: `npm run fuzz -- [--seed S] [--count N] [--minutes M] [--case FORMAT:NUMBER]`.
 * Its exit code is 1 after a fault.
 *
 * `--count`: mutations of each format. The default is 5 000, or no limit if `--minutes` is set. With both
 * options, the run ends at the first limit. `--case`: sends only this mutation, saves its file and prints the
 * answer of the server.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { IMAGE_FORMATS } from '../../../src/image.ts';
import { formatReport, fuzz, makeCase } from './fuzz.ts';
import { type HostileServer, startProcess } from './server-process.ts';

const PER_FORMAT = 5_000;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    case: { type: 'string' },
  },
});
const seed = Number(values.seed ?? Math.floor(Date.now() / 1_000));
const keepIn = join(tmpdir(), 'vitrine-fuzz');
const print = (line: string) => process.stdout.write(`${line}\n`);

const server = await startProcess();
try {
  process.exitCode = values.case === undefined ? await run(server) : await replay(server, values.case);
} finally {
  await server.close();
}

async function run(server: HostileServer): Promise<number> {
  const { minutes, count } = values;
  const perFormat = Number(count ?? (minutes === undefined ? PER_FORMAT : Number.MAX_SAFE_INTEGER));
  print(`seed ${seed}`);
  const result = await fuzz(server, {
    seed,
    perFormat,
    ...(minutes !== undefined && { withinMs: Number(minutes) * 60_000 }),
    keepIn,
    onFault: print,
    onProgress: (sent) => print(`${sent} sent`),
  });
  for (const line of formatReport(result, server)) print(line);
  return result.faults.length === 0 ? 0 : 1;
}

async function replay(server: HostileServer, name: string): Promise<number> {
  const [formatName, number] = name.split(':');
  const format = IMAGE_FORMATS.find((each) => each === formatName);
  if (format === undefined)
    throw new RangeError(`--case must be FORMAT:NUMBER, with a format of ${IMAGE_FORMATS.join(', ')}`);
  const file = await makeCase(seed, format, Number(number));
  const path = join(tmpdir(), `vitrine-fuzz-${seed}-${format}-${number}`);
  await writeFile(path, file);
  const { status, body } = await server.upload(file);
  print(`${path}: ${status} ${body.toString()}`);
  for (const line of server.warnings) print(JSON.stringify(line));
  return status < 500 ? 0 : 1;
}
