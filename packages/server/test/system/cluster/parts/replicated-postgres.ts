/**
 * A PostgreSQL with a synchronous standby. The primary can crash and start again, or the standby takes its
 * place. A commit that was answered is on both servers, unless the standby is being made again.
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chown, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { NAMESPACE } from '../../../../src/database/postgres/dialect.ts';
import { freePort } from '../../../support/ports.ts';
import { getTypeParser, POSTGRES_USER, run, runnableBinaries, serve } from '../../../support/postgres.ts';
import { childrenOf, isAlive } from '../../../support/processes.ts';
import { until, waitFor } from '../../../support/waiting.ts';

const DATABASE = 'vitrine';
/** The name by which the primary knows its standby. */
const STANDBY = 'standby';

const SETTINGS = [
  // Without fsync tests are much faster. Then only a crash of the machine loses data.
  'fsync=off',
  'listen_addresses=127.0.0.1',
  'max_connections=100',
  // A standby streams all WAL since its copy began.
  'wal_keep_size=1GB',
  'wal_retrieve_retry_interval=100ms',
  'wal_receiver_timeout=5s',
  'wal_sender_timeout=5s',
];

export type Row = Record<string, unknown>;

export interface ReplicatedPostgres {
  /** The port of the current primary. */
  readonly primaryPort: number;
  /** The port of the standby, which serves only reads. @throws Error if there is none. */
  readonly standbyPort: number;
  /** Runs one statement on the primary as the superuser, and reads types as the store does. */
  query(statement: string): Promise<Row[]>;
  /** Stops the primary and starts it again: `immediate` as in a crash, `fast` as an operator does. */
  restart(mode: 'immediate' | 'fast'): Promise<void>;
  /** Kills the primary at once. */
  killPrimary(): Promise<void>;
  /** Makes the standby the primary. It has no standby afterwards. */
  promote(): Promise<void>;
  /** Kills the standby at once. Commits on the primary wait for it. */
  killStandby(): Promise<void>;
  /** Starts the killed standby again. */
  startStandby(): Promise<void>;
  /** Copies the primary into a new standby while clients write. Resolves when commits wait for it. */
  createStandby(): Promise<void>;
  stop(): Promise<void>;
}

interface Instance {
  readonly data: string;
  readonly port: number;
  child: ChildProcess | undefined;
}

