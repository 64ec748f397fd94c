/**
 * Owns what is looked at to say whether a server can work here. It changes nothing: it makes no library, no schema, and what
 * it writes to try a disk it removes. Refuses to know how a check is printed. No text has a secret in it.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, link, mkdtemp, open, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import { type Config, ConfigError, loadConfig } from '../../config.ts';
import { exists } from './stores.ts';

export interface Check {
  readonly name: string;
  /** `warn`: it works, but not as well or as safely as it could. `fail`: the server does not start, or not work. */
  readonly outcome: 'ok' | 'warn' | 'fail';
  /** A sentence for people. */
  readonly text: string;
}

type Finding = Pick<Check, 'outcome' | 'text'>;

const NODE_VERSION = 24;
/** Descriptors: two for each connection and each file on its way, and some. */
const FEW_FILES = 4_096;
const TOO_FEW_FILES = 256;
const LITTLE_SPACE = 2 * 1024 ** 3;
const TOO_LITTLE_SPACE = 64 * 1024 ** 2;
/** Milliseconds by which the clock of a disk may differ from ours. */
const CLOCK_DIFFERENCE = 5_000;
/** Before this version was made no clock was right. */
const EARLIEST = Date.UTC(2026, 0, 1);
const ANSWER_TIMEOUT = 3_000;
/** What SQLite's log of writes does not work on: files that several machines may share. */
const NETWORK_DISKS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'SMB'],
  [0xfe534d42, 'SMB'],
]);

/** Everything that is looked at, in order; as soon as it is known. */
export async function* examine(env: Readonly<Record<string, string | undefined>>): AsyncGenerator<Check> {
  yield { name: 'node', ...checkNode() };
  yield { name: 'sharp', ...(await checkSharp()) };
  let config: Config;
  try {
    config = loadConfig(env);
    yield { name: 'configuration', ...ok('every VITRINE_ variable is understood') };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) yield { name: 'configuration', ...fail(problem) };
    return;
  }
  const checks: [string, () => Promise<Finding> | Finding][] = [
    ['data folder', () => checkFolder(config.dataFolder)],
    ['blobs', () => checkBlobs(config.blobs.folder)],
    ['space', () => checkSpace([config.dataFolder, config.blobs.folder])],
    ['clock', () => checkClock(config.dataFolder)],
    ['database', () => checkDatabase(config)],
    ['open files', checkOpenFiles],
    ['decoder', () => checkDecoder()],
    ['port', () => checkPort(config)],
    ['public URL', () => checkPublicURL(config)],
    ['bootstrap key', () => checkBootstrap(config)],
  ];
  for (const [name, check] of checks) {
    try {
      yield { name, ...(await check()) };
    } catch (error) {
      yield { name, ...fail(reasonOf(error)) };
    }
  }
}

function checkNode(): Finding {
  const [major = 0] = process.versions.node.split('.').map(Number);
  const text = `Node ${process.versions.node}`;
  return major >= NODE_VERSION ? ok(text) : fail(`${text}, and ${NODE_VERSION} or newer is needed`);
}

async function checkSharp(): Promise<Finding> {
  try {
    // Only here: where it is not installed as it should be, that is what there is to tell.
    const { imagingVersions } = await import('../../imaging/versions.ts');
    const { sharp, libvips, lacking } = imagingVersions();
    const text = `sharp ${sharp} with libvips ${libvips}`;
    if (lacking.length === 0) return ok(`${text}: JPEG, PNG, WebP and AVIF`);
    const without = `${text}, without ${lacking.join(' and ')}`;
    return lacking.every((name) => name === 'AVIF') ? warn(without) : fail(without);
  } catch (error) {
    return fail(`sharp cannot be loaded: ${reasonOf(error)}`);
  }
}

async function checkFolder(folder: string): Promise<Finding> {
  const stats = await stat(folder).catch(absent);
  if (stats === undefined) {
    const parent = await nearestFolder(folder);
    await access(parent, constants.W_OK);
    return ok(`${folder} will be made at the first start`);
  }
  if (!stats.isDirectory()) return fail(`${folder} is not a folder`);
  await probe(folder);
  if ((stats.mode & 0o077) !== 0)
    return warn(`${folder} can be written, but others than this user may look into it`);
  return ok(`${folder} can be written`);
}

