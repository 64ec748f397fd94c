/**
 * Opens the two places of a move: the library of the environment, and the target of the options. Knows the
 * variables that a server at each place needs.
 */
import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type BlobsConfig, describeLocation } from '../../blobs/location.ts';
import type { BlobStore } from '../../blobs/store.ts';
import type { Config } from '../../config.ts';
import type { DatabaseConfig } from '../../database/open.ts';
import type { MetadataStore } from '../../database/store.ts';
import { AppError } from '../../errors.ts';
import type { MovePlaces, ReadablePlace, ReadablePlaces } from '../../maintenance/moving/places.ts';
import type { CommandContext, Environment } from '../terminal/context.ts';
import { checkSchema, databaseExists, type Stores, withReadableStores, withStores } from './stores.ts';

/** The options that name the target. An absent part stays where it is. */
export interface MoveTarget {
  /** In the form of VITRINE_DATABASE. */
  readonly to?: string;
  /** In the form of VITRINE_BLOBS. */
  readonly blobs?: string;
}

export interface OpenPlaces {
  readonly places: MovePlaces;
  /** The variables of a server at the former place and at the target, with masked passwords. */
  readonly sourceEnvironment: Readonly<Record<string, string>>;
  readonly targetEnvironment: Readonly<Record<string, string>>;
}

type EnvironmentContext = Pick<CommandContext, 'env'>;

/**
 * Runs `work` with both places. Creates a target that does not exist.
 * @throws ConfigError; AppError `invalid-request` for a target that cannot be one; errors of the stores.
 */
export async function withMovePlaces<T>(
  context: EnvironmentContext,
  target: MoveTarget,
  work: (places: OpenPlaces) => Promise<T>,
): Promise<T> {
  return withStores(context, async (source) => {
    await checkSchema(source.config.database, source.metadata);
    const config = await targetConfig(context.env, source.config, target);
    const { metadata, blobs, close } = await openTarget(source, config, target);
    try {
      const places: MovePlaces = {
        source: placeOf(source),
        target: { ...placeOf({ metadata, blobs }), migrate: () => metadata.migrate() },
        from: describePlace(source.config),
        to: describePlace(config),
      };
      return await work({
        places,
        sourceEnvironment: environmentOf(source.config, context.env, {}),
        targetEnvironment: environmentOf(config, context.env, target),
      });
    } finally {
      await close();
    }
  });
}

export interface PreviewPlaces {
  readonly places: ReadablePlaces;
  readonly stores: Stores;
  /** Undefined if the blobs stay. */
  readonly targetBlobs: ReadablePlace['blobs'] | undefined;
}

/** Runs `work` with both places, and creates nothing. A target that does not exist is empty. */
export async function withPreviewPlaces<T>(
  context: EnvironmentContext,
  target: MoveTarget,
  work: (places: PreviewPlaces) => Promise<T>,
): Promise<T> {
  return withReadableStores(context, async (source) => {
    const config = await targetConfig(context.env, source.config, target);
    const exists = {
      database: await databaseExists(config.database),
      blobs: config.blobs.kind !== 'file' || (await isFolder(config.blobs.folder)),
    };
    const existing: MoveTarget = {
      ...(target.to !== undefined && exists.database && { to: target.to }),
      ...(target.blobs !== undefined && exists.blobs && { blobs: target.blobs }),
    };
    const { metadata, blobs, close } = await openTarget(source, config, existing, true);
    try {
      const { maintenance: _, moves } = metadata;
      const targetPlace: ReadablePlace = {
        moves: target.to !== undefined && !exists.database ? NO_RECORDS : moves,
        blobs: target.blobs !== undefined && !exists.blobs ? NO_BLOBS : blobs,
      };
      const places: ReadablePlaces = {
        source: { moves: source.metadata.moves, blobs: source.blobs },
        target: targetPlace,
        to: describePlace(config),
      };
      const targetBlobs = target.blobs === undefined ? undefined : targetPlace.blobs;
      return await work({ places, stores: source, targetBlobs });
    } finally {
      await close();
    }
  });
}

const NO_RECORDS: ReadablePlace['moves'] = { identity: async () => undefined };
const NO_BLOBS: ReadablePlace['blobs'] = {
  readLibraryID: async () => undefined,
  async *listOriginals() {},
};

interface OpenTarget {
  readonly metadata: MetadataStore;
  readonly blobs: BlobStore;
  close(): Promise<void>;
}

