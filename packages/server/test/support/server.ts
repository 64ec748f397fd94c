/**
 * A whole server for tests: real SQLite, real files, real decoding, on a port of its own, in a folder of its own.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ImageMetadata } from '@vitrine/client';
import { type App, createApp } from '../../src/app.ts';
import { loadConfig } from '../../src/config.ts';
import { createLog } from '../../src/telemetry/log.ts';

export const ACCOUNT = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
export const KEY = { publicKey: 'test-public', secretKey: 'test-secret' };

export interface TestServer {
  readonly url: string;
  readonly app: App;
  readonly folder: string;
  /** `Basic …` of the bootstrap key, which may do everything. */
  readonly authorization: string;
  /** Requests a path with the bootstrap key. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Requests a path with the bootstrap key; a body goes as JSON, a text as it is, and what comes back is read as JSON. */
  send(method: string, path: string, body?: unknown): Promise<Sent>;
  /** Uploads bytes, under any name and type: neither counts. */
  upload(bytes: Uint8Array, options?: UploadOptions): Promise<Response>;
  /** Uploads bytes and returns the metadata; throws if they are refused. */
  added(bytes: Uint8Array, options?: UploadOptions): Promise<ImageJSON>;
  /** Stops the server, and removes its folder unless the caller named it. */
  close(): Promise<void>;
  /** Stops the server and starts another in its folder, which goes with it. */
  restart(env?: Record<string, string>): Promise<TestServer>;
}

export interface Sent {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what it is, is what the test is to find out.
  readonly body: any;
}

export interface UploadOptions {
  readonly account?: string;
  /** Sent as the metadata part, as JSON unless it is a string. */
  readonly metadata?: unknown;
  readonly headers?: Record<string, string>;
  /** Replaces the image with this ID instead of adding one. */
  readonly replace?: string;
}

export type ImageJSON = ImageMetadata;

export function basic(publicKey: string, secretKey: string): string {
  return `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString('base64')}`;
}

export function uploadForm(bytes: Uint8Array, metadata?: unknown): FormData {
  const form = new FormData();
  form.append(
    'image',
    new Blob([Uint8Array.from(bytes)], { type: 'application/octet-stream' }),
    'example.file',
  );
  if (metadata !== undefined) {
    form.append('metadata', typeof metadata === 'string' ? metadata : JSON.stringify(metadata));
  }
  return form;
}

export interface ServerOptions {
  /** The time by which keys and tokens expire. */
  readonly now?: () => Date;
  /** Where the log goes, from `trace` upward. */
  readonly logTo?: { write(line: string): void };
}

/** Starts a server. `env` adds to a configuration that any number of tests can use at once. */
export async function startServer(
  env: Record<string, string> = {},
  options: ServerOptions = {},
): Promise<TestServer> {
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
  afterwards: () => Promise<void>,
): Promise<TestServer> {
  const config = loadConfig({
    VITRINE_PORT: '0',
    VITRINE_DATA: folder,
    VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
    VITRINE_BOOTSTRAP_KEY: `${KEY.publicKey}:${KEY.secretKey}`,
    VITRINE_LOG_LEVEL: options.logTo ? 'trace' : 'silent',
    VITRINE_RENDER_CONCURRENCY: '2',
    ...env,
  });
  const { now, logTo } = options;
  const log = createLog({ level: config.logLevel, ...(logTo && { destination: logTo }) });
  const app = await createApp(config, log, now);
  await app.listen();
  const { port } = app.http.server.address() as { port: number };
  const url = `http://127.0.0.1:${port}`;
  const authorization = basic(KEY.publicKey, KEY.secretKey);

  const server: TestServer = {
    url,
    app,
    folder,
    authorization,
    fetch: (path, init = {}) =>
      fetch(new URL(path, url), { ...init, headers: { authorization, ...(init.headers as object) } }),
    async send(method, path, body) {
      const response = await server.fetch(path, {
        method,
        ...(body !== undefined && {
          body: typeof body === 'string' ? body : JSON.stringify(body),
          headers: { 'content-type': 'application/json' },
        }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? undefined : JSON.parse(text),
      };
    },
    upload: (bytes, { account = ACCOUNT, metadata, headers, replace } = {}) =>
      server.fetch(`/accounts/${account}/images${replace === undefined ? '' : `/${replace}`}`, {
        method: replace === undefined ? 'POST' : 'PUT',
        body: uploadForm(bytes, metadata),
        ...(headers && { headers }),
      }),
    async added(bytes, options) {
      const response = await server.upload(bytes, options);
      const text = await response.text();
      if (!response.ok) throw new Error(`upload answered ${response.status}: ${text}`);
      return JSON.parse(text) as ImageJSON;
    },
    async close() {
      await app.close();
      await afterwards();
    },
    async restart(changes = {}) {
      await app.close();
      return startIn(folder, { ...env, ...changes }, options, afterwards);
    },
  };
  return server;
}