async function checkBlobs(folder: string): Promise<Finding> {
  const finding = await checkFolder(folder);
  const staging = await stat(join(folder, 'staging')).catch(absent);
  if (finding.outcome === 'fail' || staging === undefined) return finding;
  for (const name of ['originals', 'rungs']) {
    const place = await stat(join(folder, name)).catch(absent);
    if (place === undefined || place.dev === staging.dev) continue;
    return warn(
      `${join(folder, name)} is on another disk than ${join(folder, 'staging')}: every upload is copied`,
    );
  }
  const path = join(folder, 'staging', `${randomUUID()}.part`);
  try {
    await writeFile(path, 'probe', { flag: 'wx', mode: 0o600 });
    await link(path, `${path}.link`);
    return finding;
  } catch (error) {
    return warn(`the disk of ${folder} makes no links (${reasonOf(error)}): every upload is copied`);
  } finally {
    for (const made of [path, `${path}.link`]) await rm(made, { force: true });
  }
}

async function checkSpace(folders: readonly string[]): Promise<Finding> {
  const rooms = await Promise.all(
    folders.map(async (folder) => {
      const { bavail, bsize } = await statfs(await nearestFolder(folder));
      return { folder, bytes: bavail * bsize };
    }),
  );
  const least = rooms.reduce((one, other) => (other.bytes < one.bytes ? other : one));
  const text = `${(least.bytes / 1024 ** 3).toFixed(1)} GiB are free for ${least.folder}`;
  if (least.bytes < TOO_LITTLE_SPACE) return fail(text);
  return least.bytes < LITTLE_SPACE ? warn(text) : ok(text);
}

async function checkClock(folder: string): Promise<Finding> {
  if (Date.now() < EARLIEST) return fail(`the clock says ${new Date().toISOString()}`);
  if ((await stat(folder).catch(absent)) === undefined)
    return ok(`the clock says ${new Date().toISOString()}`);
  const difference = Math.abs((await probe(folder)).getTime() - Date.now());
  const text = `the clock says ${new Date().toISOString()}`;
  if (difference <= CLOCK_DIFFERENCE) return ok(text);
  return warn(`${text}, and that of the disk differs by ${Math.round(difference / 1_000)} s`);
}

async function checkDatabase({ database }: Config): Promise<Finding> {
  const sqlite = database.kind === 'sqlite' && database.path !== ':memory:' ? database.path : undefined;
  if (sqlite !== undefined) {
    const { type } = await statfs(await nearestFolder(sqlite));
    const disk = networkDisk(type);
    if (disk !== undefined) return fail(`${sqlite} is on a ${disk} disk, where SQLite loses data`);
    if (!(await exists(database))) return ok(`${sqlite} will be made at the first start`);
    // Opened as the server does, such a file would be changed, and a doctor only looks.
    const mode = await modeOf(sqlite);
    if (mode === 'empty') return ok(`${sqlite} is empty; the tables will be made at the first start`);
    if (mode === 'journal')
      return warn(
        `${sqlite} has no write-ahead log: the next start gives it one, and what is in it was not looked at`,
      );
  }
  const { openMetadata } = await import('../../database/open.ts');
  const metadata = await openMetadata(database);
  try {
    const { applied, known } = await metadata.maintenance.readMigrations();
    const newest = applied.at(-1);
    const kind = sqlite ?? 'PostgreSQL';
    if (newest === undefined) return ok(`${kind} answers; the tables will be made at the first start`);
    if (!known.includes(newest))
      return fail(`${kind} belongs to a newer version: it has the schema ${newest}`);
    if (newest !== known.at(-1))
      return warn(`${kind} has the schema ${newest}: the next start brings it to ${known.at(-1)}`);
    return ok(`${kind} answers, with the schema ${newest}`);
  } finally {
    await metadata.close();
  }
}

/** What a disk that several machines may share is called; undefined: it is none. @param type as statfs tells it */
export function networkDisk(type: number): string | undefined {
  return NETWORK_DISKS.get(type);
}

/** By the header of the file: bytes 18 and 19 are 1 where there is no write-ahead log. */
async function modeOf(path: string): Promise<'empty' | 'journal' | 'other'> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 18);
    if (bytesRead === 0) return 'empty';
    return buffer[0] === 1 || buffer[1] === 1 ? 'journal' : 'other';
  } finally {
    await handle.close();
  }
}

function checkOpenFiles(): Finding {
  if (process.report === undefined) return warn('how many files may be open is not known here');
  // Asking for the addresses of interfaces by name could take long.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    userLimits?: { open_files?: { soft?: number | 'unlimited' } };
  };
  const soft = userLimits?.open_files?.soft;
  if (soft === undefined) return warn('how many files may be open is not known here');
  if (soft === 'unlimited' || soft >= FEW_FILES) return ok(`${soft} files may be open at once`);
  const text = `only ${soft} files may be open at once: raise it with ulimit -n, or LimitNOFILE of systemd`;
  return soft < TOO_FEW_FILES ? fail(text) : warn(text);
}

