/**
 * Opens the database, the blobs and the maintenance service for one command. Never migrates the database:
 * only the server and session.ts do.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobStore } from '../../blobs/store.ts';
import type { Config } from '../../config.ts';
import type { DatabaseConfig } from '../../database/open.ts';
import type { MetadataStore } from '../../database/store.ts';
import { AppError } from '../../errors.ts';
import type { Processor } from '../../imaging/processor.ts';
import type { Maintenance } from '../../maintenance/maintenance.ts';
import type { CommandContext } from '../terminal/context.ts';

export interface Stores {
  readonly config: Config;
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
}

type EnvironmentContext = Pick<CommandContext, 'env'>;

/**
 * Runs `work` with the stores of an existing library.
 * @throws ConfigError; AppError `unavailable`; AppError `not-found` if the SQLite file does not exist.
 */
export async function withStores<T>(
  { env }: EnvironmentContext,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const config = loadConfig(env);
  const { database } = config;
  if (database.kind === 'sqlite' && !(await databaseExists(database))) {
    throw new AppError(
      'not-found',
      `there is no library at ${database.path}: check VITRINE_DATA and VITRINE_DATABASE`,
    );
  }
  return runWithStores(config, work);
}

/**
 * Runs `work` with the stores of a library, and creates the SQLite file and the folders if they do not exist.
 */
export async function withNewStores<T>(
  { env }: EnvironmentContext,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  return runWithStores(loadConfig(env), work);
}

/**
 * Runs `work` with the maintenance service of an existing library. Worker processes decode pictures for it.
 */
export function withMaintenance<T>(
  context: EnvironmentContext,
  work: (maintenance: Maintenance) => Promise<T>,
): Promise<T> {
  return withStores(context, async ({ config, metadata, blobs }) => {
    const [{ createPool }, { Ladders }, { Maintenance: Service }, { damagedRenditions }] = await Promise.all([
      import('../../imaging/pool/pool.ts'),
      import('../../delivery/ladders.ts'),
      import('../../maintenance/maintenance.ts'),
      import('../../delivery/disk-cache.ts'),
    ]);
    const processor = lazyProcessor(() => createPool({ size: config.renderConcurrency }));
    try {
      return await work(
        new Service({
          records: metadata.maintenance,
          blobs,
          processor,
          ladders: new Ladders({ blobs, processor }),
          damagedRenditions: () => damagedRenditions(join(config.dataFolder, 'cache')),
        }),
      );
    } finally {
      await processor.close();
    }
  });
}

/** A processor that starts its workers with the first picture: some maintenance decodes no picture. */
function lazyProcessor(create: () => Processor): Processor {
  let instance: Processor | undefined;
  const processor = () => {
    instance ??= create();
    return instance;
  };
  return {
    ingest: (...task) => processor().ingest(...task),
    render: (...task) => processor().render(...task),
    close: async () => instance?.close(),
  };
}

/** Whether the SQLite file exists. Always true for PostgreSQL. */
export async function databaseExists(database: DatabaseConfig): Promise<boolean> {
  if (database.kind !== 'sqlite') return true;
  return (await stat(database.path).catch(() => undefined)) !== undefined;
}

async function runWithStores<T>(config: Config, work: (stores: Stores) => Promise<T>): Promise<T> {
  const [{ openMetadata }, { openBlobs }] = await Promise.all([
    import('../../database/open.ts'),
    import('../../blobs/open.ts'),
  ]);
  const metadata = await openMetadata(config.database);
  try {
    const blobs = await openBlobs(config.blobs);
    try {
      return await work({ config, metadata, blobs });
    } finally {
      await blobs.close();
    }
  } finally {
    await metadata.close();
  }
}
