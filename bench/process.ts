/**
 * Owns child processes: starting one, waiting for its first answer, its memory, its end.
 * Refuses to know which servers there are.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from './http.ts';

/** Milliseconds that a server gets to its first answer. */
const START_TIMEOUT = 30_000;
/** Milliseconds between two questions whether it answers yet. */
const QUESTION_INTERVAL = 2;

export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Answers anything at all once the server works. */
  readonly probe: string;
}

export interface RunningServer {
  readonly pid: number;
  /** Milliseconds from before the process was made until its first answer was read. */
  readonly startTime: number;
  stop(): Promise<void>;
}

/** Starts a server and waits for its first answer. Throws with what it wrote if it ends before. */
export async function startServer({ command, args, env, cwd, probe }: ServerCommand): Promise<RunningServer> {
  const begun = performance.now();
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
      reject(new Error(`${command} ended (${code ?? signal}) before it answered:\n${output}`)),
    );
  });
  await Promise.race([failed, firstAnswer(probe, begun)]).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  failed.catch(() => {});
  const startTime = performance.now() - begun;
  if (child.pid === undefined) throw new Error(`${command} has no process`);
  return { pid: child.pid, startTime, stop: () => stop(child) };
}

async function firstAnswer(url: string, begun: number): Promise<void> {
  for (;;) {
    const answer = await request('GET', url).catch(() => undefined);
    if (answer) return;
    if (performance.now() - begun > START_TIMEOUT) throw new Error(`${url} did not answer in time`);
    await pause(QUESTION_INTERVAL);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(late);
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Bytes of memory that the process holds now, and the most it held since `forgetPeak`. Linux only. */
export async function memoryOf(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { now: field('VmRSS'), peak: field('VmHWM') };
}

export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

/** Runs a program to its end and returns what it wrote to its standard output. Throws if it fails. */
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
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${errors.slice(-2_000)}`);
  return output;
}
