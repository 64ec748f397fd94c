/**
 * Connects a client command to one account on one server, with the credentials of a profile.
 */
import type { Image, RetryConfig, Vitrine } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';
import type { CommandContext } from '../terminal/context.ts';
import { configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

/** The options of every client command. */
export interface ClientOptions {
  readonly profile: string;
  readonly json?: true;
}

/** One account on one server. */
export interface Connection {
  readonly accountID: string;
  readonly serverURL: string;
  readonly vitrine: Vitrine;
  /**
   * Downloads an original and compares it with the digest that the server sent. Returns undefined if the
   * server has no operation for originals.
   * @throws AppError `invalid-image` if the bytes and the digest differ; AppError `too-large`; the errors of
   * the client.
   */
  downloadOriginal(imageID: string): Promise<Buffer | undefined>;
  /** Finds an image by its ID, its public ID or its link. @throws AppError `not-found`. */
  findImage(name: string): Promise<Image>;
}

export interface ConnectOptions {
  /** Uses LONG_RETRIES, so that the command survives a server restart. */
  readonly longRetries?: boolean;
}

/** Two minutes, also after connection errors. */
export const LONG_RETRIES = {
  strategy: 'backoff',
  backoff: { initialInterval: 250, maxInterval: 5_000, maxElapsedTime: 120_000 },
  retryConnectionErrors: true,
} as const satisfies RetryConfig;

const DEFAULT_RETRIES: RetryConfig = {
  strategy: 'backoff',
  backoff: { initialInterval: 250, maxInterval: 5_000, maxElapsedTime: 10_000 },
};

/** Times in milliseconds. */
const SHORT_RETRIES: RetryConfig = {
  strategy: 'backoff',
  backoff: { initialInterval: 250, maxInterval: 1_000, maxElapsedTime: 2_000 },
};

/** Creates a command with the options of every client command. */
export function addClientCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--profile <name>', 'profile of the server and account, made by "vitrine login"', DEFAULT_PROFILE)
    .option('--json', 'print JSON');
}

/** Connects with the profile that `--profile` names. @throws AppError `not-found`; `invalid-request`. */
export async function connectProfile(
  { profile }: { readonly profile: string },
  { env }: CommandContext,
  options?: ConnectOptions,
): Promise<Connection> {
  return connect(await new Profiles(configFolder(env)).get(profile), options);
}

/** @throws AppError `invalid-request` if the server URL is not valid. */
export async function connect(
  profile: Profile,
  { longRetries = false }: ConnectOptions = {},
): Promise<Connection> {
  const { serverURL, accountID, publicKey, secretKey } = profile;
  const client = await import('@vitrine/client');
  const vitrine = createClient(client, {
    serverURL,
    security: { username: publicKey, password: secretKey },
    retries: longRetries ? LONG_RETRIES : DEFAULT_RETRIES,
  });
  return {
    accountID,
    serverURL,
    vitrine,
    async downloadOriginal(imageID) {
      const image = { accountID, imageID };
      const download = async (options: { retries?: RetryConfig }) => {
        const { result } = await vitrine.images.original(image, { verify: true, ...options });
        return readBytes(result);
      };
      try {
        return await download({ retries: { strategy: 'none' } }).catch(async (error: unknown) => {
          const status = error instanceof client.APIError ? error.status : 0;
          if (status > 0 && ![408, 429, 500, 502, 503, 504].includes(status)) throw error;
          if (status < 500) return download({});
          // Either the server is down or only this original is lost. The metadata request, which needs no
          // original, has all retries. Once it succeeds, the server works, and short retries for the original
          // are enough.
          await vitrine.images.getMetadata(image);
          return download({ retries: SHORT_RETRIES });
        });
      } catch (error) {
        if (!(error instanceof client.APIError)) throw error;
        // The image exists, so the server lacks the operation. Other servers may answer with a web page
        // instead.
        const isPage = error.status < 300 && !error.headers.has('repr-digest');
        if (isPage || [404, 405, 501].includes(error.status)) return undefined;
        // This original is damaged. Other originals may be intact.
        if (error.status < 300) throw new AppError('invalid-image', error.message);
        throw error;
      }
    },
    async findImage(name) {
      // These names would change the path of the request.
      if (/^\.{0,2}$/.test(name)) throw new AppError('not-found', `the account has no image "${name}"`);
      const publicID = /(?:^|\/images\/)([A-Za-z0-9_-]{21})(?:[?#].*)?$/.exec(name)?.[1];
      if (publicID === undefined) {
        return (await vitrine.images.getMetadata({ accountID, imageID: name })).result;
      }
      for await (const image of vitrine.images.list({ accountID })) {
        if (image.publicID === publicID) return image;
      }
      throw new AppError('not-found', `the account has no image with the public ID ${publicID}`);
    },
  };
}

/** All bytes of a stream. @throws AppError `too-large` above the size limit of originals. */
export async function readBytes(stream: ReadableStream<Uint8Array> | null | undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    size += chunk.length;
    if (size > MAX_ORIGINAL_BYTES) {
      throw new AppError('too-large', `the picture is too large: limit ${MAX_ORIGINAL_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

type ClientPackage = typeof import('@vitrine/client');

function createClient(
  client: ClientPackage,
  options: ConstructorParameters<ClientPackage['Vitrine']>[0],
): Vitrine {
  try {
    return new client.Vitrine(options);
  } catch (error) {
    throw new AppError('invalid-request', (error as Error).message);
  }
}
