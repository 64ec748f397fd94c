/**
 * HAProxy in front of the nodes. It sends each public link to the home node of its image, and requests of the
 * API to all nodes. It repeats a request only if no node can have carried it out.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { childrenOf, isAlive } from '../../../support/processes.ts';
import { until, waitFor } from '../../../support/waiting.ts';

const COMMAND = 'haproxy';
/** Debian keeps it where only the PATH of root has a folder. */
const PATH = `${process.env.PATH}:/usr/sbin`;

/** The last lines that are kept for a report. */
const MAX_LOG = 2_000;

/** The header with the name of the node that answered. */
export const SERVED_BY = 'x-served-by';

export interface BalancedNode {
  readonly name: string;
  readonly port: number;
}

export interface HAProxy {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** The number of requests that it sent again, to the same node or to another. */
  retriedCount(): number;
  /** The last lines of its log that are about failed requests, retries and health checks. */
  log(): readonly string[];
  /** Loads the configuration in a new process. Running requests end in the old one. */
  reload(): Promise<void>;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Resolves when these nodes may get writes and reads. */
  waitForNodes(names: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** The reason to skip tests that need HAProxy; false if it is installed. @throws Error if not and CI=true */
export function findHAProxy(): string | false {
  const { status } = spawnSync(COMMAND, ['-v'], { env: { PATH }, stdio: 'ignore' });
  if (status === 0) return false;
  const skip = 'HAProxy is not installed: apt-get install haproxy';
  if (process.env.CI === 'true') throw new Error(skip);
  return skip;
}

export async function startHAProxy(port: number, nodes: readonly BalancedNode[]): Promise<HAProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-haproxy-'));
  const file = join(folder, 'haproxy.cfg');
  const socket = join(folder, 'stats.sock');
  await writeFile(file, writeConfig({ port, socket, nodes }));
  const url = `http://127.0.0.1:${port}`;
  const lines: string[] = [];
  let retried = 0;
  let child: ChildProcess | undefined;

  const read = (line: string) => {
    const [, retries = '0'] = /"retries":"\+?(\d+)"/.exec(line) ?? [];
    if (Number(retries) > 0) retried += 1;
    else if (/"status":[1-4].*"flags":"--/.test(line)) return;
    lines.push(`${new Date().toISOString()} ${line}`);
    if (lines.length > MAX_LOG) lines.shift();
  };
  const kill = async () => {
    const running = child;
    child = undefined;
    if (running?.pid === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exited = once(running, 'exit');
    const workers = childrenOf(running.pid);
    for (const pid of [running.pid, ...workers]) process.kill(pid, 'SIGKILL');
    await exited;
    await until(() => !workers.some(isAlive));
  };
  const atExit = () => {
    if (child?.pid === undefined) return;
    for (const pid of [child.pid, ...childrenOf(child.pid)]) process.kill(pid, 'SIGKILL');
  };
  process.once('exit', atExit);
  const readStates = async () => {
    const text = await send(socket, 'show servers state').catch(() => '');
    const states = text.split('\n').map((line) => line.split(' '));
    // The fourth field is the name of the server, the sixth its state: 2 is running.
    return (name: string) => {
      const found = states.filter((fields) => fields[3] === name);
      return found.length > 0 && found.every((fields) => fields[5] === '2');
    };
  };

  const proxy: HAProxy = {
    url,
    retriedCount: () => retried,
    log: () => lines,
    async reload() {
      const [worker] = child?.pid === undefined ? [] : childrenOf(child.pid);
      child?.kill('SIGUSR2');
      // The new worker has another process ID, and it owns the socket.
      await waitFor('HAProxy is loaded again', () => {
        const workers = child?.pid === undefined ? [] : childrenOf(child.pid);
        return workers.some((pid) => pid !== worker);
      });
    },
    kill,
    async start() {
      const started = spawn(COMMAND, ['-W', '-db', '-f', file], {
        env: { PATH },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      for (const input of [started.stdout, started.stderr]) createInterface({ input }).on('line', read);
      await waitFor('HAProxy listens', () =>
        started.exitCode !== null
          ? Promise.reject(new Error(`HAProxy ended: ${lines.join('\n')}`))
          : fetch(new URL('/livez', url)).then(
              () => true,
              () => false,
            ),
      );
    },
    async waitForNodes(names) {
      await waitFor(`HAProxy uses ${names.join(', ')}`, async () => names.every(await readStates()));
    },
    async stop() {
      await kill();
      process.off('exit', atExit);
      await rm(folder, { recursive: true, force: true });
    },
  };
  await proxy.start();
  return proxy;
}

interface ConfigOptions {
  readonly port: number;
  /** The path of the socket for statistics. */
  readonly socket: string;
  readonly nodes: readonly BalancedNode[];
}

function writeConfig({ port, socket, nodes }: ConfigOptions): string {
  const servers = nodes
    .map(({ name, port: at }) => `  server ${name} 127.0.0.1:${at} check inter 500ms fall 2 rise 1`)
    .join('\n');
  return `
global
  stats socket ${socket} mode 600 level admin expose-fd listeners
  log stdout format raw local0
  hard-stop-after 60s

defaults
  mode http
  log global
  option dontlognull
  option forwardfor
  # Closes an idle connection of a client only after its next answer, so that a reload breaks none.
  option idle-close-on-response
  log-format '{"status":%ST,"retries":"%rc","flags":"%tsc","server":"%s","ms":"%Ta","method":"%HM","path":"%HP"}'
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout queue 5s
  timeout check 3s
  retries 3
  option redispatch 1
  # A connection of its own for each request: a node that stops closes idle connections, and a request that
  # is sent on one of them at this moment may not be repeated.
  http-reuse never
  http-error status 503 content-type application/json string "{\\"error\\":\\"no node is ready\\"}" hdr Retry-After 1

frontend vitrine
  bind 127.0.0.1:${port}
  http-request set-var(txn.id) path,field(3,/)
  use_backend images if { path_beg /images/ }
  # A node refuses an upload better than HAProxy, which closes the connection before the client has sent all.
  use_backend refusals if { nbsrv(api) eq 0 }
  default_backend api

backend images
  balance hash var(txn.id)
  hash-type consistent
  # Public links are only read, so each failure may be repeated.
  retry-on conn-failure empty-response response-timeout
  option httpchk
  http-check send meth GET uri /readyz?for=reads
  http-response set-header ${SERVED_BY} %s
${servers}

backend api
  balance roundrobin
  # A write is repeated only if no connection was made. Then no node got it.
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless METH_GET
  option httpchk
  http-check send meth GET uri /readyz?for=writes
  http-response set-header ${SERVED_BY} %s
${servers}

backend refusals
  balance roundrobin
  http-reuse never
  retry-on conn-failure
  option httpchk
  http-check send meth GET uri /livez
  http-response set-header ${SERVED_BY} %s
${servers}
`;
}

/** Sends a command to the socket for statistics. @returns the whole answer */
async function send(path: string, command: string): Promise<string> {
  const { connect } = await import('node:net');
  const socket = connect(path);
  socket.end(`${command}\n`);
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}
