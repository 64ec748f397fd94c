/**
 * Compares this client with the official SDK: the same calls must return the same results and throw the same
 * errors. Both implement the `Client` interface below, so switching changes only the import.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Moov } from '@moovio/sdk';
import { GenericError as MoovGenericError } from '@moovio/sdk/models/errors/genericerror.js';
import { ImageMetadataValidationError as MoovImageMetadataValidationError } from '@moovio/sdk/models/errors/imagemetadatavalidationerror.js';
import { ImageRequestValidationError as MoovImageRequestValidationError } from '@moovio/sdk/models/errors/imagerequestvalidationerror.js';
import { MoovError } from '@moovio/sdk/models/errors/mooverror.js';
import { ProductRequestValidationError as MoovProductRequestValidationError } from '@moovio/sdk/models/errors/productrequestvalidationerror.js';
import {
  APIError,
  GenericError,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  ProductRequestValidationError,
  Vitrine,
} from '@vitrine/client';
import { picture } from '../../server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';

/** The operations of the official SDK that this client replaces, with the SDK's types. */
interface Client {
  readonly images: Pick<
    Moov['images'],
    'list' | 'upload' | 'getMetadata' | 'update' | 'delete' | 'updateMetadata' | 'getPublic'
  >;
  readonly products: Pick<
    Moov['products'],
    'list' | 'create' | 'get' | 'update' | 'disable' | 'listCategories'
  >;
  readonly authentication: Pick<Moov['authentication'], 'createAccessToken' | 'revokeAccessToken'>;
  readonly ping: Pick<Moov['ping'], 'ping'>;
}

interface Candidate {
  readonly make: (options: Options) => Client;
  readonly errors: {
    readonly base: new (
      ...args: never[]
    ) => Error & {
      readonly statusCode: number;
      readonly body: string;
      readonly headers: Headers;
    };
    /** Subclasses come before their base classes. */
    readonly classes: Readonly<Record<string, new (...args: never[]) => Error>>;
  };
}

interface Options {
  readonly serverURL: string;
  readonly security: { username: string; password: string };
  readonly retryConfig: {
    readonly strategy: 'backoff';
    readonly backoff: {
      initialInterval: number;
      maxInterval: number;
      exponent: number;
      maxElapsedTime: number;
    };
    readonly retryConnectionErrors: boolean;
  };
  readonly timeoutMs: number;
}

const CANDIDATES: Readonly<Record<'ours' | 'official', Candidate>> = {
  ours: {
    // The API version of the official SDK.
    make: (options) => new Vitrine({ ...options, xMoovVersion: 'v2026.07.00' }),
    errors: {
      base: APIError,
      classes: {
        ImageRequestValidationError,
        ImageMetadataValidationError,
        ProductRequestValidationError,
        GenericError,
      },
    },
  },
  official: {
    make: (options) => new Moov(options),
    errors: {
      base: MoovError,
      classes: {
        ImageRequestValidationError: MoovImageRequestValidationError,
        ImageMetadataValidationError: MoovImageMetadataValidationError,
        ProductRequestValidationError: MoovProductRequestValidationError,
        GenericError: MoovGenericError,
      },
    },
  },
};

const accountID = ACCOUNT;
const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000';
const CATEGORIES = [
  { categoryID: 'food', name: 'Food' },
  { categoryID: 'drinks', name: 'Drinks', parentID: 'food' },
];

/** The error fields that both clients have, besides status and body. */
const ERROR_FIELDS = [
  ...['error', 'image', 'metadata', 'altText'],
  ...['title', 'description', 'basePrice', 'images', 'optionGroups', 'categoryID'],
];

