/**
 * HAProxy in front of the nodes, with the configuration of `ops/`. It can be killed and reloaded, and its log
 * tells which requests it repeated.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { childrenOf, isAlive } from '../../../support/processes.ts';
import { until, waitFor } from '../../../support/waiting.ts';
import { HAPROXY, OPS, PATH, replace } from '../../proxies/programs.ts';

const COMMAND = 'haproxy';

/** The last lines that are kept for a report. */
const MAX_LOG = 10_000;

const SOCKET = 'stats.sock';
/** One line for each request. `tsc` has the two letters of how it ended; `--` is the normal end. */
const LOG_FORMAT =
  '{"status":%ST,"retries":"%rc","flags":"%tsc","server":"%s","ms":"%Ta","method":"%HM","path":"%HP"}';

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
  /** The last lines of its log: requests and health checks. */
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

/** Starts HAProxy with the configuration of `ops/`. The names of the nodes must be those in it. */
export async function startHAProxy(port: number, nodes: readonly BalancedNode[]): Promise<HAProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-haproxy-'));
  const file = join(folder, 'haproxy.cfg');
  const socket = join(folder, SOCKET);
  await writeFile(file, await writeConfig(port, nodes, folder));
  const url = `http://127.0.0.1:${port}`;
  const lines: string[] = [];
  let retried = 0;
  let child: ChildProcess | undefined;

  const read = (line: string) => {
    const [, retries = '0'] = /"retries":"\+?(\d+)"/.exec(line) ?? [];
    if (Number(retries) > 0) retried += 1;
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

/** The shipped configuration, with a log in JSON, a socket for statistics, and the node of each answer. */
async function writeConfig(port: number, nodes: readonly BalancedNode[], folder: string): Promise<string> {
  const shipped = await readFile(join(OPS, HAPROXY.file), 'utf8');
  const ports = nodes.map((node) => node.port);
  const global = [
    `    stats socket ${join(folder, SOCKET)} mode 600 level admin expose-fd listeners`,
    '    hard-stop-after 60s',
  ];
  return [
    [/(?<=^global\n)/m, `${global.join('\n')}\n`],
    [/option httplog\n/, `log-format '${LOG_FORMAT}'\n`],
    [/(?= {4}option httpchk\n)/g, `    http-response set-header ${SERVED_BY} %s\n`],
  ].reduce(
    (text, [pattern, replacement]) => replace(text, pattern as RegExp, String(replacement)),
    HAPROXY.configure(shipped, port, ports, folder),
  );
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
