/**
 * Three servers in the process of the test, over one PostgreSQL and one S3, behind HAProxy. `startServer`
 * starts them instead of one server if TEST_NODES is set, as `npm run test:nodes` does. So the tests of the
 * HTTP API run unchanged against a library that any of three nodes answers.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { App } from '../../../src/app.ts';
import type { DatabaseConfig } from '../../../src/database/open.ts';
import { HAPROXY, type Program, type RunningProgram, startProgram } from '../../system/proxies/programs.ts';
import { freePort } from '../ports.ts';
import { startPostgres } from '../postgres.ts';

const NODES = ['a', 'b', 'c'];

/**
 * HAProxy that only spreads requests: pictures go to the node of their public ID, other requests to any node.
 * The configuration of `ops/` would answer some requests itself. Its own tests are in system/proxies.
 */
const SIMPLE_PROXY: Program = {
  ...HAPROXY,
  configure(_shipped, port, ports) {
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
  },
};

export interface Nodes {
  /** The address of the proxy. */
  readonly url: string;
  readonly apps: readonly App[];
  readonly database: DatabaseConfig;
  /** The names of the files of unfinished uploads, of all nodes. */
  stagedFiles(): Promise<string[]>;
  /** Stops all nodes and starts them again over the same library. */
  restart(env: Record<string, string>): Promise<void>;
  close(): Promise<void>;
}

/** The libraries of callers that chose a folder, by its path: they may start servers there again. */
const libraries = new Map<string, Record<'VITRINE_DATABASE' | 'VITRINE_BLOBS', string>>();

/**
 * @param start starts one node with these variables, which follow those of the caller.
 */
export async function startNodes(
  env: Record<string, string>,
  start: (env: Record<string, string>) => Promise<App>,
): Promise<Nodes> {
  const { postgres } = await startPostgres();
  const bucket = process.env.TEST_S3_BUCKET;
  const endpoint = process.env.TEST_S3_ENDPOINT;
  if (postgres === undefined || bucket === undefined || endpoint === undefined) {
    throw new Error('TEST_NODES needs PostgreSQL and an S3 server: use npm run test:nodes');
  }
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-nodes-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const library = libraries.get(env.VITRINE_DATA ?? '') ?? {
    VITRINE_DATABASE: await postgres.createDatabase(),
    VITRINE_BLOBS: `s3://${bucket}/${randomUUID()}?endpoint=${encodeURIComponent(endpoint)}&style=path`,
  };
  if (env.VITRINE_DATA !== undefined) libraries.set(env.VITRINE_DATA, library);
  const shared = { ...library, VITRINE_PUBLIC_URL: url, VITRINE_TRUST_PROXY: '1' };
  const startAll = (changes: Record<string, string>) =>
    Promise.all(
      NODES.map((node) => start({ ...shared, ...env, ...changes, VITRINE_DATA: join(folder, node) })),
    );
  const closeAll = (apps: readonly App[]) => Promise.all(apps.map((app) => app.close()));
  let apps = await startAll({});
  let proxy: RunningProgram = await startProgram(SIMPLE_PROXY, port, apps.map(portOf));
  return {
    url,
    get apps() {
      return apps;
    },
    database: { kind: 'postgres', url: shared.VITRINE_DATABASE },
    async stagedFiles() {
      const names = await Promise.all(NODES.map((node) => readdir(join(folder, node, 'staging'))));
      return names.flat();
    },
    async restart(changes) {
      await closeAll(apps);
      await proxy.stop();
      apps = await startAll(changes);
      proxy = await startProgram(SIMPLE_PROXY, port, apps.map(portOf));
    },
    async close() {
      await closeAll(apps);
      await proxy.stop();
      if (env.VITRINE_DATA === undefined) await postgres.stop();
      await rm(folder, { recursive: true });
    },
  };
}

function portOf(app: App): number {
  return (app.http.server.address() as { port: number }).port;
}
