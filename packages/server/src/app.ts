/**
 * The composition root: builds the application from a configuration, bottom-up, and closes it in the opposite
 * order. Only this file and `open.ts` of a room name concrete adapters.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { Administration } from './access/administration.ts';
import { Access } from './access/authentication.ts';
import { createFirstKey, ensureBootstrapKey, type IssuedKey } from './access/bootstrap.ts';
import { Tokens } from './access/tokens.ts';
import { openBlobs } from './blobs/open.ts';
import { Catalog } from './catalog/catalog.ts';
import { type Categories, NO_CATEGORIES } from './catalog/categories.ts';
import type { Config } from './config.ts';
import { observeMetadata } from './database/observed.ts';
import { openMetadata } from './database/open.ts';
import type { MetadataStore } from './database/store.ts';
import { Delivery } from './delivery/delivery.ts';
import { DiskCache } from './delivery/disk-cache.ts';
import { Ladders } from './delivery/ladders.ts';
import { MemoryCache } from './delivery/memory-cache.ts';
import { PublicImages } from './delivery/public-images.ts';
import { RenditionCache } from './delivery/rendition-cache.ts';
import { AppError } from './errors.ts';
import { httpPurgeTarget } from './events/http-purge.ts';
import { Purger } from './events/purger.ts';
import type { ServerLimits } from './http/connection/server-limits.ts';
import { DOCUMENT } from './http/openapi.ts';
import { baseURL, createServer } from './http/server.ts';
import { Ingest } from './images/ingest.ts';
import { Library } from './images/library.ts';
import { createPool, type PoolOptions } from './imaging/pool/pool.ts';
import { Analyser } from './maintenance/analyse.ts';
import { joinLibrary } from './maintenance/installation.ts';
import { Leftovers } from './maintenance/leftovers.ts';
import { openTelemetry } from './telemetry/observer.ts';
import { PURPOSES, Readiness } from './telemetry/readiness.ts';

/** Milliseconds for which a start tries to reach the database, and between two attempts. */
const DATABASE_PATIENCE = 10_000;
const DATABASE_RETRY = 500;

export interface App {
  /** For tests: answers requests without a socket. */
  readonly http: FastifyInstance;
  /** For tests. */
  readonly publicImages: PublicImages;
  /** For tests. */
  readonly delivery: Delivery;
  /**
   * Starts listening. The very first start then creates an account and a key. It does so after the port is
   * bound, because the secret is shown only once.
   * @returns the base of public links, and the first key.
   */
  listen(): Promise<{ url: string; firstKey: IssuedKey | undefined }>;
  /**
   * Is not ready from now on, and accepts requests during the drain. Then finishes the running ones, and
   * closes all parts.
   */
  close(): Promise<void>;
}

/** The server cannot start, for reasons that the operator can fix. The message has no secrets. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * @param now the clock by which keys and tokens expire; for tests.
 * @param limits overrides of the HTTP server's limits; for tests.
 * @param workers overrides of the workers' limits; for tests.
 * @throws StartError if the operator must change something.
 */
