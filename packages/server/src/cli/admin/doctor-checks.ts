/**
 * The checks of `vitrine doctor`. They change nothing: they create no library and no schema, and remove their
 * test files. No text of a check contains a secret.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, link, mkdtemp, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { describeLocation, type S3Location } from '../../blobs/location.ts';
import { CategoryFileError, readCategories } from '../../catalog/category-file.ts';
import { type Config, ConfigError, loadConfig } from '../../config.ts';
import { FORMATS, isImageFormat, OUTPUT_FORMATS, type OutputFormat } from '../../image.ts';
import type { ReadinessReport } from '../../telemetry/readiness.ts';
import type { Environment } from '../terminal/context.ts';
import { databaseExists, readJournalMode } from './stores.ts';

export interface Check {
  readonly name: string;
  /**
   * `warn`: the server runs, but slower or less safely than possible. `fail`: the server does not start or
   * does not work.
   */
  readonly outcome: 'ok' | 'warn' | 'fail';
  /** The result as a phrase for operators. */
  readonly text: string;
}

type CheckResult = Pick<Check, 'outcome' | 'text'>;

const MIN_NODE_VERSION = 24;
/** File descriptors. The server needs two for each connection and two for each file in transfer. */
const RECOMMENDED_OPEN_FILES = 4_096;
const MIN_OPEN_FILES = 256;
const RECOMMENDED_FREE_BYTES = 2 * 1024 ** 3;
const MIN_FREE_BYTES = 64 * 1024 ** 2;
/** The largest difference between the clocks of the disk and of the machine, in milliseconds. */
const MAX_CLOCK_DIFFERENCE = 5_000;
/** A clock that shows an earlier time is wrong: this version did not exist then. */
const EARLIEST_TIME = Date.UTC(2026, 0, 1);
/** The length of a secure bootstrap secret, in characters. */
const MIN_SECRET_LENGTH = 20;
/** In milliseconds. */
const RESPONSE_TIMEOUT = 3_000;
/**
 * Filesystems that several machines may share, by their type in statfs. The write-ahead log of SQLite fails
 * on them.
 */
const NETWORK_FILESYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'SMB'],
  [0xfe534d42, 'SMB'],
]);

/**
 * Runs all checks in order, and yields each result at once. A wrong configuration skips the checks that need
 * it.
 */
export async function* runChecks(env: Environment): AsyncGenerator<Check> {
  yield { name: 'node', ...checkNode() };
  yield { name: 'sharp', ...(await checkSharp()) };
  let config: Config;
  try {
    config = loadConfig(env);
    yield { name: 'configuration', ...ok('every VITRINE_ variable is valid') };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) yield { name: 'configuration', ...fail(problem) };
    return;
  }
  const checks: [string, () => Promise<CheckResult> | CheckResult][] = [
    ['data folder', () => checkFolder(config.dataFolder)],
    ['blobs', () => checkBlobs(config)],
    ['space', () => checkSpace(localFolders(config))],
    ['clock', () => checkClock(config.dataFolder)],
    ['database', () => checkDatabase(config)],
    ['open files', checkOpenFiles],
    ['decoder', () => checkDecoder()],
    ['port', () => checkPort(config)],
    ['public URL', () => checkPublicURL(config)],
    ['bootstrap key', () => checkBootstrap(config)],
    ['product categories', () => checkCategories(config)],
  ];
  for (const [name, check] of checks) {
    try {
      yield { name, ...(await check()) };
    } catch (error) {
      yield { name, ...fail(reasonOf(error)) };
    }
  }
}

function checkNode(): CheckResult {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const text = `Node ${process.versions.node}`;
  return major >= MIN_NODE_VERSION
    ? ok(text)
    : fail(`${text}: version ${MIN_NODE_VERSION} or newer is required`);
}

async function checkSharp(): Promise<CheckResult> {
  try {
    // A static import would fail before the first check if sharp is not installed correctly.
    const { imagingVersions } = await import('../../imaging/versions.ts');
    const { sharp, libvips, missingFormats } = imagingVersions();
    const text = `sharp ${sharp} with libvips ${libvips}`;
    if (missingFormats.length === 0) return ok(`${text}: ${namesOf(OUTPUT_FORMATS)}`);
    const problem = `${text}, without ${namesOf(missingFormats)}`;
    return missingFormats.some(isImageFormat) ? fail(problem) : warn(problem);
  } catch (error) {
    return fail(`sharp cannot be loaded: ${reasonOf(error)}`);
  }
}

