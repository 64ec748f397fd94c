/**
 * Owns what the commands of maintenance work with: the records and the blobs that the environment names, and what looks
 * after them, opened for one command and closed after it. Refuses to know commands.
 *
 * Unlike a session these change no schema and make no library: whoever looks after a library wants the one that is there.
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
import type { Surroundings } from './session.ts';

export interface Stores {
  readonly config: Config;
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
}

type Environment = Pick<Surroundings, 'env'>;

/**
 * Runs `work` with the stores as they are.
 * @throws ConfigError; AppError `unavailable`, `not-found` if there is no library.
 */
export async function withStores<T>({ env }: Environment, work: (stores: Stores) => Promise<T>): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const config = loadConfig(env);
  if (!(await exists(config.database)))
    throw new AppError('not-found', 'there is no library here: see VITRINE_DATA');
  return opening(config, work);
}

/** The same for stores that may have to be made. */
export async function withNewStores<T>(
  { env }: Environment,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  return opening(loadConfig(env), work);
}

/** Runs `work` with what looks after the stores, and the processes that decode pictures for it. */
export function withMaintenance<T>(
  environment: Environment,
  work: (maintenance: Maintenance) => Promise<T>,
): Promise<T> {
  return withStores(environment, async ({ config, metadata, blobs }) => {
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

/** A processor that begins with its first picture: not everything that looks after a library decodes any. */
function lazyProcessor(create: () => Processor): Processor {
  let created: Processor | undefined;
  const processor = () => {
    created ??= create();
    return created;
  };
  return {
    ingest: (...task) => processor().ingest(...task),
    render: (...task) => processor().render(...task),
    close: async () => created?.close(),
  };
}

/** True unless the database is a file that is not there. */
export async function exists(database: DatabaseConfig): Promise<boolean> {
  if (database.kind !== 'sqlite') return true;
  return (await stat(database.path).catch(() => undefined)) !== undefined;
}

async function opening<T>(config: Config, work: (stores: Stores) => Promise<T>): Promise<T> {
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
