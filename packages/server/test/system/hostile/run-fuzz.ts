/**
 * The fuzz run by hand, and in the checks: `npm run fuzz -- [--seed S] [--count N] [--minutes M] [--case FORMAT:NUMBER]`.
 * Ends with exit code 1 if there was any fault. Refuses to know what is sent and judged (fuzz.ts).
 *
 * `--count`: mutations of each format; 5 000 unless `--minutes` alone says how long. Both: whichever comes first.
 * `--case`: only this one, its file kept and the server's answer shown.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz, fuzzCase, IMAGE_FORMATS, report } from './fuzz.ts';
import { type HostileServer, startProcess } from './process.ts';

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
const say = (line: string) => process.stdout.write(`${line}\n`);

const server = await startProcess();
try {
  process.exitCode = values.case === undefined ? await run(server) : await replay(server, values.case);
} finally {
  await server.close();
}

async function run(server: HostileServer): Promise<number> {
  const { minutes, count } = values;
  const perFormat = Number(count ?? (minutes === undefined ? PER_FORMAT : Number.MAX_SAFE_INTEGER));
  say(`seed ${seed}`);
  const result = await fuzz(server, {
    seed,
    perFormat,
    ...(minutes !== undefined && { withinMs: Number(minutes) * 60_000 }),
    keepIn,
    onFault: say,
    onProgress: (sent) => say(`${sent} sent`),
  });
  for (const line of report(result, server)) say(line);
  return result.faults.length === 0 ? 0 : 1;
}

async function replay(server: HostileServer, name: string): Promise<number> {
  const [wanted, number] = name.split(':');
  const format = IMAGE_FORMATS.find((known) => known === wanted);
  if (format === undefined) throw new RangeError(`--case is FORMAT:NUMBER, of ${IMAGE_FORMATS.join(', ')}`);
  const file = await fuzzCase(seed, format, Number(number));
  const path = join(tmpdir(), `vitrine-fuzz-${seed}-${format}-${number}`);
  await writeFile(path, file);
  const { status, body } = await server.upload(file);
  say(`${path}: ${status} ${body.toString()}`);
  for (const line of server.warnings) say(JSON.stringify(line));
  return status < 500 ? 0 : 1;
}
