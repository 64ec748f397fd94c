/**
 * Owns the configuration: what each environment variable means, its default, and how a wrong one is reported.
 * Every variable is declared once, as a descriptor beside the field that it fills; `docs/config.md` is generated
 * from the same descriptors. Refuses to know process.env, the file system and what the values are used for.
 */
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { DEFAULT_IMAGE_QUOTA } from './access/account.ts';
import type { BlobsConfig } from './blobs/open.ts';
import type { DatabaseConfig } from './database/open.ts';
import { parseUUID } from './validation/uuid.ts';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The whole configuration. Paths are as they were given, relative ones to the working folder. */
export interface Config {
  readonly host: string;
  /** 0: the system picks a free one. */
  readonly port: number;
  readonly dataFolder: string;
  readonly database: DatabaseConfig;
  readonly blobs: BlobsConfig;
  /** Base of public links, without a trailing slash; undefined: the address that the server listens on. */
  readonly publicURL: string | undefined;
  readonly bootstrap:
    | { readonly accountID: string; readonly publicKey: string; readonly secretKey: string }
    | undefined;
  /** Requests per second per key and address; 0: no limit. */
  readonly rateLimit: number;
  /** Images that are not disabled, per account that sets no quota of its own. */
  readonly imageQuota: number;
  /** Bytes of originals of images that are not disabled, per account that sets no quota of its own; 0: no limit. */
  readonly byteQuota: number;
  readonly cacheBytes: number;
  readonly memoryCacheBytes: number;
  /** Renditions of one image that may be made at once, and again in the course of an hour; 0: no limit. */
  readonly sizeBudget: number;
  readonly renderConcurrency: number;
  readonly logLevel: LogLevel;
  /** As Fastify's `trustProxy`: all or none, a number of hops, or addresses and networks. */
  readonly trustProxy: boolean | number | readonly string[];
  readonly corsOrigins: '*' | readonly string[];
  readonly cacheControl: string;
}

// What each variable gives on its own; `bootstrap` takes two.
type Settings = Omit<Config, 'bootstrap'> & {
  readonly bootstrapAccount: string | undefined;
  readonly bootstrapKey: { readonly publicKey: string; readonly secretKey: string } | undefined;
};

/** One environment variable: all that the loader and the documentation need to know about it. */
export interface Variable<T> {
  readonly name: `VITRINE_${string}`;
  /** What is accepted, to follow "must be". Markdown. */
  readonly format: string;
  /** The text that is parsed when the variable is unset. `<data>` and `<cores>` stand for values of the start. */
  readonly default: string;
  readonly description: string;
  readonly example: string;
  /** True if the text may hold a secret, which must not appear in a problem. */
  readonly secret?: boolean;
  /** The value, or a Refusal. */
  readonly parse: (text: string) => T | Refusal;
}

/** Why a text is refused, if there is more to say than the format. */
class Refusal {
  readonly reason: string | undefined;
  constructor(reason?: string) {
    this.reason = reason;
  }
}

