/**
 * The composition root: the only file that names concrete adapters, but for the databases (metadata/open.ts), which the
 * command line needs as well. Builds the application from a configuration, in
 * the order in which its parts depend on each other, and takes it down in the opposite one.
 */
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { Administration } from './access/administration.ts';
import { Access, type IssuedKey } from './access/authentication.ts';
import { Tokens } from './access/tokens.ts';
import { openFileBlobs } from './blobs/fs.ts';
import { BlobStore } from './blobs/store.ts';
import { Catalog } from './catalog/catalog.ts';
import type { Config } from './config.ts';
import { openMetadata } from './database/open.ts';
import { Delivery } from './delivery/delivery.ts';
import { DiskCache } from './delivery/disk-cache.ts';
import { MemoryCache } from './delivery/memory-cache.ts';
import { AppError } from './errors.ts';
import type { ServerLimits } from './http/connection/server-limits.ts';
import { DOCUMENT } from './http/openapi.ts';
import { createServer } from './http/server.ts';
import type { Digest, Image } from './image.ts';
import { Ingest } from './images/ingest.ts';
import { Library } from './images/library.ts';
import { createPool, type PoolOptions } from './imaging/pool/pool.ts';
import { joinLibrary } from './maintenance/installation.ts';
import { observeBlobs, observeMetadata } from './telemetry/observed.ts';
import { openTelemetry } from './telemetry/observer.ts';
import { Readiness } from './telemetry/readiness.ts';

/** A file that has been on its way in for longer than this, in milliseconds, is left over from a crash. */
const STALE_UPLOAD = 60 * 60 * 1000;

export interface App {
  /** For tests: answers requests without a socket. */
  readonly http: FastifyInstance;
  /** For tests and metrics: what came from where. */
  readonly delivery: Delivery;
  /**
   * Starts listening. On the very first start only, makes a first account and key: after the port is known to be
   * ours, since the secret is told nowhere else.
   * @returns the URL that links begin with, and the first key.
   */
  listen(): Promise<{ url: string; firstKey: IssuedKey | undefined }>;
  /** Stops accepting, finishes what runs, then closes everything. */
  close(): Promise<void>;
}

/** The server cannot start, for a reason that is the operator's to mend: one line, without secrets. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * @param now the time by which keys and tokens expire; for tests.
 * @param limits other limits of the HTTP server than its own; for tests.
 * @param workers other limits of the workers than their own; for tests.
 */
