/**
 * Owns a server in a process of its own, as an operator runs it, and what can be seen of it and its workers from
 * outside: who is alive, how much memory each held at most, what the log warned of. Linux only, as /proc is read.
 * Refuses to know what is sent to it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { childrenOf, memoryOf } from '../../support/processes.ts';
import { ACCOUNT } from '../../support/server.ts';
import { AUTHORIZATION, type Serving, serve, UNLIMITED } from '../../support/serving.ts';

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

/** Starts a server without limits on how often is asked, with two workers; by `entry`, if that is given. */
export async function startProcess(
  env: Readonly<Record<string, string>> = {},
  entry?: readonly string[],
): Promise<ServingProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-hostile-'));
  const serving = serve({
    cwd: folder,
    env: { ...UNLIMITED, VITRINE_DATA: join(folder, 'data'), ...env },
    ...(entry && { entry }),
  });
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    return await watched(serving, remove);
  } catch (error) {
    serving.child.kill('SIGKILL');
    await remove();
    throw error;
  }
}

async function watched(serving: Serving, remove: () => Promise<void>): Promise<ServingProcess> {
  const { child, pid } = serving;
  const log = warnings(serving);
  let ended: string | undefined;
  child.once('exit', (code, signal) => {
    ended = `exit code ${code}, signal ${signal}`;
  });
  const url = await serving.listening;
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
        headers: {
          authorization: AUTHORIZATION,
          'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
        },
        body: Buffer.concat([FORM_HEAD, bytes, FORM_TAIL]),
      }),
    async close() {
      clearInterval(looking);
      agent.destroy();
      if (ended === undefined) child.kill('SIGKILL');
      await serving.ended;
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

/** The lines of its log that warn, as they come. */
function warnings({ child }: Serving): readonly LogLine[] {
  const log: LogLine[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (text) => {
      const line = readLine(text);
      if (line && /^(warn|error|fatal)$/.test(line.level)) log.push(line);
    });
  }
  return log;
}

function readLine(text: string): LogLine | undefined {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    return undefined;
  }
}

/** In MiB; 0 for a process that is gone. */
function peakOf(pid: number): number {
  return Math.round(memoryOf(pid).peak / MIB);
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}