/** Opens the parts that move. The others are those of the source. */
async function openTarget(
  source: Stores,
  config: Config,
  target: MoveTarget,
  isReadOnly = false,
): Promise<OpenTarget> {
  const [{ openMetadata }, { openBlobs }] = await Promise.all([
    import('../../database/open.ts'),
    import('../../blobs/open.ts'),
  ]);
  const opened: { close(): Promise<void> }[] = [];
  const close = async () => {
    for (const part of opened.reverse()) await part.close();
  };
  try {
    let { metadata, blobs } = source;
    if (target.to !== undefined) {
      metadata = await openMetadata(config.database);
      opened.push(metadata);
    }
    if (target.blobs !== undefined) {
      const { dataFolder } = config;
      blobs = await openBlobs({ blobs: config.blobs, dataFolder, isReadOnly, isPatient: true });
      opened.push(blobs);
    }
    return { metadata, blobs, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function placeOf({ metadata, blobs }: Pick<Stores, 'metadata' | 'blobs'>) {
  return { records: metadata.maintenance, moves: metadata.moves, blobs };
}

/** @throws ConfigError; AppError `invalid-request` if a part is to move to where it is. */
async function targetConfig(env: Environment, source: Config, { to, blobs }: MoveTarget): Promise<Config> {
  const { ConfigError, loadConfig } = await import('../../config.ts');
  let config: Config;
  try {
    config = loadConfig({
      ...env,
      ...(to !== undefined && { VITRINE_DATABASE: to }),
      ...(blobs !== undefined && { VITRINE_BLOBS: blobs }),
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const text = error.message.replaceAll('VITRINE_DATABASE', '--to').replaceAll('VITRINE_BLOBS', '--blobs');
    throw new AppError('invalid-request', text, { cause: error });
  }
  // Without the option, the blobs stay, also if their default would follow another variable.
  if (blobs === undefined) config = { ...config, blobs: source.blobs };
  if (to !== undefined && (await isSame(source.database, config.database))) {
    throw new AppError(
      'invalid-request',
      '--to is the database of the library: leave it out, or give another',
    );
  }
  if (blobs !== undefined && (await isSame(source.blobs, config.blobs))) {
    throw new AppError(
      'invalid-request',
      '--blobs are the blobs of the library: leave it out, or give others',
    );
  }
  return config;
}

async function isSame<C extends DatabaseConfig | BlobsConfig>(one: C, other: C): Promise<boolean> {
  const text = async (config: C): Promise<string> => {
    if (config.kind === 'sqlite') return realPath(config.path);
    if (config.kind === 'file') return realPath(config.folder);
    if (config.kind === 'postgres') {
      const { host, pathname } = new URL(config.url);
      return `${host}${pathname}`;
    }
    return describeLocation(config);
  };
  return one.kind === other.kind && (await text(one)) === (await text(other));
}

async function realPath(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** A place for messages, without secrets. */
function describePlace({ database, blobs }: Config): string {
  return `${describeDatabase(database)} with ${describeLocation(absolute(blobs))}`;
}

function describeDatabase(database: DatabaseConfig): string {
  if (database.kind === 'sqlite') return resolve(database.path);
  const { host, pathname } = new URL(database.url);
  return `postgres://${host}${pathname}`;
}

function absolute(blobs: BlobsConfig): BlobsConfig {
  return blobs.kind === 'file' ? { kind: 'file', folder: resolve(blobs.folder) } : blobs;
}

/** Stands for a password in the output. */
export const MASK = '***';

/** The variables that select a place. */
function environmentOf(
  { database, blobs }: Config,
  env: Environment,
  { to, blobs: blobsText }: MoveTarget,
): Record<string, string> {
  return {
    VITRINE_DATABASE:
      database.kind === 'sqlite'
        ? `sqlite:${resolve(database.path)}`
        : withoutPassword(to ?? env.VITRINE_DATABASE ?? database.url),
    VITRINE_BLOBS:
      blobs.kind === 'file'
        ? `file:${resolve(blobs.folder)}`
        : (blobsText ?? env.VITRINE_BLOBS ?? describeLocation(blobs)),
  };
}

function withoutPassword(text: string): string {
  const url = new URL(text);
  if (url.password !== '') url.password = MASK;
  if (url.searchParams.has('password')) url.searchParams.set('password', MASK);
  return url.href;
}
