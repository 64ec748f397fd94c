/**
 * Real faults for a server that runs: system calls that fail or take long, for as long as a test wants, by strace; and
 * a limit on open files. Refuses to know what the server should make of them.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** False, or why system calls cannot be made to fail here. In CI they must be. */
export const skip: false | string = (() => {
  const works = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
  return works || process.env.CI === 'true' ? false : 'strace is absent or not permitted here';
})();

export interface Fault {
  /** Ends the fault; resolves when the process is as before. */
  heal(): Promise<void>;
}

export interface SystemCalls {
  /** Names, joined by commas. */
  readonly calls: string;
  /** What becomes of them, in strace's words: `error=EIO`, `delay_enter=5000000`. */
  readonly inject: string;
  /** Only calls on these files. */
  readonly paths?: readonly string[];
}

/** Makes system calls of all threads of a process fail, from when it resolves. The processes it started are spared. */
export async function faultyCalls(pid: number, { calls, inject, paths = [] }: SystemCalls): Promise<Fault> {
  const options = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${inject}`, '-o', '/dev/null'];
  return { heal: await attach(pid, [...options, ...paths.flatMap((path) => ['-P', path])]) };
}

export interface SystemCall {
  /** As strace writes it, with the paths of its descriptors and its result. */
  readonly text: string;
  /** Places in the order in which calls began and ended, of all threads together. */
  readonly began: number;
  readonly ended: number;
}

/** Writes down the system calls of all threads of a process until `stop`. */
export async function traceCalls(
  pid: number,
  calls: string,
): Promise<{ stop(): Promise<readonly SystemCall[]> }> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-trace-'));
  const log = join(folder, 'trace');
  const detach = await attach(pid, ['-y', '-s', '64', '-e', `trace=${calls}`, '-o', log]);
  return {
    async stop() {
      await detach();
      const lines = (await readFile(log, 'utf8')).split('\n');
      await rm(folder, { recursive: true });
      return callsOf(lines);
    },
  };
}

/** Whole calls from lines in which a call of one thread may be cut in two by another's. */
function callsOf(lines: readonly string[]): SystemCall[] {
  const cut = new Map<string, { text: string; began: number }>();
  return lines.flatMap((line, at): SystemCall[] => {
    const [, thread = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const [, head] = /^(.*) <unfinished \.\.\.>$/.exec(rest) ?? [];
    if (head !== undefined) cut.set(thread, { text: head, began: at });
    if (head !== undefined || rest === '') return [];
    const [, tail] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? [];
    const { text, began } = (tail === undefined ? undefined : cut.get(thread)) ?? { text: '', began: at };
    return [{ text: text + (tail ?? rest), began, ended: at }];
  });
}

/** Resolves when strace holds the process, with what lets it go. */
async function attach(pid: number, options: readonly string[]): Promise<() => Promise<void>> {
  const child = spawn('strace', ['-f', '-p', `${pid}`, ...options]);
  let said = '';
  const ended = once(child, 'exit');
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk) => {
      said += chunk;
      if (said.includes('attached')) resolve();
    });
    ended.then(() => reject(new Error(`strace ended: ${said}`)));
  });
  return async () => {
    child.kill('SIGINT');
    await ended;
  };
}

/** Limits how many files a process may have open from now on. */
export async function fewFiles(pid: number, limit: number): Promise<Fault> {
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
    heal: async () => void (await run('prlimit', ['--pid', `${pid}`, `--nofile=${stdout.trim()}:`])),
  };
}
