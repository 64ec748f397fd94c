/**
 * Owns what a client's command works with: a server, an account on it and a client with its credentials, from a profile; and
 * the operations that the client package does not have. Refuses to know commands.
 */
import type { Image, Vitrine } from '@vitrine/client';
import type { Command } from 'commander';
import { AppError, isAppError } from '../errors.ts';
import { MAX_ORIGINAL_BYTES } from '../image.ts';
import { configFolder, DEFAULT_PROFILE, type Profile, Profiles } from './profiles.ts';
import type { Surroundings } from './session.ts';

export interface ClientOptions {
  readonly profile: string;
  readonly json?: true;
}

/** One account on one server. */
export interface Connection {
  readonly accountID: string;
  readonly serverURL: string;
  readonly vitrine: Vitrine;
  /** The bytes that were uploaded; undefined from a server that does not give them. */
  original(imageID: string): Promise<Buffer | undefined>;
  /** An image by its ID, its public ID or its link. @throws AppError `not-found`. */
  find(name: string): Promise<Image>;
}

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
  const address = (imageID: string, what: string) => {
    const image = `${encodeURIComponent(accountID)}/images/${encodeURIComponent(imageID)}`;
    return `${serverURL.replace(/\/+$/, '')}/accounts/${image}/${what}`;
  };
  const authorization = `Basic ${Buffer.from(`${publicKey}:${secretKey}`).toString('base64')}`;
  const headers = { authorization, 'x-moov-version': client.NEWEST_VERSION };

  /** Undefined where the server has no such operation: the image is known to be there, so it is not what is missing. */
  async function ask(method: 'GET' | 'POST', imageID: string, what: string): Promise<Buffer | undefined> {
    const url = address(imageID, what);
    const { response, body } = await answerOf(url, { method, headers }).catch((cause: Error) => {
      if (isAppError(cause)) throw cause;
      const detail = (cause.cause as Error | undefined)?.message ?? cause.message;
      throw new client.ConnectionError(`no answer from ${new URL(url).origin}: ${detail}`, { cause });
    });
    if (response.ok) return body;
    if ([404, 405, 501].includes(response.status)) return undefined;
    const { status, headers: received } = response;
    throw new client.APIError({ status, headers: received, body: body.toString('utf8') });
  }

  const connection: Connection = {
    accountID,
    serverURL,
    vitrine,
    original: (imageID) => untilPassed(client, patient, () => ask('GET', imageID, 'original')),
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
  return connection;
}

async function answerOf(url: string, init: RequestInit): Promise<{ response: Response; body: Buffer }> {
  const response = await fetch(url, init);
  return { response, body: await readWhole(response.body) };
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

/** Attempts of what the client does not do by itself. */
const ATTEMPTS = 5;

/** As the client does it: again after what may be another the next time, when the server says so or a little later each time. */
async function untilPassed<T>(
  { APIError, ConnectionError }: ClientPackage,
  patient: boolean,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const passing =
        error instanceof APIError
          ? [429, 500, 502, 503, 504].includes(error.status)
          : patient && error instanceof ConnectionError;
      if (!passing || attempt === ATTEMPTS) throw error;
      const asked = error instanceof APIError ? Number(error.headers.get('retry-after')) : 0;
      const seconds = asked > 0 && asked < 120 ? asked : 0.25 * 2 ** attempt;
      await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
    }
  }
}
