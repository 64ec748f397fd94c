/**
 * A real PgBouncer in transaction mode, in front of a PostgreSQL server of the tests. Debian's package
 * `pgbouncer` has it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../support/ports.ts';

/** The unprivileged user of Linux. PgBouncer refuses to run as root. */
const NOBODY = 65_534;

export interface PgBouncer {
  /** The URL of the same database through PgBouncer. */
  through(url: string): string;
  /** Runs a command of its console, such as `SHOW POOLS`, and returns the URL of the console. */
  readonly console: string;
  stop(): Promise<void>;
}

export interface PgBouncerOptions {
  /** The port of PostgreSQL, or of a proxy in front of it. */
  readonly port: number;
  /** The most connections to PostgreSQL for each database. */
  readonly serverConnections: number;
}

/** The reason to skip tests that need PgBouncer; false if it is there. @throws Error if CI=true. */
export function pgBouncerMissing(): string | false {
  if (spawnSync('pgbouncer', ['--version']).status === 0) return false;
  if (process.env.CI === 'true') throw new Error('pgbouncer is not installed');
  return 'pgbouncer is not installed';
}

export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-pgbouncer-'));
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (user.uid !== undefined) await chown(folder, user.uid, user.gid);
  const port = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(file, settingsOf(port, options), { mode: 0o644 });
  const child = spawn('pgbouncer', [file], { ...user, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  await untilStarted(child);
  return {
    through(url) {
      const address = new URL(url);
      address.port = String(port);
      return address.href;
    },
    console: `postgres://vitrine@127.0.0.1:${port}/pgbouncer`,
    async stop() {
      process.off('exit', kill);
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** No parameter of the start-up is ignored, so that an unknown one is refused as by default. */
function settingsOf(port: number, { port: target, serverConnections }: PgBouncerOptions): string {
  return `[databases]
* = host=127.0.0.1 port=${target} user=vitrine
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = vitrine
pool_mode = transaction
default_pool_size = ${serverConnections}
max_client_conn = 1000
; As docs/operations.md recommends.
server_connect_timeout = 2
server_login_retry = 1
; Each test has its own database, whose connections would fill the server.
server_idle_timeout = 1
`;
}

async function untilStarted(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error('stderr is not piped');
  const log: string[] = [];
  // Read until it ends: the process would stop at a full pipe.
  const lines = createInterface(child.stderr);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`pgbouncer ended with ${code}: ${log.join('\n')}`)));
    lines.on('line', (line) => {
      if (line.includes('process up')) resolve();
      if (log.length < 50) log.push(line);
    });
  });
}
