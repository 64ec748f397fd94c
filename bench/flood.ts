/**
 * Floods one image with requests for 2 000 distinct sizes, 16 at a time. Meanwhile it requests the warm
 * rendition of another image at a steady pace, and prints the latency before, during and after the flood.
 *
 * The target: the 95th percentile during the flood is at most twice the one before.
 * The flood runs in a child process, which is this file with `--flood`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { check } from './bench.ts';
import { read, request, runClosedLoop } from './http.ts';
import { formatNumber, quantile } from './numbers.ts';
import { makeOriginals } from './originals.ts';
import { measureLatencies, raisePriority } from './pace.ts';
import { startVitrine, type Vitrine } from './vitrine.ts';

const SIZES = 2_000;
const CONCURRENCY = 16;
/** Milliseconds between two requests for the warm rendition. */
const PACE = 4;
const TARGET = 2;

/** The number of responses by status. */
type Statuses = Readonly<Record<string, number>>;

async function flood(link: string): Promise<Statuses> {
  const statuses: Record<string, number> = {};
  const sizes = Array.from(
    { length: SIZES },
    (_, index) => `${300 + (index % 50)}x${300 + Math.floor(index / 50)}`,
  );
  await runClosedLoop(sizes, CONCURRENCY, async (size) => {
    const { status } = await request('GET', `${link}?size=${size}&format=webp`);
    statuses[status] = (statuses[status] ?? 0) + 1;
  });
  return statuses;
}

async function measure(vitrine: Vitrine, floodedLink: string, warmLink: string): Promise<string> {
  await read(warmLink);
  const before = await measureLatencies(warmLink, PACE, pause(4_000));
  const child = fork(import.meta.filename, ['--flood', floodedLink]);
  const result = once(child, 'message').then(([statuses]) => statuses as Statuses);
  const exit = once(child, 'exit');
  const during = await measureLatencies(warmLink, PACE, result);
  const statuses = await result;
  await exit;
  const after = await measureLatencies(warmLink, PACE, pause(4_000));
  for (const status of Object.keys(statuses))
    check(['200', '429', '503'].includes(status), `a request of the flood got ${status}`);
  check((await vitrine.get('/livez')).status === 200, 'the server does not answer after the flood');
  const line = (name: string, values: readonly number[]) =>
    `${name.padEnd(12)} p50 ${formatNumber(quantile(values, 0.5))} ms   p95 ${formatNumber(quantile(values, 0.95))} ms   ` +
    `p99 ${formatNumber(quantile(values, 0.99))} ms   (${values.length} requests)`;
  const ratio = quantile(during, 0.95) / quantile(before, 0.95);
  return `${line('before', before)}
${line('during', during)}
${line('after', after)}
responses to the flood: ${JSON.stringify(statuses)}
p95 during the flood: ${formatNumber(ratio)}x of before (target ≤ ${TARGET}x, ${ratio <= TARGET ? 'met' : 'MISSED'})
`;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      flood: { type: 'string' },
      photos: { type: 'string' },
      // The budget of new sizes for one image. 0 disables it, so every size is rendered.
      budget: { type: 'string', multiple: true, default: ['512', '0'] },
    },
  });
  if (values.flood !== undefined) {
    process.send?.(await flood(values.flood));
    process.disconnect();
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-flood-'));
  process.stdout.write(`${await raisePriority()}\n`);
  try {
    const photos = values.photos === undefined ? undefined : resolve(values.photos);
    const [floodedOriginal, warmOriginal] = (
      await makeOriginals(join(folder, 'originals'), photos, 2)
    ).filter(({ format }) => format === 'jpeg');
    check(floodedOriginal !== undefined && warmOriginal !== undefined, 'there are no originals');
    for (const budget of values.budget) {
      const vitrine = await startVitrine({ parent: folder, env: { VITRINE_SIZE_BUDGET: budget } });
      try {
        const floodedLink = (await vitrine.upload(floodedOriginal.bytes)).link;
        const warmLink = (await vitrine.upload(warmOriginal.bytes)).link;
        const report = await measure(vitrine, floodedLink, warmLink);
        process.stdout.write(`\nVITRINE_SIZE_BUDGET=${budget}\n${report}`);
      } finally {
        await vitrine.stop();
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
