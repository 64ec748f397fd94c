import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { renderConfigDocs } from '../scripts/generate-config-docs.ts';
import { CONFIG_VARIABLES, ConfigError, loadConfig } from '../src/config.ts';

type Env = Record<string, string | undefined>;

function problemsOf(env: Env): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  return [];
}

const assertRejected = (name: string, ...values: string[]) => {
  for (const value of values) {
    const problems = problemsOf({ [name]: value });
    assert.equal(problems.length, 1, `${name}=${value}: ${problems.join('; ')}`);
    assert.ok(problems[0]?.startsWith(name), problems[0]);
  }
};

it('has a default for every variable', () => {
  assert.deepEqual(loadConfig({}, 6), {
    host: '127.0.0.1',
    port: 4100,
    dataFolder: './data',
    database: { kind: 'sqlite', path: './data/vitrine.db' },
    databaseListen: undefined,
    blobs: { kind: 'file', folder: './data/blobs' },
    publicURL: undefined,
    bootstrap: undefined,
    rateLimit: 1000,
    imageQuota: 300,
    byteQuota: 0,
    cacheBytes: 1024 ** 3,
    blobCacheBytes: 4 * 1024 ** 3,
    memoryCacheBytes: 64 * 1024 ** 2,
    sizeBudget: 512,
    renderConcurrency: 6,
    logLevel: 'info',
    trustProxy: false,
    keepAlive: 72,
    drainSeconds: 0,
    corsOrigins: [],
    cacheControl: 'public, max-age=3600, stale-while-revalidate=86400',
    purgeURL: undefined,
    formats: ['webp', 'avif', 'jpeg', 'png'],
    productCategories: undefined,
  });
});

it('treats empty and blank variables as unset, and ignores variables of other programs', () => {
  const env: Env = { PATH: '/bin', VITRINEX: '1', HOST: 'x' };
  for (const { name } of CONFIG_VARIABLES) env[name] = ' ';
  assert.deepEqual(loadConfig(env), loadConfig({}));
});

it('depends only on its arguments', () => {
  const env = Object.freeze({ VITRINE_PORT: '0' });
  assert.deepEqual(loadConfig(env), loadConfig(env));
  assert.ok(loadConfig({}).renderConcurrency >= 1);
  assert.equal(loadConfig({}, 0).renderConcurrency, 1);
});

it('puts database and blobs under the data folder, also with special characters in its name', () => {
  const { database, blobs } = loadConfig({ VITRINE_DATA: '/srv/$& $1/<data>' });
  assert.deepEqual(database, { kind: 'sqlite', path: '/srv/$& $1/<data>/vitrine.db' });
  assert.deepEqual(blobs, { kind: 'file', folder: '/srv/$& $1/<data>/blobs' });
});

it('takes formats in their order, in any case and with spaces', () => {
  assert.deepEqual(loadConfig({ VITRINE_FORMATS: ' AVIF, webp ,jpeg' }).formats, ['avif', 'webp', 'jpeg']);
  assert.deepEqual(problemsOf({ VITRINE_FORMATS: 'webp,gif' }), [
    'VITRINE_FORMATS is "webp,gif", but must be one or more of webp, jpeg, png, avif, each once, separated by commas ("gif" is not a format)',
  ]);
});

it('accepts each example of the documentation', () => {
  const env = Object.fromEntries(CONFIG_VARIABLES.map(({ name, example }) => [name, example]));
  const config = loadConfig(env);
  assert.deepEqual(config.database, {
    kind: 'postgres',
    url: 'postgres://vitrine:password@db.example/vitrine',
    connections: 20,
  });
  assert.deepEqual(config.bootstrap, {
    accountID: 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11',
    publicKey: 'ci',
    secretKey: 'a-long-random-secret',
  });
  assert.deepEqual(config.trustProxy, ['10.0.0.0/8', '127.0.0.1']);
  assert.deepEqual(config.corsOrigins, ['https://shop.example', 'https://admin.example']);
  assert.equal(config.byteQuota, 20 * 1024 ** 3);
  for (const variable of CONFIG_VARIABLES) {
    assert.notEqual(
      variable.example,
      variable.default,
      `the example of ${variable.name} differs from the default`,
    );
  }
});

it('reports all problems together', () => {
  const problems = problemsOf({
    VITRINE_PORT: 'http',
    VITRINE_HOST: 'two words',
    VITRINE_LOG_LEVEL: 'loud',
    VITRINE_BYTE_QUOTA: '5GB',
    VITRINE_COLOUR: 'blue',
  });
  assert.deepEqual(
    problems.map((problem) => problem.split(' ')[0]),
    ['VITRINE_HOST', 'VITRINE_PORT', 'VITRINE_BYTE_QUOTA', 'VITRINE_LOG_LEVEL', 'VITRINE_COLOUR'],
  );
  assert.equal(problems[1], 'VITRINE_PORT is "http", but must be a whole number from 0 to 65535');
  assert.match(new ConfigError(problems).message, /VITRINE_PORT.*\n- VITRINE_BYTE_QUOTA/);
});