/** Runs every operation to every outcome of the contract, in sequence, and records the outcomes. */
async function run({ make, errors }: Candidate, serverURL: string): Promise<Record<string, unknown>> {
  const outcomes: Record<string, unknown> = {};
  const options: Options = {
    serverURL,
    security: { username: KEY.publicKey, password: KEY.secretKey },
    retryConfig: {
      strategy: 'backoff',
      backoff: { initialInterval: 10, maxInterval: 20, exponent: 1.5, maxElapsedTime: 50 },
      retryConnectionErrors: false,
    },
    // Long enough for a busy machine.
    timeoutMs: 100_000,
  };
  const client = make(options);
  const wrongKey = make({ ...options, security: { username: 'no', password: 'body' } });

  const record = async <Result>(name: string, call: () => Promise<Result>): Promise<Result> => {
    assert.ok(!(name in outcomes), `${name} is recorded twice`);
    try {
      const answer = await call();
      outcomes[name] = await describeAnswer(answer);
      return answer;
    } catch (error) {
      assert.ok(error instanceof errors.base, `${name}: ${error}`);
      const [kind = 'other'] = Object.entries(errors.classes).find(([, one]) => error instanceof one) ?? [];
      const all = error as unknown as Record<string, unknown>;
      const fields = Object.fromEntries(ERROR_FIELDS.map((field) => [field, all[field]]));
      outcomes[name] = { kind, status: error.statusCode, fields, body: JSON.parse(error.body) as unknown };
      return undefined as never;
    }
  };
  const form = (content: Uint8Array, altText?: string) => ({
    image: { fileName: 'example.file', content },
    ...(altText !== undefined && { metadata: { altText } }),
  });

  await record('ping', () => client.ping.ping());
  await record('ping with a wrong key', () => wrongKey.ping.ping());
  await record('list without images', () => client.images.list({ accountID }));

  const bytes = await picture(1);
  const upload = (content: Uint8Array, altText?: string) => () =>
    client.images.upload({ accountID, imageUploadRequestMultiPart: form(content, altText) });
  const { imageID, publicID } = (await record('upload', upload(bytes, 'A lamp'))).result;
  await record('upload without metadata', upload(await picture(2)));
  await record('upload of a Blob', async () =>
    client.images.upload({
      accountID,
      imageUploadRequestMultiPart: { image: new Blob([Uint8Array.from(await picture(3))]) },
    }),
  );
  await record('upload of a stream', async () =>
    client.images.upload({
      accountID,
      imageUploadRequestMultiPart: {
        image: { fileName: 'x.jpg', content: new Blob([Uint8Array.from(await picture(4))]).stream() },
      },
    }),
  );
  await record('upload of a duplicate', upload(bytes));
  await record('upload of a file that is not an image', upload(Buffer.from('no picture')));
  await record('upload of a file that is too large', upload(Buffer.alloc(16 * 1024 * 1024 + 1)));
  await record('upload with bad metadata', upload(await picture(5), 'x'.repeat(2_001)));
  await record('upload with a wrong key', async () =>
    wrongKey.images.upload({ accountID, imageUploadRequestMultiPart: form(await picture(6)) }),
  );

  await record('list', () => client.images.list({ accountID }));
  await record('list of a page', () => client.images.list({ accountID, skip: 1, count: 2 }));
  await record('list past the end', () => client.images.list({ accountID, skip: 99 }));
  await record('list with a wrong key', () => wrongKey.images.list({ accountID }));
  await record('list of an unknown account', () => client.images.list({ accountID: UNKNOWN_ID }));

  await record('getMetadata', () => client.images.getMetadata({ accountID, imageID }));
  await record('getMetadata of an unknown ID', () =>
    client.images.getMetadata({ accountID, imageID: UNKNOWN_ID }),
  );

  const update =
    (content: Uint8Array, altText?: string, id = imageID) =>
    () =>
      client.images.update({ accountID, imageID: id, imageUploadRequestMultiPart: form(content, altText) });
  await record('update', update(await picture(7)));
  await record('update with metadata', update(await picture(8), 'Eight lamps'));
  await record('update to the same bytes', update(await picture(8)));
  await record('update to a duplicate', update(await picture(2)));
  await record('update to a file that is not an image', update(Buffer.from('no picture')));
  await record('update of an unknown ID', update(await picture(9), undefined, UNKNOWN_ID));

  const describeAs =
    (altText?: string, id = imageID) =>
    () =>
      client.images.updateMetadata({
        accountID,
        imageID: id,
        imageMetadataRequest: { ...(altText !== undefined && { altText }) },
      });
  await record('updateMetadata', describeAs('Two lamps'));
  await record('updateMetadata without alt text', describeAs());
  await record('updateMetadata with bad metadata', describeAs('a\u0000b'));
  await record('updateMetadata of an unknown ID', describeAs('x', UNKNOWN_ID));

  await runProducts(record, client, imageID);
  await runTokens(record, make, options);

  await record('delete', () => client.images.delete({ accountID, imageID }));
  await record('delete again', () => client.images.delete({ accountID, imageID }));
  await record('delete of an unknown ID', () => client.images.delete({ accountID, imageID: UNKNOWN_ID }));
  await record('getMetadata of a disabled image', () => client.images.getMetadata({ accountID, imageID }));
  await record('update of a disabled image', update(await picture(10)));
  await record('updateMetadata of a disabled image', describeAs('x'));

  const rendition = await record('getPublic', () => client.images.getPublic({ publicID }));
  await record('getPublic in a size', () => client.images.getPublic({ publicID, size: '30x0' }));
  await record('getPublic with a current ETag', () =>
    client.images.getPublic({
      publicID,
      ifNoneMatch: rendition?.headers.etag?.[0] ?? assert.fail('no ETag'),
    }),
  );
  await record('getPublic in an invalid size', () => client.images.getPublic({ publicID, size: 'huge' }));
  await record('getPublic of an unknown ID', () =>
    client.images.getPublic({ publicID: 'abcdefghijklmnopqrstu' }),
  );
  return outcomes;
}