/** Every variable, by the field it fills, in the order of the documentation. */
const VARIABLES: { readonly [F in keyof Settings]: Variable<Settings[F]> } = {
  host: {
    name: 'VITRINE_HOST',
    format: 'an IP address or a host name',
    default: '127.0.0.1',
    description: 'The address to listen on. `0.0.0.0` or `::` opens the server to the network.',
    example: '0.0.0.0',
    parse: (text) =>
      isIP(text) || /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i.test(text) ? text : new Refusal(),
  },
  port: {
    name: 'VITRINE_PORT',
    format: 'a whole number from 0 to 65535',
    default: '4100',
    description: 'The TCP port to listen on. 0 picks a free one; the log says which.',
    example: '8080',
    parse: wholeNumber(0, 65_535),
  },
  dataFolder: {
    name: 'VITRINE_DATA',
    format: 'a path',
    default: './data',
    description:
      'The folder for everything that has no place of its own. Created at start, for this user only (mode 0700, files 0600); a folder or database that exists keeps its permissions.',
    example: '/var/lib/vitrine',
    parse: parsePath,
  },
  database: {
    name: 'VITRINE_DATABASE',
    format: '`sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`',
    default: 'sqlite:<data>/vitrine.db',
    description:
      'Where records live. SQLite is one file and serves one process; with PostgreSQL (`postgres://` or `postgresql://`) several processes can share a library.',
    example: 'postgres://vitrine:password@db.example/vitrine',
    secret: true,
    parse: parseDatabase,
  },
  blobs: {
    name: 'VITRINE_BLOBS',
    format: '`file:PATH`',
    default: 'file:<data>/blobs',
    description:
      'Where originals live. The form `s3://BUCKET/PREFIX?endpoint=URL&region=REGION` is reserved: this version recognises and refuses it.',
    example: 'file:/mnt/pictures',
    parse: parseBlobs,
  },
  publicURL: {
    name: 'VITRINE_PUBLIC_URL',
    format: 'an http or https URL without credentials, query and fragment',
    default: '',
    description:
      'The base of public links, as clients reach it. Unset, links name the address that the server listens on.',
    example: 'https://images.example.com',
    parse: parsePublicURL,
  },
  bootstrapAccount: {
    name: 'VITRINE_BOOTSTRAP_ACCOUNT',
    format: 'a UUID',
    default: '',
    description: 'An account that is created at start if it is absent. Needs `VITRINE_BOOTSTRAP_KEY`.',
    example: 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11',
    parse: (text) => (text === '' ? undefined : (parseUUID(text) ?? new Refusal())),
  },
  bootstrapKey: {
    name: 'VITRINE_BOOTSTRAP_KEY',
    format: '`PUBLIC:SECRET`, split at the first colon, neither part empty',
    default: '',
    description:
      'A key for all accounts with all scopes, created at start if it is absent; another secret for the same public key replaces it. Needs `VITRINE_BOOTSTRAP_ACCOUNT`.',
    example: 'ci:a-long-random-secret',
    secret: true,
    parse: parseKey,
  },
  rateLimit: {
    name: 'VITRINE_RATE_LIMIT',
    format: 'a whole number from 0 to 1000000',
    default: '1000',
    description:
      'Requests per second for each key and each address, and twice as many at once; beyond it requests are answered with 429. Public links that are in a cache, and probes, are not counted. 0 sets no limit.',
    example: '50',
    parse: wholeNumber(0, 1_000_000),
  },
  imageQuota: {
    name: 'VITRINE_IMAGE_QUOTA',
    format: 'a whole number from 1 to 1000000000',
    default: String(DEFAULT_IMAGE_QUOTA),
    description: 'Images that are not disabled, for each account that has no quota of its own.',
    example: '10000',
    parse: wholeNumber(1, 1_000_000_000),
  },
  byteQuota: {
    name: 'VITRINE_BYTE_QUOTA',
    format: 'a number of bytes, or one of `KiB`, `MiB`, `GiB`',
    default: '0',
    description:
      'Bytes that the originals of images that are not disabled may have, for each account that has no quota of its own. 0 sets no limit.',
    example: '20GiB',
    parse: parseBytes,
  },
  cacheBytes: {
    name: 'VITRINE_CACHE_BYTES',
    format: 'a number of bytes, or one of `KiB`, `MiB`, `GiB`',
    default: '1GiB',
    description:
      'The size of the cache of renditions on disk, in `<data>/cache`. It survives a restart; the least recently used go first. 0 keeps none.',
    example: '10GiB',
    parse: parseBytes,
  },
  memoryCacheBytes: {
    name: 'VITRINE_MEMORY_CACHE_BYTES',
    format: 'a number of bytes, or one of `KiB`, `MiB`, `GiB`',
    default: '64MiB',
    description:
      'The size of the cache of renditions in memory; the least recently used go first. 0 keeps none.',
    example: '256MiB',
    parse: parseBytes,
  },
  sizeBudget: {
    name: 'VITRINE_SIZE_BUDGET',
    format: 'a whole number from 0 to 1000000',
    default: '256',
    description:
      'Different renditions that may be made of one image at once, and as many again in the course of an hour. Beyond it, new ones are answered with 429; those in a cache are not counted. 0 sets no limit.',
    example: '1000',
    parse: wholeNumber(0, 1_000_000),
  },
  renderConcurrency: {
    name: 'VITRINE_RENDER_CONCURRENCY',
    format: 'a whole number from 1 to 256',
    default: '<cores>',
    description: 'Pictures that are decoded at the same time, each in a process of its own.',
    example: '4',
    parse: wholeNumber(1, 256),
  },
  logLevel: {
    name: 'VITRINE_LOG_LEVEL',
    format: `one of ${LOG_LEVELS.map((level) => `\`${level}\``).join(', ')}`,
    default: 'info',
    description: 'The least severe messages that are logged.',
    example: 'warn',
    parse: (text) => LOG_LEVELS.find((level) => level === text) ?? new Refusal(),
  },
  trustProxy: {
    name: 'VITRINE_TRUST_PROXY',
    format: '`true`, `false`, a number of proxies, or IP addresses and networks separated by commas',
    default: 'false',
    description:
      'Whose `X-Forwarded-*` headers are believed. `true` believes everyone, and takes the first address of the header, which may be what a stranger wrote there: a number of proxies or their addresses is better. With any of them, and answers logged (`VITRINE_LOG_LEVEL` of `info` and below), pictures in memory take the way through the router, which alone knows whose address to log; at `warn` they do not.',
    example: '10.0.0.0/8, 127.0.0.1',
    parse: parseTrustProxy,
  },
  corsOrigins: {
    name: 'VITRINE_CORS_ORIGINS',
    format: '`*`, or origins such as `https://shop.example` separated by commas',
    default: '',
    description:
      'Web pages that may call the API from a browser. Public links may be read by every page, whatever this says. `*` is for a server whose users give no credentials to browsers: with it, a page of any site can have a browser send those that it remembers.',
    example: 'https://shop.example, https://admin.example',
    parse: parseOrigins,
  },
  cacheControl: {
    name: 'VITRINE_CACHE_CONTROL',
    format: 'the value of a `Cache-Control` header',
    default: 'public, max-age=3600, stale-while-revalidate=86400',
    description: 'What public links tell caches.',
    example: 'public, max-age=86400',
    parse: (text) => (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : new Refusal()),
  },
};

