/**
 * The configuration from environment variables. Each variable is one descriptor with its default, its parser
 * and its documentation; `docs/config.md` is generated from the descriptors. The file is long because the
 * list of descriptors has one home.
 */
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { DEFAULT_IMAGE_QUOTA } from './access/account.ts';
import { type BlobsConfig, parseS3Location } from './blobs/location.ts';
import type { DatabaseConfig } from './database/open.ts';
import { PUBLIC_ID } from './events/http-purge.ts';
import { OUTPUT_FORMATS, type OutputFormat } from './image.ts';
import { editDistance } from './validation/text.ts';
import { parseUUID } from './validation/uuid.ts';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The whole configuration. Paths are unchanged; relative paths start at the working folder. */
export interface Config {
  readonly host: string;
  /** 0: the system selects a free port. */
  readonly port: number;
  readonly dataFolder: string;
  readonly database: DatabaseConfig;
  /** A URL for hearing changes by other servers, instead of that of the database. */
  readonly databaseListen: string | undefined;
  readonly blobs: BlobsConfig;
  /**
   * The base of public links, without a trailing slash; undefined: the address that the server listens on.
   */
  readonly publicURL: string | undefined;
  readonly bootstrap:
    | { readonly accountID: string; readonly publicKey: string; readonly secretKey: string }
    | undefined;
  /** The most requests per second of each key and each address; 0: no limit. */
  readonly rateLimit: number;
  /** The most images that are not disabled, for each account without its own quota. */
  readonly imageQuota: number;
  /**
   * The most bytes of originals of images that are not disabled, for each account without its own quota; 0:
   * no limit.
   */
  readonly byteQuota: number;
  readonly cacheBytes: number;
  /** Only for blobs on S3. */
  readonly blobCacheBytes: number;
  readonly memoryCacheBytes: number;
  /** The most different renditions of one image in a burst, and per hour; 0: no limit. */
  readonly sizeBudget: number;
  readonly renderConcurrency: number;
  readonly logLevel: LogLevel;
  /** A value for Fastify's `trustProxy`: all or none, a number of proxies, or addresses and networks. */
  readonly trustProxy: boolean | number | readonly string[];
  /** Seconds for which an idle connection stays open after an answer. */
  readonly keepAlive: number;
  /** Seconds for which a stopping server still accepts requests. */
  readonly drainSeconds: number;
  readonly corsOrigins: '*' | readonly string[];
  readonly cacheControl: string;
  /** The URL of purges, with `{publicID}`; undefined: no cache is purged. */
  readonly purgeURL: string | undefined;
  /** The formats that the Accept header chooses from, each once, in the order that decides on equal q. */
  readonly formats: readonly OutputFormat[];
  /** The file of the product categories; undefined: there are none. */
  readonly productCategories: string | undefined;
}

/** The value of each variable. `bootstrap` and `database` have two variables. */
type Settings = Omit<Config, 'bootstrap'> & {
  readonly databaseConnections: number;
  readonly bootstrapAccount: string | undefined;
  readonly bootstrapKey: { readonly publicKey: string; readonly secretKey: string } | undefined;
};

/** An environment variable, for the loader and the documentation. */
export interface Variable<T> {
  readonly name: `VITRINE_${string}`;
  /** The accepted values, in Markdown. It completes the sentence that begins with "must be". */
  readonly format: string;
  /** The text that is parsed if the variable is unset. `<data>` and `<cores>` are replaced at the start. */
  readonly default: string;
  readonly description: string;
  readonly example: string;
  /** True if the text may contain a secret. Then problems do not show it. */
  readonly secret?: boolean;
  /** The value, or a Refusal. */
  readonly parse: (text: string) => T | Refusal;
}

/** The result of a parser for an invalid text. `reason` adds to the format. */
class Refusal {
  readonly reason: string | undefined;
  constructor(reason?: string) {
    this.reason = reason;
  }
}

