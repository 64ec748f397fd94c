/**
 * The server as a process, as an operator runs it. Tests use it to harm the server or to measure it.
 * Each server has its own process group, so that `kill` also ends its workers.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ServerLimits } from '../../src/http/connection/server-limits.ts';
import type { PoolOptions } from '../../src/imaging/pool/pool.ts';
import { BOOTSTRAP, createClient, type TestClient } from './client.ts';
import { childrenOf, cpuTimeOf, groupMembers, memoryOf } from './processes.ts';
import { until } from './waiting.ts';

const START = join(import.meta.dirname, '../../start.mjs');
const LIMITED_SERVER = join(import.meta.dirname, 'limited-server.ts');

/** The most characters of output that are kept, from its end. */
const MAX_OUTPUT = 200_000;

/** Milliseconds between two samples of memory. The peak of a killed worker is lost after the last sample. */
const SAMPLE_INTERVAL = 20;

const MIB = 1024 * 1024;

/** The bootstrap key, two workers, and no limit that a test could reach by accident. */
export const UNLIMITED = {
  ...BOOTSTRAP,
  VITRINE_RENDER_CONCURRENCY: '2',
  VITRINE_RATE_LIMIT: '0',
  VITRINE_SIZE_BUDGET: '0',
  VITRINE_IMAGE_QUOTA: '1000000',
} as const;

/** Limits of the HTTP server that differ from the defaults. */
export interface HTTPLimits extends Partial<Omit<ServerLimits, 'connections' | 'pace'>> {
  readonly connections?: Partial<ServerLimits['connections']>;
  readonly pace?: Partial<ServerLimits['pace']>;
}

export type WorkerLimits = Pick<PoolOptions, 'memoryLimitBytes'>;

export interface SpawnServerOptions {
  /** All variables except PATH. Default: a free port. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** If given, `limited-server.ts` runs instead of `start.mjs`. */
  readonly limits?: HTTPLimits;
  /** If given, `limited-server.ts` runs instead of `start.mjs`. */
  readonly workerLimits?: WorkerLimits;
}

export interface SpawnedServer {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly pid: number;
  /** Resolves with the URL when the server listens. Rejects with the output if it exits before. */
  readonly listening: Promise<string>;
  /** The end of the output so far. */
  output(): string;
  /** Resolves with the exit code; null if a signal ended the process. */
  readonly exited: Promise<number | null>;
  /** Sends SIGKILL to the process group. Resolves when none of its processes runs. */
  kill(): Promise<void>;
}