type Recorder = <Result>(name: string, call: () => Promise<Result>) => Promise<Result>;

async function runProducts(record: Recorder, { products }: Client, imageID: string): Promise<void> {
  const price = (valueDecimal: string) => ({ currency: 'USD', valueDecimal });
  const lemonade = {
    title: 'Lemonade',
    description: 'Made **fresh**.',
    basePrice: price('4.990'),
    images: [{ imageID }],
    optionGroups: [
      {
        name: 'Size',
        minSelect: 1,
        maxSelect: 1,
        options: [{ name: 'Small' }, { name: 'Large', priceModifier: price('-0.5'), images: [{ imageID }] }],
      },
    ],
  };
  const wrong = {
    ...lemonade,
    title: '',
    description: '<b>x</b>',
    basePrice: { currency: 'nothing', valueDecimal: 'much' },
    images: [{ imageID }, { imageID: UNKNOWN_ID }],
    optionGroups: [{ name: 'Size', minSelect: 2, maxSelect: 1, options: [{ name: '' }] }],
    categoryID: UNKNOWN_ID,
  };
  await record('products.list without products', () => products.list({ accountID }));
  const created = await record('products.create', () =>
    products.create({ accountID, productRequest: lemonade }),
  );
  const { productID } = created.result;
  await record('products.create with required fields only', () =>
    products.create({ accountID, productRequest: { title: 'Water', basePrice: price('1') } }),
  );
  await record('products.create with invalid fields', () =>
    products.create({ accountID, productRequest: wrong }),
  );
  await record('products.create in an unknown account', () =>
    products.create({ accountID: UNKNOWN_ID, productRequest: lemonade }),
  );
  await record('products.list', () => products.list({ accountID }));
  await record('products.list of a page', () => products.list({ accountID, skip: 1, count: 1 }));
  await record('products.list by title', () => products.list({ accountID, title: 'MONA' }));
  await record('products.list by category', () => products.list({ accountID, category: UNKNOWN_ID }));
  await record('products.listCategories', () => products.listCategories());
  await record('products.create with a category', () =>
    products.create({
      accountID,
      productRequest: { title: 'Tea', basePrice: price('2'), categoryID: 'drinks' },
    }),
  );
  await record('products.list by a category with products below it', () =>
    products.list({ accountID, category: 'food' }),
  );
  await record('products.get', () => products.get({ accountID, productID }));
  await record('products.get of an unknown ID', () => products.get({ accountID, productID: UNKNOWN_ID }));
  const { optionGroups, ...fewer } = lemonade;
  const update = (productRequest: typeof fewer, id = productID) =>
    products.update({ accountID, productID: id, productRequest });
  await record('products.update', () => update({ ...fewer, title: 'Lemon squash' }));
  await record('products.update with invalid fields', () => update(wrong));
  await record('products.update of an unknown ID', () => update(fewer, UNKNOWN_ID));
  await record('products.disable', () => products.disable({ accountID, productID }));
  await record('products.disable again', () => products.disable({ accountID, productID }));
  await record('products.disable of an unknown ID', () =>
    products.disable({ accountID, productID: UNKNOWN_ID }),
  );
  await record('products.get of a disabled product', () => products.get({ accountID, productID }));
  await record('products.update of a disabled product', () => update(fewer));
}

