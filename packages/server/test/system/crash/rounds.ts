/**
 * Rounds of writes, a kill, a restart and a comparison, on one growing library.
 * The seed chooses when the server is killed: while it starts, serves writes or stops.
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
import { type BlobCounts, inspectBlobs, inspectLibrary } from './check/inspection.ts';
import { type OperatorReport, runOperatorChecks } from './check/operator-checks.ts';
import { checkSqliteFile, createSqliteQuery, readImages } from './check/records.ts';
import { Journal } from './journal.ts';
import { createPictureSet } from './pictures.ts';
import type { PostgresLibrary } from './postgres-library.ts';
import { createRandom, type Random } from './random.ts';
import { Writers, type WritersOptions } from './writers.ts';

export interface RoundsOptions {
  readonly rounds: number;
  /** Chooses the writes and the moments of kills. The order of concurrent requests depends on the machine. */
  readonly seed: number;
  /** Default: a SQLite file in the data folder. */
  readonly postgres?: PostgresLibrary;
  /** Called after each round. */
  readonly onRound?: (round: number, report: RoundsReport) => void;
}

export interface RoundsReport {
  rounds: number;
  kills: Record<KillMoment, number>;
  /** Acknowledged writes. */
  acknowledged: number;
  /** Requests without an answer, or with a temporary rejection. */
  unconfirmed: number;
  images: number;
  /** In milliseconds: by the clock, and of CPU time. */
  longestStart: { wall: number; cpu: number };
  /** The CPU time of each start, in milliseconds. */
  startCPU: number[];
  /** A sentence for each lost, torn or invented write. */
  problems: string[];
  /** Counted after the last round. */
  blobs: BlobCounts;
  /** The results of `vitrine verify` and `vitrine gc` after the last round. */
  operatorChecks: Omit<OperatorReport, 'problems'>;
}

type ServerOptions = Required<Pick<ServerProcessOptions, 'data' | 'port' | 'env'>>;

type KillMoment = 'writing' | 'starting' | 'stopping';

const WRITERS = 6;
/** The most acknowledged writes before a kill. */
const MAX_ACKNOWLEDGED = 60;

// The longest times before a kill, in milliseconds.
const MAX_WRITING = 1_500;
const MAX_START = 900;
const MAX_STOP = 150;
/** After the last of the acknowledged writes. */
const MAX_DELAY = 20;

const TWO_HOURS = 2 * 60 * 60 * 1000;