/** Starts a server that may fail to start. */
export function spawnServer(options: SpawnServerOptions): SpawnedServer {
  const { env, cwd, limits, workerLimits } = options;
  const isLimited = limits !== undefined || workerLimits !== undefined;
  const entry = isLimited
    ? [LIMITED_SERVER, JSON.stringify(limits ?? {}), JSON.stringify(workerLimits ?? {})]
    : [START];
  const child = spawn(process.execPath, ['--conditions=vitrine-source', ...entry], {
    env: { PATH: process.env.PATH, VITRINE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(cwd !== undefined && { cwd }),
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${process.execPath} cannot be started`);
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  killAtExit(pid, exited);
  let output = '';
  const listening = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output = (output + chunk).slice(-MAX_OUTPUT);
      const [, url] = /"msg":"listening on (http[^"]+)"/.exec(output) ?? [];
      if (url !== undefined) resolve(url);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    exited.then((code) => reject(new Error(`the server ended with ${code}: ${output}`)));
  });
  // A test that ends the server early does not wait for it to listen.
  listening.catch(() => undefined);
  return {
    child,
    pid,
    listening,
    output: () => output,
    exited,
    async kill() {
      signalGroup(pid);
      await exited;
      if (process.platform === 'linux') await until(() => groupMembers(pid).length === 0);
    },
  };
}

export interface ServerProcessOptions extends Omit<SpawnServerOptions, 'env' | 'cwd'> {
  /** Variables besides UNLIMITED. */
  readonly env?: Readonly<Record<string, string>>;
  /** The data folder, which the caller removes. Default: a new folder, which `close` removes. */
  readonly data?: string;
  /** Default: a free port. A library that is started again needs the same port to keep its links. */
  readonly port?: number;
  /** Samples the memory of the server and its workers for `peaks`. Linux only. */
  readonly samplesMemory?: boolean;
}

/** A line of the log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  /** How a task of a worker ended. */
  readonly outcome?: { readonly kind: string; readonly how?: string; readonly message?: string };
}

export interface ServerProcess extends TestClient, Omit<SpawnedServer, 'listening'> {
  readonly data: string;
  /** Milliseconds until the server listened. A busy machine prolongs `wall` but not `cpu`. */
  readonly startTimes: { readonly wall: number; readonly cpu: number | undefined };
  /** The log lines from `warn` upward so far. */
  readonly warnings: readonly LogLine[];
  /** How the process ended; undefined while it runs. */
  exitStatus(): string | undefined;
  /** Sends a signal to the server process only. */
  signal(name: NodeJS.Signals): void;
  /** Opens a connection and sends nothing. */
  connect(): Socket;
  /** Process IDs of the workers. Linux only. */
  workerPids(): number[];
  /** Resident bytes of the server process without its workers. Linux only. */
  memory(): number;
  /** The most memory that the server and any one worker held so far, in MiB. Needs `samplesMemory`. */
  peaks(): { readonly server: number; readonly worker: number };
  /** The number of open files and sockets. Linux only. */
  openFiles(): Promise<number>;
  /** The names of the files of unfinished uploads. */
  stagedFiles(): Promise<string[]>;
  /** Kills the server and removes its folder. */
  close(): Promise<void>;
}

/** Starts a server and waits until it listens. @throws Error with the output if the server exits before. */
export async function startServerProcess(options: ServerProcessOptions = {}): Promise<ServerProcess> {
  const { env, data, port, samplesMemory = false, ...rest } = options;
  const folder = data === undefined ? await mkdtemp(join(tmpdir(), 'vitrine-process-')) : undefined;
  const removeFolder = async () => {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const startedAt = performance.now();
  const dataFolder = data ?? join(folder ?? '', 'data');
  const spawned = spawnServer({
    ...rest,
    ...(folder !== undefined && { cwd: folder }),
    env: {
      ...UNLIMITED,
      VITRINE_DATA: dataFolder,
      ...(port !== undefined && { VITRINE_PORT: String(port) }),
      ...env,
    },
  });
  const { child, pid, listening, exited, kill } = spawned;
  const warnings = collectWarnings(spawned);
  const memory = samplesMemory ? sampleMemory(pid) : undefined;
  const end = async () => {
    memory?.stop();
    await kill();
    await removeFolder();
  };
  let url: string;
  try {
    url = await listening;
  } catch (error) {
    await end();
    throw error;
  }
  const startTimes = { wall: performance.now() - startedAt, cpu: cpuTimeOf(pid) };
  return {
    ...createClient(url),
    child,
    pid,
    data: dataFolder,
    startTimes,
    warnings,
    output: spawned.output,
    exited,
    exitStatus() {
      const { exitCode, signalCode } = child;
      if (exitCode === null && signalCode === null) return undefined;
      return `exit code ${exitCode}, signal ${signalCode}`;
    },
    signal: (name) => void child.kill(name),
    connect() {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      // The server may reset the connection. The test looks at what arrived before.
      socket.on('error', () => undefined);
      return socket;
    },
    workerPids: () => childrenOf(pid),
    memory: () => memoryOf(pid).now,
    peaks() {
      if (memory === undefined) throw new Error('the server was started without samplesMemory');
      return memory.peaks();
    },
    openFiles: async () => (await readdir(`/proc/${pid}/fd`)).length,
    stagedFiles: () => readdir(join(dataFolder, 'blobs/staging')),
    kill,
    close: end,
  };
}

function collectWarnings({ child }: SpawnedServer): readonly LogLine[] {
  const warnings: LogLine[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (text) => {
      const line = parseLine(text);
      if (line && /^(warn|error|fatal)$/.test(line.level)) warnings.push(line);
    });
  }
  return warnings;
}

function parseLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

function sampleMemory(pid: number) {
  const peaks = { server: 0, worker: 0 };
  const sample = () => {
    peaks.server = Math.max(peaks.server, peakOf(pid));
    for (const worker of childrenOf(pid)) peaks.worker = Math.max(peaks.worker, peakOf(worker));
  };
  const timer = setInterval(sample, SAMPLE_INTERVAL);
  timer.unref();
  return {
    peaks() {
      sample();
      return { ...peaks };
    },
    stop: () => clearInterval(timer),
  };
}

/** In MiB; 0 for a process that has ended. */
function peakOf(pid: number): number {
  return Math.round(memoryOf(pid).peak / MIB);
}

/** Kills the group when the test process exits, also when a signal ends the test. */
function killAtExit(pid: number, exited: Promise<unknown>): void {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    if (process.listenerCount(name) === 0) process.once(name, () => process.exit(1));
  }
  const atExit = () => signalGroup(pid);
  process.once('exit', atExit);
  exited.then(() => process.off('exit', atExit));
}

function signalGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: all processes of the group have ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