export async function createApp(
  config: Config,
  log: FastifyBaseLogger,
  now: () => Date = () => new Date(),
  limits: Partial<ServerLimits> = {},
  workers: Pick<PoolOptions, 'memoryLimitBytes'> = {},
): Promise<App> {
  const opened: { close(): Promise<void> }[] = [];
  const closeAll = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  try {
    const telemetry = await openTelemetry(DOCUMENT.info.version);
    const database = await starting(databaseName(config), openMetadata(config.database));
    opened.push(database);
    const metadata = observeMetadata(database, telemetry);
    await starting(databaseName(config), metadata.migrate());

    const { folder } = config.blobs;
    const driver = await openFileBlobs({ folder }).catch((error: unknown) => {
      throw new StartError(`${String((error as Error).message)}. See VITRINE_BLOBS and VITRINE_DATA.`);
    });
    const blobs = new BlobStore(observeBlobs(driver, telemetry));
    opened.push(blobs);
    await starting(databaseName(config), joinLibrary({ metadata, blobs }));
    const sweep = () => blobs.sweepStaging(new Date(Date.now() - STALE_UPLOAD));
    await sweep();
    // What a collector left that was killed: an image may have been added that names it. Where that cannot be read, all else can.
    const takeBack = () =>
      blobs.takeBackRemovals().catch((error: unknown) => {
        log.warn({ err: error }, 'what a collector left could not be looked at');
      });
    await takeBack();
    // A server that comes back at once finds its own leftovers too young; they are swept when they have aged.
    const sweeping = setInterval(() => {
      void takeBack();
      sweep().catch((error: unknown) => log.warn({ err: error }, 'leftover files could not be swept'));
    }, STALE_UPLOAD);
    sweeping.unref();
    opened.push({ close: async () => clearInterval(sweeping) });

    const processor = createPool({ ...workers, size: config.renderConcurrency, log, telemetry });
    opened.push(processor);
    telemetry.watch('tasksWaiting', {}, () => processor.waiting());
    telemetry.watch('costWaiting', {}, () => processor.waitingCost() / 1_000);
    telemetry.watch('tasksRunning', {}, () => processor.running());
    telemetry.watch('workers', {}, () => processor.workerPids().length);

    const access = new Access({ metadata, now, log });
    opened.push(access);
    if (config.bootstrap) {
      const outcome = await access.bootstrap(config.bootstrap.accountID, config.bootstrap);
      if (outcome === 'revoked') log.warn('the key of VITRINE_BOOTSTRAP_KEY was revoked, and stays so');
    }

    const disk = DiskCache.open(join(config.dataFolder, 'cache'), config.cacheBytes);
    opened.push(disk);
    const memory = new MemoryCache(config.memoryCacheBytes);
    telemetry.watch('cacheBytes', { tier: 'memory' }, () => memory.bytes);
    telemetry.watch('cacheBytes', { tier: 'disk' }, () => disk.bytes);
    const { sizeBudget } = config;
    const delivery: Delivery = new Delivery({
      metadata,
      blobs,
      processor,
      memory,
      disk,
      sizeBudget,
      rebuildLadder: (digest, original) => ingest.rebuild(digest, original),
      telemetry,
    });
    const ingest = new Ingest({
      blobs,
      processor,
      log,
      telemetry,
      onRendition: (digest, plan, rendition) => delivery.keep(digest, plan, rendition),
    });
    const onChange = (image: Image, withdrawn?: Digest) => delivery.changed(image.publicID, withdrawn);
    let listeningURL = `http://${hostInURL(config.host)}:${config.port}`;
    const baseURL = () => config.publicURL ?? listeningURL;
    const http = await createServer({
      access,
      tokens: new Tokens({ metadata, access, now }),
      administration: new Administration({ metadata, now }),
      now,
      library: new Library({
        metadata,
        blobs,
        ingest,
        imageQuota: config.imageQuota,
        byteQuota: config.byteQuota,
        onChange,
        telemetry,
      }),
      catalog: new Catalog({ metadata, now }),
      ingest,
      delivery,
      log,
      baseURL,
      cacheControl: config.cacheControl,
      rateLimit: config.rateLimit,
      corsOrigins: config.corsOrigins,
      trustProxy: config.trustProxy,
      limits,
      readiness: new Readiness({
        checks: {
          database: (signal) => metadata.check(signal),
          blobs: (signal) => blobs.check(signal),
          decoder: (signal) => processor.check(signal),
        },
        log,
      }),
      telemetry,
      metrics: () => telemetry.metrics(),
    });
    opened.push(http);
    await http.ready();

    return {
      http,
      delivery,
      async listen() {
        await http.listen({ host: config.host, port: config.port });
        const { port } = http.server.address() as AddressInfo;
        listeningURL = `http://${hostInURL(config.host)}:${port}`;
        return { url: baseURL(), firstKey: await access.firstStart() };
      },
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** What is opened at start, or a StartError that says what could not be. */
async function starting<T>(subject: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const reason = reasonOf(error).replace(/\s*\n\s*/g, ' ');
    throw new StartError(`${subject} cannot be used: ${reason}. See VITRINE_DATABASE and VITRINE_DATA.`);
  }
}

/** What was first to fail says most: not that the database does not answer, but why. */
function reasonOf(error: Error): string {
  if (error.cause instanceof Error) return reasonOf(error.cause);
  // Node's own errors about several addresses at once have no text.
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}

function databaseName({ database }: Config): string {
  if (database.kind === 'sqlite') return `The database ${database.path}`;
  const { host, pathname } = new URL(database.url);
  return `The PostgreSQL database ${pathname.slice(1)} at ${host || 'its default address'}`;
}

/** A host as it stands in a URL that a browser on this machine can open. */
function hostInURL(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
