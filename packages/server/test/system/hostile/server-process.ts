/**
 * A server in a separate process, as an operator runs it, with its live workers, peak memory and log. Linux
 * only, because it reads /proc.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { childrenOf, memoryOf } from '../../support/processes.ts';
import { ACCOUNT } from '../../support/server.ts';
import { AUTHORIZATION, type Serving, serve, UNLIMITED } from '../../support/serving.ts';

/** Milliseconds between two readings of the memory. A killed worker loses its peak after the last reading. */
const SAMPLE_MS = 20;

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
  /** The result of a task in a worker, in a line about a task. */
  readonly outcome?: { readonly kind: string; readonly how?: string; readonly message?: string };
}

export interface ServingProcess {
  readonly url: string;
  readonly pid: number;
  /** The log lines of level `warn` and above so far. */
  readonly log: readonly LogLine[];
  /** The exit code and signal of the process. Undefined while it runs. */
  ended(): string | undefined;
  /** The process IDs of the live workers. */
  workerPids(): number[];
  /** The peak memory of the serving process and of its largest worker so far, in MiB. */
  peaks(): { readonly server: number; readonly worker: number };
  /** Sends a request over a keep-alive connection. Returns every answer: no redirects, no retries. */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** Uploads any bytes with the file name and type of a PNG. */
  upload(bytes: Uint8Array): Promise<Answer>;
  /** Kills the process if it runs, and removes its folder. */
  close(): Promise<void>;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/**
 * Starts a server without rate limits.
 * @param entry program and arguments that replace the ordinary start of the server
 */
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
    return await observe(serving, remove);
  } catch (error) {
    serving.child.kill('SIGKILL');
    await remove();
    throw error;
  }
}

async function observe(serving: Serving, remove: () => Promise<void>): Promise<ServingProcess> {
  const { child, pid } = serving;
  const log = collectWarnings(serving);
  let ended: string | undefined;
  child.once('exit', (code, signal) => {
    ended = `exit code ${code}, signal ${signal}`;
  });
  const url = await serving.listening;
  const agent = new Agent({ keepAlive: true });
  const peaks = { server: 0, worker: 0 };
  const sample = () => {
    peaks.server = Math.max(peaks.server, peakOf(pid));
    for (const worker of childrenOf(pid)) peaks.worker = Math.max(peaks.worker, peakOf(worker));
  };
  const sampling = setInterval(sample, SAMPLE_MS);
  sampling.unref();

  const server: ServingProcess = {
    url,
    pid,
    log,
    ended: () => ended,
    workerPids: () => childrenOf(pid),
    peaks() {
      sample();
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
      clearInterval(sampling);
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

/** Collects the log lines of level `warn` and above. The list grows while the process runs. */
function collectWarnings({ child }: Serving): readonly LogLine[] {
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

/** Peak memory in MiB. 0 for a process that has ended. */
function peakOf(pid: number): number {
  return Math.round(memoryOf(pid).peak / MIB);
}
