/**
 * Overload: floods of several kinds, one after the other, on one server with two workers, while `/livez` is asked for at
 * a steady pace. Prints how long `/livez` waited, how much memory the serving process held, and how soon after the
 * flood's end an upload and a new size took no longer than before it. The targets: 100 ms, 150 MiB more than idle, 5 s. The floods
 * come from a process of their own, which is this file again.
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
import { brief, quantile } from './numbers.ts';
import { makeOriginals, numbered } from './originals.ts';
import { goAhead, latencies } from './pace.ts';
import { forgetPeak, memoryOf } from './process.ts';
import { ACCOUNT, startVitrine, type Vitrine } from './vitrine.ts';

const IMAGES = 10;
/** Milliseconds between two questions whether it lives. */
const PACE = 10;
const LONGEST_WAIT = 100;
/** MiB. */
const MOST_MEMORY = 150;
/** Milliseconds. */
const RECOVERY = 5_000;
/** Uploads and new sizes that are made quiet, and after a flood until as many in a row were as quick. */
const SAMPLES = 5;
/** Times what the slowest took quiet: as before is what is not slower than that. */
const AS_BEFORE = 1.5;
const MIB = 2 ** 20;

/** What a flooding process is told. */
interface Order {
  readonly kind: string;
  readonly target: Omit<Target, 'original'>;
  readonly original: string;
}

/** Milliseconds of an upload with its ladder, and of one new size of it: what the server is for. */
class Work {
  readonly #vitrine: Vitrine;
  readonly #original: Buffer;
  #number = 1_000_000;

  constructor(vitrine: Vitrine, original: Buffer) {
    this.#vitrine = vitrine;
    this.#original = original;
  }

  /** Undefined if it was refused. */
  async time(): Promise<number | undefined> {
    this.#number += 1;
    const file = numbered(this.#original, this.#number);
    const begun = performance.now();
    const uploaded = await this.#vitrine.send(file);
    if (uploaded.status !== 201) return undefined;
    const { publicID } = JSON.parse(uploaded.body.toString('utf8')) as { publicID: string };
    const size = await this.#vitrine.get(`/images/${publicID}?size=333x333&format=webp`);
    return size.status === 200 ? performance.now() - begun : undefined;
  }

  async quiet(): Promise<number> {
    let slowest = 0;
    // The first warms up.
    for (let sample = 0; sample <= SAMPLES; sample += 1) {
      const time = await this.time();
      check(time !== undefined, 'quiet, an upload was refused');
      if (sample > 0) slowest = Math.max(slowest, time);
    }
    return slowest;
  }

  /** Milliseconds until `SAMPLES` in a row took as long as before; until the first of them began. */
  async untilAsBefore(quiet: number): Promise<number> {
    const ended = performance.now();
    let since = ended;
    for (let row = 0; row < SAMPLES; ) {
      const time = await this.time();
      check(performance.now() - ended < 60_000, 'a minute after the flood it is not as before');
      if (time !== undefined && time <= quiet * AS_BEFORE) row += 1;
      else {
        row = 0;
        since = performance.now();
        // Refused: as a client would, it is tried again a moment later.
        if (time === undefined) await pause(100);
      }
    }
    return since - ended;
  }
}

async function measure(vitrine: Vitrine, order: Order): Promise<boolean> {
  const work = new Work(vitrine, await readFile(order.original));
  const quiet = await work.quiet();
  const idle = (await memoryOf(vitrine.pid)).now;
  const child = fork(import.meta.filename, ['--flood']);
  const ended = once(child, 'exit');
  child.send(order);
  await once(child, 'message');
  await forgetPeak(vitrine.pid);
  child.send('begin');
  const flooded = once(child, 'message').then(([outcomes]) => outcomes as Outcomes);
  const waits = await latencies(`${vitrine.url}/livez`, PACE, flooded);
  const recovery = await work.untilAsBefore(quiet);
  const memory = ((await memoryOf(vitrine.pid)).peak - idle) / MIB;
  await ended;
  const longest = Math.max(...waits);
  const met = longest < LONGEST_WAIT && memory <= MOST_MEMORY && recovery <= RECOVERY;
  process.stdout.write(
    `\n${order.kind}\n` +
      `  answers       ${JSON.stringify(await flooded)}\n` +
      `  /livez        p50 ${brief(quantile(waits, 0.5))} ms   p99 ${brief(quantile(waits, 0.99))} ms   longest ${brief(longest)} ms   (${waits.length} requests)\n` +
      `  memory        ${brief(memory)} MiB more than idle at most\n` +
      `  as before     ${brief(recovery / 1_000)} s after its end (an upload and a new size: within ${brief(quiet * AS_BEFORE)} ms)\n` +
      `  targets       ${met ? 'met' : 'MISSED'}\n`,
  );
  return met;
}

async function flood(): Promise<void> {
  const [{ kind, target, original }] = (await once(process, 'message')) as [Order];
  const run = FLOODS[kind];
  check(run !== undefined, `there is no flood "${kind}"`);
  const outcomes = await run({ ...target, original: await readFile(original) }, async () => {
    const begun = once(process, 'message');
    process.send?.('ready');
    await begun;
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
  process.stdout.write(`${await goAhead()}\n`);
  try {
    const photos = values.photos === undefined ? undefined : resolve(values.photos);
    const originals = await makeOriginals(join(folder, 'originals'), photos, 2);
    const original = originals.find(({ format }) => format === 'jpeg');
    check(original !== undefined, 'no original');
    for (const kind of Object.keys(FLOODS)) {
      const vitrine = await startVitrine({
        parent: folder,
        env: { VITRINE_RENDER_CONCURRENCY: '2', VITRINE_SIZE_BUDGET: '256' },
      });
      try {
        const links: string[] = [];
        for (let number = 1; number <= IMAGES; number += 1)
          links.push((await vitrine.upload(numbered(original.bytes, number))).link);
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