/** @returns a primary with an empty database and its standby. The URL path of the database is `/vitrine`. */
export async function startReplicatedPostgres(): Promise<ReplicatedPostgres> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-replicated-'));
  const { uid, gid } = POSTGRES_USER;
  if (uid !== undefined && gid !== undefined) await chown(folder, uid, gid);
  const options: SpawnOptions = { ...POSTGRES_USER, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] };
  const binaries = await runnableBinaries(folder, POSTGRES_USER);
  const control = join(dirname(binaries.initdb), 'pg_ctl');
  const instances = new Set<Instance>();
  let count = 0;
  const createInstance = async (): Promise<Instance> => {
    count += 1;
    const instance = { data: join(folder, `data-${count}`), port: await freePort(), child: undefined };
    instances.add(instance);
    return instance;
  };

  const start = async (instance: Instance, ...settings: string[]) => {
    const parameters = ['-D', instance.data, '-p', `${instance.port}`, '-k', folder];
    for (const setting of [...SETTINGS, ...settings]) parameters.push('-c', setting);
    instance.child = await serve(binaries.postgres, parameters, options);
  };

  const end = async (instance: Instance, signal: NodeJS.Signals) => {
    const { child } = instance;
    instance.child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    // Backends outlive a killed postmaster for a moment. A dead machine sends no answers.
    const backends = childrenOf(child.pid);
    child.kill(signal);
    if (signal === 'SIGKILL') for (const pid of backends) killIfAlive(pid);
    await exited;
    await until(() => !backends.some(isAlive));
  };

  const removeAll = () => {
    for (const { child } of instances) child?.kill('SIGQUIT');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', removeAll);

  const query = (statement: string, port = primary.port) =>
    withClient(port, DATABASE, async (client) => (await client.query<Row>(statement)).rows);
  const waitForCommits = async (names: string) => {
    await query(`alter system set synchronous_standby_names = '${names}'`);
    await query('select pg_reload_conf()');
    await waitFor(
      'the setting is loaded',
      () => query('show synchronous_standby_names'),
      ([row]) => row?.synchronous_standby_names === names,
    );
  };

  const startAsStandby = (instance: Instance) =>
    start(
      instance,
      `primary_conninfo=host=127.0.0.1 port=${primary.port} user=vitrine application_name=${STANDBY}`,
    );

  let primary = await createInstance();
  let standby: Instance | undefined;
  await run(
    binaries.initdb,
    [
      ...[`--pgdata=${primary.data}`, '--username=vitrine', '--auth=trust'],
      ...['--encoding=UTF8', '--locale=C', '--no-sync'],
    ],
    options,
  );
  await start(primary);
  await withClient(primary.port, 'postgres', async (client) => {
    await client.query(`create database ${DATABASE}`);
    // So statements of the checks need not name the schema. The servers name it always.
    await client.query(`alter database ${DATABASE} set search_path = public, ${NAMESPACE}`);
  });

  const postgres: ReplicatedPostgres = {
    get primaryPort() {
      return primary.port;
    },
    get standbyPort() {
      if (standby === undefined) throw new Error('there is no standby');
      return standby.port;
    },
    query,
    async restart(mode) {
      await end(primary, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
      await start(primary);
    },
    killPrimary: () => end(primary, 'SIGKILL'),
    async promote() {
      if (standby?.child === undefined) throw new Error('there is no standby to promote');
      const old = primary;
      // A statement such as pg_promote can be cancelled, because the standby still replays.
      await run(control, ['promote', '-D', standby.data, '-w', '-t', '60'], options);
      primary = standby;
      standby = undefined;
      await waitForCommits('');
      instances.delete(old);
      await rm(old.data, { recursive: true, force: true, maxRetries: 5 });
    },
    async killStandby() {
      if (standby) await end(standby, 'SIGKILL');
    },
    async startStandby() {
      if (standby && standby.child === undefined) await startAsStandby(standby);
    },
    async createStandby() {
      const created = await createInstance();
      await withClient(primary.port, DATABASE, async (client) => {
        await client.query(`select pg_backup_start('standby', true)`);
        await copyRunning(primary.data, created.data, options);
        const { rows } = await client.query<{ labelfile: string }>(
          'select labelfile from pg_backup_stop(false)',
        );
        await writeOwned(join(created.data, 'backup_label'), rows[0]?.labelfile ?? '');
        await writeOwned(join(created.data, 'standby.signal'), '');
      });
      standby = created;
      await startAsStandby(created);
      await waitFor(
        'the standby has all WAL',
        () => query(`select state from pg_stat_replication where application_name = '${STANDBY}'`),
        ([row]) => row?.state === 'streaming',
      );
      await waitForCommits(STANDBY);
    },
    async stop() {
      for (const instance of instances) await end(instance, 'SIGQUIT');
      process.off('exit', removeAll);
      removeAll();
    },
  };
  await postgres.createStandby();
  return postgres;
}

/** Copies the files of a running server. Files may vanish meanwhile. */
async function copyRunning(from: string, to: string, options: SpawnOptions): Promise<void> {
  await run('cp', ['--archive', from, to], options).catch((error: Error) => {
    const lines = error.message.split('\n').slice(0, -1);
    if (!lines.every((line) => line.includes('No such file or directory'))) throw error;
  });
  await rm(join(to, 'postmaster.pid'), { force: true });
  const log = join(to, 'pg_wal');
  for (const { name, isFile } of await listFiles(log)) if (isFile) await rm(join(log, name));
}

/** Writes a file that belongs to the user of PostgreSQL. */
async function writeOwned(path: string, content: string): Promise<void> {
  await writeFile(path, content);
  const { uid, gid } = POSTGRES_USER;
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

async function listFiles(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.map((entry) => ({ name: entry.name, isFile: entry.isFile() }));
}

async function withClient<T>(
  port: number,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'vitrine',
    database,
    application_name: 'test',
    // So statements of the harness need not name the schema.
    options: `-c search_path=public,${NAMESPACE}`,
    types: { getTypeParser },
  });
  // The query reports the error as well.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}
