/**
 * Real faults for a running server: system calls that fail or are slow, by strace, and a limit on open files.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** False, or the reason to skip tests that need strace. In CI they are never skipped. */
export const skip: false | string = (() => {
  const works = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
  return works || process.env.CI === 'true' ? false : 'strace is absent or not permitted here';
})();

export interface Fault {
  /** Ends the fault. Resolves when system calls work as before. */
  end(): Promise<void>;
}

export interface FaultOptions {
  /** Names of system calls, separated by commas. */
  readonly calls: string;
  /** The fault in the syntax of strace, with microseconds: `error=EIO`, `delay_enter=5000000`. */
  readonly inject: string;
  /** Only calls on these files fail. Default: calls on any file. */
  readonly paths?: readonly string[];
}

/** Injects a fault into all threads of a process, but not into its child processes. */
export async function injectFault(pid: number, { calls, inject, paths = [] }: FaultOptions): Promise<Fault> {
  const options = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${inject}`, '-o', '/dev/null'];
  return { end: await attachStrace(pid, [...options, ...paths.flatMap((path) => ['-P', path])]) };
}

export interface SystemCall {
  /** The call as strace prints it, with its result and the paths of its descriptors. */
  readonly text: string;
  /** The positions of its start and its end in the order of all threads. */
  readonly start: number;
  readonly end: number;
}

/** Records the system calls of all threads of a process until `stop`, which returns them. */
export async function traceCalls(
  pid: number,
  calls: string,
): Promise<{ stop(): Promise<readonly SystemCall[]> }> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-trace-'));
  const log = join(folder, 'trace');
  const detach = await attachStrace(pid, ['-y', '-s', '64', '-e', `trace=${calls}`, '-o', log]);
  return {
    async stop() {
      await detach();
      const lines = (await readFile(log, 'utf8')).split('\n');
      await rm(folder, { recursive: true });
      return parseCalls(lines);
    },
  };
}

/** Parses the log of strace. It splits a call into two lines when another thread makes a call meanwhile. */
function parseCalls(lines: readonly string[]): SystemCall[] {
  const unfinished = new Map<string, { text: string; start: number }>();
  return lines.flatMap((line, index): SystemCall[] => {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, head] = /^(.*) <unfinished \.\.\.>$/.exec(rest) ?? [];
    if (head !== undefined) unfinished.set(thread, { text: head, start: index });
    if (head !== undefined || rest === '') return [];
    const [, tail] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? [];
    const { text, start } = (tail === undefined ? undefined : unfinished.get(thread)) ?? {
      text: '',
      start: index,
    };
    return [{ text: text + (tail ?? rest), start, end: index }];
  });
}

/** Attaches strace to a process. @returns a function that detaches it */
async function attachStrace(pid: number, options: readonly string[]): Promise<() => Promise<void>> {
  const child = spawn('strace', ['-f', '-p', `${pid}`, ...options]);
  let output = '';
  const exited = once(child, 'exit');
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      output += chunk;
      if (output.includes('attached')) resolve();
    });
    exited.then(() => reject(new Error(`strace ended: ${output}`)));
  });
  return async () => {
    child.kill('SIGINT');
    await exited;
  };
}

/** Lowers the limit on open files of a process. */
export async function limitOpenFiles(pid: number, limit: number): Promise<Fault> {
  const { stdout } = await run('prlimit', [
    '--pid',
    `${pid}`,
    '--nofile',
    '--raw',
    '--noheadings',
    '-o',
    'SOFT',
  ]);
  await run('prlimit', ['--pid', `${pid}`, `--nofile=${limit}:`]);
  return {
    end: async () => void (await run('prlimit', ['--pid', `${pid}`, `--nofile=${stdout.trim()}:`])),
  };
}