async function runTokens(record: Recorder, make: Candidate['make'], options: Options): Promise<void> {
  const { authentication } = make(options);
  const wrongKey = make({ ...options, security: { username: 'no', password: 'body' } }).authentication;
  const scope = `/accounts/${accountID}/images.read`;
  const grantType = 'client_credentials' as const;
  const first = await record('createAccessToken', () => authentication.createAccessToken({ grantType }));
  assert.ok(first.result.accessToken.length > 20);
  await record('createAccessToken with credentials in the body', () =>
    authentication.createAccessToken({
      grantType,
      scope,
      clientId: KEY.publicKey,
      clientSecret: KEY.secretKey,
    }),
  );
  await record('createAccessToken with an unknown scope', () =>
    authentication.createAccessToken({ grantType, scope: '/everything' }),
  );
  await record('createAccessToken with a wrong key', () => wrongKey.createAccessToken({ grantType }));
  const refresh = (refreshToken: string) => () =>
    authentication.createAccessToken({ grantType: 'refresh_token', refreshToken });
  const second = await record('createAccessToken with a refresh token', refresh(first.result.refreshToken));
  await record('revokeAccessToken', () =>
    authentication.revokeAccessToken({ token: second.result.accessToken, tokenTypeHint: 'access_token' }),
  );
  await record('revokeAccessToken of an unknown token', () =>
    authentication.revokeAccessToken({ token: 'nothing' }),
  );
  await record('revokeAccessToken with a wrong key', () =>
    wrongKey.revokeAccessToken({ token: second.result.accessToken }),
  );
  await record('revokeAccessToken of an empty token', () => authentication.revokeAccessToken({ token: '' }));
  await record('createAccessToken with a used refresh token', refresh(first.result.refreshToken));
}

/** The parts of an answer that are equal in every run. */
async function describeAnswer(answer: unknown): Promise<unknown> {
  const { headers, result } = answer as { headers?: Record<string, string[]>; result?: unknown };
  const bytes =
    result instanceof ReadableStream
      ? Buffer.from(await new Response(result).arrayBuffer()).toString('base64')
      : undefined;
  return {
    fields: Object.keys(answer as object).filter((name) => name !== 'headers'),
    type: headers?.['content-type'],
    total: headers?.['x-total-count'],
    result: bytes ?? result,
  };
}

/** Replaces IDs with numbers in order of appearance, and times and tokens with fixed texts. */
/** Fields that the official SDK of this version does not know. It drops them. */
const UNKNOWN_TO_THE_SDK: ReadonlySet<string> = new Set([
  'isTaxable',
  ...['width', 'height', 'format', 'bytes', 'fileName', 'tags', 'version', 'visibility'],
  ...['placeholder', 'color'],
]);