it('escapes control characters of a value in a problem', () => {
  assert.deepEqual(problemsOf({ VITRINE_HOST: 'a\u001b[2Jb' })[0]?.includes('\u001b'), false);
});

it('suggests the most similar name for an unknown variable', () => {
  const suggestion = (name: string) => problemsOf({ [name]: '1' })[0]?.match(/did you mean (\w+)\?/)?.[1];
  assert.equal(suggestion('VITRINE_PROT'), 'VITRINE_PORT');
  assert.equal(suggestion('VITRINE_RATELIMIT'), 'VITRINE_RATE_LIMIT');
  assert.equal(suggestion('VITRINE_CORS_ORIGIN'), 'VITRINE_CORS_ORIGINS');
  assert.equal(suggestion('VITRINE_MEMORYCACHE_BYTE'), 'VITRINE_MEMORY_CACHE_BYTES');
  assert.equal(suggestion('VITRINE_XYZZY'), undefined);
  assert.match(problemsOf({ VITRINE_XYZZY: '1' })[0] ?? '', /not a variable/);
  assert.match(problemsOf({ VITRINE_: '1' })[0] ?? '', /not a variable/);
});

it('never shows a secret in a problem', () => {
  const secret = 's3cr3t-value';
  const env: Env = {
    VITRINE_BOOTSTRAP_KEY: `:${secret}`,
    VITRINE_BOOTSTRAP_KEYS: `public:${secret}`,
    VITRINE_DATABASE: `postgres://user:${secret}@[`,
    VITRINE_BOOTSTRAP_ACCOUNT: 'c0a80164-5d6c-4c3a-9a55-2f2f6e0b7c11',
  };
  const problems = problemsOf(env);
  assert.equal(problems.length, 3);
  assert.ok(!problems.join().includes(secret), problems.join('\n'));
});

it('reads hosts and ports', () => {
  for (const host of ['0.0.0.0', '::', '::1', 'localhost', 'images-1.example.com']) {
    assert.equal(loadConfig({ VITRINE_HOST: host }).host, host);
  }
  assertRejected('VITRINE_HOST', 'http://localhost', 'localhost:80', '[::1]', '-x', 'a_b');
  assert.equal(loadConfig({ VITRINE_PORT: '0' }).port, 0);
  assert.equal(loadConfig({ VITRINE_PORT: '65535' }).port, 65_535);
  assertRejected('VITRINE_PORT', '65536', '-1', '1.5', '0x50', '1e3', '4100 ;', '99999999999999999999');
});

it('reads database addresses', () => {
  const { database } = loadConfig({ VITRINE_DATABASE: 'sqlite:/var/a b.db' });
  assert.deepEqual(database, { kind: 'sqlite', path: '/var/a b.db' });
  const url = 'postgresql://u@h:5433/db?sslmode=require';
  assert.deepEqual(loadConfig({ VITRINE_DATABASE: url }).database, {
    kind: 'postgres',
    url,
    connections: 10,
  });
  assertRejected('VITRINE_DATABASE_CONNECTIONS', '1', '201', '2.5');
  assertRejected(
    'VITRINE_DATABASE',
    'sqlite:',
    './vitrine.db',
    'mysql://u@h/db',
    'postgres:db',
    'postgres://u@h:port/db',
  );
});

it('reads blob addresses', () => {
  assert.deepEqual(loadConfig({ VITRINE_BLOBS: 'file:/mnt/b' }).blobs, { kind: 'file', folder: '/mnt/b' });
  const { blobs } = loadConfig({ VITRINE_BLOBS: 's3://bucket/prefix?region=eu-1' });
  assert.ok(blobs.kind === 's3');
  assert.deepEqual([blobs.bucket, blobs.prefix, blobs.region], ['bucket', 'prefix', 'eu-1']);
  assertRejected('VITRINE_BLOBS', 'file:', '/mnt/b', 'file:///mnt/b', 'gs://bucket', 's3:bucket');
  assert.match(problemsOf({ VITRINE_BLOBS: 's3://' })[0] ?? '', /needs a bucket/);
  assert.doesNotMatch(problemsOf({ VITRINE_BLOBS: 's3://key:s3cr3t@bucket' })[0] ?? '', /s3cr3t/);
});

