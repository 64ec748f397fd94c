/**
 * Connects a client command to one account on one server, with the credentials of a profile.
 */
import type { Image, RetryConfig, Vitrine } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../../image.ts';
import { parseUUID } from '../../validation/uuid.ts';
import type { CommandContext, Environment } from '../terminal/context.ts';
import { configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';

/** The options of every client command. */
export interface ClientOptions {
  /** Undefined: the environment selects the account. */
  readonly profile?: string;
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
    .option(
      '--profile <name>',
      'profile made by "vitrine login" (default: VITRINE_SERVER, _KEY and _SECRET, else VITRINE_PROFILE, else "default")',
    )
    .option('--json', 'print JSON');
}

/**
 * Connects with the credentials of `--profile`, of the environment or of the default profile.
 * @throws AppError `not-found`; `invalid-request`; the errors of the client.
 */
export async function connectProfile(
  options: { readonly profile?: string },
  context: CommandContext,
  connectOptions?: ConnectOptions,
): Promise<Connection> {
  return connect((await readCredentials(options, context)).profile, connectOptions);
}

/** Credentials, and where they come from. */
export interface Credentials {
  readonly profile: Profile;
  /** For messages: `the profile "shop"`, or `the environment`. */
  readonly source: string;
}

/**
 * Reads the credentials. `--profile` comes before the environment, so that a command line says what it does.
 * @throws AppError `not-found`; `invalid-request`; the errors of the client.
 */
export async function readCredentials(
  { profile: name }: { readonly profile?: string },
  { env }: Pick<CommandContext, 'env'>,
): Promise<Credentials> {
  if (name === undefined) {
    const profile = await readEnvironment(env);
    if (profile) return { profile, source: 'the environment' };
  }
  const selected = name ?? (env.VITRINE_PROFILE || DEFAULT_PROFILE);
  const profile = await new Profiles(configFolder(env)).get(selected);
  return { profile, source: `the profile "${selected}"` };
}

/** The credentials in the variables. Undefined if none of them is set. */
async function readEnvironment(env: Environment): Promise<Profile | undefined> {
  const { VITRINE_SERVER, VITRINE_KEY, VITRINE_SECRET, VITRINE_ACCOUNT } = env;
  const required = Object.entries({ VITRINE_SERVER, VITRINE_KEY, VITRINE_SECRET });
  const missing = required.filter(([, value]) => !value).map(([name]) => name);
  if (missing.length === required.length) return undefined;
  if (missing.length > 0) {
    const names = new Intl.ListFormat('en-GB').format(missing);
    throw new AppError(
      'invalid-request',
      `${names} must be set too: set VITRINE_SERVER, VITRINE_KEY and VITRINE_SECRET, or none of them`,
    );
  }
  const server = {
    serverURL: parseServerURL(VITRINE_SERVER ?? '', 'VITRINE_SERVER'),
    publicKey: VITRINE_KEY ?? '',
    secretKey: VITRINE_SECRET ?? '',
  };
  if (VITRINE_ACCOUNT) return { ...server, accountID: parseAccountID(VITRINE_ACCOUNT, 'VITRINE_ACCOUNT') };
  const [account, ...others] = (await findAccounts(server)) ?? [];
  if (account && others.length === 0) return { ...server, accountID: account.accountID };
  throw new AppError(
    'invalid-request',
    'VITRINE_ACCOUNT must be set, because the key is for several accounts',
  );
}

/**
 * The accounts of a key: those that it names, or the newest 200 of the server for a key for all accounts.
 * Undefined: the server cannot say, or the key may not list accounts.
 */
export async function findAccounts(
  server: Omit<Profile, 'accountID'>,
): Promise<readonly { readonly accountID: string; readonly displayName: string }[] | undefined> {
  const { vitrine } = await connect({ ...server, accountID: '' });
  try {
    const { result } = await vitrine.keys.me();
    return result.allAccounts ? (await vitrine.accounts.list({ count: 200 })).result : result.accounts;
  } catch (error) {
    // Servers without this operation answer 404, or with a page.
    const { status = 0, name } = error as { status?: number; name?: string };
    if ([403, 404].includes(status) || name === 'ResponseValidationError') return undefined;
    throw error;
  }
}

/**
 * The URL of a server without a trailing slash.
 * @param source the option or variable that has the text.
 * @throws AppError `invalid-request`.
 */
export function parseServerURL(text: string, source: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw new AppError(
      'invalid-request',
      `${source} must be an http or https URL, such as https://images.example.com`,
    );
  }
  if (url.username || url.password) {
    throw new AppError('invalid-request', `${source} must not contain credentials`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** The canonical ID of an account. @throws AppError `invalid-request`. */
export function parseAccountID(text: string, source: string): string {
  const accountID = parseUUID(text);
  if (accountID !== undefined) return accountID;
  const example = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
  throw new AppError('invalid-request', `${source} must be a UUID, such as ${example}`);
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
