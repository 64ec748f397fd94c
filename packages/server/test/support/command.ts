/**
 * The client's commands as people run them: processes of their own, with a home of their own. And what stands between them
 * and a server, to count what goes over the wire, and to stop at any moment of it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ACCOUNT, KEY, type TestServer } from './server.ts';

const COMMAND = join(import.meta.dirname, '../../vitrine.mjs');
/** The words that start `vitrine`, in a checkout as its users have one. */
export const VITRINE = [process.execPath, '--conditions=vitrine-source', COMMAND] as const;

/** Milliseconds in which any command must come to its end, on however busy a machine. */
const DEADLINE = 100_000;

/** A terminal takes Python's pty. Without it the test says so and is skipped, or fails where CI=true. */
export function withoutTerminal(): string | false {
  const missing = spawnSync('python3', ['-c', 'import pty']).status !== 0;
  if (missing && process.env.CI === 'true') throw new Error('python3 is needed for a terminal');
  return missing && 'python3 is not installed';
}

/** Runs what follows it on a terminal of its own, of which its own input and output are what is typed and shown. */
const ON_TERMINAL = 'import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))';

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Is given the process, to stop it, with every line that it writes. */
  readonly onLine?: (line: string, child: ChildProcess) => void;
  readonly onStart?: (child: ChildProcess) => void;
}

/**
 * What becomes of a command. One that does not end is killed, and what it was doing is told: a test that only runs out of its
 * time says nothing of why.
 */
export async function outcomeOf(
  child: ChildProcessByStdio<Writable | null, Readable, Readable>,
  words: readonly string[],
): Promise<Outcome> {
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  let stuck: string | undefined;
  const deadline = setTimeout(() => {
    stuck = stateOf(child);
    child.kill('SIGKILL');
  }, DEADLINE);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(deadline);
  if (stuck === undefined) return { code, signal, out, err };
  throw new Error(`"${words.join(' ')}" did not end.\n${stuck}\nstdout: ${out}\nstderr: ${err}`);
}

/** What a process and its threads wait for, and what it has open, as far as this system tells. */
function stateOf({ pid, exitCode, signalCode }: ChildProcess): string {
  const ended = `exit code ${exitCode}, signal ${signalCode}`;
  const look = [
    `cd /proc/${pid} && grep -E "State|Threads|VmRSS|SigBlk|SigCgt" status && ls -l fd`,
    'for task in task/*; do echo "$task $(cat $task/comm $task/wchan $task/syscall | tr "\\n" " ")"; done',
  ];
  return `${ended}\n${spawnSync('sh', ['-c', look.join('\n')], { encoding: 'utf8' }).stdout}`;
}

/** A user: a home folder, and what is run in it. */
export class User {
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  static async make(): Promise<User> {
    return new User(await mkdtemp(join(tmpdir(), 'vitrine-home-')));
  }

  get env(): Record<string, string> {
    return { PATH: process.env.PATH ?? '', HOME: this.home };
  }

  get config(): string {
    return join(this.home, '.config/vitrine');
  }

  async run(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const [command, ...first] = VITRINE;
    const child = spawn(command, [...first, ...words], {
      env: { ...this.env, ...options.env },
      stdio: 'pipe',
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    options.onStart?.(child);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    let begun = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (begun + text).split('\n');
      begun = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line, child);
    });
    return outcomeOf(child, words);
  }

  /**
   * Runs a command on a terminal; `out` is all that it showed there.
   * @param onShown is given that, whenever there is more, and what types on it
   */
  async runOnTerminal(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    onShown: (shown: string, type: (keys: string) => void) => void = () => undefined,
  ): Promise<Outcome> {
    const child = spawn('python3', ['-c', ON_TERMINAL, ...VITRINE, ...words], {
      env: { ...this.env, ...env },
      stdio: 'pipe',
    });
    child.stdin.on('error', () => undefined);
    let shown = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      shown += text;
      onShown(shown, (keys) => child.stdin.write(keys));
    });
    return outcomeOf(child, words);
  }

  /** What a command prints as JSON. @param code which the command must exit with */
  async json<T>(words: readonly string[], options: RunOptions & { code?: number } = {}): Promise<T> {
    const { code = 0 } = options;
    const outcome = await this.run([...words, '--json'], options);
    assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.err}`);
    if (code === 0) assert.equal(outcome.err, '');
    return JSON.parse(outcome.out) as T;
  }

  /** Logs in with the bootstrap key of a test server. */
  async login(url: string, { profile = 'default', account = ACCOUNT } = {}): Promise<void> {
    const words = [
      'login',
      '--profile',
      profile,
      '--server',
      url,
      '--account',
      account,
      '--key',
      KEY.publicKey,
    ];
    const { code, err } = await this.run(words, { input: `${KEY.secretKey}\n` });
    assert.equal(code, 0, err);
  }

  leave(): Promise<void> {
    return rm(this.home, { recursive: true, force: true });
  }
}

export interface Wire {
  readonly url: string;
  /** What was asked, such as `POST /accounts/…`, in order. */
  readonly asked: string[];
  /** Forgets what was asked until now. */
  reset(): void;
  close(): Promise<void>;
}

export interface WireOptions {
  /** Answers in place of the server, if it returns true. */
  readonly instead?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Is told of each answer of the server before it is passed on. */
  readonly beforeAnswer?: (asked: string, status: number) => void;
}

/** Stands before a server, and passes everything on. */
export async function startWire(
  server: TestServer,
  { instead, beforeAnswer }: WireOptions = {},
): Promise<Wire> {
  const asked: string[] = [];
  const wire = createServer((incoming, response) => {
    const line = `${incoming.method} ${incoming.url}`;
    asked.push(line);
    if (instead?.(incoming, response)) return;
    const { method, headers } = incoming;
    const outgoing = request(new URL(incoming.url ?? '/', server.url), { method, headers }, (answer) => {
      beforeAnswer?.(line, answer.statusCode ?? 0);
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  await once(wire.listen(0, '127.0.0.1'), 'listening');
  const { port } = wire.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    reset: () => asked.splice(0),
    async close() {
      wire.closeAllConnections();
      await new Promise((resolve) => wire.close(resolve));
    },
  };
}
