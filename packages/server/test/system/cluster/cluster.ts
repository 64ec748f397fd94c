/**
 * A whole cluster: PostgreSQL with a standby, an S3 server, three nodes and HAProxy. It starts and stops
 * itself.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CREDENTIALS, newLocation, type S3Server, startS3 } from '../../blobs/s3-servers.ts';
import { freePort } from '../../support/ports.ts';
import { waitFor } from '../../support/waiting.ts';
import { HAPROXY, programSkipReason } from '../proxies/programs.ts';
import { type HAProxy, startHAProxy } from './parts/haproxy.ts';
import { type ClusterNode, createNode } from './parts/nodes.ts';
import { type ReplicatedPostgres, type Row, startReplicatedPostgres } from './parts/replicated-postgres.ts';

const NAMES = ['node1', 'node2', 'node3'];
const REGION = 'us-east-1';
/** Reads in a row without a request: a request may begin its transaction between two reads. */
const QUIET_READS = 5;

export interface Cluster {
  readonly postgres: ReplicatedPostgres;
  readonly s3: S3Server;
  readonly nodes: readonly ClusterNode[];
  readonly proxy: HAProxy;
  /** The folder of the objects, in which an object is a file. */
  readonly blobs: string;
  /** Resolves when every node is ready and the proxy uses it. */
  waitUntilReady(): Promise<void>;
  /** Resolves when no request and no transaction of the nodes runs. */
  waitUntilIdle(): Promise<void>;
  stop(): Promise<void>;
}

/** The reason to skip; false if everything is installed. @throws Error if something is not and CI=true */
export async function findTools(): Promise<string | false> {
  if (process.platform !== 'linux') return 'processes are read from /proc';
  const { s3, skip } = await startS3();
  await s3?.stop();
  return skip || programSkipReason(HAPROXY);
}

export async function startCluster(): Promise<Cluster> {
  const cleanups: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  };
  try {
    return await startParts(cleanups, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(cleanups: (() => Promise<unknown>)[], stop: () => Promise<void>): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-cluster-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const postgres = await startReplicatedPostgres();
  cleanups.push(() => postgres.stop());
  const { s3, skip } = await startS3();
  if (s3 === undefined) throw new Error(skip);
  cleanups.push(() => s3.stop());
  const { bucket, prefix } = await newLocation(s3);
  const proxyPort = await freePort();
  const locate = (ports: { database: number; blobs: number }) => ({
    ...CREDENTIALS,
    VITRINE_PUBLIC_URL: `http://127.0.0.1:${proxyPort}`,
    VITRINE_DATABASE: `postgres://vitrine@127.0.0.1:${ports.database}/vitrine`,
    VITRINE_BLOBS: `s3://${bucket}/${prefix}?endpoint=http://127.0.0.1:${ports.blobs}&region=${REGION}&style=path`,
  });
  const nodes: ClusterNode[] = [];
  for (const name of NAMES) {
    const ports = { databasePort: postgres.primaryPort, blobsPort: s3.port };
    const node = await createNode({ name, folder, ...ports, locate });
    cleanups.push(() => node.close());
    nodes.push(node);
  }
  // The first starts, all at once.
  await Promise.all(nodes.map((node) => node.start()));
  const proxy = await startHAProxy(proxyPort, nodes);
  cleanups.push(() => proxy.stop());

  const cluster: Cluster = {
    postgres,
    s3,
    nodes,
    proxy,
    blobs: join(s3.folder, bucket, prefix),
    async waitUntilReady() {
      await Promise.all(nodes.map((node) => node.waitUntilReady()));
      await proxy.waitForNodes(NAMES);
    },
    async waitUntilIdle() {
      let quietReads = 0;
      await waitFor(
        'no request and no transaction runs',
        async () => {
          const [sessions, requests] = [await readSessions(postgres), await countRequests(nodes)];
          quietReads = sessions.length === 0 && requests.every((count) => count <= 0) ? quietReads + 1 : 0;
          return { sessions, requests, quietReads };
        },
        (state) => state.quietReads >= QUIET_READS,
      );
    },
    stop,
  };
  await cluster.waitUntilReady();
  if (!existsSync(cluster.blobs)) throw new Error(`the nodes have no blobs at ${cluster.blobs}`);
  return cluster;
}

/** The sessions of the nodes that are in a transaction. */
function readSessions({ query }: ReplicatedPostgres): Promise<Row[]> {
  return query(`select state, wait_event, query, now() - xact_start as age from pg_stat_activity
    where application_name like 'vitrine%' and state <> 'idle' and datname = current_database()`);
}

/** The requests that each node has, without this one. */
function countRequests(nodes: readonly ClusterNode[]): Promise<number[]> {
  return Promise.all(
    nodes.map(async ({ url }) => {
      const text = await fetch(new URL('/metrics', url)).then((answer) => answer.text());
      const lines = text.matchAll(/^vitrine_http_requests_in_flight(?:\{[^}]*\})? (\d+)$/gm);
      // The request for the metrics is one of them.
      return [...lines].reduce((sum, [, count]) => sum + Number(count), -1);
    }),
  );
}