function normalise(outcomes: unknown, serverURL: string): unknown {
  const numbers = new Map<string, string>();
  const replaceIDs = (text: string) =>
    text
      .replaceAll(serverURL, 'SERVER')
      .replace(
        /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=images\/)[\w-]{21}(?![\w-])|^[\w-]{21}$/g,
        (id) => {
          const number = numbers.get(id) ?? `ID ${numbers.size + 1}`;
          numbers.set(id, number);
          return number;
        },
      )
      .replace(/vitrine_[a-z]{2}_[\w-]+/g, 'TOKEN')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');
  const walk = (value: unknown): unknown => {
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'no date' : 'a Date';
    if (typeof value === 'string') return replaceIDs(value);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(
        Object.entries(value)
          .filter(([name, one]) => one !== undefined && !UNKNOWN_TO_THE_SDK.has(name))
          .map(([name, one]) => [name, walk(one)]),
      );
    return value;
  };
  return walk(outcomes);
}

describe('this client and the official SDK', () => {
  const servers: TestServer[] = [];
  const outcomes: Partial<Record<keyof typeof CANDIDATES, Record<string, unknown>>> = {};
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vitrine-acceptance-'));
    const file = join(folder, 'categories.json');
    await writeFile(file, JSON.stringify(CATEGORIES));
    for (const name of ['ours', 'official'] as const) {
      const server = await startServer({ VITRINE_PRODUCT_CATEGORIES: file });
      servers.push(server);
      const raw = await run(CANDIDATES[name], server.url);
      outcomes[name] = normalise(raw, server.url) as Record<string, unknown>;
    }
  });
  after(async () => {
    await Promise.all(servers.map((server) => server.close()));
    await rm(folder, { recursive: true });
  });

  test('have the same outcome for every operation', () => {
    const { ours = {}, official = {} } = outcomes;
    assert.deepEqual(Object.keys(ours), Object.keys(official));
    assert.ok(Object.keys(ours).length >= 65);
    for (const [name, outcome] of Object.entries(official)) assert.deepEqual(ours[name], outcome, name);
  });

  test('were compared in every shared operation, and the other operations are listed here', () => {
    const options = { serverURL: 'http://127.0.0.1', security: { username: '', password: '' } };
    const [ours, official] = [new Vitrine(options), new Moov(options)];
    const listOperations = (resource: object) => {
      const names = Object.getOwnPropertyNames(Object.getPrototypeOf(resource));
      return names.filter((name) => name !== 'constructor' && !name.startsWith('_'));
    };
    const compared = new Set(Object.keys(outcomes.ours ?? {}).map((name) => name.split(' ')[0]));
    for (const [name, onlyOurs, onlyOfficial] of [
      ['images', ['enable', 'original', 'usage'], []],
      ['products', [], []],
      ['authentication', [], []],
      ['ping', [], []],
    ] as const) {
      const [own, others] = [listOperations(ours[name]), listOperations(official[name])];
      assert.deepEqual(own.filter((one) => !others.includes(one)).sort(), onlyOurs, name);
      assert.deepEqual(others.filter((one) => !own.includes(one)).sort(), onlyOfficial, name);
      for (const one of own.filter((each) => others.includes(each)))
        assert.ok(compared.has(name === 'products' ? `${name}.${one}` : one), `${name}.${one}`);
    }
  });

  test('were compared in success and in every error class', () => {
    const kinds = Object.values(outcomes.ours ?? {}).map(
      (outcome) => (outcome as { kind?: string }).kind ?? 'success',
    );
    assert.deepEqual([...new Set(kinds)].sort(), [
      'GenericError',
      'ImageMetadataValidationError',
      'ImageRequestValidationError',
      'ProductRequestValidationError',
      'other',
      'success',
    ]);
  });
});
