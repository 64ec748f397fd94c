/**
 * A real S3 server for tests: versitygw over a new folder, which `tools/s3/install.sh` builds. With
 * TEST_S3_SERVER=minio it is MinIO (`tools/s3/test-minio.sh`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import type { S3Location } from '../../src/blobs/location.ts';
import { freePort } from '../support/ports.ts';
import { waitFor } from '../support/waiting.ts';

const BUILT = join(import.meta.dirname, '../../../../.tools');

interface Program {
  readonly name: string;
  readonly parameters: (port: number, folder: string) => string[];
  readonly env: (accessKey: string, secretKey: string) => Record<string, string>;
  readonly health: string;
  /** True if an object is a file with its content. */
  readonly hasPlainFiles: boolean;
}

const VERSITYGW: Program = {
  name: 'versitygw-v1.8.0',
  parameters: (port, folder) => [
    ...['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet', '--health', '/health'],
    ...['--virtual-domain', `localhost:${port}`, 'posix', folder],
  ],
  env: (ROOT_ACCESS_KEY, ROOT_SECRET_KEY) => ({ ROOT_ACCESS_KEY, ROOT_SECRET_KEY }),
  health: '/health',
  hasPlainFiles: true,
};
const MINIO: Program = {
  name: 'minio',
  parameters: (port, folder) => ['server', '--quiet', '--address', `127.0.0.1:${port}`, folder],
  env: (MINIO_ROOT_USER, MINIO_ROOT_PASSWORD) => ({
    MINIO_ROOT_USER,
    MINIO_ROOT_PASSWORD,
    MINIO_DOMAIN: 'localhost',
    MINIO_BROWSER: 'off',
    // It looks for its configuration there.
    HOME: '/nonexistent',
  }),
  health: '/minio/health/live',
  hasPlainFiles: false,
};
const PROGRAM = process.env.TEST_S3_SERVER === 'minio' ? MINIO : VERSITYGW;

/** The reason to skip a test that reads the files of the server. */
export const opaqueFiles = !PROGRAM.hasPlainFiles && `the files of ${PROGRAM.name} are opaque`;

// The SDK of the server under test reads them too, by its usual chain.
process.env.AWS_ACCESS_KEY_ID = 'vitrine-test';
process.env.AWS_SECRET_ACCESS_KEY = 'vitrine-test-secret';
/** The credentials, for servers that run as processes. */
export const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: process.env.AWS_ACCESS_KEY_ID,
  AWS_SECRET_ACCESS_KEY: process.env.AWS_SECRET_ACCESS_KEY,
};

export interface S3Server {
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  /** Where the server keeps its data. versitygw has a folder for a bucket, and a file for an object. */
  readonly folder: string;
  /** Creates a bucket and returns its name. */
  createBucket(): Promise<string>;
  /** The names of all objects in a bucket, in order, at most 1000. */
  objectsIn(bucket: string): Promise<string[]>;
  /** Ends the server at once, as a crash does. */
  kill(): Promise<void>;
  /** Sends a signal, such as SIGSTOP. */
  signal(name: NodeJS.Signals): void;
  /** Starts it again, on the same port with the same data. */
  start(): Promise<void>;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

/** A server, or the reason to skip tests that need one. @throws Error if there is none and CI=true. */
export async function startS3(): Promise<
  { readonly s3: S3Server; readonly skip: false } | { readonly s3: undefined; readonly skip: string }
> {
  const path = join(BUILT, PROGRAM.name);
  if (existsSync(path)) return { s3: await startNew(path), skip: false };
  const skip = `${PROGRAM.name} is not installed: run tools/s3/install.sh`;
  if (process.env.CI === 'true') throw new Error(skip);
  return { s3: undefined, skip };
}

/** A location in a new bucket. */
export async function newLocation(s3: S3Server, prefix = 'library'): Promise<S3Location> {
  const { endpoint } = s3;
  const bucket = await s3.createBucket();
  return { kind: 's3', bucket, prefix, endpoint, region: undefined, style: 'path', encryption: undefined };
}

async function startNew(path: string): Promise<S3Server> {
  const parent = await mkdtemp(join(tmpdir(), 'vitrine-s3-'));
  const folder = join(parent, 'buckets');
  await mkdir(folder);
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  let child: ChildProcess;
  const start = async () => {
    const env = PROGRAM.env(CREDENTIALS.AWS_ACCESS_KEY_ID, CREDENTIALS.AWS_SECRET_ACCESS_KEY);
    child = spawn(path, PROGRAM.parameters(port, folder), { env, stdio: 'ignore' });
    const { pid } = child;
    const end = () => pid !== undefined && process.kill(pid, 'SIGKILL');
    process.once('exit', end);
    child.once('exit', () => process.off('exit', end));
    await waitFor('the S3 server answers', () =>
      fetch(endpoint + PROGRAM.health).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  };
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  await start();
  const client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true });
  return {
    port,
    endpoint,
    folder,
    async createBucket() {
      const Bucket = `bucket-${randomUUID()}`;
      await client.send(new CreateBucketCommand({ Bucket }));
      return Bucket;
    },
    async objectsIn(Bucket) {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }));
      return Contents.map(({ Key = '' }) => Key).sort();
    },
    kill,
    signal: (name) => void child.kill(name),
    start,
    async stop() {
      client.destroy();
      await kill();
      await rm(parent, { recursive: true });
    },
  };
}
