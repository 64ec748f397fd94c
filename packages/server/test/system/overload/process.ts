/**
 * A server in a process of its own, as what is done to it here would otherwise be done to the test as well; and what an
 * operator can see of it from outside: memory, files, sockets, what lies in its folders.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ServerLimits } from '../../../src/http/connection/server-limits.ts';
import { memoryOf } from '../../support/processes.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, uploadForm } from '../../support/server.ts';
import { AUTHORIZATION, LIMITED, serve, UNLIMITED } from '../../support/serving.ts';

export const IMAGES = `/accounts/${ACCOUNT}/images`;

export interface ServerProcess {
  readonly url: string;
  readonly child: ChildProcess;
  /** Opens a connection and nothing more. */
  open(): Socket;
  /** Requests a path with the bootstrap key. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  added(bytes: Uint8Array): Promise<ImageJSON>;
  /** Resident bytes of the serving process, without its workers. Linux. */
  memory(): Promise<number>;
  /** Open files and sockets. Linux. */
  files(): Promise<number>;
  /** Files on their way in. */
  staged(): Promise<string[]>;
  /** Resolves when it is so; rejects with what was seen last when it is not in a minute. */
  until(what: string, see: () => Promise<unknown>, isSo?: (seen: unknown) => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Milliseconds after which what has not come about will not; many times what a slow machine takes. */
const PATIENCE = 60_000;

/** Limits of one's own; of connections and pace, only what differs. */
export interface Limits extends Partial<Omit<ServerLimits, 'connections' | 'pace'>> {
  readonly connections?: Partial<ServerLimits['connections']>;
  readonly pace?: Partial<ServerLimits['pace']>;
}

export async function startProcess(
  env: Record<string, string> = {},
  limits: Limits = {},
): Promise<ServerProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-overload-'));
  const { child, pid, listening, ended } = serve({
    entry: [LIMITED, JSON.stringify(limits)],
    cwd: folder,
    env: { ...UNLIMITED, VITRINE_LOG_LEVEL: 'error', ...env },
  });
  const url = await listening;
  // What goes wrong there is to be seen here.
  child.stderr.pipe(process.stderr);
  const server: ServerProcess = {
    url,
    child,
    open() {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      // Whatever the server does to it is looked at by the test, as far as it matters.
      socket.on('error', () => undefined);
      return socket;
    },
    fetch: (path, init = {}) =>
      fetch(new URL(path, url), {
        ...init,
        headers: { authorization: AUTHORIZATION, ...(init.headers as object) },
      }),
    async added(bytes) {
      const response = await server.fetch(IMAGES, { method: 'POST', body: uploadForm(bytes) });
      if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
      return (await response.json()) as ImageJSON;
    },
    memory: async () => memoryOf(pid).now,
    files: async () => (await readdir(`/proc/${pid}/fd`)).length,
    staged: () => readdir(join(folder, 'data/blobs/staging')),
    async until(what, see, isSo = Boolean) {
      const deadline = performance.now() + PATIENCE;
      let last = await see();
      while (performance.now() < deadline) {
        if (isSo(last)) return;
        await pause(50);
        last = await see();
      }
      throw new Error(`${what}: ${JSON.stringify(last)}`);
    },
    async close() {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
  // Once a picture was taken in, a worker is there, and the files and pipes that go with it.
  await server.added(await picture(0)).catch(async (error: unknown) => {
    await server.close();
    throw error;
  });
  return server;
}

/** What came of a connection: all that it was sent, once it is closed. */
export async function heard(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return Buffer.concat(chunks).toString('latin1');
}

/** The head of an upload of so many bytes, and the beginning of its form. */
export function uploadHead(length: number): { head: string; form: Buffer } {
  const form = Buffer.from(
    '--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n' +
      'Content-Type: application/octet-stream\r\n\r\n',
  );
  const head =
    `POST ${IMAGES} HTTP/1.1\r\nHost: a\r\nAuthorization: ${AUTHORIZATION}\r\n` +
    `Content-Type: multipart/form-data; boundary=b\r\nContent-Length: ${length}\r\n\r\n`;
  return { head, form };
}