/** Starts a worker as the server does, and has it read and write every format. */
async function checkDecoder(): Promise<Finding> {
  const [{ createPool }, { planRendition }] = await Promise.all([
    import('../../imaging/pool/pool.ts'),
    import('../../imaging/plan.ts'),
  ]);
  const folder = await mkdtemp(join(tmpdir(), 'vitrine-doctor-'));
  const began = performance.now();
  const pool = createPool({ size: 1 });
  try {
    const path = join(folder, 'test.png');
    await writeFile(path, testPicture(64, 48));
    const { inspection } = await pool.ingest(path);
    const transform = { width: 32, height: 24, fit: 'cover', position: 'center', dpr: 1 } as const;
    for (const format of ['jpeg', 'webp', 'avif'] as const) {
      const plan = planRendition(transform, inspection, format);
      const { bytes, width, height } = await pool.render(path, plan);
      if (width !== 32 || height !== 24)
        return fail(`a test picture came out as ${width}x${height} in ${format}`);
      if (format === 'avif') continue;
      const copy = join(folder, `test.${format}`);
      await writeFile(copy, bytes);
      await pool.ingest(copy);
    }
    return ok(
      `a worker started, and read and wrote test pictures in ${Math.round(performance.now() - began)} ms`,
    );
  } finally {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkPort({ host, port }: Config): Promise<Finding> {
  if (port === 0) return ok('the system will pick a port');
  const name = ['0.0.0.0', '::'].includes(host) ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  const url = `http://${name}:${port}`;
  const ready = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT) }).catch(absent);
  if (ready?.status === 200) return ok(`a server answers at ${url}, and is ready`);
  if (ready?.status === 503) return fail(`a server answers at ${url}, and is not ready`);
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((settle) => {
    const listener = createServer();
    listener.once('error', settle);
    listener.listen({ host, port }, () => listener.close(() => settle(undefined)));
  });
  if (problem === undefined) return ok(`port ${port} of ${host} is free`);
  if (problem.code === 'EADDRINUSE')
    return fail(`something else than Vitrine listens on port ${port} of ${host}`);
  return fail(`port ${port} of ${host} cannot be used: ${problem.message}`);
}

async function checkPublicURL({ publicURL, host }: Config): Promise<Finding> {
  const isOpen = !isLoopback(host);
  if (publicURL === undefined) {
    if (!isOpen) return ok('links name the address that the server listens on');
    return warn(
      `VITRINE_PUBLIC_URL is not set, and links name the address that the server listens on (${host})`,
    );
  }
  const { protocol, hostname } = new URL(publicURL);
  if (isLoopback(hostname)) {
    return isOpen ? warn(`links begin with ${publicURL}, which only this machine can reach`) : ok(publicURL);
  }
  if (protocol === 'http:')
    return warn(`links begin with ${publicURL}: without https browsers block them on secure pages`);
  const answer = await fetch(`${publicURL}/livez`, { signal: AbortSignal.timeout(ANSWER_TIMEOUT) }).catch(
    absent,
  );
  if (answer?.ok) return ok(`${publicURL} answers`);
  return warn(`${publicURL} does not answer from here`);
}

function checkBootstrap({ bootstrap }: Config): Finding {
  if (bootstrap === undefined) return ok('none is set');
  if (bootstrap.secretKey.length >= 20) return ok('it is long enough');
  return warn('the secret of VITRINE_BOOTSTRAP_KEY is short: it opens every account');
}

function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d+){3}|::1|\[::1\])$/.test(host);
}

/** Writes, syncs and removes a small file. @returns the time that the disk gave it. */
async function probe(folder: string): Promise<Date> {
  const path = join(folder, `.${randomUUID()}.probe`);
  try {
    await writeFile(path, 'probe', { flag: 'wx', mode: 0o600, flush: true });
    return (await stat(path)).mtime;
  } finally {
    await rm(path, { force: true });
  }
}

/** The folder, or the nearest one above it that is there. */
async function nearestFolder(path: string): Promise<string> {
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    if ((await stat(folder).catch(absent))?.isDirectory()) return folder;
    if (dirname(folder) === folder) return folder;
  }
}

/** An RGB PNG of some colours, so that a machine need have no picture. */
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

/** What was first to fail says most. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}

function absent(): undefined {
  return undefined;
}

function ok(text: string): Finding {
  return { outcome: 'ok', text };
}

function warn(text: string): Finding {
  return { outcome: 'warn', text };
}

function fail(text: string): Finding {
  return { outcome: 'fail', text };
}
