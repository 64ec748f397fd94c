/**
 * The composition root: the only file that names concrete adapters. Builds the application from a configuration, in
 * the order in which its parts depend on each other, and takes it down in the opposite one.
 */
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { Access, type IssuedKey } from './access.ts';
import { openFileBlobs } from './blobs/fs.ts';
import { BlobStore } from './blobs/store.ts';
import { DiskCache } from './caches/disk.ts';
import { MemoryCache } from './caches/memory.ts';
import { Catalog } from './catalog.ts';
import type { Config } from './config.ts';
import { Delivery } from './delivery.ts';
import { createServer } from './http/server.ts';
import type { Digest, Image } from './image.ts';
import { createPool } from './imaging/pool.ts';
import { Ingest } from './ingest.ts';
import { Library } from './library.ts';
import type { MetadataStore } from './metadata/store.ts';

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

export async function createApp(config: Config, log: FastifyBaseLogger): Promise<App> {
  const opened: { close(): Promise<void> }[] = [];
  const closeAll = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  try {
    const metadata = await openMetadata(config);
    opened.push(metadata);
    await metadata.migrate();

    const blobs = new BlobStore(await openFileBlobs({ folder: config.blobs.folder }));
    opened.push(blobs);
    const sweep = () => blobs.sweepStaging(new Date(Date.now() - STALE_UPLOAD));
    await sweep();
    // A server that comes back at once finds its own leftovers too young; they are swept when they have aged.
    const sweeping = setInterval(() => {
      sweep().catch((error: unknown) => log.warn({ err: error }, 'leftover files could not be swept'));
    }, STALE_UPLOAD);
    sweeping.unref();
    opened.push({ close: async () => clearInterval(sweeping) });

    const processor = createPool({ size: config.renderConcurrency, log });
    opened.push(processor);

    const access = new Access({ metadata });
    if (config.bootstrap) await access.bootstrap(config.bootstrap.accountID, config.bootstrap);

    const disk = DiskCache.open(join(config.dataFolder, 'cache'), config.cacheBytes);
    opened.push(disk);
    const memory = new MemoryCache(config.memoryCacheBytes);
    const { sizeBudget } = config;
    const delivery: Delivery = new Delivery({
      metadata,
      blobs,
      processor,
      memory,
      disk,
      sizeBudget,
      rebuildLadder: (digest, original) => ingest.rebuild(digest, original),
    });
    const ingest = new Ingest({
      blobs,
      processor,
      log,
      onRendition: (digest, plan, rendition) => delivery.keep(digest, plan, rendition),
    });
    const onChange = (image: Image, withdrawn?: Digest) => delivery.changed(image.publicID, withdrawn);
    let listeningURL = `http://${hostInURL(config.host)}:${config.port}`;
    const baseURL = () => config.publicURL ?? listeningURL;
    const http = await createServer({
      access,
      library: new Library({ metadata, ingest, imageQuota: config.imageQuota, onChange }),
      catalog: new Catalog({ metadata }),
      ingest,
      delivery,
      log,
      baseURL,
      cacheControl: config.cacheControl,
      corsOrigins: config.corsOrigins,
      trustProxy: config.trustProxy,
      checks: {
        database: (signal) => metadata.check(signal),
        blobs: (signal) => blobs.check(signal),
      },
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

/** Only what is used is loaded: a start should not wait for a driver of another database. */
async function openMetadata({ database }: Config): Promise<MetadataStore> {
  if (database.kind === 'postgres') {
    const { openPostgres } = await import('./metadata/postgres.ts');
    return openPostgres({ url: database.url });
  }
  const { openSqlite } = await import('./metadata/sqlite.ts');
  return openSqlite({ path: database.path });
}

/** A host as it stands in a URL that a browser on this machine can open. */
function hostInURL(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}
