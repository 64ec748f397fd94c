/**
 * Rounds of writing, killing, starting again and comparing, over one library that grows. Owns when the server is
 * killed: at a moment that the seed chooses, by the clock, by what was acknowledged, while it starts or while it stops.
 * Refuses to know what is written and what is compared.
 */
import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../support/ports.ts';
import {
  type ServerProcess,
  type ServerProcessOptions,
  spawnServer,
  startServerProcess,
  UNLIMITED,
} from '../../support/server-process.ts';
import { inspect, type Leftovers, leftovers } from './inspection.ts';
import { Journal } from './journal.ts';
import { type Keeping, keep } from './keeping.ts';
import { type Chance, chance } from './random.ts';
import { type Query, sqliteFaults, sqliteQuery, storedImages } from './records.ts';
import { createSupply } from './supply.ts';
import { Writers } from './writers.ts';

export interface RoundsOptions {
  readonly rounds: number;
  /** Chooses what is written and when the server is killed; what of it happens at once is up to the machine. */
  readonly seed: number;
  /** Another database than the file in the library's folder. */
  readonly postgres?: {
    readonly url: string;
    readonly query: Query;
    /** Resolves when nothing of a killed server is still at work in the database. */
    readonly settled: () => Promise<void>;
  };
  /** Told of each round when it is over. */
  readonly onRound?: (round: number, report: RoundsReport) => void;
}

export interface RoundsReport {
  rounds: number;
  kills: Record<KillMoment, number>;
  acknowledged: number;
  unanswered: number;
  images: number;
  /** Milliseconds. */
  longestStart: { wall: number; cpu: number };
  /** What each start computed, in milliseconds. */
  startCPU: number[];
  /** What was not as it must be. Empty: nothing was lost, torn or invented. */
  complaints: string[];
  leftovers: Leftovers;
  /** What `vitrine verify` and `vitrine gc` made of it in the end. */
  kept: Omit<Keeping, 'complaints'>;
}

type LaunchOptions = Required<Pick<ServerProcessOptions, 'data' | 'port' | 'env'>>;

type KillMoment = 'writing' | 'starting' | 'stopping';

const WRITERS = 6;
/** Milliseconds. */
const LONGEST_WRITING = 1_500;
const LONGEST_START = 900;
const LONGEST_STOP = 150;
const MOST_ACKNOWLEDGED = 60;
const TWO_HOURS = 2 * 60 * 60 * 1000;

