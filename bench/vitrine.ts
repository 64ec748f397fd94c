/**
 * Starts the measured server as a child process, like `npm start`. The bench uses only its HTTP API.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type Answer, request, sendImage } from './http.ts';
import { findFreePort, type RunningServer, startServer } from './process.ts';

export const ACCOUNT = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
const KEY = 'bench-public:bench-secret';
/** The flag of `npm start`. docs/operations.md has the reason. */
const NEW_SPACE = '--max-semi-space-size=8';
const START = resolve(import.meta.dirname, '../packages/server/start.mjs');

export interface UploadedImage {
  readonly imageID: string;
  readonly publicID: string;
  readonly link: string;
}

export interface Vitrine extends RunningServer {
  readonly url: string;
  readonly authorization: string;
  /** The data folder. */
  readonly folder: string;
  /** Uploads a file without copying its pieces. Returns a response of any status. */
  send(file: readonly Uint8Array[], account?: string): Promise<Answer>;
  /** Uploads a file. Throws unless the status is 201. */
  upload(file: Uint8Array | readonly Uint8Array[]): Promise<UploadedImage>;
  /** Sends a GET request with the credentials. */
  get(path: string): Promise<Answer>;
}

export interface VitrineOptions {
  /** The data folder. Default: a new folder in `parent`, removed at the end. */
  readonly folder?: string;
  readonly parent: string;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startVitrine({ folder, parent, env = {} }: VitrineOptions): Promise<Vitrine> {
  const data = folder ?? (await mkdtemp(join(parent, 'data-')));
  const url = `http://127.0.0.1:${await findFreePort()}`;
  const server = await startServer({
    command: process.execPath,
    args: [NEW_SPACE, START],
    probe: `${url}/livez`,
    env: {
      VITRINE_PORT: new URL(url).port,
      VITRINE_DATA: data,
      VITRINE_BOOTSTRAP_ACCOUNT: ACCOUNT,
      VITRINE_BOOTSTRAP_KEY: KEY,
      VITRINE_LOG_LEVEL: 'warn',
      // A bench exceeds every regular limit of requests, sizes and images.
      VITRINE_RATE_LIMIT: '0',
      VITRINE_SIZE_BUDGET: '0',
      VITRINE_IMAGE_QUOTA: '1000000',
      ...env,
    },
  });
  const authorization = `Basic ${Buffer.from(KEY).toString('base64')}`;
  const vitrine: Vitrine = {
    ...server,
    url,
    authorization,
    folder: data,
    send: (file, account = ACCOUNT) =>
      sendImage('POST', `${url}/accounts/${account}/images`, authorization, file),
    async upload(file) {
      const answer = await vitrine.send(file instanceof Uint8Array ? [file] : file);
      const text = answer.body.toString('utf8');
      if (answer.status !== 201) throw new Error(`an upload got ${answer.status}: ${text}`);
      return JSON.parse(text) as UploadedImage;
    },
    get: (path) => request('GET', `${url}${path}`, { authorization }),
    async stop() {
      await server.stop();
      if (folder === undefined) await rm(data, { recursive: true, force: true });
    },
  };
  return vitrine;
}
