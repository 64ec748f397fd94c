/**
 * Owns the fuzz run: mutated pictures in any number, sent to a server in a process of its own, and what was seen
 * meanwhile. Refuses to know how pictures are mutated, and who wants to know the result.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFormat } from '../../../src/image.ts';
import { mutant, randomOf, seedsOf } from './mutate.ts';
import type { Answer, HostileServer } from './process.ts';

export const IMAGE_FORMATS: readonly ImageFormat[] = ['png', 'jpeg', 'webp'];

export interface FuzzOptions {
  readonly seed: number;
  /** Mutations of each format. */
  readonly perFormat: number;
  /** No new one is sent after so many milliseconds. */
  readonly withinMs?: number;
  /** Where the files are kept that something went wrong with. */
  readonly keepIn: string;
  /** Told now and then how many were sent. */
  readonly onProgress?: (sent: number) => unknown;
  /** Told of each fault at once: a run may be ended before its report. */
  readonly onFault?: (fault: string) => void;
  /** Default: 500. */
  readonly progressEvery?: number;
}

export interface FuzzResult {
  /** Of each format: how many were sent, and what became of them. */
  readonly formats: Readonly<Record<ImageFormat, FuzzCounts>>;
  /** What must not be, each with the words that repeat it. */
  readonly faults: readonly string[];
  /** The longest that an upload took until its answer, in milliseconds, its wait for a worker included. */
  readonly slowestMs: number;
}

export interface FuzzCounts {
  sent: number;
  accepted: number;
  refused: number;
  /** The same bytes as an earlier mutation. */
  duplicate: number;
  /** Refused because its worker was killed, for its time or its memory. */
  killed: number;
}

/** So many more than there are workers that these always have the next task at hand. */
const AT_ONCE = 6;

/** From memory, as the upload left it there; and anew, by way of every kind of decode. */
const DELIVERIES = ['?size=400x400', '?size=37x23&format=png', '?size=0x0&format=webp'] as const;

/** Sends mutations until there are enough or the time is over. Takes turns between the formats. */
export async function fuzz(server: HostileServer, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, perFormat, withinMs = Number.POSITIVE_INFINITY, keepIn, onProgress } = options;
  const { progressEvery = 500, onFault } = options;
  const seeds = Object.fromEntries(
    await Promise.all(IMAGE_FORMATS.map(async (format) => [format, await seedsOf(format)] as const)),
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
      const file = mutant(seeds[format], format, randomOf(seed, format, number));
      const sent = performance.now();
      const fault = await faultOf(server, file, formats[format], () => {
        slowestMs = Math.max(slowestMs, performance.now() - sent);
      });
      if (fault === undefined) continue;
      const path = join(keepIn, `${seed}-${format}-${number}`);
      await mkdir(keepIn, { recursive: true });
      await writeFile(path, file);
      const told = `${fault}: npm run fuzz -- --seed ${seed} --case ${format}:${number} (kept as ${path})`;
      faults.push(told);
      onFault?.(told);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const ended = server.exitStatus();
  if (ended !== undefined) faults.push(`the serving process ended with ${ended}`);
  return { formats, faults, slowestMs };
}

/** Sends one file; undefined if all that came of it is as it should be. */
async function faultOf(
  server: HostileServer,
  file: Buffer,
  counts: FuzzCounts,
  answered: () => void,
): Promise<string | undefined> {
  counts.sent += 1;
  try {
    const answer = await server.upload(file);
    answered();
    const text = answer.body.toString();
    switch (answer.status) {
      case 201:
        counts.accepted += 1;
        return await faultOfDeliveries(server, answer);
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

/** What was accepted can be delivered. */
async function faultOfDeliveries(server: HostileServer, { body }: Answer): Promise<string | undefined> {
  const { publicID } = JSON.parse(body.toString()) as { publicID: string };
  for (const query of DELIVERIES) {
    const { status, body: told } = await server.request('GET', `/images/${publicID}${query}`);
    if (status !== 200) return `${query} was answered with ${status} ${told.toString('utf8', 0, 200)}`;
  }
  return undefined;
}

/** One mutation alone, as a file. */
export async function fuzzCase(seed: number, format: ImageFormat, number: number): Promise<Buffer> {
  return mutant(await seedsOf(format), format, randomOf(seed, format, number));
}

/** What a run saw, in lines of text. */
export function report({ formats, faults, slowestMs }: FuzzResult, server: HostileServer): string[] {
  const { server: held, worker } = server.peaks();
  const ends = server.warnings.flatMap(({ outcome }) => outcome?.kind ?? []);
  return [
    ...Object.entries(formats).map(
      ([format, { sent, accepted, refused, duplicate, killed }]) =>
        `${format}: ${sent} sent, ${accepted} accepted, ${refused} refused (${killed} by killing the worker), ${duplicate} alike`,
    ),
    `slowest answer ${(slowestMs / 1_000).toFixed(2)} s; memory at most: serving process ${held} MiB, a worker ${worker} MiB`,
    `workers that did not end a task well: ${ends.length}${ends.length === 0 ? '' : ` (${[...new Set(ends)].join(', ')})`}`,
    `faults: ${faults.length}`,
    ...faults,
  ];
}
