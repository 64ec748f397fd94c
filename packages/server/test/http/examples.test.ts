/**
 * The examples of the OpenAPI document are complete, valid, and what a server really answers. If a test fails
 * after a change of a schema, change the example in the `examples.ts` of the room.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { describeAPI } from '../../src/http/server.ts';
import { PLACEHOLDERS } from '../../src/http/shared/examples.ts';
import type { Content, Operation, Schema } from '../../src/http/shared/openapi-document.ts';
import { basic } from '../support/client.ts';
import { ACCOUNT, startServer, type TestServer } from '../support/server.ts';

const document = await describeAPI();
const { components } = document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

/** Every body of an operation or of a shared response, with the place to name in a message. */
const bodies: { place: string; content: NonNullable<Content['content']> }[] = [
  ...operations.flatMap(({ operation: { operationId, requestBody, responses } }) => [
    { place: `${operationId}, request`, content: requestBody?.content ?? {} },
    ...Object.entries(responses).map(([status, { content }]) => ({
      place: `${operationId}, ${status}`,
      content: content ?? {},
    })),
  ]),
  ...Object.entries(components.responses).map(([name, { content }]) => ({
    place: `the shared response ${name}`,
    content: content ?? {},
  })),
];

function exampleValue(name: string): unknown {
  return components.examples?.[name]?.value;
}

/** A copy in which objects accept no unknown fields. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]));
  const isOpen = 'additionalProperties' in copy || 'patternProperties' in copy;
  return 'properties' in copy && !isOpen ? { ...copy, additionalProperties: false } : copy;
}

/** What is wrong with a value, one line for each error. */
function errorsOf(schema: Schema, value: unknown): string[] {
  const root = { ...(closed(schema) as object), components: { schemas: closed(components.schemas) } };
  const [, errors] = Compile(root as TSchema).Errors(value);
  return errors.map(({ instancePath, message, params }) =>
    `${instancePath} ${message} ${JSON.stringify(params)}`.trim(),
  );
}