function namesOf(formats: readonly OutputFormat[]): string {
  return formats.map((format) => FORMATS[format].name).join(', ');
}

async function checkFolder(folder: string): Promise<CheckResult> {
  const stats = await stat(folder).catch(returnUndefined);
  if (stats === undefined) {
    const parent = await nearestFolder(folder);
    await access(parent, constants.W_OK);
    return ok(`${folder} does not exist; the first start creates it`);
  }
  if (!stats.isDirectory()) return fail(`${folder} is not a folder`);
  await writeProbe(folder);
  if ((stats.mode & 0o077) !== 0) {
    return warn(`${folder} is writable, but other users can access it: set its mode to 0700`);
  }
  return ok(`${folder} is writable`);
}

function localFolders({ dataFolder, blobs }: Config): string[] {
  return blobs.kind === 'file' ? [dataFolder, blobs.folder] : [dataFolder];
}

async function checkBlobs({ blobs }: Config): Promise<CheckResult> {
  return blobs.kind === 'file' ? checkBlobFolder(blobs.folder) : checkBucket(blobs);
}

/** Opens the bucket as a start does, which puts one key twice. The local files go to a temporary folder. */
async function checkBucket(location: S3Location): Promise<CheckResult> {
  const { openS3Blobs } = await import('../../blobs/s3.ts');
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-doctor-'));
  try {
    const driver = await openS3Blobs({ location, stagingFolder: folder });
    await driver.close();
    return ok(`${describeLocation(location)} answers and has conditional writes`);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function checkBlobFolder(folder: string): Promise<CheckResult> {
  const finding = await checkFolder(folder);
  const staging = await stat(join(folder, 'staging')).catch(returnUndefined);
  if (finding.outcome === 'fail' || staging === undefined) return finding;
  for (const name of ['originals', 'rungs']) {
    const stats = await stat(join(folder, name)).catch(returnUndefined);
    if (stats === undefined || stats.dev === staging.dev) continue;
    return warn(
      `${join(folder, name)} and ${join(folder, 'staging')} are on different disks: every upload is copied`,
    );
  }
  const path = join(folder, 'staging', `${randomUUID()}.part`);
  try {
    await writeFile(path, 'probe', { flag: 'wx', mode: 0o600 });
    await link(path, `${path}.link`);
    return finding;
  } catch (error) {
    return warn(
      `the disk of ${folder} does not support hard links (${reasonOf(error)}): every upload is copied`,
    );
  } finally {
    for (const file of [path, `${path}.link`]) await rm(file, { force: true });
  }
}

async function checkSpace(folders: readonly string[]): Promise<CheckResult> {
  const spaces = await Promise.all(
    folders.map(async (folder) => {
      const { bavail, bsize } = await statfs(await nearestFolder(folder));
      return { folder, bytes: bavail * bsize };
    }),
  );
  const least = spaces.reduce((one, other) => (other.bytes < one.bytes ? other : one));
  const text = `${(least.bytes / 1024 ** 3).toFixed(1)} GiB free for ${least.folder}`;
  if (least.bytes < MIN_FREE_BYTES) return fail(text);
  return least.bytes < RECOMMENDED_FREE_BYTES ? warn(text) : ok(text);
}

async function checkClock(folder: string): Promise<CheckResult> {
  if (Date.now() < EARLIEST_TIME) return fail(`the clock shows ${new Date().toISOString()}, which is wrong`);
  if ((await stat(folder).catch(returnUndefined)) === undefined) {
    return ok(`the clock shows ${new Date().toISOString()}`);
  }
  const difference = Math.abs((await writeProbe(folder)).getTime() - Date.now());
  const text = `the clock shows ${new Date().toISOString()}`;
  if (difference <= MAX_CLOCK_DIFFERENCE) return ok(text);
  return warn(`${text}, and the clock of the disk differs by ${Math.round(difference / 1_000)} s`);
}

async function checkDatabase({ database }: Config): Promise<CheckResult> {
  const sqlite = database.kind === 'sqlite' && database.path !== ':memory:' ? database.path : undefined;
  if (sqlite !== undefined) {
    const { type } = await statfs(await nearestFolder(sqlite));
    const filesystem = networkFilesystem(type);
    if (filesystem !== undefined) return fail(`${sqlite} is on ${filesystem}, where SQLite loses data`);
    if (!(await databaseExists(database))) return ok(`${sqlite} does not exist; the first start creates it`);
    // Opening such a file as the server does would change it, and the checks must not.
    const mode = await readJournalMode(sqlite);
    if (mode === 'empty') return ok(`${sqlite} is empty; the first start creates the tables`);
    if (mode === 'journal') {
      return warn(`${sqlite} has no write-ahead log: the next start adds it; the content was not checked`);
    }
  }
  const { openMetadata } = await import('../../database/open.ts');
  const metadata = await openMetadata(database);
  try {
    const { applied, available, newer, pending, isServable } = await metadata.maintenance.readSchema();
    const newest = applied.at(-1);
    const kind = sqlite ?? 'PostgreSQL';
    if (newest === undefined) return ok(`${kind} answers; the first start creates the tables`);
    if (newer.length > 0) {
      const text = `${kind} belongs to a newer version of Vitrine: its schema is ${newest}`;
      return isServable ? warn(`${text}, which this version can serve during an update`) : fail(text);
    }
    if (isServable && pending.length > 0) {
      return warn(
        `${kind} has the schema ${newest}: run \`vitrine migrate\`, which servers need not wait for`,
      );
    }
    if (newest !== available.at(-1)) {
      return warn(
        `${kind} has the schema ${newest}: "vitrine migrate" or the next start migrates it to ${available.at(-1)}`,
      );
    }
    return ok(`${kind} answers; its schema is ${newest}`);
  } finally {
    await metadata.close();
  }
}

/** The name of a network filesystem; undefined for a local one. @param type the type that statfs returns. */
export function networkFilesystem(type: number): string | undefined {
  return NETWORK_FILESYSTEMS.get(type);
}

function checkOpenFiles(): CheckResult {
  if (process.report === undefined) return warn('the limit of open files cannot be read on this system');
  // Otherwise the report looks up the names of network addresses, which may be slow.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft?: number | 'unlimited' } };
  };
  const soft = userLimits?.open_files?.soft;
  if (soft === undefined) return warn('the limit of open files cannot be read on this system');
  if (soft === 'unlimited' || soft >= RECOMMENDED_OPEN_FILES) return ok(`the limit of open files is ${soft}`);
  const text = `the limit of open files is ${soft}, and ${RECOMMENDED_OPEN_FILES} are recommended: raise it with ulimit -n or LimitNOFILE of systemd`;
  return soft < MIN_OPEN_FILES ? fail(text) : warn(text);
}

/**
 * Starts a worker process as the server does. The worker decodes and encodes a test picture in every format.
 */
async function checkDecoder(): Promise<CheckResult> {
  const [{ createPool }, { planRendition }] = await Promise.all([
    import('../../imaging/pool/pool.ts'),
    import('../../imaging/plan.ts'),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-doctor-'));
  const start = performance.now();
  const pool = createPool({ size: 1 });
  try {
    const path = join(folder, 'test.png');
    await writeFile(path, testPicture(64, 48));
    const { inspection } = await pool.ingest(path);
    const transform = { width: 32, height: 24, fit: 'cover', position: 'center', dpr: 1 } as const;
    for (const format of OUTPUT_FORMATS.filter((each) => each !== 'png')) {
      const plan = planRendition(transform, inspection, format);
      const { bytes, width, height } = await pool.render(path, plan);
      if (width !== 32 || height !== 24)
        return fail(`a test picture of 32x24 pixels became ${width}x${height} in ${format}`);
      if (!isImageFormat(format)) continue;
      const copy = join(folder, `test.${format}`);
      await writeFile(copy, bytes);
      await pool.ingest(copy);
    }
    return ok(`a worker decoded and encoded test pictures in ${Math.round(performance.now() - start)} ms`);
  } finally {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkPort({ host, port }: Config): Promise<CheckResult> {
  if (port === 0) return ok('the system selects a free port');
  const name = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  const url = `http://${name}:${port}`;
  const ready = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT) }).catch(
    returnUndefined,
  );
  if (ready?.status === 200) return ok(`a server answers at ${url} and is ready`);
  if (ready?.status === 503) {
    return fail(`a server answers at ${url} and is not ready${await unreadyParts(ready)}`);
  }
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((settle) => {
    const listener = createServer();
    listener.once('error', settle);
    listener.listen({ host, port }, () => listener.close(() => settle(undefined)));
  });
  if (problem === undefined) return ok(`port ${port} of ${host} is free`);
  if (problem.code === 'EADDRINUSE') return fail(`another program listens on port ${port} of ${host}`);
  return fail(`port ${port} of ${host} cannot be used: ${problem.message}`);
}

/** What is not ready, from the answer to a probe; empty if the answer does not say it. */
async function unreadyParts(answer: Response): Promise<string> {
  const report = await answer.json().catch(returnUndefined);
  const { reads, writes, dependencies = {} } = (report ?? {}) as Partial<ReadinessReport>;
  if (reads === undefined || writes === undefined) return '';
  const failed = Object.keys(dependencies).filter((name) => dependencies[name]?.status === 'failed');
  return `: reads are ${reads}, writes are ${writes}${failed.length > 0 ? ` (${failed.join(', ')})` : ''}`;
}

async function checkPublicURL({ publicURL, host }: Config): Promise<CheckResult> {
  const isOpen = !isLoopback(host);
  if (publicURL === undefined) {
    if (!isOpen) return ok('links have the address that the server listens on');
    return warn(`VITRINE_PUBLIC_URL is not set: links have the address that the server listens on (${host})`);
  }
  const { protocol, hostname } = new URL(publicURL);
  if (isLoopback(hostname)) {
    return isOpen ? warn(`links begin with ${publicURL}, which only this machine can reach`) : ok(publicURL);
  }
  if (protocol === 'http:')
    return warn(`links begin with ${publicURL}: browsers block links without https on secure pages`);
  const answer = await fetch(`${publicURL}/livez`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT) }).catch(
    returnUndefined,
  );
  if (answer?.ok) return ok(`${publicURL} answers`);
  return warn(`${publicURL} does not answer requests from this machine`);
}

