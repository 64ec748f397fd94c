/** Several servers over one PostgreSQL and one folder of blobs, in the process of the test. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ServerOptions, startServer, type TestServer } from '../support/server.ts';

export interface Node extends TestServer {
  /** The messages of the log, from `warn` upward. */
  readonly warnings: readonly string[];
}

export interface Nodes {
  readonly nodes: readonly Node[];
  /** Starts another node. `env` adds to its configuration. */
  add(env?: Record<string, string>, options?: ServerOptions): Promise<Node>;
  close(): Promise<void>;
}

/** @param env adds to the configuration of all nodes. */
export async function startNodes(
  count: number,
  database: string,
  env: Record<string, string> = {},
): Promise<Nodes> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-nodes-'));
  const nodes: Node[] = [];
  const add = async (changes: Record<string, string> = {}, options: ServerOptions = {}) => {
    const warnings: string[] = [];
    const server = await startServer(
      {
        VITRINE_DATABASE: database,
        VITRINE_BLOBS: `file:${join(folder, 'blobs')}`,
        VITRINE_DATA: join(folder, `node-${nodes.length + 1}`),
        VITRINE_RENDER_CONCURRENCY: '1',
        ...env,
        ...changes,
      },
      {
        logTo: {
          write(line) {
            const { level, msg } = JSON.parse(line) as { level: number | string; msg: string };
            if (['warn', 'error', 40, 50].includes(level)) warnings.push(msg);
          },
        },
        ...options,
      },
    );
    const node = { ...server, warnings };
    nodes.push(node);
    return node;
  };
  for (let i = 0; i < count; i += 1) await add();
  return {
    nodes,
    add,
    async close() {
      for (const node of nodes) await node.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The public link of an image on this node. */
export function linkOn({ url }: Node, { link }: { readonly link: string }, query = ''): string {
  return new URL(new URL(link).pathname + query, url).href;
}
