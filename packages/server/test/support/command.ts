/**
 * Runs the `vitrine` command as a process with its own home folder, and a proxy between the command and a
 * server. The proxy records requests, replaces responses and stops a command at a chosen moment.
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
/** The words that start `vitrine` from the sources. */
export const VITRINE = [process.execPath, '--conditions=vitrine-source', COMMAND] as const;

/** A valid UUID that no account, key, image or product has. */
export const UNKNOWN_ID = '7cec5bd3-6340-4de4-a923-bf6ec0f7e921';

/** The longest time of any command on a busy machine, in milliseconds. */
const TIMEOUT = 100_000;

/**
 * The reason to skip tests that need a terminal, which is made with Python.
 * @throws if CI=true and Python is missing.
 */
export function terminalSkipReason(): string | false {
  const isMissing = spawnSync('python3', ['-c', 'import pty']).status !== 0;
  if (isMissing && process.env.CI === 'true') throw new Error('python3 is needed for a terminal');
  return isMissing && 'python3 is not installed';
}

/**
 * A Python program that runs its arguments on a new terminal. Its stdin is the keyboard, and its stdout the
 * screen.
 */
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
  /** Called with each line of standard output. */
  readonly onLine?: (line: string, child: ChildProcess) => void;
  readonly onStart?: (child: ChildProcess) => void;
}

/** An `onLine` that sends a signal to the command after this number of lines. */
export function signalAtLine(number: number, signal: NodeJS.Signals): NonNullable<RunOptions['onLine']> {
  let lines = 0;
  return (_line, child) => {
    lines += 1;
    if (lines === number) child.kill(signal);
  };
}

/**
 * Waits for the end of a command.
 * @throws an error with the state of the process if it does not end in time.
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
  let stuckState: string | undefined;
  const timer = setTimeout(() => {
    stuckState = describeProcess(child);
    child.kill('SIGKILL');
  }, TIMEOUT);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  if (stuckState === undefined) return { code, signal, out, err };
  throw new Error(`"${words.join(' ')}" did not end.\n${stuckState}\nstdout: ${out}\nstderr: ${err}`);
}

/** The state of a process, the system calls of its threads, and its open files. Only Linux has all of it. */
function describeProcess({ pid, exitCode, signalCode }: ChildProcess): string {
  const end = `exit code ${exitCode}, signal ${signalCode}`;
  const commands = [
    `cd /proc/${pid} && grep -E "State|Threads|VmRSS|SigBlk|SigCgt" status && ls -l fd`,
    'for task in task/*; do echo "$task $(cat $task/comm $task/wchan $task/syscall | tr "\\n" " ")"; done',
  ];
  return `${end}\n${spawnSync('sh', ['-c', commands.join('\n')], { encoding: 'utf8' }).stdout}`;
}

/** A user with an empty home folder. */
export class User {
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  static async create(): Promise<User> {
    return new User(await mkdtemp(join(tmpdir(), 'vitrine-home-')));
  }

  get env(): Record<string, string> {
    return { PATH: process.env.PATH ?? '', HOME: this.home };
  }

  get configFolder(): string {
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
    let partialLine = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (partialLine + text).split('\n');
      partialLine = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line, child);
    });
    return outcomeOf(child, words);
  }

  /**
   * Runs a command on a terminal. `out` is everything that the terminal showed.
   * @param onOutput called with everything that was shown so far, and with a function that types keys.
   * @param columns the width of the terminal; 0 is unknown.
   */
  async runOnTerminal(
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    onOutput: (screen: string, type: (keys: string) => void) => void = () => undefined,
    columns = 0,
  ): Promise<Outcome> {
    const resize = ['sh', '-c', `stty cols ${columns} && exec "$@"`, 'sh'];
    const child = spawn('python3', ['-c', ON_TERMINAL, ...resize, ...VITRINE, ...words], {
      env: { ...this.env, ...env },
      stdio: 'pipe',
    });
    child.stdin.on('error', () => undefined);
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
      onOutput(screen, (keys) => child.stdin.write(keys));
    });
    return outcomeOf(child, words);
  }

  /** The JSON output of a command. @param options.code the expected exit code. */
  async json<T>(words: readonly string[], options: RunOptions & { code?: number } = {}): Promise<T> {
    const { code = 0 } = options;
    const outcome = await this.run([...words, '--json'], options);
    assert.equal(outcome.code, code, `${words.join(' ')}: ${outcome.err}`);
    if (code === 0) assert.equal(outcome.err, '');
    return JSON.parse(outcome.out) as T;
  }

  /** Logs in with the bootstrap key of a test server. */
  async login(url: string, { profile = 'default', account = ACCOUNT } = {}): Promise<void> {
    const words = ['login', '--profile', profile, '--server', url, '--account', account];
    const { code, err } = await this.run([...words, '--key', KEY.publicKey], { input: `${KEY.secretKey}\n` });
    assert.equal(code, 0, err);
  }

  /** Removes the home folder. */
  remove(): Promise<void> {
    return rm(this.home, { recursive: true, force: true });
  }
}

export interface TestProxy {
  readonly url: string;
  /** The requests so far, in order, such as `POST /accounts/…`. */
  readonly requests: string[];
  /** Empties `requests`. */
  clearRequests(): void;
  close(): Promise<void>;
}

export interface ProxyOptions {
  /** Returns true if it has answered the request. The server does not get the request then. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Called for each response of the server, before the client gets it. */
  readonly onResponse?: (request: string) => void;
}

/** Starts a proxy in front of a server. */
export async function startProxy(
  server: TestServer,
  { intercept, onResponse }: ProxyOptions = {},
): Promise<TestProxy> {
  const requests: string[] = [];
  const proxy = createServer((incoming, response) => {
    const line = `${incoming.method} ${incoming.url}`;
    requests.push(line);
    if (intercept?.(incoming, response)) return;
    const { method, headers } = incoming;
    const outgoing = request(new URL(incoming.url ?? '/', server.url), { method, headers }, (upstream) => {
      onResponse?.(line);
      // `intercept` may answer while the body arrives.
      if (response.headersSent) return;
      response.writeHead(upstream.statusCode ?? 502, upstream.headers);
      upstream.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  });
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  const { port } = proxy.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    clearRequests: () => requests.splice(0),
    async close() {
      proxy.closeAllConnections();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
