/**
 * The requests of the official Go SDK, as its client sends them: github.com/moovfinancial/moov-go v0.47.8.
 * The SDK itself is not run, because the tests have no Go toolchain.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, KEY, startServer, type TestServer } from '../../support/server.ts';

const IMAGES = `/accounts/${ACCOUNT}/images`;
const PRODUCTS = `/accounts/${ACCOUNT}/products`;
const BASE_PRICE = { currency: 'USD', valueDecimal: '1.50' };

/** `time.Time` of Go accepts RFC 3339 only. */
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** What the SDK makes of a status. It takes only `started` as the success of an upload or a new product. */
const STATUSES: Readonly<Record<number, string>> = {
  200: 'completed',
  204: 'completed',
  201: 'started',
  202: 'started',
  400: 'bad_request',
  409: 'state_conflict',
  422: 'failed_validation',
  404: 'not_found',
  401: 'unauthenticated',
  403: 'unauthorized',
  429: 'rate_limited',
};

interface Call {
  readonly accept?: 'application/json';
  readonly authorization?: string;
  readonly version?: string;
  readonly body?: { readonly type: string; readonly bytes: Buffer };
}

// biome-ignore lint/suspicious/noExplicitAny: each test checks the fields that it reads.
type Answer = { status: string; body: any };

const json = (value: unknown): Call => ({
  accept: 'application/json',
  body: { type: 'application/json', bytes: Buffer.from(JSON.stringify(value)) },
});
const JSON_ANSWER: Call = { accept: 'application/json' };

/** A form as Go's `mime/multipart` writes it. The SDK sends neither the name nor the type of the file. */
function form(file: Uint8Array, metadata?: object): Call {
  const boundary = randomBytes(30).toString('hex');
  const parts: Uint8Array[] = [
    Buffer.from(
      `--${boundary}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n` +
        'Content-Type: application/octet-stream\r\n\r\n',
    ),
    file,
  ];
  if (metadata !== undefined) {
    const head = `\r\n--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n`;
    parts.push(Buffer.from(head + JSON.stringify(metadata)));
  }
  parts.push(Buffer.from(`\r\n--${boundary}--\r\n`));
  const type = `multipart/form-data; boundary=${boundary}`;
  return { body: { type, bytes: Buffer.concat(parts) } };
}