/** All variables by their field, in the order of the documentation. */
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
    description:
      'The TCP port to listen on. With 0 the system selects a free port, and the log has its number.',
    example: '8080',
    parse: wholeNumber(0, 65_535),
  },
  dataFolder: {
    name: 'VITRINE_DATA',
    format: 'a path',
    default: './data',
    description:
      'The default folder for the database, the blobs and the cache. The server creates it for its own user only (folders 0700, files 0600). An existing folder or database keeps its permissions.',
    example: '/var/lib/vitrine',
    parse: parsePath,
  },
  database: {
    name: 'VITRINE_DATABASE',
    format: '`sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`',
    default: 'sqlite:<data>/vitrine.db',
    description:
      'The database of the records. SQLite is one file and serves one process. With PostgreSQL (`postgres://` or `postgresql://`), several processes can share a library.',
    example: 'postgres://vitrine:password@db.example/vitrine',
    secret: true,
    parse: parseDatabase,
  },
  databaseConnections: {
    name: 'VITRINE_DATABASE_CONNECTIONS',
    format: 'a whole number from 2 to 200',
    default: '10',
    description:
      'Only with PostgreSQL: the maximum number of connections for requests. A probe and a command may add one each. All processes together must stay below `max_connections` of the server. With PgBouncer, set at most its `default_pool_size` divided by the number of processes.',
    example: '20',
    parse: wholeNumber(2, 200),
  },
  databaseListen: {
    name: 'VITRINE_DATABASE_LISTEN',
    format: '`postgres://USER:PASSWORD@HOST:PORT/DATABASE`',
    default: '',
    description:
      'A direct connection to the same PostgreSQL database, by which a server hears the changes of other servers at once. Set it if `VITRINE_DATABASE` leads through PgBouncer, which does not deliver notifications. If it is unset, the address of `VITRINE_DATABASE` is used. Without such a connection, changes by other servers are seen after up to six seconds ([caching.md](caching.md#several-servers)).',
    example: 'postgres://vitrine:password@db-direct.example/vitrine',
    secret: true,
    parse: parseListenURL,
  },
  blobs: {
    name: 'VITRINE_BLOBS',
    format: '`file:PATH` or `s3://BUCKET/PREFIX?endpoint=URL&region=REGION&style=STYLE`',
    default: 'file:<data>/blobs',
    description:
      'The storage of originals and rungs: a folder, or a bucket of S3 or of a compatible server. For S3, the prefix and every parameter are optional. Without `endpoint`, the server is that of AWS. `style` is `path` or `virtual`, the place of the bucket in URLs. The default is `path` with an `endpoint`, and else `virtual`. `sse=AES256`, `sse=aws:kms` and `kms=KEY` ask the store for encryption. Credentials come from the environment, as the AWS SDK finds them: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a profile, or the role of the machine. The store must support conditional writes. See [s3.md](s3.md).',
    example: 's3://pictures/vitrine?endpoint=https://s3.example&region=eu-1',
    secret: true,
    parse: parseBlobs,
  },
  publicURL: {
    name: 'VITRINE_PUBLIC_URL',
    format: 'an http or https URL without credentials, query and fragment',
    default: '',
    description:
      'The base of public links, as clients reach it. If it is unset, links have the address that the server listens on. It may have a path, such as `https://example.com/media`. A proxy must then remove this path from requests. The links, redirects and pages of the server begin with it.',
    example: 'https://images.example.com',
    parse: parsePublicURL,
  },
  bootstrapAccount: {
    name: 'VITRINE_BOOTSTRAP_ACCOUNT',
    format: 'a UUID',
    default: '',
    description:
      'The ID of an account that is created at the start if it does not exist. Needs `VITRINE_BOOTSTRAP_KEY`.',
    example: 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11',
    parse: (text) => (text === '' ? undefined : (parseUUID(text) ?? new Refusal())),
  },
  bootstrapKey: {
    name: 'VITRINE_BOOTSTRAP_KEY',
    format: '`PUBLIC:SECRET`, split at the first colon, neither part empty',
    default: '',
    description:
      'A key for all accounts with all scopes. It is created at the start if it does not exist. A different secret for the same public key replaces the stored secret. Needs `VITRINE_BOOTSTRAP_ACCOUNT`.',
    example: 'ci:a-long-random-secret',
    secret: true,
    parse: parseKey,
  },
  rateLimit: {
    name: 'VITRINE_RATE_LIMIT',
    format: 'a whole number from 0 to 1000000',
    default: '1000',
    description:
      'The maximum number of requests per second for each key and for each address. A burst may have twice the number. Requests beyond the limit get 429. Cached public links and probes are not counted. 0 sets no limit.',
    example: '50',
    parse: wholeNumber(0, 1_000_000),
  },
  imageQuota: {
    name: 'VITRINE_IMAGE_QUOTA',
    format: 'a whole number from 1 to 1000000000',
    default: String(DEFAULT_IMAGE_QUOTA),
    description:
      'The maximum number of images that are not disabled, for each account without its own quota.',
    example: '10000',
    parse: wholeNumber(1, 1_000_000_000),
  },
  byteQuota: {
    name: 'VITRINE_BYTE_QUOTA',
    format: 'a number of bytes, or a number with the unit `KiB`, `MiB` or `GiB`',
    default: '0',
    description:
      'The maximum number of bytes of originals of images that are not disabled, for each account without its own quota. 0 sets no limit.',
    example: '20GiB',
    parse: parseBytes,
  },
  cacheBytes: {
    name: 'VITRINE_CACHE_BYTES',
    format: 'a number of bytes, or a number with the unit `KiB`, `MiB` or `GiB`',
    default: '1GiB',
    description:
      'The size of the rendition cache on disk, in `<data>/cache`. The cache survives a restart. The least recently used renditions are evicted first. 0 disables it.',
    example: '10GiB',
    parse: parseBytes,
  },
  blobCacheBytes: {
    name: 'VITRINE_BLOB_CACHE_BYTES',
    format: 'a number of bytes, or a number with the unit `KiB`, `MiB` or `GiB`',
    default: '4GiB',
    description:
      'The size of the cache of files that were fetched from S3, in `<data>/blob-cache`. It has no effect on blobs in a folder. The cache survives a restart. The least recently used files are evicted first. Files that are unused for a day are removed. 0 disables it: then each new rendition fetches its rung.',
    example: '50GiB',
    parse: parseBytes,
  },
  memoryCacheBytes: {
    name: 'VITRINE_MEMORY_CACHE_BYTES',
    format: 'a number of bytes, or a number with the unit `KiB`, `MiB` or `GiB`',
    default: '64MiB',
    description:
      'The size of the rendition cache in memory. The least recently used renditions are evicted first. 0 disables it.',
    example: '256MiB',
    parse: parseBytes,
  },
  sizeBudget: {
    name: 'VITRINE_SIZE_BUDGET',
    format: 'a whole number from 0 to 1000000',
    default: '512',
    description:
      'The maximum number of different renditions of one image in a burst, and per hour. Requests for more new renditions get 429. Cached renditions are not counted. 0 sets no limit.',
    example: '1000',
    parse: wholeNumber(0, 1_000_000),
  },
  renderConcurrency: {
    name: 'VITRINE_RENDER_CONCURRENCY',
    format: 'a whole number from 1 to 256',
    default: '<cores>',
    description: 'The maximum number of worker processes. Each decodes one image at a time.',
    example: '4',
    parse: wholeNumber(1, 256),
  },
  logLevel: {
    name: 'VITRINE_LOG_LEVEL',
    format: `one of ${LOG_LEVELS.map((level) => `\`${level}\``).join(', ')}`,
    default: 'info',
    description: 'The lowest level of messages that are logged.',
    example: 'warn',
    parse: (text) => LOG_LEVELS.find((level) => level === text) ?? new Refusal(),
  },
  trustProxy: {
    name: 'VITRINE_TRUST_PROXY',
    format: '`true`, `false`, a number of proxies, or IP addresses and networks separated by commas',
    default: 'false',
    description:
      'The proxies whose `X-Forwarded-*` headers are trusted. `true` trusts every client and takes the first address of the header, which a client can forge. A number of proxies, or their addresses, is safer. Trusted proxies make answers from memory slower while they are logged (`VITRINE_LOG_LEVEL` is `info`, `debug` or `trace`). The log needs the client address, which the server then reads from the headers.',
    example: '10.0.0.0/8, 127.0.0.1',
    parse: parseTrustProxy,
  },
  keepAlive: {
    name: 'VITRINE_KEEP_ALIVE',
    format: 'a whole number from 1 to 86400',
    default: '72',
    description:
      'The seconds for which an idle connection stays open after an answer. It must be longer than the idle timeout of the balancer or proxy in front. Otherwise the balancer sends requests on connections that the server is just closing, and answers them with 502. An AWS Application Load Balancer has 60 s by default, and so has nginx in an `upstream` block. Outside such a block, the `keepalive_timeout` of nginx is 75 s. A Google Cloud load balancer has 600 s: use 620.',
    example: '620',
    parse: wholeNumber(1, 86_400),
  },
  drainSeconds: {
    name: 'VITRINE_DRAIN_SECONDS',
    format: 'a whole number from 0 to 3600',
    default: '0',
    description:
      'The seconds after SIGTERM in which the server still accepts requests, while `/readyz` is 503. So a balancer takes the server out before the port is closed, and no request is lost. Use more than the time in which the balancer notices: the interval of its checks times the number of failures. Each answer closes its connection meanwhile. Running requests then have 30 s more.',
    example: '15',
    parse: wholeNumber(0, 3_600),
  },
  corsOrigins: {
    name: 'VITRINE_CORS_ORIGINS',
    format: '`*`, or origins such as `https://shop.example` separated by commas',
    default: '',
    description:
      'The origins of web pages that may call the API from a browser. Every page may read public links. Use `*` only if users give no credentials to browsers. With `*`, a page of any site can make a browser send its stored credentials.',
    example: 'https://shop.example, https://admin.example',
    parse: parseOrigins,
  },
  cacheControl: {
    name: 'VITRINE_CACHE_CONTROL',
    format: 'the value of a `Cache-Control` header',
    default: 'public, max-age=3600, stale-while-revalidate=86400',
    description:
      'The `Cache-Control` header of public links. [caching.md](caching.md) says what it does after a replace.',
    example: 'public, max-age=86400',
    parse: (text) => (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) ? text : new Refusal()),
  },
  purgeURL: {
    name: 'VITRINE_PURGE_URL',
    format: 'an http or https URL without credentials, with `{publicID}` in its path or query',
    default: '',
    description:
      'The address of a cache in front of the server. When a public link gets another picture, the cache gets a request with the method `PURGE` at this address. It is sent as soon as every server shows the new picture, after about six seconds, and repeated until it succeeds ([caching.md](caching.md#purges)). If it is unset, no cache is purged. All servers of a library need the same value.',
    example: 'http://varnish.internal/images/{publicID}',
    secret: true,
    parse: parsePurgeURL,
  },
  formats: {
    name: 'VITRINE_FORMATS',
    format: `one or more of ${OUTPUT_FORMATS.map((format) => `\`${format}\``).join(', ')}, each once, separated by commas`,
    default: 'webp,avif,jpeg,png',
    description:
      'The formats of public links without `format`. The `Accept` header chooses one of them. If a client likes several formats equally, the first in this order is sent. The format of the original comes right after `webp`, and before `jpeg` and `png`. WebP and AVIF are only for clients that name them. With `avif` first, browsers get AVIF, which is smaller and takes far longer to make. Clients that accept none of these formats get JPEG or PNG.',
    example: 'avif,webp,jpeg,png',
    parse: parseFormats,
  },
  productCategories: {
    name: 'VITRINE_PRODUCT_CATEGORIES',
    format: 'a path',
    default: '',
    description:
      'A JSON file with the product categories ([catalog.md](catalog.md#product-categories)). It is read at the start. If the file has problems, the server reports all of them and does not start. If the variable is unset, there are no categories.',
    example: '/etc/vitrine/categories.json',
    parse: (text) => (text === '' ? undefined : parsePath(text)),
  },
};

/** All variables in the order of the documentation. */
export const CONFIG_VARIABLES: readonly Variable<unknown>[] = Object.values(VARIABLES);

/** The environment has invalid values or names. `problems` has one line for each. */
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
 * Reads the configuration from an environment. Unset and empty variables have their defaults.
 * @param cores the default of the render concurrency.
 * @throws ConfigError with all problems. No problem contains a secret.
 */
export function loadConfig(
  env: Readonly<Record<string, string | undefined>>,
  cores: number = availableParallelism(),
): Config {
  const problems: string[] = [];
  const concurrency = String(Math.min(256, Math.max(1, cores)));
  let dataFolder = VARIABLES.dataFolder.default;
  const read = <T>(variable: Variable<T>): T => {
    const text = env[variable.name]?.trim() ?? '';
    if (text !== '') {
      const value = variable.parse(text);
      if (!(value instanceof Refusal)) return value;
      problems.push(describeProblem(variable, text, value));
    }
    // After a problem, the default is a placeholder until all variables are checked.
    const value = variable.parse(
      variable.default.replace('<data>', () => dataFolder).replace('<cores>', concurrency),
    );
    if (value instanceof Refusal) throw new Error(`the default of ${variable.name} is invalid`);
    return value;
  };
  dataFolder = read(VARIABLES.dataFolder);
  const accountID = read(VARIABLES.bootstrapAccount);
  const key = read(VARIABLES.bootstrapKey);
  const database = read(VARIABLES.database);
  const connections = read(VARIABLES.databaseConnections);
  const config: Config = {
    host: read(VARIABLES.host),
    port: read(VARIABLES.port),
    dataFolder,
    database: database.kind === 'postgres' ? { ...database, connections } : database,
    databaseListen: read(VARIABLES.databaseListen),
    blobs: read(VARIABLES.blobs),
    publicURL: read(VARIABLES.publicURL),
    bootstrap: accountID && key ? { accountID, ...key } : undefined,
    rateLimit: read(VARIABLES.rateLimit),
    imageQuota: read(VARIABLES.imageQuota),
    byteQuota: read(VARIABLES.byteQuota),
    cacheBytes: read(VARIABLES.cacheBytes),
    blobCacheBytes: read(VARIABLES.blobCacheBytes),
    memoryCacheBytes: read(VARIABLES.memoryCacheBytes),
    sizeBudget: read(VARIABLES.sizeBudget),
    renderConcurrency: read(VARIABLES.renderConcurrency),
    logLevel: read(VARIABLES.logLevel),
    trustProxy: read(VARIABLES.trustProxy),
    keepAlive: read(VARIABLES.keepAlive),
    drainSeconds: read(VARIABLES.drainSeconds),
    corsOrigins: read(VARIABLES.corsOrigins),
    cacheControl: read(VARIABLES.cacheControl),
    purgeURL: read(VARIABLES.purgeURL),
    formats: read(VARIABLES.formats),
    productCategories: read(VARIABLES.productCategories),
  };
  const [set, ...rest] = [VARIABLES.bootstrapAccount, VARIABLES.bootstrapKey].filter(({ name }) =>
    env[name]?.trim(),
  );
  if (set && rest.length === 0) {
    const other = set === VARIABLES.bootstrapKey ? VARIABLES.bootstrapAccount : VARIABLES.bootstrapKey;
    problems.push(`${set.name} is set without ${other.name}: set both or neither`);
  }
  problems.push(...unknownNames(Object.keys(env)));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function describeProblem(variable: Variable<unknown>, text: string, { reason }: Refusal): string {
  const subject = variable.secret ? variable.name : `${variable.name} is ${JSON.stringify(text)}, but`;
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
  return URL.canParse(text) ? { kind: 'postgres', url: text } : new Refusal('it is not a valid URL');
}

function parseBlobs(text: string): BlobsConfig | Refusal {
  if (text.startsWith('file:')) {
    const folder = text.slice('file:'.length);
    // The text after `file:` is a path, so file://… would become a folder with that host as its name.
    if (folder.startsWith('//')) return new Refusal('write file:/path with one slash');
    const path = parsePath(folder);
    return path instanceof Refusal ? path : { kind: 'file', folder: path };
  }
  if (!text.startsWith('s3://')) return new Refusal();
  const location = parseS3Location(text);
  return 'problem' in location ? new Refusal(location.problem) : location;
}

function parsePublicURL(text: string): string | undefined | Refusal {
  if (text === '') return undefined;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text) || /[?#]/.test(text)) return new Refusal();
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') return new Refusal();
  return url.href.replace(/\/+$/, '');
}

function parseListenURL(text: string): string | undefined | Refusal {
  if (text === '') return undefined;
  const database = parseDatabase(text);
  if (database instanceof Refusal) return database;
  return database.kind === 'postgres' ? database.url : new Refusal();
}

function parsePurgeURL(text: string): string | undefined | Refusal {
  if (text === '') return undefined;
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return new Refusal();
  const { username, password, host } = new URL(text);
  const rest = text.slice(text.toLowerCase().indexOf(host) + host.length);
  return username === '' && password === '' && rest.includes(PUBLIC_ID) ? text : new Refusal();
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
      return new Refusal(`${JSON.stringify(network)} is not an IP address or network`);
    }
  }
  return networks;
}

function parseOrigins(text: string): Config['corsOrigins'] | Refusal {
  if (text === '') return [];
  if (text === '*') return '*';
  const origins = text.split(',').map((origin) => origin.trim());
  const invalid = origins.find(
    (origin) => !/^https?:\/\//.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin,
  );
  return invalid === undefined ? origins : new Refusal(`${JSON.stringify(invalid)} is not an origin`);
}

function parseFormats(text: string): readonly OutputFormat[] | Refusal {
  const formats: OutputFormat[] = [];
  for (const name of text.split(',').map((part) => part.trim().toLowerCase())) {
    const format = OUTPUT_FORMATS.find((other) => other === name);
    if (format === undefined) return new Refusal(`${JSON.stringify(name)} is not a format`);
    if (formats.includes(format)) return new Refusal(`${JSON.stringify(name)} is there twice`);
    formats.push(format);
  }
  return formats;
}

/** The variables of the client commands. The server ignores them, and the command line reads them. */
export const CLIENT_VARIABLES = [
  'VITRINE_SERVER',
  'VITRINE_ACCOUNT',
  'VITRINE_KEY',
  'VITRINE_SECRET',
  'VITRINE_PROFILE',
] as const;

/** A problem for each unknown name with the prefix `VITRINE_`, so that a typo is not ignored silently. */
function unknownNames(names: readonly string[]): string[] {
  const validNames = [...CONFIG_VARIABLES.map(({ name }) => name), ...CLIENT_VARIABLES];
  const unknown = names.filter(
    (name) => name.startsWith('VITRINE_') && !validNames.some((other) => other === name),
  );
  return unknown.map((name) => {
    const [nearest] = validNames
      .map((other) => ({ other, distance: editDistance(name, other) }))
      .sort((a, b) => a.distance - b.distance);
    const isClose = nearest !== undefined && nearest.distance <= Math.max(2, (name.length - 8) / 3);
    return `${name} is not a variable of this version${isClose ? `; did you mean ${nearest.other}?` : ''}`;
  });
}
