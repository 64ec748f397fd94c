/**
 * nginx, HAProxy and Varnish with the configurations of `ops/`. Only ports, addresses of nodes and folders
 * are replaced. Each program runs in the foreground and ends with the test.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../../support/waiting.ts';

/** The folder of the configurations. */
export const OPS = join(import.meta.dirname, '../../../../../ops');

/** Debian has these programs in sbin, which is not in the path of every user. */
export const PATH = `${process.env.PATH}:/usr/sbin`;

export interface Program {
  readonly name: 'nginx' | 'haproxy' | 'varnishd';
  /** The configuration of `ops/`, for this port and these nodes. */
  configure(text: string, port: number, nodes: readonly number[], folder: string): string;
  readonly file: string;
  /** True if the proxy asks the nodes whether they are ready, and not only notices failed requests. */
  readonly checksNodes: boolean;
  /** The words of the command. `path`: of the configuration. */
  command(path: string, port: number, folder: string): string[];
  /** A module that the program needs and a package of its own has. */
  readonly module?: { readonly files: string; readonly name: string };
  /** Files that the program needs besides its configuration. */
  prepare?(path: string, folder: string): Promise<void>;
}

export interface RunningProgram {
  readonly output: () => string;
  /** Ends the program and removes its folder. */
  stop(): Promise<void>;
}

export const HAPROXY: Program = {
  name: 'haproxy',
  file: 'haproxy/haproxy.cfg',
  checksNodes: true,
  configure(text, port, nodes) {
    const bound = replace(text, /bind :8080\n/, `bind 127.0.0.1:${port}\n`);
    const quiet = replace(bound, /\nfrontend metrics\n {4}bind .*\n.*\n/, '\n');
    return replace(quiet, /\bnode(\d):4100\b/g, (_, number) => `127.0.0.1:${nodes[Number(number) - 1]}`);
  },
  command: (path) => ['haproxy', '-db', '-f', path],
};

export const NGINX: Program = {
  name: 'nginx',
  file: 'nginx/vitrine.conf',
  checksNodes: false,
  configure(text, port, nodes, folder) {
    const bound = replace(text, /listen 80;/, `listen 127.0.0.1:${port};`);
    const stored = replace(bound, /\/var\/cache\/nginx\/vitrine/, join(folder, 'cache'));
    return replace(stored, /\bnode(\d):4100\b/g, (_, number) => `127.0.0.1:${nodes[Number(number) - 1]}`);
  },
  command: (_path, _port, folder) => ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf')],
  async prepare(path, folder) {
    const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const lines = [
      ...(process.getuid?.() === 0 ? ['user root;'] : []),
      'daemon off;',
      'error_log stderr;',
      `pid ${join(folder, 'pid')};`,
      'events { worker_connections 1024; }',
      'http {',
      'access_log off;',
      ...kinds.map((kind) => `${kind}_temp_path ${join(folder, kind)};`),
      `include ${path};`,
      '}',
    ];
    await writeFile(join(folder, 'nginx.conf'), lines.join('\n'));
  },
};

export const VARNISH: Program = {
  name: 'varnishd',
  file: 'varnish/vitrine.vcl',
  checksNodes: true,
  module: { files: '/usr/lib/{,*/}varnish/vmods/libvmod_xkey.so', name: 'varnish-modules' },
  configure: (text, _port, nodes) =>
    replace(
      text,
      /\.host = "node(\d)";\n(\s*)\.port = "4100";/g,
      (_, number, indent) => `.host = "127.0.0.1";\n${indent}.port = "${nodes[Number(number) - 1]}";`,
    ),
  command: (path, port, folder) => [
    ...['varnishd', '-F', '-j', 'none', '-n', join(folder, 'varnish'), '-a', `127.0.0.1:${port}`],
    ...['-f', path, '-s', 'malloc,64m', '-T', 'none'],
  ],
};

/** The reason to skip the tests of a program. @throws Error if it is missing and CI=true. */
export function programSkipReason({ name, module }: Program): string | false {
  const hasProgram = spawnSync('sh', ['-c', `command -v ${name}`], { env: { PATH } }).status === 0;
  const hasModule = module === undefined || globSync(module.files).length > 0;
  if (hasProgram && hasModule) return false;
  const reason = `${hasProgram ? module?.name : name} is not installed`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

/** Starts a program in front of nodes, and waits until it listens. @throws Error with its output. */
export async function startProgram(
  program: Program,
  port: number,
  nodes: readonly number[],
): Promise<RunningProgram> {
  const folder = await mkdtemp(join(tmpdir(), `vitrine-${program.name}-`));
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'cache'));
  const path = join(folder, 'configuration');
  const text = await readFile(join(OPS, program.file), 'utf8');
  await writeFile(path, program.configure(text, port, nodes, folder));
  await program.prepare?.(path, folder);
  const [command = '', ...parameters] = program.command(path, port, folder);
  const child = spawn(command, parameters, {
    env: { PATH, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-20_000);
    });
  }
  const atExit = () => signalGroup(child, 'SIGKILL');
  process.once('exit', atExit);
  const exited = once(child, 'exit');
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const stop = async () => {
    if (!hasEnded()) signalGroup(child, 'SIGTERM');
    await exited;
    process.off('exit', atExit);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  await waitFor(`${program.name} listens`, async () => hasEnded() || (await accepts(port)));
  if (hasEnded()) {
    await stop();
    throw new Error(`${program.name} ended with ${child.exitCode}: ${output}`);
  }
  return { output: () => output, stop };
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.end());
  });
}

/** As `String.replace`. @throws Error if the pattern does not occur, so that a changed file is noticed. */
export function replace(
  text: string,
  pattern: RegExp,
  by: string | ((match: string, ...groups: string[]) => string),
): string {
  const replaced = typeof by === 'string' ? text.replace(pattern, by) : text.replace(pattern, by);
  if (replaced === text) throw new Error(`the configuration has no ${pattern}`);
  return replaced;
}