describe('the official Go SDK', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  const call = async (method: string, path: string, options: Call = {}): Promise<Answer> => {
    const { accept, authorization = basic(KEY.publicKey, KEY.secretKey), version, body } = options;
    const sent = request(`${server.url}${path}`, {
      method,
      setDefaultHeaders: false,
      headers: {
        Host: new URL(server.url).host,
        'User-Agent': 'moov-go/v0.47.8',
        ...(body && { 'Content-Length': body.bytes.length }),
        ...(accept && { Accept: accept }),
        Authorization: authorization,
        ...(body && { 'Content-Type': body.type }),
        ...(version && { 'X-Moov-Version': version }),
        'Accept-Encoding': 'gzip',
      },
    });
    sent.end(body?.bytes);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    const content = await text(response);
    const status = STATUSES[response.statusCode ?? 0] ?? 'server_error';
    assert.ok(response.headers['x-request-id']);
    if (content === '') return { status, body: undefined };
    // The SDK decodes nothing else. It finds the messages in an error by its exact text, without spaces.
    assert.match(response.headers['content-type'] ?? '', /application\/json/);
    const parsed: unknown = JSON.parse(content);
    assert.equal(JSON.stringify(parsed), content);
    return { status, body: parsed };
  };

  const upload = async (number: number, metadata?: object) => {
    const { status, body } = await call('POST', IMAGES, form(await picture(number), metadata));
    assert.equal(status, 'started');
    return body;
  };

  test('calls all operations on images that it has', async () => {
    const image = await upload(1, { altText: 'A "lamp"' });
    assert.equal(image.altText, 'A "lamp"');
    assert.match(image.createdOn, RFC_3339);
    assert.match(image.updatedOn, RFC_3339);
    const path = `${IMAGES}/${image.imageID}`;
    assert.deepEqual(await call('GET', path, JSON_ANSWER), { status: 'completed', body: image });
    const list = await call('GET', `${IMAGES}?count=5&skip=0`, JSON_ANSWER);
    assert.deepEqual(list, { status: 'completed', body: [image] });

    const updated = await call('PUT', path, form(await picture(2)));
    assert.equal(updated.status, 'completed');
    assert.deepEqual([updated.body.altText, updated.body.link], ['A "lamp"', image.link]);
    const described = await call('PUT', `${path}/metadata`, json({ altText: 'Two lamps' }));
    assert.deepEqual([described.status, described.body.altText], ['completed', 'Two lamps']);
    const cleared = await call('PUT', `${path}/metadata`, json({}));
    assert.deepEqual([cleared.status, 'altText' in cleared.body], ['completed', false]);

    assert.deepEqual(await call('DELETE', path, JSON_ANSWER), { status: 'completed', body: undefined });
    assert.match((await call('GET', path, JSON_ANSWER)).body.disabledOn, RFC_3339);
  });

  test('reads the errors of images', async () => {
    const { imageID } = await upload(3);
    const duplicate = await call('POST', IMAGES, form(await picture(3)));
    assert.equal(duplicate.status, 'state_conflict');
    assert.match(duplicate.body.error, new RegExp(imageID));
    const invalid = await call('POST', IMAGES, form(Buffer.from('no picture')));
    assert.equal(invalid.status, 'failed_validation');
    assert.match(invalid.body.image, /PNG, JPEG or WebP/);
    const long = await call('POST', IMAGES, form(await picture(4), { altText: 'x'.repeat(2_001) }));
    assert.equal(long.status, 'failed_validation');
    assert.match(long.body.metadata.altText, /2000/);
    const unknown = await call('GET', `${IMAGES}/7cec5bd3-6340-4de4-a923-bf6ec0f7e921`, JSON_ANSWER);
    assert.equal(unknown.status, 'not_found');
    const anonymous = await call('GET', IMAGES, { ...JSON_ANSWER, authorization: basic('no', 'body') });
    assert.equal(anonymous.status, 'unauthenticated');
  });

  test('calls all operations on products that it has', async () => {
    const { imageID, link, publicID } = await upload(5);
    const content = {
      title: 'Go',
      basePrice: BASE_PRICE,
      images: [{ imageID }],
      optionGroups: [{ name: 'Size', minSelect: 1, maxSelect: 1, options: [{ name: 'Small' }] }],
    };
    const { status, body: product } = await call('POST', PRODUCTS, json(content));
    assert.equal(status, 'started');
    assert.deepEqual(product.images, [{ imageID, link, publicID }]);
    assert.deepEqual(product.optionGroups, content.optionGroups);
    assert.match(product.createdOn, RFC_3339);
    const path = `${PRODUCTS}/${product.productID}`;
    assert.deepEqual(await call('GET', path, JSON_ANSWER), { status: 'completed', body: product });
    const list = await call('GET', `${PRODUCTS}?count=3&skip=0&title=gO`, JSON_ANSWER);
    assert.deepEqual(list, { status: 'completed', body: [product] });

    const updated = await call('PUT', path, json({ title: 'Gone', basePrice: BASE_PRICE }));
    assert.equal(updated.status, 'completed');
    assert.deepEqual(
      [updated.body.title, updated.body.images, updated.body.optionGroups],
      ['Gone', undefined, undefined],
    );
    const invalid = await call('PUT', path, json({ title: '', basePrice: BASE_PRICE }));
    assert.deepEqual(invalid, {
      status: 'failed_validation',
      body: { title: 'title must not be blank' },
    });
    assert.deepEqual(await call('DELETE', path, JSON_ANSWER), { status: 'completed', body: undefined });
    const conflict = await call('PUT', path, json({ title: 'Again', basePrice: BASE_PRICE }));
    assert.equal(conflict.status, 'state_conflict');
  });

  test('gets, refreshes and revokes tokens, with its key in the header and in the body', async () => {
    const key = { client_id: KEY.publicKey, client_secret: KEY.secretKey };
    const send = (path: string, fields: object) => {
      const { body } = json({ ...fields, ...key });
      return call('POST', path, body && { body });
    };
    const pingWith = async (token: string) =>
      (await call('GET', '/ping', { authorization: `Bearer ${token}` })).status;
    const first = await send('/oauth2/token', { grant_type: 'client_credentials', scope: '/ping.read' });
    assert.equal(first.status, 'completed');
    assert.equal(await pingWith(first.body.access_token), 'completed');
    const refresh = { grant_type: 'refresh_token', refresh_token: first.body.refresh_token };
    const second = await send('/oauth2/token', refresh);
    assert.equal(second.status, 'completed');
    const token = second.body.access_token;
    const revoked = await send('/oauth2/revoke', { token, token_type_hint: 'access_token' });
    assert.deepEqual(revoked, { status: 'completed', body: undefined });
    assert.equal(await pingWith(token), 'unauthenticated');
  });

  test('may ask for every version that it names', async () => {
    const names = ['v0001.00.00', 'v2024.00.00', 'v2025.10.00', 'v2026.07.00', 'v2026.10.00', 'v9000.00.00'];
    for (const version of names) {
      assert.equal((await call('GET', '/ping', { ...JSON_ANSWER, version })).status, 'completed', version);
    }
    const { imageID } = await upload(6);
    const again = form(await picture(6));
    const newest = await call('POST', IMAGES, { ...again, version: 'v9000.00.00' });
    assert.deepEqual([newest.status, newest.body.imageID], ['state_conflict', imageID]);
    const oldest = await call('POST', IMAGES, { ...again, version: 'v2024.00.00' });
    assert.deepEqual([oldest.status, Object.keys(oldest.body)], ['state_conflict', ['error']]);
  });
});