export async function runCrashRounds(options: RoundsOptions): Promise<RoundsReport> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-crash-'));
  const running: { server?: ServerProcess } = {};
  try {
    return await runRounds(folder, options, running);
  } finally {
    await running.server?.kill();
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function runRounds(
  data: string,
  { rounds, seed, postgres, onRound }: RoundsOptions,
  running: { server?: ServerProcess },
): Promise<RoundsReport> {
  const journal = new Journal();
  const pictures = await createPictureSet();
  const blobs = join(data, 'blobs');
  const query = postgres?.query ?? createSqliteQuery(join(data, 'vitrine.db'));
  const port = await freePort();
  const env = postgres ? { VITRINE_DATABASE: postgres.url } : {};
  const serverOptions: ServerOptions = { data, port, env };
  const report: RoundsReport = {
    rounds: 0,
    kills: { writing: 0, starting: 0, stopping: 0 },
    acknowledged: 0,
    unconfirmed: 0,
    images: 0,
    longestStart: { wall: 0, cpu: 0 },
    startCPU: [],
    problems: [],
    blobs: { staged: 0, unreferenced: 0, originals: 0 },
    operatorChecks: { repaired: 0, collected: 0 },
  };

  /** Starts the server. Kills it while it starts with a probability of 20 %, the very first start too. */
  const start = async (random: Random): Promise<ServerProcess> => {
    while (random.next() < 0.2) {
      await startAndKill(serverOptions, random.next() * MAX_START);
      report.kills.starting += 1;
    }
    const server = await startServerProcess(serverOptions);
    const { wall, cpu = 0 } = server.startTimes;
    report.longestStart.wall = Math.max(report.longestStart.wall, wall);
    report.longestStart.cpu = Math.max(report.longestStart.cpu, cpu);
    report.startCPU.push(cpu);
    return server;
  };

  const findProblems = async (server: ServerProcess, allImages: boolean): Promise<string[]> => [
    ...(await inspectLibrary({ url: server.url, blobs, query, journal, pictures, allImages })),
    ...(postgres ? [] : await checkSqliteFile(query)),
  ];

  running.server = await start(createRandom(seed));
  for (let round = 1; round <= rounds && report.problems.length === 0; round += 1) {
    const random = createRandom(seed * 100_003 + round);
    const { server } = running;
    const moment = await writeAndKill(server, { journal, pictures, random, problems: report.problems });
    report.kills[moment] += 1;
    await postgres?.waitForSessions();
    running.server = await start(random);
    report.problems.push(...(await findProblems(running.server, round === rounds)));
    report.rounds = round;
    report.acknowledged = journal.acknowledgedCount;
    report.unconfirmed = journal.unconfirmedCount;
    report.images = journal.images.size;
    report.problems = report.problems.map((problem) => `round ${round} of seed ${seed}: ${problem}`);
    onRound?.(round, report);
  }

  const inspection = await inspectBlobs(blobs, await readImages(query));
  report.blobs = inspection.counts;
  report.problems.push(...inspection.problems);
  if (report.problems.length > 0) return report;
  const { problems, ...operatorChecks } = await runOperatorChecks(data, env);
  report.operatorChecks = operatorChecks;
  const { counts } = await inspectBlobs(blobs, await readImages(query));
  if (counts.unreferenced > 0) {
    problems.push(`${counts.unreferenced} unreferenced originals are left after vitrine gc`);
  }
  // `gc` ran without a grace period. All acknowledged data must still be there.
  problems.push(...(await findProblems(running.server, true)));
  problems.push(...(await checkSweep(blobs, running, serverOptions)));
  report.problems.push(...problems);
  return report;
}

/**
 * Starts a server and kills it after `ms` milliseconds, or earlier if it listens.
 * @throws Error with the output if the server exits before
 */
async function startAndKill({ data, port, env }: ServerOptions, ms: number): Promise<void> {
  const spawned = spawnServer({
    env: { ...UNLIMITED, VITRINE_PORT: String(port), VITRINE_DATA: data, ...env },
  });
  try {
    await Promise.race([spawned.listening, delay(ms)]);
  } finally {
    await spawned.kill();
  }
}

/** Writes and kills the server at a random moment. Resolves when none of its processes runs. */
async function writeAndKill(
  server: ServerProcess,
  options: Omit<WritersOptions, 'url'>,
): Promise<KillMoment> {
  const { journal, random } = options;
  const writers = new Writers({ url: server.url, ...options });
  const isStopping = random.next() < 0.1;
  const target = journal.acknowledgedCount + random.integer(1, MAX_ACKNOWLEDGED);
  const due =
    random.next() < 0.5
      ? delay(random.next() * MAX_WRITING)
      : journal
          .waitUntil(() => journal.acknowledgedCount >= target)
          .then(() => delay(random.next() * MAX_DELAY));
  const writing = writers.run(WRITERS);
  // If the server ends before, the writers end too.
  await Promise.race([due, writing, server.exited]);
  if (isStopping) {
    server.signal('SIGTERM');
    await delay(random.next() * MAX_STOP);
  }
  await server.kill();
  await writing;
  return isStopping ? 'stopping' : 'writing';
}

/** Checks that a start removes old files from staging. Stops and starts the server. */
async function checkSweep(
  blobs: string,
  running: { server?: ServerProcess },
  serverOptions: ServerOptions,
): Promise<string[]> {
  await running.server?.kill();
  const staging = join(blobs, 'staging');
  const old = new Date(Date.now() - TWO_HOURS);
  for (const name of await readdir(staging)) await utimes(join(staging, name), old, old);
  running.server = await startServerProcess(serverOptions);
  const remaining = await readdir(staging);
  return remaining.length === 0 ? [] : [`${remaining.length} old files are left in staging after a start`];
}