it('reads the public URL as the base of links', () => {
  const base = (url: string) => loadConfig({ VITRINE_PUBLIC_URL: url }).publicURL;
  assert.equal(base('https://Images.Example.com'), 'https://images.example.com');
  assert.equal(base('https://example.com:8443/pictures//'), 'https://example.com:8443/pictures');
  assertRejected(
    'VITRINE_PUBLIC_URL',
    'example.com',
    'ftp://example.com',
    'https://example.com/?a=b',
    'https://e.com/#a',
    'https://',
  );
  assertRejected(
    'VITRINE_PUBLIC_URL',
    'https://user:pass@example.com',
    'https:/example.com',
    'javascript:alert(1)',
  );
});

it('requires the bootstrap account and key together', () => {
  const account = 'C0A80164-5D6C-4C3A-9A55-2F2F6E0B7C11';
  const both = loadConfig({ VITRINE_BOOTSTRAP_ACCOUNT: account, VITRINE_BOOTSTRAP_KEY: 'public:se:cr:et' });
  assert.deepEqual(both.bootstrap, {
    accountID: account.toLowerCase(),
    publicKey: 'public',
    secretKey: 'se:cr:et',
  });
  assert.match(problemsOf({ VITRINE_BOOTSTRAP_ACCOUNT: account })[0] ?? '', /without VITRINE_BOOTSTRAP_KEY/);
  assert.match(problemsOf({ VITRINE_BOOTSTRAP_KEY: 'a:b' })[0] ?? '', /without VITRINE_BOOTSTRAP_ACCOUNT/);
  for (const key of ['nocolon', ':secret', 'public:', ':']) {
    const problems = problemsOf({ VITRINE_BOOTSTRAP_ACCOUNT: account, VITRINE_BOOTSTRAP_KEY: key });
    assert.equal(problems.length, 1, key);
  }
  assert.equal(problemsOf({ VITRINE_BOOTSTRAP_ACCOUNT: 'acme', VITRINE_BOOTSTRAP_KEY: 'a:b' }).length, 1);
});

it('reads sizes in bytes', () => {
  const bytes = (text: string) => loadConfig({ VITRINE_CACHE_BYTES: text }).cacheBytes;
  assert.deepEqual(
    ['0', '1000', '3KiB', '2MiB', '1GiB'].map(bytes),
    [0, 1000, 3072, 2_097_152, 1_073_741_824],
  );
  assertRejected('VITRINE_CACHE_BYTES', '1GB', '1.5GiB', '-1', 'GiB', '1 000', '999999999999999GiB', '1gib');
});

it('reads trusted proxies', () => {
  const parse = (text: string) => loadConfig({ VITRINE_TRUST_PROXY: text }).trustProxy;
  assert.deepEqual(['true', 'false', '0', '2'].map(parse), [true, false, false, 2]);
  assert.deepEqual(parse('::1/128,192.168.0.0/16, 10.1.2.3'), ['::1/128', '192.168.0.0/16', '10.1.2.3']);
  assertRejected(
    'VITRINE_TRUST_PROXY',
    'yes',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.1,',
    'proxy.example',
    '10.0.0',
    '1.2.3.4/',
  );
});

it('accepts origins only in the form that browsers send', () => {
  const origins = (text: string) => loadConfig({ VITRINE_CORS_ORIGINS: text }).corsOrigins;
  assert.equal(origins('*'), '*');
  assert.deepEqual(origins('http://localhost:5173,https://a.example'), [
    'http://localhost:5173',
    'https://a.example',
  ]);
  assertRejected(
    'VITRINE_CORS_ORIGINS',
    'https://a.example/',
    'a.example',
    'https://A.example',
    'null',
    '*,https://a.example',
    'https://a.example:443',
  );
});

it('rejects invalid values of the other variables', () => {
  assertRejected('VITRINE_IMAGE_QUOTA', '0', 'many');
  assertRejected('VITRINE_RENDER_CONCURRENCY', '0', '257');
  assertRejected('VITRINE_RATE_LIMIT', '-1', '0.5');
  assertRejected('VITRINE_SIZE_BUDGET', 'x');
  assertRejected('VITRINE_CACHE_CONTROL', 'public\r\nX-Evil: 1', 'größe');
  assertRejected('VITRINE_FORMATS', 'gif', 'webp,', 'webp,,png', 'webp,webp', 'webp png', 'image/webp');
  assertRejected('VITRINE_LOG_LEVEL', 'INFO');
  assertRejected('VITRINE_DATA', 'a\0b');
});

it('matches docs/config.md', async () => {
  const page = await readFile(new URL('../../../docs/config.md', import.meta.url), 'utf8');
  assert.equal(
    page,
    renderConfigDocs(CONFIG_VARIABLES),
    'run packages/server/scripts/generate-config-docs.ts',
  );
});
