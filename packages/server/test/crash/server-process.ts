/**
 * Owns the server as a process group that can be killed at any moment, with everything it started, and what its start
 * cost. Refuses to know what is asked of it. The process is the one that `npm start` runs.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ACCOUNT, basic, KEY } from '../server.ts';

const START = join(import.meta.dirname, '../../start.mjs');
/** Characters of the log that are kept, of its end. */
const KEPT_LOG = 200_000;
/** Ticks of the clock in which Linux tells the time that a process computed. */
const TICKS_A_SECOND = 100;

/** Ports that are asked for: below those that the system gives to connections by itself. */
const PORTS = { from: 20_000, to: 32_000 } as const;

export const AUTHORIZATION = basic(KEY.publicKey, KEY.secretKey);

export interface StartTimes {
  /** Milliseconds from the start of the process until it listened. */
  readonly wall: number;
  /** Milliseconds that it computed until then, which a busy machine does not stretch. Undefined where it is not told. */
  readonly cpu: number | undefined;
}

export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  readonly startTimes: StartTimes;
  /** The end of what it has logged. */
  output(): string;
  /** SIGKILL to the whole group at once; resolves when none of it runs any more. */
  kill(): Promise<void>;
  /** Sends a signal to the server itself. */
  signal(name: NodeJS.Signals): void;
  /** The exit code, once it has ended; null if a signal ended it. */
  readonly ended: Promise<number | null>;
}

export interface LaunchOptions {
  readonly data: string;
  /** The same at each start of the same library, so that links stay. */
  readonly port: number;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs the server, such as strace with its options. */
  readonly under?: readonly string[];
  /** Milliseconds after which the group is killed while it starts. */
  readonly killAfter?: number;
}

/**
 * Starts the server and resolves when it listens; undefined if `killAfter` was sooner.
 * @throws Error with what it said, if it ended by itself.
 */
export async function launch(
  options: LaunchOptions & { killAfter: number },
): Promise<ServerProcess | undefined>;
export async function launch(options: LaunchOptions): Promise<ServerProcess>;
export async function launch({
  data,
  port,
  env = {},
  under = [],
  killAfter,
}: LaunchOptions): Promise<ServerProcess | undefined> {
  const [command = '', ...parameters] = [
    ...under,
    ...[process.execPath, '--conditions=vitrine-source', START],
  ];
  const began = performance.now();
  const child = spawn(command, parameters, {
    // A group of its own, to be killed whole.
    detached: true,
    env: {
      PATH: process.env.PATH,
      VITRINE_PORT: String(port),
      VITRINE_DATA: data,
      VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
      VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
      VITRINE_RATE_LIMIT: '0',
      VITRINE_SIZE_BUDGET: '0',
      VITRINE_IMAGE_QUOTA: '1000000',
      VITRINE_RENDER_CONCURRENCY: '2',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} could not be started`);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const end = () => killGroup(pid);
  // Whatever becomes of the test, nothing of the group outlives it.
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    if (process.listenerCount(name) === 0) process.once(name, () => process.exit(1));
  }
  const atExit = () => sendToGroup(pid);
  process.once('exit', atExit);
  ended.then(() => process.off('exit', atExit));

  let log = '';
  const listening = new Promise<string | undefined>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      log = (log + chunk).slice(-KEPT_LOG);
      const [, url] = /"msg":"listening on (http[^"]+)"/.exec(log) ?? [];
      if (url !== undefined) resolve(url);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    ended.then((code) => reject(new Error(`the server ended with ${code}: ${log}`)));
    if (killAfter !== undefined) delay(killAfter).then(() => resolve(undefined));
  });
  try {
    const url = await listening;
    const wall = performance.now() - began;
    if (url === undefined) {
      await end();
      return undefined;
    }
    return {
      url,
      pid,
      startTimes: { wall, cpu: await cpuTime(pid) },
      output: () => log,
      kill: end,
      signal: (name) => void child.kill(name),
      ended,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A port on which nobody listens. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to);
    const probe = createServer();
    const free = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, 'close');
    return port;
  }
}

async function killGroup(pid: number): Promise<void> {
  sendToGroup(pid);
  while ((await groupMembers(pid)).length > 0) await new Promise(setImmediate);
}

function sendToGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: none of it is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The processes of the group that run; those that only wait to be reaped do not. */
export async function groupMembers(group: number): Promise<number[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const members = await Promise.all(
    processes.map(async (name) => {
      const [, state, , processGroup] = (await statOf(name)) ?? [];
      return Number(processGroup) === group && state !== 'Z' && state !== 'X' ? [Number(name)] : [];
    }),
  );
  return members.flat();
}

async function cpuTime(pid: number): Promise<number | undefined> {
  const fields = await statOf(String(pid));
  if (fields === undefined) return undefined;
  // utime and stime, the 14th and 15th field of the file.
  return ((Number(fields[12]) + Number(fields[13])) * 1000) / TICKS_A_SECOND;
}

/** The fields of /proc/PID/stat from the name on, which may hold spaces and is left empty. */
async function statOf(pid: string): Promise<string[] | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : ['', ...text.slice(text.lastIndexOf(')') + 2).split(' ')];
}
