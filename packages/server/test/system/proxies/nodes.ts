/**
 * Three nodes of one library behind a proxy: real processes over one PostgreSQL and one folder of blobs. Each
 * keeps its port when it starts again, because the proxy knows it by the port.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { type Availability, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { type ServerProcess, startServerProcess } from '../../support/server-process.ts';

const COUNT = 3;

export interface Nodes {
  readonly ports: readonly number[];
  /** The nodes in the order of `ports`; undefined for one that does not run. */
  readonly running: readonly (ServerProcess | undefined)[];
  /** The address of a node. Its client has the public URL, which is that of the proxy. */
  urlOf(index: number): string;
  /** Ends a node at once, as a crash does. */
  kill(index: number): Promise<void>;
  /** Ends a node with SIGTERM. Resolves with its exit code. */
  stop(index: number): Promise<number | null>;
  start(index: number): Promise<void>;
  /** The nodes whose log has a request for this path. Answers from memory are in the log, too. */
  servedBy(path: string): number[];
  /** Stops all nodes and removes their data. */
  close(): Promise<void>;
}

/** Starts the nodes. @param url the address of the proxy */
export async function startNodes(
  url: string,
): Promise<{ nodes: Nodes; skip: false } | { nodes?: undefined; skip: string }> {
  const { postgres, skip }: Availability<TestPostgres> = await startPostgres();
  if (!postgres) return { skip };
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-nodes-'));
  const database = await postgres.createDatabase();
  const ports = await Promise.all(Array.from({ length: COUNT }, freePort));
  const running: (ServerProcess | undefined)[] = [];
  const logs = ports.map(() => '');

  const start = async (index: number) => {
    running[index] = await startServerProcess({
      data: join(folder, `node${index + 1}`),
      port: ports[index] ?? 0,
      env: {
        VITRINE_DATABASE: database,
        VITRINE_BLOBS: `file:${join(folder, 'blobs')}`,
        VITRINE_PUBLIC_URL: url,
        VITRINE_TRUST_PROXY: '127.0.0.1',
        VITRINE_RENDER_CONCURRENCY: '1',
        // As docs/deploying.md advises. It has no effect on a kill.
        VITRINE_DRAIN_SECONDS: '8',
      },
    });
  };
  const end = async (index: number, how: (node: ServerProcess) => Promise<unknown>) => {
    const node = running[index];
    if (!node) throw new Error(`node ${index} does not run`);
    running[index] = undefined;
    const result = await how(node);
    logs[index] += node.output();
    return result;
  };
  // One after the other: the first one creates the bootstrap key.
  for (const index of ports.keys()) await start(index);
  const nodes: Nodes = {
    ports,
    running,
    urlOf: (index) => `http://127.0.0.1:${ports[index]}`,
    async kill(index) {
      await end(index, (node) => node.kill());
    },
    stop: (index) =>
      end(index, (node) => {
        node.signal('SIGTERM');
        return node.exited;
      }) as Promise<number | null>,
    start,
    servedBy(path) {
      const text = `"path":"${path}"`;
      return [...ports.keys()].filter((index) =>
        `${logs[index]}${running[index]?.output() ?? ''}`.includes(text),
      );
    },
    async close() {
      await Promise.all(running.map((node) => node?.kill()));
      await postgres.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  return { nodes, skip: false };
}
