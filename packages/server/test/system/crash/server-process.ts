/**
 * Owns the server as a process group that can be killed at any moment, with everything it started, and what its start
 * cost. Refuses to know what is asked of it. The process is the one that `npm start` runs.
 */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { cpuTimeOf, groupMembers } from '../../support/processes.ts';
import { type ServeOptions, serve, UNLIMITED } from '../../support/serving.ts';

/** Ports that are asked for: below those that the system gives to connections by itself. */
const PORTS = { from: 20_000, to: 32_000 } as const;

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

export interface LaunchOptions extends Pick<ServeOptions, 'under'> {
  readonly data: string;
  /** The same at each start of the same library, so that links stay. */
  readonly port: number;
  readonly env?: Readonly<Record<string, string>>;
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
  const began = performance.now();
  const { child, pid, listening, output, ended } = serve({
    under,
    // To be killed whole.
    detached: true,
    env: { ...UNLIMITED, VITRINE_PORT: String(port), VITRINE_DATA: data, ...env },
  });
  const end = () => killGroup(pid);
  // Whatever becomes of the test, nothing of the group outlives it.
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    if (process.listenerCount(name) === 0) process.once(name, () => process.exit(1));
  }
  const atExit = () => sendToGroup(pid);
  process.once('exit', atExit);
  ended.then(() => process.off('exit', atExit));

  try {
    const url = await (killAfter === undefined ? listening : Promise.race([listening, delay(killAfter)]));
    const wall = performance.now() - began;
    if (url === undefined) {
      await end();
      return undefined;
    }
    return {
      url,
      pid,
      startTimes: { wall, cpu: cpuTimeOf(pid) },
      output,
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
  while (groupMembers(pid).length > 0) await new Promise(setImmediate);
}

function sendToGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: none of it is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
