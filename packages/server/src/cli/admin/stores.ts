/**
 * Opens the database, the blobs and the maintenance service for one command. Never migrates the database:
 * the server, session.ts and migrate.ts do.
 */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BlobStore } from '../../blobs/store.ts';
import type { Config } from '../../config.ts';
import type { DatabaseConfig } from '../../database/open.ts';
import type { MetadataStore } from '../../database/store.ts';
import { AppError } from '../../errors.ts';
import type { Processor } from '../../imaging/processor.ts';
import type { Maintenance } from '../../maintenance/maintenance.ts';
import type { CommandContext } from '../terminal/context.ts';

/**
 * Originals that garbage collection removes at the same time, with a connection to PostgreSQL for each. With
 * SQLite it removes one, because writers of the server wait for each removal.
 */
const REMOVALS_AT_ONCE = 4;

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
  await checkExists(config.database);
  return runWithStores(config, work);
}

/**
 * Runs `work` with the stores of an existing library, for a command that only reads. It neither creates nor
 * migrates anything.
 * @throws as `withStores`; AppError `not-found` also without a blob folder; `conflict` if a start of the
 * server must first change the database.
 */
export async function withReadableStores<T>(
  { env }: EnvironmentContext,
  work: (stores: Stores) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const config = loadConfig(env);
  const { database, blobs } = config;
  await checkReadable(database);
  if (blobs.kind === 'file' && !(await exists(blobs.folder))) {
    throw new AppError(
      'not-found',
      `there is no blob folder at ${blobs.folder}: check VITRINE_DATA and VITRINE_BLOBS, or start the server once`,
    );
  }
  const checked = async (stores: Stores) => {
    await checkSchema(database, stores.metadata);
    return work(stores);
  };
  return runWithStores(config, checked, { isReadOnly: true });
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
 * Runs `work` with the database alone.
 * @param access `read`: neither creates nor changes anything. A SQLite file that does not exist looks empty.
 * @throws ConfigError; AppError `unavailable`; for `read` also `conflict` without a write-ahead log.
 */
export async function withDatabase<T>(
  { env }: EnvironmentContext,
  access: 'read' | 'write',
  work: (metadata: MetadataStore) => Promise<T>,
): Promise<T> {
  const { loadConfig } = await import('../../config.ts');
  const { database } = loadConfig(env);
  const { openMetadata } = await import('../../database/open.ts');
  const isAbsent = access === 'read' && !(await holdsData(database));
  if (access === 'read' && !isAbsent) await checkReadable(database);
  const metadata = await openMetadata(isAbsent ? { kind: 'sqlite', path: ':memory:' } : database);
  try {
    return await work(metadata);
  } finally {
    await metadata.close();
  }
}

/**
 * Runs `work` with the maintenance service of an existing library. Worker processes decode pictures for it.
 */
export function withMaintenance<T>(
  context: EnvironmentContext,
  work: (maintenance: Maintenance) => Promise<T>,
  access: 'read' | 'write' = 'write',
): Promise<T> {
  const open = access === 'read' ? withReadableStores : withStores;
  return open(context, async ({ config, metadata, blobs }) => {
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
          removalsAtOnce: config.database.kind === 'postgres' ? REMOVALS_AT_ONCE : 1,
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

/** False for a SQLite file that does not exist or is empty. */
async function holdsData(database: DatabaseConfig): Promise<boolean> {
  if (database.kind !== 'sqlite') return true;
  return (await exists(database.path)) && (await readJournalMode(database.path)) !== 'empty';
}

/** Whether the SQLite file exists. Always true for PostgreSQL. */
export async function databaseExists(database: DatabaseConfig): Promise<boolean> {
  return database.kind !== 'sqlite' || exists(database.path);
}

/**
 * Checks that opening the database changes nothing. A connection would create the file, or add its
 * write-ahead log.
 * @throws AppError `not-found` without a database; `conflict` without a write-ahead log.
 */
export async function checkReadable(database: DatabaseConfig): Promise<void> {
  await checkExists(database);
  if (database.kind !== 'sqlite') return;
  const mode = await readJournalMode(database.path);
  if (mode === 'empty') throw noLibrary(database);
  if (mode === 'journal') {
    throw new AppError(
      'conflict',
      `${database.path} has no write-ahead log: start the server once, which adds it`,
    );
  }
}

/**
 * @throws AppError `not-found` if the database has no tables of Vitrine; `conflict` if this version cannot
 * serve its schema.
 */
export async function checkSchema(database: DatabaseConfig, metadata: MetadataStore): Promise<void> {
  const { applied, available, newer, isServable } = await metadata.maintenance.readSchema();
  const newest = applied.at(-1);
  if (newest === undefined) throw noLibrary(database);
  if (isServable) return;
  const isNewer = newer.length > 0;
  throw new AppError(
    'conflict',
    `the database has the schema ${newest}, and this version needs ${available.at(-1)}: ` +
      (isNewer
        ? 'run the newer version that made it'
        : 'make a backup, then run "vitrine migrate" or start the server'),
  );
}

/** Reads the journal mode from the header: bytes 18 and 19 are 1 without a write-ahead log. */
export async function readJournalMode(path: string): Promise<'empty' | 'journal' | 'other'> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 18);
    if (bytesRead === 0) return 'empty';
    return buffer[0] === 1 || buffer[1] === 1 ? 'journal' : 'other';
  } finally {
    await handle.close();
  }
}

/** @throws AppError `not-found`. */
async function checkExists(database: DatabaseConfig): Promise<void> {
  if (!(await databaseExists(database))) throw noLibrary(database);
}

function noLibrary(database: DatabaseConfig): AppError {
  const place = database.kind === 'sqlite' ? `at ${database.path}` : 'in the PostgreSQL database';
  return new AppError(
    'not-found',
    `there is no library ${place}: check VITRINE_DATA and VITRINE_DATABASE, or start the server once`,
  );
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function runWithStores<T>(
  config: Config,
  work: (stores: Stores) => Promise<T>,
  { isReadOnly = false } = {},
): Promise<T> {
  const [{ openMetadata }, { openBlobs }] = await Promise.all([
    import('../../database/open.ts'),
    import('../../blobs/open.ts'),
  ]);
  const metadata = await openMetadata(config.database);
  try {
    const { dataFolder } = config;
    const blobs = await openBlobs({ blobs: config.blobs, dataFolder, isReadOnly, isPatient: true });
    try {
      return await work({ config, metadata, blobs });
    } finally {
      await blobs.close();
    }
  } finally {
    await metadata.close();
  }
}
