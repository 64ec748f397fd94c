/**
 * A flood: 2 000 distinct sizes of one image are asked for, 16 at a time, while another image's warm rendition is
 * asked for at a steady pace. Prints the latency of the second quiet, under the flood, and quiet again. The target: a
 * 95th percentile within twice of quiet. The flood comes from a process of its own, which is this file again.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { check } from './bench.ts';
import { closedLoop, read, request } from './http.ts';
import { brief, quantile } from './numbers.ts';
import { makeOriginals } from './originals.ts';
import { goAhead, latencies } from './pace.ts';
import { startVitrine, type Vitrine } from './vitrine.ts';

const SIZES = 2_000;
const CONCURRENCY = 16;
/** Milliseconds between two requests for the warm rendition. */
const PACE = 4;
const TARGET = 2;

/** How often each status was answered. */
type Statuses = Readonly<Record<string, number>>;

async function flood(link: string): Promise<Statuses> {
  const statuses: Record<string, number> = {};
  const sizes = Array.from(
    { length: SIZES },
    (_, index) => `${300 + (index % 50)}x${300 + Math.floor(index / 50)}`,
  );
  await closedLoop(sizes, CONCURRENCY, async (size) => {
    const { status } = await request('GET', `${link}?size=${size}&format=webp`);
    statuses[status] = (statuses[status] ?? 0) + 1;
  });
  return statuses;
}

async function measure(vitrine: Vitrine, flooded: string, warm: string): Promise<string> {
  await read(warm);
  const quiet = await latencies(warm, PACE, pause(4_000));
  const child = fork(import.meta.filename, ['--flood', flooded]);
  const answered = once(child, 'message').then(([statuses]) => statuses as Statuses);
  const ended = once(child, 'exit');
  const under = await latencies(warm, PACE, answered);
  const statuses = await answered;
  await ended;
  const after = await latencies(warm, PACE, pause(4_000));
  for (const status of Object.keys(statuses))
    check(['200', '429', '503'].includes(status), `the flood was answered ${status}`);
  check((await vitrine.get('/livez')).status === 200, 'the server does not answer afterwards');
  const line = (name: string, values: readonly number[]) =>
    `${name.padEnd(12)} p50 ${brief(quantile(values, 0.5))} ms   p95 ${brief(quantile(values, 0.95))} ms   ` +
    `p99 ${brief(quantile(values, 0.99))} ms   (${values.length} requests)`;
  const ratio = quantile(under, 0.95) / quantile(quiet, 0.95);
  return `${line('quiet', quiet)}
${line('under flood', under)}
${line('quiet again', after)}
the flood's answers: ${JSON.stringify(statuses)}
p95 under flood: ${brief(ratio)}x of quiet (target ≤ ${TARGET}x, ${ratio <= TARGET ? 'met' : 'MISSED'})
`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      flood: { type: 'string' },
      photos: { type: 'string' },
      // What one image may cost: 0 lets the flood through to the renderer.
      budget: { type: 'string', multiple: true, default: ['256', '0'] },
    },
  });
  if (values.flood !== undefined) {
    process.send?.(await flood(values.flood));
    process.disconnect();
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-flood-'));
  process.stdout.write(`${await goAhead()}\n`);
  try {
    const photos = values.photos === undefined ? undefined : resolve(values.photos);
    const [flooded, other] = (await makeOriginals(join(folder, 'originals'), photos, 2)).filter(
      ({ format }) => format === 'jpeg',
    );
    check(flooded !== undefined && other !== undefined, 'no originals');
    for (const budget of values.budget) {
      const vitrine = await startVitrine({ parent: folder, env: { VITRINE_SIZE_BUDGET: budget } });
      try {
        const { link } = await vitrine.upload(flooded.bytes);
        const warm = (await vitrine.upload(other.bytes)).link;
        process.stdout.write(`\nVITRINE_SIZE_BUDGET=${budget}\n${await measure(vitrine, link, warm)}`);
      } finally {
        await vitrine.stop();
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
