/**
 * HAProxy in front of several nodes. Pictures go to the node of their public ID, other requests to any node.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '../waiting.ts';

export interface Proxy {
  /** Sends requests to the nodes at these ports from now on. */
  route(ports: readonly number[]): Promise<void>;
  stop(): Promise<void>;
}

/** @param port where it listens. @throws Error if HAProxy is not installed. */
export async function startProxy(folder: string, port: number): Promise<Proxy> {
  const file = join(folder, 'haproxy.cfg');
  let child: ChildProcess | undefined;
  const stop = async () => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  };
  return {
    stop,
    async route(ports) {
      await stop();
      await writeFile(file, configuration(port, ports));
      const started = spawn('haproxy', ['-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
      child = started;
      const log: string[] = [];
      started.stderr.on('data', (chunk) => log.push(String(chunk)));
      const failed = once(started, 'error');
      failed.catch(() => undefined);
      process.once('exit', () => started.kill('SIGKILL'));
      await waitFor('HAProxy answers', async () => {
        if (started.exitCode !== null || started.pid === undefined) {
          throw new Error(`HAProxy cannot be started: ${log.join('')}`);
        }
        return fetch(`http://127.0.0.1:${port}/livez`).then(
          ({ ok }) => ok,
          () => false,
        );
      });
    },
  };
}

function configuration(port: number, ports: readonly number[]): string {
  const servers = ports.map((each, index) => `  server node${index} 127.0.0.1:${each}`);
  return [
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    '  timeout client 120s',
    '  timeout server 120s',
    '  option forwardfor',
    'frontend public',
    `  bind 127.0.0.1:${port}`,
    '  use_backend pictures if { path_beg /images/ }',
    '  default_backend api',
    'backend pictures',
    '  http-request set-var(txn.id) path,field(3,/)',
    '  balance hash var(txn.id)',
    '  hash-type consistent',
    ...servers,
    'backend api',
    '  balance roundrobin',
    ...servers,
    '',
  ].join('\n');
}