describe('the examples of the OpenAPI document', () => {
  test('exist for every body that is JSON or a form, and for every parameter without fixed values', () => {
    const missing: string[] = [];
    for (const { place, content } of bodies) {
      for (const [type, { examples }] of Object.entries(content)) {
        if (!type.startsWith('image/') && Object.keys(examples ?? {}).length === 0)
          missing.push(`${place}: ${type} has no example`);
      }
    }
    for (const { operation } of operations) {
      for (const { name, example, schema } of operation.parameters ?? []) {
        if (example === undefined && schema.default === undefined && schema.enum === undefined)
          missing.push(`${operation.operationId}: the parameter ${name} has no example`);
      }
    }
    assert.deepEqual(missing, []);
    assert.ok(bodies.length > 100, String(bodies.length));
  });

  test('fit their schemas, without a missing or an unknown field', () => {
    const wrong: string[] = [];
    for (const { place, content } of bodies) {
      for (const { schema, examples } of Object.values(content)) {
        for (const name of Object.keys(examples ?? {})) {
          for (const error of errorsOf(schema, exampleValue(name)))
            wrong.push(`${place}: the example ${name}: ${error}`);
        }
      }
    }
    for (const { operation } of operations) {
      for (const { name, example, schema } of operation.parameters ?? []) {
        if (example === undefined) continue;
        for (const error of errorsOf(schema, example))
          wrong.push(`${operation.operationId}: the example of the parameter ${name}: ${error}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test('lead to a clear message if a new required field has no example', () => {
    const { Account } = components.schemas ?? {};
    assert.ok(Account);
    const changed = { ...Account, required: ['accountID', 'region'] };
    assert.match(
      errorsOf(changed, exampleValue('Account')).join(),
      /must have required properties .*"region"/,
    );
    assert.match(errorsOf(Account, { ...(exampleValue('Account') as object), x: 1 }).join(), /"x"/);
  });
});

/** Numbers and texts that depend on the file or on earlier requests. Their examples need only the type. */
const MEASURED: ReadonlySet<string> = new Set(['sequence', 'bytes', 'placeholder', 'color']);

/** Parts of texts that differ on each server, by kind. */
const VOLATILE = new RegExp(
  [
    '(?<link>https?://[^/"\\s]+/images/[\\w-]{21})',
    '(?<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})',
    '(?<time>\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z)',
    '(?<secret>vitrine_(?:pk|sk|at|rt)_[\\w-]+)',
    '(?<address>\\b\\d{1,3}(?:\\.\\d{1,3}){3}\\b)',
    '(?<publicID>^[\\w-]{21}$)',
  ].join('|'),
  'g',
);

/** The values of this server for the placeholders of the examples. */
class Values {
  readonly #real = new Map<string, string>([[ACCOUNT, ACCOUNT]]);

  /** A request as this server needs it. */
  fill<T>(request: T): T {
    return JSON.parse(JSON.stringify(request), (_name, value) =>
      typeof value === 'string'
        ? value.replace(VOLATILE, (part) => this.#real.get(part) ?? part)
        : (value as unknown),
    ) as T;
  }

  set(placeholder: string, real: string): void {
    this.#real.set(placeholder, real);
  }

  /** Compares an answer with its example, and learns the values of its placeholders. */
  compare(example: unknown, answer: unknown, at: string): void {
    if (typeof example === 'string' && typeof answer === 'string') {
      if (!MEASURED.has(at.split('.').at(-1) ?? '')) this.#compareTexts(example, answer, at);
    } else if (typeof example !== 'object' || example === null) {
      assert.equal(typeof answer, typeof example, at);
      if (!MEASURED.has(at.split('.').at(-1) ?? '')) assert.equal(answer, example, at);
    } else {
      assert.ok(typeof answer === 'object' && answer !== null, at);
      assert.deepEqual(Object.keys(answer).sort(), Object.keys(example).sort(), `the fields of ${at}`);
      for (const [name, value] of Object.entries(example))
        this.compare(value, (answer as Record<string, unknown>)[name], `${at}.${name}`);
    }
  }

  #compareTexts(example: string, answer: string, at: string): void {
    const [expected, found] = [splitText(example), splitText(answer)];
    assert.equal(found.form, expected.form, `${at}: ${answer}`);
    expected.parts.forEach(([kind, placeholder], n) => {
      const real = found.parts[n]?.[1] ?? '';
      if (kind === 'time' || kind === 'address') return;
      const known = this.#real.get(placeholder);
      if (known === undefined) this.set(placeholder, real);
      else assert.equal(real, known, `${at}: ${placeholder} stood for another value before`);
    });
  }
}

/** A text with the kinds of its volatile parts, and these parts. */
function splitText(text: string): { form: string; parts: [kind: string, part: string][] } {
  const parts: [string, string][] = [];
  const form = text.replace(VOLATILE, (part, ...rest) => {
    const groups = rest.at(-1) as Record<string, string | undefined>;
    const kind = Object.keys(groups).find((name) => groups[name] !== undefined) ?? '';
    parts.push([kind, part]);
    return `{${kind}}`;
  });
  return { form, parts };
}

interface Step {
  /** The example of the request body. Default: the first one of the operation, if it has any. */
  readonly send?: string;
  /** Replaces the example of the request body, to provoke a refusal. */
  readonly body?: unknown;
  /** Query parameters, and path parameters that differ from their examples. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The status of the answer. Default: 200. */
  readonly status?: number;
  /** The example of the answer. Default: the only one. `other`: no example shows this answer. */
  readonly expect?: string;
}

/** Shared responses that this test does not provoke. Tests of their rooms do. */
const NOT_PROVOKED = [
  'InsufficientStorage',
  'InternalServerError',
  'RequestTimeout',
  'ServiceUnavailable',
  'TooManyRequests',
];

/** The JSON examples of a body. */
function namesOf({ content }: Content): string[] {
  return Object.values(content ?? {}).flatMap(({ examples }) => Object.keys(examples ?? {}));
}

/** A response of an operation, with its name if it is a shared one. */
function answerOf({ responses }: Operation, status: number): Content & { name?: string } {
  const response = responses[status] ?? assert.fail(`the document has no ${status}`);
  const name = response.$ref?.split('/').at(-1);
  return name === undefined ? response : { name, ...components.responses[name] };
}

describe('a server', () => {
  let server: TestServer;
  let folder: string;
  const values = new Values();
  const files: Record<string, Buffer> = {};
  /** Requests as `operation < example`, answers as `operation status example`. */
  const seen = new Set<string>();
  before(async () => {
    // Before the example key expires. It advances, so that the newest record is the first of its list.
    let clock = Date.parse('2026-03-01T08:00:00Z');
    const now = () => {
      clock += 100;
      return new Date(clock);
    };
    folder = await mkdtemp(join(tmpdir(), 'vitrine-examples-'));
    const categories = join(folder, 'categories.json');
    await writeFile(categories, JSON.stringify(exampleValue('Categories')));
    server = await startServer({ VITRINE_PRODUCT_CATEGORIES: categories }, { now });
    const draw = (background: string) =>
      sharp({ create: { width: 1200, height: 900, channels: 3, background } })
        .jpeg()
        .toBuffer();
    files['lamp.jpg'] = await draw('#b08d57');
    files['lamp-without-shade.jpg'] = await draw('#705d37');
    files['large.jpg'] = Buffer.alloc(16 * 1024 * 1024 + 1);
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  function formOf(body: unknown): FormData {
    const { image, metadata } = body as { image: string; metadata?: unknown };
    const form = new FormData();
    form.append('image', new Blob([Uint8Array.from(files[image] ?? Buffer.from(image))]), image);
    if (metadata !== undefined) form.append('metadata', JSON.stringify(metadata));
    return form;
  }

  async function call(operationId: string, step: Step = {}): Promise<void> {
    const { path, method, operation } =
      operations.find((each) => each.operation.operationId === operationId) ?? assert.fail(operationId);
    const { status = 200, parameters = {}, headers = {} } = step;
    const place = `${operationId} ${status}`;

    const examples = Object.fromEntries(
      (operation.parameters ?? []).map(({ name, example }) => [name, example]),
    );
    const filled = values.fill({ ...examples, ...parameters }) as Record<string, unknown>;
    const url = new URL(
      path.replace(/\{(\w+)\}/g, (_, name: string) => String(filled[name])),
      server.url,
    );
    for (const [name, value] of Object.entries(parameters))
      if (!path.includes(`{${name}}`)) url.searchParams.set(name, value);

    const sent = step.send ?? namesOf(operation.requestBody ?? {})[0];
    if (sent !== undefined && step.body === undefined) seen.add(`${operationId} < ${sent}`);
    const body = step.body ?? (sent === undefined ? undefined : values.fill(exampleValue(sent)));
    const isForm = 'multipart/form-data' in (operation.requestBody?.content ?? {});
    const response = await server.fetch(url.href, {
      method: method.toUpperCase(),
      ...(body !== undefined && { body: isForm ? formOf(body) : JSON.stringify(body) }),
      headers: { ...(body !== undefined && !isForm && { 'content-type': 'application/json' }), ...headers },
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, status, `${place}: ${bytes.subarray(0, 300)}`);

    const answer = answerOf(operation, status);
    const names = namesOf(answer);
    if (names.length === 0) {
      seen.add(place);
      assert.equal(answer.content === undefined, bytes.length === 0, place);
    }
    if (names.length === 0 || step.expect === 'other') return;
    const expected = step.expect ?? (names.length === 1 ? names[0] : undefined);
    assert.ok(expected && names.includes(expected), `${place}: name one of ${names.join(', ')}`);
    seen.add(`${answer.name ?? place} ${expected}`);
    values.compare(exampleValue(expected), JSON.parse(bytes.toString()), `${place} ${expected}`);
  }

  test('answers the requests of the examples with the responses of the examples', async () => {
    const newest = { parameters: { count: '1' } };
    await call('ping');

    await call('createAccount', { status: 201 });
    await call('createAccount', { body: { displayName: 'Lamp shop', accountID: ACCOUNT }, status: 409 });
    await call('listAccounts', newest);
    await call('getAccount');
    await call('updateAccount');
    await call('suspendAccount');
    await call('resumeAccount');

    await call('createAccountKey', { send: 'NewKeyWithDefaults', status: 201, expect: 'other' });
    await call('createAccountKey', { send: 'NewKey', status: 201 });
    await call('listAccountAudit', newest);
    await call('listAccountKeys', newest);
    await call('getAccountKey');
    await call('rotateAccountKey');
    await call('createKey', { status: 201 });
    await call('listServerAudit', newest);
    await call('listKeys', newest);
    const ofServerKey = { parameters: { keyID: PLACEHOLDERS.serverKeyID } };
    await call('getKey', ofServerKey);
    await call('rotateKey', ofServerKey);

    const { publicKey, newSecretKey } = values.fill(PLACEHOLDERS);
    const byKey = { headers: { authorization: basic(publicKey, newSecretKey) } };
    const byStranger = { headers: { authorization: basic(publicKey, 'wrong') } };
    await call('getMe', byKey);
    await call('createAccessToken', { send: 'ClientCredentials', ...byKey });
    await call('createAccessToken', { send: 'RefreshToken', ...byKey, expect: 'other' });
    await call('createAccessToken', { send: 'RefreshToken', ...byKey, status: 400 });
    await call('createAccessToken', { ...byStranger, status: 401 });
    await call('revokeAccessToken', { ...byKey, status: 204 });
    await call('revokeAccessToken', { ...byKey, body: {}, status: 400 });
    await call('revokeAccessToken', { ...byStranger, status: 401 });

    await call('uploadImage', { status: 201 });
    await call('uploadImage', { status: 409, expect: 'DuplicateImage' });
    const latest = { 'x-moov-version': 'v2026.10.00' };
    await call('uploadImage', { headers: latest, status: 409, expect: 'DuplicateImageWithMetadata' });
    const noPicture = { body: { image: 'GIF89a' }, status: 422, expect: 'ImageRefused' };
    const noText = {
      body: { image: 'lamp.jpg', metadata: { altText: 1 } },
      status: 422,
      expect: 'UploadMetadataRefused',
    };
    await call('uploadImage', noPicture);
    await call('uploadImage', noText);
    await call('uploadImage', { body: { image: 'large.jpg' }, status: 413 });
    await call('listImageMetadata', { parameters: { search: 'lamp' } });
    await call('getImageMetadata');
    await call('updateImage');
    await call('updateImage', noPicture);
    await call('updateImage', noText);
    await call('updateImageMetadata');
    await call('updateImageMetadata', { body: { focalPoint: { x: 1.5, y: 0 } }, status: 422 });
    await call('getPublicImage', { parameters: { size: '800x600', quality: '80', dpr: '2' } });
    await call('getPublicImage', { headers: { 'if-none-match': '*' }, status: 304 });
    await call('getImageOriginal');
    await call('getImageOriginal', { headers: { 'if-none-match': '*' }, status: 304 });
    await call('getImageOriginal', { headers: { 'if-match': '"other"' }, status: 412 });

    const comma = { currency: 'USD', valueDecimal: '49,90' };
    const invalidProduct = { title: '', basePrice: comma, images: [{ imageID: ACCOUNT }] };
    await call('createProduct', { send: 'NewProduct', status: 201, expect: 'other' });
    await call('createProduct', { send: 'NewProductWithImages', status: 201 });
    await call('createProduct', { body: invalidProduct, status: 422 });
    await call('listProducts', { parameters: { title: 'lamp', count: '1' } });
    await call('getProduct');
    await call('listProductCategories');
    await call('updateProduct', { send: 'NewProduct', expect: 'other' });
    await call('updateProduct', { send: 'NewProductWithImages' });
    await call('updateProduct', { body: invalidProduct, status: 422 });

    const invalidItem = { name: 'Lamp', basePrice: { currency: 'USD', valueDecimal: '49.90' }, quantity: 0 };
    await call('createLineItems', { send: 'NewLineItems', status: 201, expect: 'other' });
    await call('createLineItems', { send: 'NewLineItemsOfProduct', status: 201 });
    const invalidItems = { items: [{ ...invalidItem, imageIDs: [ACCOUNT] }] };
    await call('createLineItems', { body: invalidItems, status: 422 });
    await call('listLineItems', newest);
    await call('getLineItems');

    await call('getImageUsage');
    await call('disableImage', { parameters: { dryRun: 'true' } });
    await call('disableImage', { status: 409 });
    await call('updateAccount', { body: { disablePolicy: 'allow' }, expect: 'other' });
    await call('disableImage', { status: 204 });
    await call('updateImageMetadata', { status: 409 });
    await call('enableImage');
    await call('disableProduct', { status: 204 });
    await call('updateProduct', { status: 409 });

    await call('listImageMetadata', { parameters: { count: '0' }, status: 400 });
    await call('listImageMetadata', { ...byStranger, status: 401 });
    await call('listImageMetadata', { ...byKey, parameters: { accountID: ACCOUNT }, status: 403 });
    await call('getImageMetadata', { parameters: { imageID: ACCOUNT }, status: 404 });
    await call('updateImageMetadata', { headers: { 'content-type': 'text/plain' }, status: 415 });

    await call('revokeAccountKey', { status: 204 });
    await call('rotateAccountKey', { status: 409 });
    await call('revokeKey', { ...ofServerKey, status: 204 });
    await call('rotateKey', { ...ofServerKey, status: 409 });

    assert.deepEqual(
      everyExample().filter((each) => !seen.has(each)),
      [],
      'the test sends each request example and gets each response example',
    );
  });
});

/** What the test must have seen. */
function everyExample(): string[] {
  const ofOperations = operations.flatMap(({ operation: { operationId, requestBody, responses } }) => [
    ...namesOf(requestBody ?? {}).map((name) => `${operationId} < ${name}`),
    ...Object.entries(responses).flatMap(([status, response]) => {
      if (response.$ref) return [];
      const names = namesOf(response);
      return names.length === 0
        ? [`${operationId} ${status}`]
        : names.map((name) => `${operationId} ${status} ${name}`);
    }),
  ]);
  const ofShared = Object.entries(components.responses)
    .filter(([name]) => !NOT_PROVOKED.includes(name))
    .flatMap(([name, response]) => namesOf(response).map((each) => `${name} ${each}`));
  return [...ofOperations, ...ofShared];
}
