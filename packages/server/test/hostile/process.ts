/**
 * Owns a server in a process of its own, as an operator runs it, and what can be seen of it and its workers from
 * outside: who is alive, how much memory each held at most, what the log warned of. Linux only, as /proc is read.
 * Refuses to know what is sent to it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { ACCOUNT, basic, KEY } from '../server.ts';

const START = join(import.meta.dirname, '../../start.mjs');

/** Memory is looked at this often, in milliseconds: the peak of a worker that is killed is lost after its last look. */
const LOOK_MS = 20;

const MIB = 1024 * 1024;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** A line of the server's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  /** How a task in a worker ended, where the line is about one. */
  readonly outcome?: { readonly kind: string; readonly how?: string; readonly message?: string };
}

export interface ServingProcess {
  readonly url: string;
  readonly pid: number;
  /** Lines of the log from `warn` upward, so far. */
  readonly log: readonly LogLine[];
  /** How the process ended; undefined while it runs. */
  ended(): string | undefined;
  /** The worker processes that are alive. */
  workerPids(): number[];
  /** The most that the serving process and any one of its workers held so far, in MiB. */
  peaks(): { readonly server: number; readonly worker: number };
  /** A request over a connection that is kept. No redirect, no retry: what the server says is what comes back. */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** Uploads bytes under the name and type of a PNG, whatever they are. */
  upload(bytes: Uint8Array): Promise<Answer>;
  /** Ends it, if it still runs, and removes its folder. */
  close(): Promise<void>;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** Starts a server without limits on how often is asked, with two workers. */
export async function startProcess(env: Readonly<Record<string, string>> = {}): Promise<ServingProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-hostile-'));
  const child = spawn(process.execPath, ['--conditions=vitrine-source', START], {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      VITRINE_PORT: '0',
      VITRINE_DATA: join(folder, 'data'),
      VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
      VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
      VITRINE_RENDER_CONCURRENCY: '2',
      VITRINE_RATE_LIMIT: '0',
      VITRINE_SIZE_BUDGET: '0',
      VITRINE_IMAGE_QUOTA: '1000000',
      VITRINE_LOG_LEVEL: 'info',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    return await watched(child, remove);
  } catch (error) {
    child.kill('SIGKILL');
    await remove();
    throw error;
  }
}

async function watched(child: ChildProcess, remove: () => Promise<void>): Promise<ServingProcess> {
  const log: LogLine[] = [];
  let ended: string | undefined;
  const exit = once(child, 'exit').then(([code, signal]) => {
    ended = `exit code ${code}, signal ${signal}`;
  });
  const url = await listeningURL(child, log);
  const pid = child.pid;
  if (pid === undefined) throw new Error('the server has no process ID');
  const authorization = basic(KEY.publicKey, KEY.secretKey);
  const agent = new Agent({ keepAlive: true });
  const peaks = { server: 0, worker: 0 };
  const look = () => {
    peaks.server = Math.max(peaks.server, peakOf(pid));
    for (const worker of childrenOf(pid)) peaks.worker = Math.max(peaks.worker, peakOf(worker));
  };
  const looking = setInterval(look, LOOK_MS);
  looking.unref();

  const server: ServingProcess = {
    url,
    pid,
    log,
    ended: () => ended,
    workerPids: () => childrenOf(pid),
    peaks() {
      look();
      return { ...peaks };
    },
    request: (method, path, options = {}) => send(agent, new URL(path, url), method, options),
    upload: (bytes) =>
      server.request('POST', `/accounts/${ACCOUNT}/images`, {
        headers: { authorization, 'content-type': `multipart/form-data; boundary=${BOUNDARY}` },
        body: Buffer.concat([FORM_HEAD, bytes, FORM_TAIL]),
      }),
    async close() {
      clearInterval(looking);
      agent.destroy();
      if (ended === undefined) child.kill('SIGKILL');
      await exit;
      await remove();
    },
  };
  return server;
}

const BOUNDARY = 'vitrine-7d1c5a0f4e';
const FORM_HEAD = Buffer.from(
  `--${BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="picture.png"\r\ncontent-type: image/png\r\n\r\n`,
);
const FORM_TAIL = Buffer.from(`\r\n--${BOUNDARY}--\r\n`);

function send(agent: Agent, url: URL, method: string, { headers, body }: RequestOptions): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = request(
    url,
    { method, agent, headers: { ...headers, ...(body && { 'content-length': body.length }) } },
    (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: answered } = response;
        resolve({ status, headers: answered, body: Buffer.concat(parts) });
      });
    },
  );
  sent.once('error', reject);
  sent.end(body);
  return promise;
}

/** Waits for the line that says where it listens, and keeps the lines that warn. */
function listeningURL(child: ChildProcess, log: LogLine[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('the server has no output');
  let others = '';
  for (const stream of [stdout, stderr]) {
    createInterface({ input: stream }).on('line', (text) => {
      const line = readLine(text);
      if (line === undefined) others += `${text}\n`;
      else if (/^(warn|error|fatal)$/.test(line.level)) log.push(line);
      const found = /"msg":"listening on (http[^"]+)"/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
  }
  child.once('exit', (code) => reject(new Error(`the server exited with ${code}: ${others}`)));
  return promise;
}

function readLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

/** Those that are alive. */
function childrenOf(pid: number): number[] {
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(' ').map(Number).filter(Boolean);
  return pids.filter((child) => !/^[ZX]/.test(stateOf(child) ?? 'X'));
}

/** In MiB; 0 for a process that is gone. */
function peakOf(pid: number): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1];
  return Math.round((Number(kilobytes ?? 0) * 1024) / MIB);
}

/** The state of a process: `R`unning, `S`leeping, s`T`opped, `Z`ombie and so on; undefined if there is none. */
export function stateOf(pid: number): string | undefined {
  return /^State:\s+(\S)/m.exec(read(`/proc/${pid}/status`))?.[1];
}

/** How long a process has worked so far, in hundredths of a second. */
export function workOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number);
  return user + system;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
