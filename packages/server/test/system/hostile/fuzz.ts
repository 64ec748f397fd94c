/**
 * The fuzz run: uploads mutated pictures to a server in a separate process, and collects wrong answers.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IMAGE_FORMATS, type ImageFormat } from '../../../src/image.ts';
import { createRandom, makeSeeds, mutate } from './mutations.ts';
import type { Answer, HostileServer } from './server-process.ts';

export interface FuzzOptions {
  readonly seed: number;
  /** Mutations of each format. */
  readonly perFormat: number;
  /** Sends no new file after this number of milliseconds. */
  readonly withinMs?: number;
  /** The folder for files that caused a fault. */
  readonly keepIn: string;
  /** Called with the number of sent files. */
  readonly onProgress?: (sent: number) => unknown;
  /** Called at once for each fault, because the run may be ended before its report. */
  readonly onFault?: (fault: string) => void;
  /** Files between two calls of `onProgress`. Default: 500. */
  readonly progressEvery?: number;
}

export interface FuzzResult {
  /** For each format: the number of files, by result. */
  readonly formats: Readonly<Record<ImageFormat, FuzzCounts>>;
  /** The faults, each with the command that repeats it. */
  readonly faults: readonly string[];
  /** The longest time of an upload until its answer, in milliseconds. Includes the wait for a worker. */
  readonly slowestMs: number;
}

export interface FuzzCounts {
  sent: number;
  accepted: number;
  refused: number;
  /** Files with the same bytes as an earlier file. */
  duplicate: number;
  /** Files that were refused because the worker reached its time or memory limit. */
  killed: number;
}

/** Uploads at the same time. More than the workers, so that workers never wait for a task. */
const AT_ONCE = 6;

/** Requests for an accepted file: the rendition in the cache, and two that need a new decode. */
const DELIVERIES = ['?size=400x400', '?size=37x23&format=png', '?size=0x0&format=webp'] as const;

/** Sends mutations up to the number or the time limit. The formats take turns. */
export async function fuzz(server: HostileServer, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, perFormat, withinMs = Number.POSITIVE_INFINITY, keepIn, onProgress } = options;
  const { progressEvery = 500, onFault } = options;
  const seeds = Object.fromEntries(
    await Promise.all(IMAGE_FORMATS.map(async (format) => [format, await makeSeeds(format)] as const)),
  ) as Record<ImageFormat, readonly Buffer[]>;
  const formats = Object.fromEntries(
    IMAGE_FORMATS.map((format) => [format, { sent: 0, accepted: 0, refused: 0, duplicate: 0, killed: 0 }]),
  ) as Record<ImageFormat, FuzzCounts>;
  const faults: string[] = [];
  const started = performance.now();
  let slowestMs = 0;
  let next = 0;

  const work = async () => {
    while (next < perFormat * IMAGE_FORMATS.length && server.exitStatus() === undefined) {
      if (performance.now() - started > withinMs) return;
      const format = IMAGE_FORMATS[next % IMAGE_FORMATS.length] ?? 'png';
      const number = Math.floor(next / IMAGE_FORMATS.length);
      next += 1;
      if (next % progressEvery === 0) onProgress?.(next);
      const file = mutate(seeds[format], format, createRandom(seed, format, number));
      const sent = performance.now();
      const fault = await findFault(server, file, formats[format], () => {
        slowestMs = Math.max(slowestMs, performance.now() - sent);
      });
      if (fault === undefined) continue;
      const path = join(keepIn, `${seed}-${format}-${number}`);
      await mkdir(keepIn, { recursive: true });
      await writeFile(path, file);
      const text = `${fault}: npm run fuzz -- --seed ${seed} --case ${format}:${number} (file: ${path})`;
      faults.push(text);
      onFault?.(text);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const ended = server.exitStatus();
  if (ended !== undefined) faults.push(`the serving process ended with ${ended}`);
  return { formats, faults, slowestMs };
}

/** Sends one file. Returns the fault, or undefined if all answers are right. */
async function findFault(
  server: HostileServer,
  file: Buffer,
  counts: FuzzCounts,
  onAnswer: () => void,
): Promise<string | undefined> {
  counts.sent += 1;
  try {
    const answer = await server.upload(file);
    onAnswer();
    const text = answer.body.toString();
    switch (answer.status) {
      case 201:
        counts.accepted += 1;
        return await findDeliveryFault(server, answer);
      case 409:
        counts.duplicate += 1;
        return undefined;
      case 422:
        counts.refused += 1;
        if (/takes longer than|takes too much memory/.test(text)) counts.killed += 1;
        return undefined;
      default:
        return `an upload was answered with ${answer.status} ${text}`;
    }
  } catch (error) {
    return `no answer: ${String(error)}`;
  }
}

/** An accepted file must be delivered in every format. */
async function findDeliveryFault(server: HostileServer, { body }: Answer): Promise<string | undefined> {
  const { publicID } = JSON.parse(body.toString()) as { publicID: string };
  for (const query of DELIVERIES) {
    const { status, body: text } = await server.request('GET', `/images/${publicID}${query}`);
    if (status !== 200) return `${query} was answered with ${status} ${text.toString('utf8', 0, 200)}`;
  }
  return undefined;
}

/** The file of one mutation. */
export async function makeCase(seed: number, format: ImageFormat, number: number): Promise<Buffer> {
  return mutate(await makeSeeds(format), format, createRandom(seed, format, number));
}

/** The result of a run, as lines of text. */
export function formatReport({ formats, faults, slowestMs }: FuzzResult, server: HostileServer): string[] {
  const { server: serverPeak, worker: workerPeak } = server.peaks();
  const ends = server.warnings.flatMap(({ outcome }) => outcome?.kind ?? []);
  return [
    ...Object.entries(formats).map(
      ([format, { sent, accepted, refused, duplicate, killed }]) =>
        `${format}: ${sent} sent, ${accepted} accepted, ${refused} refused (${killed} with a killed worker), ${duplicate} duplicates`,
    ),
    `slowest answer ${(slowestMs / 1_000).toFixed(2)} s; memory at most: serving process ${serverPeak} MiB, worker ${workerPeak} MiB`,
    `failed tasks: ${ends.length}${ends.length === 0 ? '' : ` (${[...new Set(ends)].join(', ')})`}`,
    `faults: ${faults.length}`,
    ...faults,
  ];
}