export async function createApp(
  config: Config,
  log: FastifyBaseLogger,
  now: () => Date = () => new Date(),
  limits: Partial<ServerLimits> = {},
  workers: Pick<PoolOptions, 'memoryLimitBytes'> = {},
): Promise<App> {
  const parts: { close(): Promise<void> }[] = [];
  const closeAll = async () => {
    for (const part of parts.reverse()) await part.close();
  };
  try {
    const categories = await openCategories(config);
    const telemetry = await openTelemetry(DOCUMENT.info.version);
    const purges = config.purgeURL !== undefined;
    const database = await openPart(databaseName(config), openMetadata(config.database, { log, purges }));
    parts.push(database);
    const metadata = observeMetadata(database, telemetry);
    const { accounts, keys, tokens, audit, maintenance } = metadata;
    const useDatabase = <T>(step: () => Promise<T>) =>
      openPart(databaseName(config), reachDatabase(step, log));
    await useDatabase(() => migrateSchema(metadata, log));

    const { dataFolder, blobCacheBytes: cacheBytes } = config;
    const blobs = await openBlobs({
      blobs: config.blobs,
      dataFolder,
      cacheBytes,
      telemetry,
      log,
    }).catch((error: unknown) => {
      throw new StartError(`${String((error as Error).message)}. See VITRINE_BLOBS and VITRINE_DATA.`);
    });
    parts.push(blobs);
    await useDatabase(() => joinLibrary({ records: maintenance, blobs }));
    const leftovers = new Leftovers({ blobs, events: metadata.events, log });
    parts.push(leftovers);
    await leftovers.start();

    const processor = createPool({ ...workers, size: config.renderConcurrency, log, telemetry });
    parts.push(processor);
    telemetry.addGauge('tasksWaiting', {}, () => processor.waiting());
    telemetry.addGauge('costWaiting', {}, () => processor.waitingCost() / 1_000);
    telemetry.addGauge('tasksRunning', {}, () => processor.running());
    telemetry.addGauge('workers', {}, () => processor.workerPids().length);

    const access = new Access({ accounts, keys, tokens, now, log });
    parts.push(access);
    if (config.bootstrap) {
      const { bootstrap } = config;
      const outcome = await useDatabase(() =>
        ensureBootstrapKey({ accounts, keys }, bootstrap.accountID, bootstrap, now()),
      );
      if (outcome === 'revoked') log.warn('the key of VITRINE_BOOTSTRAP_KEY was revoked and is not used');
    }

    const disk = DiskCache.open(join(config.dataFolder, 'cache'), config.cacheBytes);
    parts.push(disk);
    const memory = new MemoryCache(config.memoryCacheBytes);
    telemetry.addGauge('cacheBytes', { tier: 'memory' }, () => memory.bytes);
    telemetry.addGauge('cacheBytes', { tier: 'disk' }, () => disk.bytes);
    const renditions = new RenditionCache({ memory, disk });
    const ladders = new Ladders({ blobs, processor, log });
    const changes = metadata.listen({ url: config.databaseListen, log });
    if (changes) {
      parts.push(changes);
      telemetry.addGauge('changesDelay', {}, () => {
        const now = performance.now();
        // Before the first proof: since the start of the process.
        return Math.min(now, now - changes.heardUntil) / 1_000;
      });
    }
    const publicImages = new PublicImages(metadata, changes);
    const { sizeBudget, imageQuota, byteQuota } = config;
    const delivery = new Delivery({ blobs, processor, ladders, renditions, sizeBudget, telemetry });
    const ingest = new Ingest({ blobs, processor, ladders, renditions, log, telemetry });
    const library = new Library({
      records: metadata,
      blobs,
      ingest,
      publicImages,
      renditions,
      imageQuota,
      byteQuota,
      telemetry,
    });
    const readiness = new Readiness({
      checks: {
        database: (signal) => metadata.check(signal),
        blobs: (signal) => blobs.check(signal),
        disk: (signal) => blobs.checkDisk(signal),
        decoder: (signal) => processor.check(signal),
      },
      // Without the database, and without remote blobs, warm links are answered. Usually all nodes miss them
      // at once. The others are of this node alone, and another node can do better.
      reads: ['disk', 'decoder'],
      log,
    });
    for (const purpose of PURPOSES) {
      telemetry.addGauge('ready', { for: purpose }, () => (readiness.wasReady(purpose) ? 1 : 0));
    }
    const http = await createServer({
      access,
      tokens: new Tokens({ tokens, access, now }),
      administration: new Administration({ accounts, keys, audit, now }),
      library,
      catalog: new Catalog({ records: metadata, images: metadata, categories, now }),
      publicImages,
      delivery,
      now,
      log,
      address: config,
      cacheControl: config.cacheControl,
      formats: config.formats,
      rateLimit: config.rateLimit,
      renderConcurrency: config.renderConcurrency,
      corsOrigins: config.corsOrigins,
      trustProxy: config.trustProxy,
      keepAlive: config.keepAlive,
      limits,
      readiness,
      telemetry,
      metrics: () => telemetry.metrics(),
    });
    parts.push(http);
    await http.ready();
    const analyser = new Analyser({
      records: maintenance,
      blobs,
      inspect: async (path, signal, digest) => {
        const result = await processor.ingest(path, signal);
        // The ladder is made anyway. Stored, it spares the first rendition a decode of the original.
        await ladders.store(digest, result, signal);
        return result.inspection;
      },
      publicImages,
      renditions,
      log,
    });
    parts.push(analyser);
    const purger = config.purgeURL
      ? new Purger({ records: metadata.purges, target: httpPurgeTarget(config.purgeURL), log, telemetry })
      : undefined;
    if (purger) parts.push(purger);

    return {
      http,
      publicImages,
      delivery,
      async listen() {
        await http.listen({ host: config.host, port: config.port });
        analyser.start();
        purger?.start();
        void leftovers.removeEvents();
        const firstKey = await useDatabase(() => createFirstKey({ accounts }, now()));
        return { url: baseURL(http, config), firstKey };
      },
      async close() {
        readiness.stop();
        if (config.drainSeconds > 0) await sleep(config.drainSeconds * 1_000);
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The opened part, or a StartError that names what could not be opened. */
async function openPart<T>(subject: string, opening: Promise<T>): Promise<T> {
  try {
    return await opening;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const reason = reasonOf(error).replace(/\s*\n\s*/g, ' ');
    throw new StartError(`${subject} cannot be used: ${reason}. See VITRINE_DATABASE and VITRINE_DATA.`);
  }
}

/** Brings the schema to this version, if that is quick. */
async function migrateSchema(metadata: MetadataStore, log: FastifyBaseLogger): Promise<void> {
  const report = (text: string) => log.info(`changing the schema of the database: ${text}`);
  const { newer, postponed } = await metadata.migrate({ report, postpones: true });
  if (postponed.length > 0) {
    log.warn(
      { migrations: postponed },
      'the library is large: run `vitrine migrate`, which changes its schema while the servers work',
    );
  }
  if (newer.length > 0) {
    log.warn(
      { migrations: newer },
      'a newer version of Vitrine has changed the schema; this version can serve it during the update',
    );
  }
}

/**
 * Repeats a step of the start while the database does not answer, for a while. The database may start at the
 * same time, or many servers may connect at once.
 */
async function reachDatabase<T>(step: () => Promise<T>, log: FastifyBaseLogger): Promise<T> {
  const deadline = performance.now() + DATABASE_PATIENCE;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await step();
    } catch (error) {
      const mayRecover = error instanceof AppError && error.retryAfter !== undefined;
      if (!mayRecover || performance.now() > deadline) throw error;
      if (attempt === 1) log.warn(`the start waits for the database: ${reasonOf(error)}`);
      await sleep(DATABASE_RETRY);
    }
  }
}

/** @throws StartError with all problems of the file. */
async function openCategories({ productCategories }: Config): Promise<Categories> {
  if (productCategories === undefined) return NO_CATEGORIES;
  // Loaded on demand, because few servers have categories.
  const { CategoryFileError, readCategories } = await import('./catalog/category-file.ts');
  return readCategories(productCategories).catch((error: unknown) => {
    if (!(error instanceof CategoryFileError)) throw error;
    throw new StartError(`VITRINE_PRODUCT_CATEGORIES: ${error.message}`);
  });
}

/** The innermost cause: it says why the database does not answer. */
function reasonOf(error: Error): string {
  if (error.cause instanceof Error) return reasonOf(error.cause);
  // Node's errors about several addresses have no message.
  return error.message || String((error as NodeJS.ErrnoException).code ?? error.name);
}

function databaseName({ database }: Config): string {
  if (database.kind === 'sqlite') return `The database ${database.path}`;
  const { host, pathname } = new URL(database.url);
  return `The PostgreSQL database ${pathname.slice(1)} at ${host || 'its default address'}`;
}
