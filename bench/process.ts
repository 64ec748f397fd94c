/**
 * Starts, measures and stops the server processes of the bench.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from './http.ts';

/** The most milliseconds from the start of a server to its first response. */
const START_TIMEOUT = 30_000;
/** Milliseconds between two probes of a starting server. */
const PROBE_INTERVAL = 2;

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A URL that answers with any status when the server is ready. */
  readonly probe: string;
}

export interface RunningServer {
  readonly pid: number;
  /** Milliseconds from before the spawn of the process until its first response was read. */
  readonly startTime: number;
  stop(): Promise<void>;
}

/** Starts a server and waits for its first response. Throws with the server's output if it exits first. */
export async function startServer({ command, args, env, cwd, probe }: ServerCommand): Promise<RunningServer> {
  const start = performance.now();
  const child = spawn(command, [...args], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd !== undefined && { cwd }),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output = (output + text).slice(-4_000);
    });
  }
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`${command} exited (${code ?? signal}) before its first response:\n${output}`)),
    );
  });
  await Promise.race([failed, waitForResponse(probe, start)]).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  failed.catch(() => {});
  const startTime = performance.now() - start;
  if (child.pid === undefined) throw new Error(`${command} has no process ID`);
  return { pid: child.pid, startTime, stop: () => stop(child) };
}

async function waitForResponse(url: string, start: number): Promise<void> {
  for (;;) {
    const answer = await request('GET', url).catch(() => undefined);
    if (answer) return;
    if (performance.now() - start > START_TIMEOUT)
      throw new Error(`${url} did not answer within ${START_TIMEOUT} ms`);
    await pause(PROBE_INTERVAL);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exit;
  clearTimeout(timer);
}

/** Finds a free port. Another process may take it before it is used. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

/**
 * Reads the resident memory of a process in bytes: the current value and the peak since `resetPeakMemory`.
 * Linux only.
 */
export async function readMemory(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export async function resetPeakMemory(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

/** Runs a program and returns its standard output. Throws if the program fails. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} exited with ${code}: ${errors.slice(-2_000)}`);
  return output;
}
