/**
 * Owns what a client's command works with: a server, an account on it and a client with its credentials, from a profile.
 * Refuses to know commands.
 */
import type { Image, RetryConfig, Vitrine } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';
import type { Surroundings } from '../admin/session.ts';
import { configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

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
   * The bytes that were uploaded, checked; undefined from a server that does not give them.
   * @throws AppError `invalid-image` if they are not what the server says they are; what the client throws, and soon where the
   * server is well and only this picture fails.
   */
  original(imageID: string): Promise<Buffer | undefined>;
  /** An image by its ID, its public ID or its link. @throws AppError `not-found`. */
  find(name: string): Promise<Image>;
}

/** Some attempts in about two seconds. */
const BRIEFLY: RetryConfig = {
  strategy: 'backoff',
  backoff: { initialInterval: 250, maxInterval: 1_000, maxElapsedTime: 2_000 },
};

/** The options that every client's command has. */
export function clientCommand(parent: Command, name: string, description: string): Command {
  return parent
    .command(name)
    .description(description)
    .option('--profile <name>', 'whom to speak to, as "vitrine login" knows it', DEFAULT_PROFILE)
    .option('--json', 'print JSON');
}

/** Connects as a profile says. @param patient for work that runs for long, and should outlast a restart of the server. */
export async function connectAs(
  { profile }: { readonly profile: string },
  { env }: Surroundings,
  options?: { patient?: boolean },
): Promise<Connection> {
  return connect(await new Profiles(configFolder(env)).get(profile), options);
}

/** @throws AppError `invalid-request` if the address is none. */
export async function connect(profile: Profile, { patient = false } = {}): Promise<Connection> {
  const { serverURL, accountID, publicKey, secretKey } = profile;
  const client = await import('@vitrine/client');
  const vitrine = clientOf(client, {
    serverURL,
    security: { username: publicKey, password: secretKey },
    retries: {
      strategy: 'backoff',
      backoff: { initialInterval: 250, maxInterval: 5_000, maxElapsedTime: patient ? 120_000 : 10_000 },
      retryConnectionErrors: patient,
    },
  });
  return {
    accountID,
    serverURL,
    vitrine,
    async original(imageID) {
      const asked = { accountID, imageID };
      const ask = async (options: { retries?: RetryConfig }) => {
        const { result } = await vitrine.images.original(asked, { verify: true, ...options });
        return readWhole(result);
      };
      try {
        return await ask({ retries: { strategy: 'none' } }).catch(async (error: unknown) => {
          const status = error instanceof client.APIError ? error.status : 0;
          if (status > 0 && ![429, 500, 502, 503, 504].includes(status)) throw error;
          if (status < 500) return ask({});
          // The server may be ill, or this picture lost, which no patience brings back. What needs no picture tells which: it
          // is waited for as long as anything is, and the picture then no longer than a moment.
          await vitrine.images.getMetadata(asked);
          return ask({ retries: BRIEFLY });
        });
      } catch (error) {
        if (!(error instanceof client.APIError)) throw error;
        // The image is known to be there, so what is missing is the operation; elsewhere any page may be in its place.
        const isPage = error.status < 300 && !error.headers.has('repr-digest');
        if (isPage || [404, 405, 501].includes(error.status)) return undefined;
        // Damaged, which says nothing of the next one.
        if (error.status < 300) throw new AppError('invalid-image', error.message);
        throw error;
      }
    },
    async find(name) {
      // No path of the contract, and no ID of anything.
      if (/^\.{0,2}$/.test(name)) throw new AppError('not-found', 'the account has no such image');
      const publicID = /(?:^|\/images\/)([A-Za-z0-9_-]{21})(?:[?#].*)?$/.exec(name)?.[1];
      if (publicID === undefined)
        return (await vitrine.images.getMetadata({ accountID, imageID: name })).result;
      for await (const image of vitrine.images.list({ accountID }))
        if (image.publicID === publicID) return image;
      throw new AppError('not-found', 'the account has no such image');
    },
  };
}

/** The bytes of a stream. @throws AppError `too-large` once there are more than an original may have. */
export async function readWhole(stream: ReadableStream<Uint8Array> | null | undefined): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of stream ?? []) {
    size += piece.length;
    if (size > MAX_ORIGINAL_BYTES) {
      throw new AppError('too-large', `the picture has more bytes than the limit, ${MAX_ORIGINAL_BYTES}`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

type ClientPackage = typeof import('@vitrine/client');

function clientOf(
  client: ClientPackage,
  options: ConstructorParameters<ClientPackage['Vitrine']>[0],
): Vitrine {
  try {
    return new client.Vitrine(options);
  } catch (error) {
    throw new AppError('invalid-request', (error as Error).message);
  }
}