export async function crashRounds(options: RoundsOptions): Promise<RoundsReport> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-crash-'));
  const running: { server?: ServerProcess } = {};
  try {
    return await crashRoundsIn(folder, options, running);
  } finally {
    await running.server?.kill();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function crashRoundsIn(
  data: string,
  { rounds, seed, postgres, onRound }: RoundsOptions,
  running: { server?: ServerProcess },
): Promise<RoundsReport> {
  const journal = new Journal();
  const supply = await createSupply();
  const blobs = join(data, 'blobs');
  const query = postgres?.query ?? sqliteQuery(join(data, 'vitrine.db'));
  const port = await freePort();
  const launching: LaunchOptions = { data, port, env: postgres ? { VITRINE_DATABASE: postgres.url } : {} };
  const report: RoundsReport = {
    rounds: 0,
    kills: { writing: 0, starting: 0, stopping: 0 },
    acknowledged: 0,
    unanswered: 0,
    images: 0,
    longestStart: { wall: 0, cpu: 0 },
    startCPU: [],
    complaints: [],
    leftovers: { staged: 0, unnamed: 0, originals: 0 },
    kept: { derived: 0, collected: 0 },
  };

  /** Starts the server, now and then after a start that is cut short: the very first one too. */
  const start = async (fate: Chance): Promise<ServerProcess> => {
    while (fate.next() < 0.2) {
      await startAndKill(launching, fate.next() * LONGEST_START);
      report.kills.starting += 1;
    }
    const server = await startServerProcess(launching);
    const { wall, cpu = 0 } = server.startTimes;
    report.longestStart.wall = Math.max(report.longestStart.wall, wall);
    report.longestStart.cpu = Math.max(report.longestStart.cpu, cpu);
    report.startCPU.push(cpu);
    return server;
  };

  const faults = async (server: ServerProcess, whole: boolean): Promise<string[]> => [
    ...(await inspect({ url: server.url, blobs, query, journal, supply, whole })),
    ...(postgres ? [] : await sqliteFaults(query)),
  ];

  running.server = await start(chance(seed));
  for (let round = 1; round <= rounds && report.complaints.length === 0; round += 1) {
    const fate = chance(seed * 100_003 + round);
    const { server } = running;
    const moment = await writeAndKill(server, { journal, supply, fate, complaints: report.complaints });
    report.kills[moment] += 1;
    await postgres?.settled();
    running.server = await start(fate);
    report.complaints.push(...(await faults(running.server, round === rounds)));
    report.rounds = round;
    report.acknowledged = journal.acknowledged;
    report.unanswered = journal.unanswered;
    report.images = journal.images.size;
    report.complaints = report.complaints.map((complaint) => `round ${round} of seed ${seed}: ${complaint}`);
    onRound?.(round, report);
  }

  const found = await leftovers(blobs, await storedImages(query));
  report.leftovers = found.leftovers;
  report.complaints.push(...found.complaints);
  if (report.complaints.length > 0) return report;
  const { complaints, ...kept } = await keep(data, launching.env);
  report.kept = kept;
  const { unnamed } = (await leftovers(blobs, await storedImages(query))).leftovers;
  if (unnamed > 0) complaints.push(`${unnamed} originals that no record names are left after vitrine gc`);
  // The collector was let loose without any grace: everything that was acknowledged is to be there all the same.
  complaints.push(...(await faults(running.server, true)), ...(await sweepFaults(blobs, running, launching)));
  report.complaints.push(...complaints);
  return report;
}

/** Starts a server and kills it after `ms` milliseconds. @throws Error with the output if the server exits before */
async function startAndKill({ data, port, env }: LaunchOptions, ms: number): Promise<void> {
  const early = spawnServer({
    env: { ...UNLIMITED, VITRINE_PORT: String(port), VITRINE_DATA: data, ...env },
  });
  try {
    await Promise.race([early.listening, delay(ms)]);
  } finally {
    await early.kill();
  }
}

/** Writes, and kills the server at a moment of chance. Resolves when nothing of it runs. */
async function writeAndKill(
  server: ServerProcess,
  options: Pick<ConstructorParameters<typeof Writers>[0], 'journal' | 'supply' | 'complaints'> & {
    fate: Chance;
  },
): Promise<KillMoment> {
  const { journal, supply, complaints, fate } = options;
  const writers = new Writers({ url: server.url, journal, supply, complaints, chance: fate });
  const stopping = fate.next() < 0.1;
  const enough = journal.acknowledged + fate.whole(1, MOST_ACKNOWLEDGED);
  const due =
    fate.next() < 0.5
      ? delay(fate.next() * LONGEST_WRITING)
      : journal.when(() => journal.acknowledged >= enough).then(() => delay(fate.next() * 20));
  const writing = writers.run(WRITERS);
  // A server that ends by itself lets the writers end too.
  await Promise.race([due, writing, server.exited]);
  if (stopping) {
    server.signal('SIGTERM');
    await delay(fate.next() * LONGEST_STOP);
  }
  await server.kill();
  await writing;
  return stopping ? 'stopping' : 'writing';
}

/** What crashes left in staging is gone after a start, once it is old enough to be nobody's. */
async function sweepFaults(
  blobs: string,
  running: { server?: ServerProcess },
  launching: LaunchOptions,
): Promise<string[]> {
  await running.server?.kill();
  const staging = join(blobs, 'staging');
  const old = new Date(Date.now() - TWO_HOURS);
  for (const name of await readdir(staging)) await utimes(join(staging, name), old, old);
  running.server = await startServerProcess(launching);
  const left = await readdir(staging);
  return left.length === 0 ? [] : [`${left.length} old files are left in staging after a start`];
}
