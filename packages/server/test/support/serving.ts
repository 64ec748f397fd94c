/**
 * The server in a process of its own, as an operator runs it: its start, the line that says where it listens, what it said,
 * its end. For tests that do to it what would otherwise be done to the test as well. Refuses to know what that is.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ACCOUNT, basic, KEY } from './server.ts';

const START = join(import.meta.dirname, '../../start.mjs');

/** The server with limits of a test's own: see there. */
export const LIMITED = join(import.meta.dirname, 'limited.ts');

/** Characters of what it says that are kept, of their end. */
const KEPT = 200_000;

/** The bootstrap key's, which may do everything. */
export const AUTHORIZATION = basic(KEY.publicKey, KEY.secretKey);

/** An account and its key, two workers, and limits by which no test is held up. */
export const UNLIMITED = {
  VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
  VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
  VITRINE_RENDER_CONCURRENCY: '2',
  VITRINE_RATE_LIMIT: '0',
  VITRINE_SIZE_BUDGET: '0',
  VITRINE_IMAGE_QUOTA: '1000000',
} as const;

export interface ServeOptions {
  /** A port is chosen unless it names one. Nothing is handed on from the test's own environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A file of the tests that starts the server in its own way, with its parameters. */
  readonly entry?: readonly string[];
  /** A command that runs the server, such as strace with its options. */
  readonly under?: readonly string[];
  /** In a process group of its own. */
  readonly detached?: boolean;
}

export interface Serving {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly pid: number;
  /** Resolves with its URL when it listens; rejects with what it said, if it ends before. */
  readonly listening: Promise<string>;
  /** The end of what it has said so far. */
  output(): string;
  /** The exit code; null if a signal ended it. */
  readonly ended: Promise<number | null>;
}

export function serve({ env, cwd, entry = [START], under = [], detached = false }: ServeOptions): Serving {
  const words = [...under, process.execPath, '--conditions=vitrine-source', ...entry];
  const [command = '', ...parameters] = words;
  const child = spawn(command, parameters, {
    env: { PATH: process.env.PATH, VITRINE_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
    ...(cwd !== undefined && { cwd }),
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} could not be started`);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  let output = '';
  const listening = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output = (output + chunk).slice(-KEPT);
      const [, url] = /"msg":"listening on (http[^"]+)"/.exec(output) ?? [];
      if (url !== undefined) resolve(url);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    ended.then((code) => reject(new Error(`the server ended with ${code}: ${output}`)));
  });
  // Who ends it before it listens does not wait for that.
  listening.catch(() => undefined);
  return { child, pid, listening, output: () => output, ended };
}
