/**
 * A complete server in the process of the test, with a database, files and workers in a new folder.
 * Tests that kill or overload a server start a process instead (server-process.ts).
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { openMetadata } from '../../src/database/open.ts';
import type { MetadataStore } from '../../src/database/store.ts';
import type { ServerLimits } from '../../src/http/connection/server-limits.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { BOOTSTRAP, createClient, type TestClient } from './client.ts';

export {
  ACCOUNT,
  basic,
  type ImageJSON,
  KEY,
  type TestClient,
  type UploadOptions,
  uploadForm,
} from './client.ts';

/** True if `startServer` starts three nodes, as `npm run test:nodes` does. See nodes/nodes.ts. */
const HAS_SEVERAL_NODES = process.env.TEST_NODES !== undefined;

/**
 * The reason to skip a test that is about one node: its files, its memory, its log, or what each node counts
 * for itself.
 */
export const skipOnSeveralNodes = HAS_SEVERAL_NODES && 'this test is about one node';

export interface TestServer extends TestClient {
  readonly app: App;
  readonly folder: string;
  /** Opens the records directly, beside the server. The caller closes them. */
  openRecords(): Promise<MetadataStore>;
  /** The names of the files of unfinished uploads, of all nodes. */
  stagedFiles(): Promise<string[]>;
  /** Stops the server. Removes its folder unless the caller chose it. */
  close(): Promise<void>;
  /** Stops the server and starts another one in the same folder. */
  restart(env?: Record<string, string>): Promise<TestServer>;
}

export interface ServerOptions {
  /** The clock by which keys and tokens expire. */
  readonly now?: () => Date;
  /** Receives the log, from `trace` upward. */
  readonly logTo?: { write(line: string): void };
  /** Replaces limits of the HTTP server. */
  readonly limits?: Partial<ServerLimits>;
}

/** Starts a server. `env` adds to a configuration that any number of tests can use at the same time. */
export async function startServer(
  env: Record<string, string> = {},
  options: ServerOptions = {},
): Promise<TestServer> {
  if (HAS_SEVERAL_NODES) return startSeveral(env, options);
  if (env.VITRINE_DATA !== undefined) return startIn(env.VITRINE_DATA, env, options, async () => undefined);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-test-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  return startIn(folder, env, options, remove).catch(async (error: unknown) => {
    await remove();
    throw error;
  });
}

async function startIn(
  folder: string,
  env: Record<string, string>,
  options: ServerOptions,
  cleanUp: () => Promise<void>,
): Promise<TestServer> {
  const variables = { VITRINE_DATA: folder, ...env };
  const app = await startApp(variables, options);
  const { port } = app.http.server.address() as { port: number };
  return {
    ...createClient(`http://127.0.0.1:${port}`),
    app,
    folder,
    openRecords: () => openMetadata(loadConfig(variables).database),
    stagedFiles: () => readdir(join(folder, 'blobs/staging')),
    async close() {
      await app.close();
      await cleanUp();
    },
    async restart(changes = {}) {
      await app.close();
      return startIn(folder, { ...env, ...changes }, options, cleanUp);
    },
  };
}

/** Starts several nodes behind a proxy. `app` is one of them, and there is no folder of all of them. */
async function startSeveral(env: Record<string, string>, options: ServerOptions): Promise<TestServer> {
  const { startNodes } = await import('./nodes/nodes.ts');
  const nodes = await startNodes(env, (variables) => startApp(variables, options));
  const server: TestServer = {
    ...createClient(nodes.url),
    get app() {
      const [first] = nodes.apps;
      if (first === undefined) throw new Error('no node runs');
      return first;
    },
    get folder(): string {
      throw new Error('each node has a folder of its own');
    },
    openRecords: () => openMetadata(nodes.database),
    stagedFiles: () => nodes.stagedFiles(),
    close: () => nodes.close(),
    async restart(changes = {}) {
      await nodes.restart(changes);
      return server;
    },
  };
  return server;
}

async function startApp(env: Record<string, string>, options: ServerOptions): Promise<App> {
  const { now, logTo, limits } = options;
  const config = loadConfig({
    ...BOOTSTRAP,
    VITRINE_PORT: '0',
    VITRINE_LOG_LEVEL: logTo ? 'trace' : 'silent',
    VITRINE_RENDER_CONCURRENCY: '2',
    ...env,
  });
  const log = createLog({ level: config.logLevel, ...(logTo && { destination: logTo }) });
  const app = await createApp(config, log, now, limits);
  await app.listen();
  return app;
}