/** What the documentation shows: every variable, in order. */
export const CONFIG_VARIABLES: readonly Variable<unknown>[] = Object.values(VARIABLES);

/** The environment holds values that cannot be used; `problems` has a line for each of them. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : 'problems'}:\n- ${problems.join('\n- ')}`,
    );
    this.problems = problems;
  }
}

/**
 * The configuration that an environment describes. Variables that are unset or empty take their defaults, so the
 * empty environment is a good one. Pure; `cores` is the default of the render concurrency.
 * @throws ConfigError with every problem at once. Secrets appear in none.
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  cores: number = availableParallelism(),
): Config {
  const problems: string[] = [];
  const concurrency = String(Math.min(256, Math.max(1, cores)));
  let dataFolder = VARIABLES.dataFolder.default;
  const read = <T>(variable: Variable<T>): T => {
    const given = env[variable.name]?.trim() ?? '';
    if (given !== '') {
      const value = variable.parse(given);
      if (!(value instanceof Refusal)) return value;
      problems.push(problem(variable, given, value));
    }
    // After a problem the default only fills the place until all problems are known.
    const value = variable.parse(
      variable.default.replace('<data>', () => dataFolder).replace('<cores>', concurrency),
    );
    if (value instanceof Refusal) throw new Error(`The default of ${variable.name} does not parse`);
    return value;
  };
  dataFolder = read(VARIABLES.dataFolder);
  const accountID = read(VARIABLES.bootstrapAccount);
  const key = read(VARIABLES.bootstrapKey);
  const config: Config = {
    host: read(VARIABLES.host),
    port: read(VARIABLES.port),
    dataFolder,
    database: read(VARIABLES.database),
    blobs: read(VARIABLES.blobs),
    publicURL: read(VARIABLES.publicURL),
    bootstrap: accountID && key ? { accountID, ...key } : undefined,
    rateLimit: read(VARIABLES.rateLimit),
    imageQuota: read(VARIABLES.imageQuota),
    byteQuota: read(VARIABLES.byteQuota),
    cacheBytes: read(VARIABLES.cacheBytes),
    memoryCacheBytes: read(VARIABLES.memoryCacheBytes),
    sizeBudget: read(VARIABLES.sizeBudget),
    renderConcurrency: read(VARIABLES.renderConcurrency),
    logLevel: read(VARIABLES.logLevel),
    trustProxy: read(VARIABLES.trustProxy),
    corsOrigins: read(VARIABLES.corsOrigins),
    cacheControl: read(VARIABLES.cacheControl),
  };
  const alone = [VARIABLES.bootstrapAccount, VARIABLES.bootstrapKey].filter(({ name }) => env[name]?.trim());
  if (alone.length === 1) {
    const other = alone[0] === VARIABLES.bootstrapKey ? VARIABLES.bootstrapAccount : VARIABLES.bootstrapKey;
    problems.push(`${alone[0]?.name} is set without ${other.name}: they go together`);
  }
  problems.push(...unknownNames(Object.keys(env)));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function problem(variable: Variable<unknown>, given: string, { reason }: Refusal): string {
  const subject = variable.secret ? variable.name : `${variable.name} is ${JSON.stringify(given)}, but`;
  return `${subject} must be ${variable.format.replaceAll('`', '')}${reason ? ` (${reason})` : ''}`;
}

function wholeNumber(from: number, to: number): (text: string) => number | Refusal {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= from && value <= to ? value : new Refusal();
  };
}

const UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

function parseBytes(text: string): number | Refusal {
  const [, digits, unit = ''] = /^(\d{1,15})(KiB|MiB|GiB)?$/.exec(text) ?? [];
  const value = Number(digits) * (UNITS[unit] ?? Number.NaN);
  return Number.isSafeInteger(value) ? value : new Refusal();
}

function parsePath(text: string): string | Refusal {
  return text === '' || text.includes('\0') ? new Refusal() : text;
}

function parseDatabase(text: string): DatabaseConfig | Refusal {
  if (text.startsWith('sqlite:')) {
    const path = parsePath(text.slice('sqlite:'.length));
    return path instanceof Refusal ? path : { kind: 'sqlite', path };
  }
  if (!/^postgres(?:ql)?:\/\//.test(text)) return new Refusal();
  return URL.canParse(text) ? { kind: 'postgres', url: text } : new Refusal('this is not a valid URL');
}

function parseBlobs(text: string): BlobsConfig | Refusal {
  if (text.startsWith('file:')) {
    const folder = text.slice('file:'.length);
    // file://… reads as a URL with a host, and would silently become a folder of that name.
    if (folder.startsWith('//')) return new Refusal('write file:/path with one slash');
    const path = parsePath(folder);
    return path instanceof Refusal ? path : { kind: 'file', folder: path };
  }
  if (!text.startsWith('s3://')) return new Refusal();
  const bucket = URL.canParse(text) ? new URL(text).hostname : '';
  return new Refusal(bucket === '' ? 's3:// needs a bucket' : 's3:// is not in this version');
}

function parsePublicURL(text: string): string | undefined | Refusal {
  if (text === '') return undefined;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text) || /[?#]/.test(text)) return new Refusal();
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return new Refusal();
  return url.href.replace(/\/+$/, '');
}

function parseKey(text: string): Settings['bootstrapKey'] | Refusal {
  if (text === '') return undefined;
  const [, publicKey, secretKey] = /^([^:]+):(.+)$/.exec(text) ?? [];
  return publicKey !== undefined && secretKey !== undefined ? { publicKey, secretKey } : new Refusal();
}

function parseTrustProxy(text: string): Config['trustProxy'] | Refusal {
  if (text === 'true' || text === 'false') return text === 'true';
  if (/^\d{1,3}$/.test(text)) return Number(text) === 0 ? false : Number(text);
  const networks = text.split(',').map((network) => network.trim());
  for (const network of networks) {
    const [, address = '', prefix = '0'] = /^([0-9a-f.:]+)(?:\/(\d{1,3}))?$/i.exec(network) ?? [];
    const version = isIP(address);
    if (version === 0 || Number(prefix) > (version === 4 ? 32 : 128)) {
      return new Refusal(`${JSON.stringify(network)} is neither`);
    }
  }
  return networks;
}

function parseOrigins(text: string): Config['corsOrigins'] | Refusal {
  if (text === '') return [];
  if (text === '*') return '*';
  const origins = text.split(',').map((origin) => origin.trim());
  const wrong = origins.find(
    (origin) => !/^https?:\/\//.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin,
  );
  return wrong === undefined ? origins : new Refusal(`${JSON.stringify(wrong)} is no origin`);
}

/** A problem for each name that starts like ours and is not: a typo would otherwise change nothing, silently. */
function unknownNames(names: readonly string[]): string[] {
  const known = CONFIG_VARIABLES.map(({ name }) => name);
  const unknown = names.filter(
    (name) => name.startsWith('VITRINE_') && !known.some((other) => other === name),
  );
  return unknown.map((name) => {
    const [nearest] = known
      .map((other) => ({ other, distance: editDistance(name, other) }))
      .sort((a, b) => a.distance - b.distance);
    const close = nearest !== undefined && nearest.distance <= Math.max(2, (name.length - 8) / 3);
    return `${name} is not a variable of this version${close ? `; did you mean ${nearest.other}?` : ''}`;
  });
}

/** Levenshtein's: the fewest insertions, deletions and substitutions that make `b` of `a`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const substitution = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(substitution, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
