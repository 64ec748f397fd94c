/**
 * The same calls through this client and through the official SDK: what they return and what they throw must be equal.
 * That this file compiles shows that a switch is one import.
 */
import assert from 'node:assert/strict';
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

/** What of the official SDK this client stands in for, with its types. */
interface Client {
  readonly images: Pick<
    Moov['images'],
    'list' | 'upload' | 'getMetadata' | 'update' | 'delete' | 'updateMetadata' | 'getPublic'
  >;
  readonly products: Pick<Moov['products'], 'list' | 'create' | 'get' | 'update' | 'disable'>;
  readonly authentication: Pick<Moov['authentication'], 'createAccessToken' | 'revokeAccessToken'>;
  readonly ping: Pick<Moov['ping'], 'ping'>;
}

interface Contestant {
  readonly make: (options: Options) => Client;
  readonly errors: {
    readonly base: new (
      ...args: never[]
    ) => Error & {
      readonly statusCode: number;
      readonly body: string;
      readonly headers: Headers;
    };
    /** From the most special to the least. */
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

const CONTESTANTS: Readonly<Record<'ours' | 'official', Contestant>> = {
  ours: {
    // The version that the official SDK speaks.
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
const NOBODY = '00000000-0000-4000-8000-000000000000';

/** What the errors of both say, beside what all of them have. */
const ERROR_FIELDS = [
  ...['error', 'image', 'metadata', 'altText'],
  ...['title', 'description', 'basePrice', 'images', 'optionGroups', 'categoryID'],
];

/** Every operation in every outcome that the contract names, one after the other; what came of each. */
async function run({ make, errors }: Contestant, serverURL: string): Promise<Record<string, unknown>> {
  const outcomes: Record<string, unknown> = {};
  const options: Options = {
    serverURL,
    security: { username: KEY.publicKey, password: KEY.secretKey },
    retryConfig: {
      strategy: 'backoff',
      backoff: { initialInterval: 10, maxInterval: 20, exponent: 1.5, maxElapsedTime: 50 },
      retryConnectionErrors: false,
    },
    // On a machine that has much else to do, too.
    timeoutMs: 100_000,
  };
  const client = make(options);
  const strangers = make({ ...options, security: { username: 'no', password: 'body' } });

  const note = async <Result>(what: string, call: () => Promise<Result>): Promise<Result> => {
    assert.ok(!(what in outcomes), `${what} is noted twice`);
    try {
      const answer = await call();
      outcomes[what] = await describeAnswer(answer);
      return answer;
    } catch (error) {
      assert.ok(error instanceof errors.base, `${what}: ${error}`);
      const [kind = 'other'] = Object.entries(errors.classes).find(([, one]) => error instanceof one) ?? [];
      const fields = error as unknown as Record<string, unknown>;
      const said = Object.fromEntries(ERROR_FIELDS.map((name) => [name, fields[name]]));
      outcomes[what] = { kind, status: error.statusCode, said, body: JSON.parse(error.body) as unknown };
      return undefined as never;
    }
  };
  const form = (content: Uint8Array, altText?: string) => ({
    image: { fileName: 'example.file', content },
    ...(altText !== undefined && { metadata: { altText } }),
  });

  await note('ping', () => client.ping.ping());
  await note('ping of a stranger', () => strangers.ping.ping());
  await note('list of nothing', () => client.images.list({ accountID }));

  const bytes = await picture(1);
  const upload = (content: Uint8Array, altText?: string) => () =>
    client.images.upload({ accountID, imageUploadRequestMultiPart: form(content, altText) });
  const { imageID, publicID } = (await note('upload', upload(bytes, 'A lamp'))).result;
  await note('upload without metadata', upload(await picture(2)));
  await note('upload of a Blob', async () =>
    client.images.upload({
      accountID,
      imageUploadRequestMultiPart: { image: new Blob([Uint8Array.from(await picture(3))]) },
    }),
  );
  await note('upload of a stream', async () =>
    client.images.upload({
      accountID,
      imageUploadRequestMultiPart: {
        image: { fileName: 'x.jpg', content: new Blob([Uint8Array.from(await picture(4))]).stream() },
      },
    }),
  );
  await note('upload of a duplicate', upload(bytes));
  await note('upload of no picture', upload(Buffer.from('no picture')));
  await note('upload of too much', upload(Buffer.alloc(16 * 1024 * 1024 + 1)));
  await note('upload with bad metadata', upload(await picture(5), 'x'.repeat(2_001)));
  await note('upload of a stranger', async () =>
    strangers.images.upload({ accountID, imageUploadRequestMultiPart: form(await picture(6)) }),
  );

  await note('list', () => client.images.list({ accountID }));
  await note('list of a page', () => client.images.list({ accountID, skip: 1, count: 2 }));
  await note('list past the end', () => client.images.list({ accountID, skip: 99 }));
  await note('list of a stranger', () => strangers.images.list({ accountID }));
  await note('list of another account', () => client.images.list({ accountID: NOBODY }));

  await note('getMetadata', () => client.images.getMetadata({ accountID, imageID }));
  await note('getMetadata of nothing', () => client.images.getMetadata({ accountID, imageID: NOBODY }));

  const update =
    (content: Uint8Array, altText?: string, id = imageID) =>
    () =>
      client.images.update({ accountID, imageID: id, imageUploadRequestMultiPart: form(content, altText) });
  await note('update', update(await picture(7)));
  await note('update with metadata', update(await picture(8), 'Eight lamps'));
  await note('update to the same', update(await picture(8)));
  await note('update to a duplicate', update(await picture(2)));
  await note('update to no picture', update(Buffer.from('no picture')));
  await note('update of nothing', update(await picture(9), undefined, NOBODY));

  const describeAs =
    (altText?: string, id = imageID) =>
    () =>
      client.images.updateMetadata({
        accountID,
        imageID: id,
        imageMetadataRequest: { ...(altText !== undefined && { altText }) },
      });
  await note('updateMetadata', describeAs('Two lamps'));
  await note('updateMetadata to nothing', describeAs());
  await note('updateMetadata with bad metadata', describeAs('a\u0000b'));
  await note('updateMetadata of nothing', describeAs('x', NOBODY));

  await runProducts(note, client, imageID);
  await runTokens(note, make, options);

  await note('delete', () => client.images.delete({ accountID, imageID }));
  await note('delete again', () => client.images.delete({ accountID, imageID }));
  await note('delete of nothing', () => client.images.delete({ accountID, imageID: NOBODY }));
  await note('getMetadata of a disabled image', () => client.images.getMetadata({ accountID, imageID }));
  await note('update of a disabled image', update(await picture(10)));
  await note('updateMetadata of a disabled image', describeAs('x'));

  const shown = await note('getPublic', () => client.images.getPublic({ publicID }));
  await note('getPublic in a size', () => client.images.getPublic({ publicID, size: '30x0' }));
  await note('getPublic of what is there', () =>
    client.images.getPublic({ publicID, ifNoneMatch: shown?.headers.etag?.[0] ?? assert.fail('no ETag') }),
  );
  await note('getPublic in no size', () => client.images.getPublic({ publicID, size: 'huge' }));
  await note('getPublic of nothing', () => client.images.getPublic({ publicID: 'abcdefghijklmnopqrstu' }));
  return outcomes;
}

type Note = <Result>(what: string, call: () => Promise<Result>) => Promise<Result>;

async function runProducts(note: Note, { products }: Client, imageID: string): Promise<void> {
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
    images: [{ imageID }, { imageID: NOBODY }],
    optionGroups: [{ name: 'Size', minSelect: 2, maxSelect: 1, options: [{ name: '' }] }],
    categoryID: NOBODY,
  };
  await note('products.list of nothing', () => products.list({ accountID }));
  const created = await note('products.create', () =>
    products.create({ accountID, productRequest: lemonade }),
  );
  const { productID } = created.result;
  await note('products.create of little', () =>
    products.create({ accountID, productRequest: { title: 'Water', basePrice: price('1') } }),
  );
  await note('products.create of what is wrong', () => products.create({ accountID, productRequest: wrong }));
  await note('products.create elsewhere', () =>
    products.create({ accountID: NOBODY, productRequest: lemonade }),
  );
  await note('products.list', () => products.list({ accountID }));
  await note('products.list of a page', () => products.list({ accountID, skip: 1, count: 1 }));
  await note('products.list by title', () => products.list({ accountID, title: 'MONA' }));
  await note('products.list by category', () => products.list({ accountID, category: NOBODY }));
  await note('products.get', () => products.get({ accountID, productID }));
  await note('products.get of nothing', () => products.get({ accountID, productID: NOBODY }));
  const { optionGroups, ...fewer } = lemonade;
  const update = (productRequest: typeof fewer, id = productID) =>
    products.update({ accountID, productID: id, productRequest });
  await note('products.update', () => update({ ...fewer, title: 'Lemon squash' }));
  await note('products.update to what is wrong', () => update(wrong));
  await note('products.update of nothing', () => update(fewer, NOBODY));
  await note('products.disable', () => products.disable({ accountID, productID }));
  await note('products.disable again', () => products.disable({ accountID, productID }));
  await note('products.disable of nothing', () => products.disable({ accountID, productID: NOBODY }));
  await note('products.get of a disabled product', () => products.get({ accountID, productID }));
  await note('products.update of a disabled product', () => update(fewer));
}

async function runTokens(note: Note, make: Contestant['make'], options: Options): Promise<void> {
  const { authentication } = make(options);
  const strangers = make({ ...options, security: { username: 'no', password: 'body' } }).authentication;
  const scope = `/accounts/${accountID}/images.read`;
  const grantType = 'client_credentials' as const;
  const first = await note('createAccessToken', () => authentication.createAccessToken({ grantType }));
  assert.ok(first.result.accessToken.length > 20);
  await note('createAccessToken by its body', () =>
    authentication.createAccessToken({
      grantType,
      scope,
      clientId: KEY.publicKey,
      clientSecret: KEY.secretKey,
    }),
  );
  await note('createAccessToken of a scope that is none', () =>
    authentication.createAccessToken({ grantType, scope: '/everything' }),
  );
  await note('createAccessToken of a stranger', () => strangers.createAccessToken({ grantType }));
  const refresh = (refreshToken: string) => () =>
    authentication.createAccessToken({ grantType: 'refresh_token', refreshToken });
  const second = await note('createAccessToken by refreshing', refresh(first.result.refreshToken));
  await note('revokeAccessToken', () =>
    authentication.revokeAccessToken({ token: second.result.accessToken, tokenTypeHint: 'access_token' }),
  );
  await note('revokeAccessToken of nothing', () => authentication.revokeAccessToken({ token: 'nothing' }));
  await note('revokeAccessToken of a stranger', () =>
    strangers.revokeAccessToken({ token: second.result.accessToken }),
  );
  await note('revokeAccessToken of no token', () => authentication.revokeAccessToken({ token: '' }));
  await note('createAccessToken by refreshing again', refresh(first.result.refreshToken));
}

/** Without what differs between any two runs. */
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

/** IDs become numbers in the order of their appearance, times only that they are times. */
function normalise(outcomes: unknown, serverURL: string): unknown {
  const numbers = new Map<string, string>();
  const numbered = (text: string) =>
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
    if (typeof value === 'string') return numbered(value);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(
        Object.entries(value)
          .filter(([, one]) => one !== undefined)
          .map(([name, one]) => [name, walk(one)]),
      );
    return value;
  };
  return walk(outcomes);
}

describe('this client and the official SDK', () => {
  const servers: TestServer[] = [];
  const outcomes: Partial<Record<keyof typeof CONTESTANTS, Record<string, unknown>>> = {};
  before(async () => {
    for (const name of ['ours', 'official'] as const) {
      const server = await startServer();
      servers.push(server);
      const raw = await run(CONTESTANTS[name], server.url);
      outcomes[name] = normalise(raw, server.url) as Record<string, unknown>;
    }
  });
  after(() => Promise.all(servers.map((server) => server.close())));

  test('have the same outcomes of every operation', () => {
    const { ours = {}, official = {} } = outcomes;
    assert.deepEqual(Object.keys(ours), Object.keys(official));
    assert.ok(Object.keys(ours).length >= 65);
    for (const [what, outcome] of Object.entries(official)) assert.deepEqual(ours[what], outcome, what);
  });

  test('were compared in every operation that both have, and what only one has is known', () => {
    const options = { serverURL: 'http://127.0.0.1', security: { username: '', password: '' } };
    const [ours, official] = [new Vitrine(options), new Moov(options)];
    const operationsOf = (resource: object) => {
      const names = Object.getOwnPropertyNames(Object.getPrototypeOf(resource));
      return names.filter((name) => name !== 'constructor' && !name.startsWith('_'));
    };
    const compared = new Set(Object.keys(outcomes.ours ?? {}).map((what) => what.split(' ')[0]));
    for (const [name, onlyOurs, onlyOfficial] of [
      ['images', ['enable', 'original', 'usage'], []],
      // Categories belong to a taxonomy that this server does not have.
      ['products', [], ['listCategories']],
      ['authentication', [], []],
      ['ping', [], []],
    ] as const) {
      const [here, there] = [operationsOf(ours[name]), operationsOf(official[name])];
      assert.deepEqual(here.filter((one) => !there.includes(one)).sort(), onlyOurs, name);
      assert.deepEqual(there.filter((one) => !here.includes(one)).sort(), onlyOfficial, name);
      for (const one of here.filter((each) => there.includes(each)))
        assert.ok(compared.has(name === 'products' ? `${name}.${one}` : one), `${name}.${one}`);
    }
  });

  test('were compared in outcomes of every kind', () => {
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
