/**
 * Three server processes on one database and one bucket. Each node reaches both through proxies of its own,
 * so that its network can be cut.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../../support/ports.ts';
import { stateOf } from '../../../support/processes.ts';
import { type ServerProcess, startServerProcess } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/waiting.ts';
import { type NetworkState, startTCPProxy, type TCPProxy } from './tcp-proxy.ts';

export interface ClusterNode {
  readonly name: string;
  readonly port: number;
  /** `http://127.0.0.1:PORT`, past the proxy. */
  readonly url: string;
  /** The variables of the server, also for commands that work on the library. */
  readonly env: Readonly<Record<string, string>>;
  /** True from its start until it is stopped, killed or paused. */
  readonly isRunning: boolean;
  /** Starts the process, again and again while it cannot start. Resolves when it listens. */
  start(): Promise<void>;
  /** Ends it and its workers at once. */
  kill(): Promise<void>;
  /** Asks it to stop. @returns the exit code */
  stop(): Promise<number | null>;
  pause(): void;
  resume(): void;
  cutDatabase(state: NetworkState): void;
  cutBlobs(state: NetworkState): void;
  setDatabase(port: number): void;
  /** Resolves when it answers that it can take writes. */
  waitUntilReady(): Promise<void>;
  /** The last lines of the log of its current process. */
  output(): string;
  /** Stops everything of the node. */
  close(): Promise<void>;
}

export interface NodeOptions {
  readonly name: string;
  /** Holds the data of the node. */
  readonly folder: string;
  readonly databasePort: number;
  readonly blobsPort: number;
  /** The URL of PostgreSQL and of the bucket through the proxies at these ports. */
  readonly locate: (ports: { database: number; blobs: number }) => Readonly<Record<string, string>>;
}

export async function createNode(options: NodeOptions): Promise<ClusterNode> {
  const { name, folder, databasePort, blobsPort, locate } = options;
  const data = join(folder, name);
  await mkdir(data);
  const port = await freePort();
  const database = await startTCPProxy(await freePort(), databasePort);
  const blobs = await startTCPProxy(await freePort(), blobsPort);
  const env = {
    ...locate({ database: database.port, blobs: blobs.port }),
    VITRINE_DATA: data,
    VITRINE_RENDER_CONCURRENCY: '1',
    VITRINE_TRUST_PROXY: '127.0.0.1',
    // As docs/deploying.md advises. It has no effect on a kill.
    VITRINE_DRAIN_SECONDS: '8',
  };
  let server: ServerProcess | undefined;
  let isPaused = false;
  const cut = (proxy: TCPProxy) => (state: NetworkState) => proxy.setState(state);

  return {
    name,
    port,
    url: `http://127.0.0.1:${port}`,
    env,
    get isRunning() {
      return server !== undefined && server.exitStatus() === undefined && !isPaused;
    },
    async start() {
      // A start fails while PostgreSQL or S3 is away. A service manager then tries again, and so does this.
      await waitFor(
        `${name} starts`,
        async () => {
          try {
            server = await startServerProcess({ data, port, env });
            return 'started';
          } catch (error) {
            return String(error);
          }
        },
        (result) => result === 'started',
      );
    },
    async kill() {
      isPaused = false;
      await server?.kill();
    },
    async stop() {
      server?.signal('SIGTERM');
      return server === undefined ? null : server.exited;
    },
    pause() {
      isPaused = true;
      server?.signal('SIGSTOP');
    },
    resume() {
      server?.signal('SIGCONT');
      isPaused = false;
    },
    cutDatabase: cut(database),
    cutBlobs: cut(blobs),
    setDatabase: (target) => database.setTarget(target),
    async waitUntilReady() {
      await waitFor(
        `${name} is ready`,
        async () => {
          if (server?.exitStatus() !== undefined) throw new Error(`${name} ended: ${server.output()}`);
          const state = server && stateOf(server.pid);
          const answer = await fetch(`http://127.0.0.1:${port}/readyz?for=writes`).then(
            async (response) => `${response.status} ${await response.text()}`,
            String,
          );
          return `${state} ${answer}`;
        },
        (answer) => / 200 /.test(answer),
      );
    },
    output: () => server?.output() ?? '',
    async close() {
      await server?.kill();
      await database.close();
      await blobs.close();
      await rm(data, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}
