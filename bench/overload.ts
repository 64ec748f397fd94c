/**
 * Floods servers with two workers in several ways, one after the other, and requests `/livez` at a steady
 * pace. It prints three figures with these targets:
 * - the longest wait for `/livez`: below 100 ms
 * - the memory of the serving process above idle: at most 150 MiB
 * - the time after the flood until uploads and new sizes are as fast as before: at most 5 s
 *
 * The flood runs in a child process, which is this file with `--flood`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { check } from './bench.ts';
import { FLOODS, type Outcomes, type Target } from './floods.ts';
import { formatNumber, quantile } from './numbers.ts';
import { makeOriginals, makeVariant } from './originals.ts';
import { measureLatencies, raisePriority } from './pace.ts';
import { readMemory, resetPeakMemory } from './process.ts';
import { ACCOUNT, startVitrine, type Vitrine } from './vitrine.ts';

const IMAGES = 10;
/** Milliseconds between two requests for `/livez`. */
const PACE = 10;
/** The target for the longest wait for `/livez`, in milliseconds. */
const MAX_WAIT = 100;
/** The target for the memory above idle, in MiB. */
const MAX_MEMORY = 150;
/** The target for the recovery, in milliseconds. */
const MAX_RECOVERY = 5_000;
/** The samples before a flood. After it, as many samples in a row must be fast again. */
const SAMPLES = 5;
/** A sample is fast again if it takes at most this factor of the slowest sample before the flood. */
const RECOVERED_FACTOR = 1.5;
const MIB = 2 ** 20;

/** The message that starts a flood in the child process. */
interface FloodOrder {
  readonly kind: string;
  readonly target: Omit<Target, 'original'>;
  readonly original: string;
}

/** Measures samples of regular work: one upload with its ladder and one new size of it. */
class Work {
  readonly #vitrine: Vitrine;
  readonly #original: Buffer;
  #number = 1_000_000;

  constructor(vitrine: Vitrine, original: Buffer) {
    this.#vitrine = vitrine;
    this.#original = original;
  }

  /** Milliseconds of one sample. Undefined if the server rejected a request. */
  async measureSample(): Promise<number | undefined> {
    this.#number += 1;
    const file = makeVariant(this.#original, this.#number);
    const start = performance.now();
    const upload = await this.#vitrine.send(file);
    if (upload.status !== 201) return undefined;
    const { publicID } = JSON.parse(upload.body.toString('utf8')) as { publicID: string };
    const rendition = await this.#vitrine.get(`/images/${publicID}?size=333x333&format=webp`);
    return rendition.status === 200 ? performance.now() - start : undefined;
  }

  /** Milliseconds of the slowest sample without a flood. */
  async measureBaseline(): Promise<number> {
    let slowest = 0;
    // The first sample warms up.
    for (let sample = 0; sample <= SAMPLES; sample += 1) {
      const time = await this.measureSample();
      check(time !== undefined, 'a request was rejected before the flood');
      if (sample > 0) slowest = Math.max(slowest, time);
    }
    return slowest;
  }

  /** Milliseconds until the start of the first of `SAMPLES` fast samples in a row. */
  async measureRecovery(baseline: number): Promise<number> {
    const floodEnd = performance.now();
    let recoveredAt = floodEnd;
    for (let fastSamples = 0; fastSamples < SAMPLES; ) {
      const time = await this.measureSample();
      check(performance.now() - floodEnd < 60_000, 'a minute after the flood the server is still slow');
      if (time !== undefined && time <= baseline * RECOVERED_FACTOR) fastSamples += 1;
      else {
        fastSamples = 0;
        recoveredAt = performance.now();
        // A client retries a rejected request after a pause.
        if (time === undefined) await pause(100);
      }
    }
    return recoveredAt - floodEnd;
  }
}

async function measure(vitrine: Vitrine, order: FloodOrder): Promise<boolean> {
  const work = new Work(vitrine, await readFile(order.original));
  const baseline = await work.measureBaseline();
  const idle = (await readMemory(vitrine.pid)).now;
  const child = fork(import.meta.filename, ['--flood']);
  const exit = once(child, 'exit');
  child.send(order);
  await once(child, 'message');
  await resetPeakMemory(vitrine.pid);
  child.send('begin');
  const flooded = once(child, 'message').then(([outcomes]) => outcomes as Outcomes);
  const waits = await measureLatencies(`${vitrine.url}/livez`, PACE, flooded);
  const recovery = await work.measureRecovery(baseline);
  const memory = ((await readMemory(vitrine.pid)).peak - idle) / MIB;
  await exit;
  const longest = Math.max(...waits);
  const met = longest < MAX_WAIT && memory <= MAX_MEMORY && recovery <= MAX_RECOVERY;
  process.stdout.write(
    `\n${order.kind}\n` +
      `  responses     ${JSON.stringify(await flooded)}\n` +
      `  /livez        p50 ${formatNumber(quantile(waits, 0.5))} ms   p99 ${formatNumber(quantile(waits, 0.99))} ms   longest ${formatNumber(longest)} ms   (${waits.length} requests)\n` +
      `  memory        peak ${formatNumber(memory)} MiB above idle\n` +
      `  recovery      ${formatNumber(recovery / 1_000)} s after the flood (an upload and a new size within ${formatNumber(baseline * RECOVERED_FACTOR)} ms)\n` +
      `  targets       ${met ? 'met' : 'MISSED'}\n`,
  );
  return met;
}

async function flood(): Promise<void> {
  const [{ kind, target, original }] = (await once(process, 'message')) as [FloodOrder];
  const run = FLOODS[kind];
  check(run !== undefined, `there is no flood "${kind}"`);
  const outcomes = await run({ ...target, original: await readFile(original) }, async () => {
    const begin = once(process, 'message');
    process.send?.('ready');
    await begin;
  });
  process.send?.(outcomes);
  process.disconnect();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { flood: { type: 'boolean', default: false }, photos: { type: 'string' } },
  });
  if (values.flood) return flood();
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-overload-'));
  process.stdout.write(`${await raisePriority()}\n`);
  try {
    const photos = values.photos === undefined ? undefined : resolve(values.photos);
    const originals = await makeOriginals(join(folder, 'originals'), photos, 2);
    const original = originals.find(({ format }) => format === 'jpeg');
    check(original !== undefined, 'there is no original');
    for (const kind of Object.keys(FLOODS)) {
      const vitrine = await startVitrine({
        parent: folder,
        env: { VITRINE_RENDER_CONCURRENCY: '2', VITRINE_SIZE_BUDGET: '256' },
      });
      try {
        const links: string[] = [];
        for (let number = 1; number <= IMAGES; number += 1)
          links.push((await vitrine.upload(makeVariant(original.bytes, number))).link);
        const { url, authorization } = vitrine;
        const target = { url, authorization, images: `/accounts/${ACCOUNT}/images`, links };
        if (!(await measure(vitrine, { kind, target, original: original.path }))) process.exitCode = 1;
      } finally {
        await vitrine.stop();
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await main();