function checkBootstrap({ bootstrap }: Config): CheckResult {
  if (bootstrap === undefined) return ok('VITRINE_BOOTSTRAP_KEY is not set');
  if (bootstrap.secretKey.length >= MIN_SECRET_LENGTH) return ok('the secret is long enough');
  return warn(
    `the secret of VITRINE_BOOTSTRAP_KEY has fewer than ${MIN_SECRET_LENGTH} characters, and gives access to every account`,
  );
}

async function checkCategories({ productCategories: path }: Config): Promise<CheckResult> {
  if (path === undefined) return ok('VITRINE_PRODUCT_CATEGORIES is not set');
  try {
    const { list } = await readCategories(path);
    return ok(`${path} is valid; number of categories: ${list.length}`);
  } catch (error) {
    if (!(error instanceof CategoryFileError)) throw error;
    return fail(`${path}: ${error.problems.join('; ')}`);
  }
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(host);
}

/** Writes, syncs and removes a small file. @returns its modification time, by the clock of the disk. */
async function writeProbe(folder: string): Promise<Date> {
  const path = join(folder, `.${randomUUID()}.probe`);
  try {
    await writeFile(path, 'probe', { flag: 'wx', mode: 0o600, flush: true });
    return (await stat(path)).mtime;
  } finally {
    await rm(path, { force: true });
  }
}

/** The folder itself, or its nearest parent that exists. */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    if ((await stat(folder).catch(returnUndefined))?.isDirectory()) return folder;
    if (dirname(folder) === folder) return folder;
  }
}

/** An RGB PNG with several colours. */
function testPicture(width: number, height: number): Buffer {
  const chunk = (type: string, body: Buffer) => {
    const whole = Buffer.alloc(12 + body.length);
    whole.writeUInt32BE(body.length, 0);
    whole.write(type, 4, 'latin1');
    whole.set(body, 8);
    whole.writeUInt32BE(crc32(whole.subarray(4, 8 + body.length)), 8 + body.length);
    return whole;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const row = Buffer.concat([
    Buffer.alloc(1),
    Buffer.from(Array.from({ length: width * 3 }, (_, i) => i & 255)),
  ]);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', pixels),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** The message of the innermost cause, which says most. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}

function returnUndefined(): undefined {
  return undefined;
}

function ok(text: string): CheckResult {
  return { outcome: 'ok', text };
}

function warn(text: string): CheckResult {
  return { outcome: 'warn', text };
}

function fail(text: string): CheckResult {
  return { outcome: 'fail', text };
}
