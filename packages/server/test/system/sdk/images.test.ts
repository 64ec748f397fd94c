/**
 * The published, unchanged Moov SDK as a client of the server: images and access tokens.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HTTPClient, Moov } from '@moovio/sdk';
import { GenericError } from '@moovio/sdk/models/errors/genericerror.js';
import { ImageMetadataValidationError } from '@moovio/sdk/models/errors/imagemetadatavalidationerror.js';
import { ImageRequestValidationError } from '@moovio/sdk/models/errors/imagerequestvalidationerror.js';
import { MoovError } from '@moovio/sdk/models/errors/mooverror.js';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../support/server.ts';

const accountID = ACCOUNT;

async function upload(moov: Moov, bytes: Uint8Array, altText?: string) {
  const { result } = await moov.images.upload({
    accountID,
    imageUploadRequestMultiPart: {
      image: { fileName: 'example.file', content: bytes },
      ...(altText !== undefined && { metadata: { altText } }),
    },
  });
  return result;
}

async function update(moov: Moov, imageID: string, bytes: Uint8Array) {
  const { result } = await moov.images.update({
    accountID,
    imageID,
    imageUploadRequestMultiPart: { image: { fileName: 'example.file', content: bytes } },
  });
  return result;
}

async function callAllOperations(moov: Moov): Promise<void> {
  const image = await upload(moov, await picture(1), 'A lamp');
  assert.equal(image.altText, 'A lamp');
  assert.ok(image.createdOn instanceof Date);

  const list = await moov.images.list({ accountID, skip: 0, count: 20 });
  assert.deepEqual(
    list.result.map(({ imageID }) => imageID),
    [image.imageID],
  );

  const { imageID } = image;
  const metadata = await moov.images.getMetadata({ accountID, imageID });
  assert.deepEqual(metadata.result, image);

  const replacement = await update(moov, imageID, await picture(2));
  assert.equal(replacement.imageID, imageID);
  assert.equal(replacement.publicID, image.publicID);
  assert.equal(replacement.altText, 'A lamp');

  const description = await moov.images.updateMetadata({
    accountID,
    imageID,
    imageMetadataRequest: { altText: 'Two lamps' },
  });
  assert.equal(description.result.altText, 'Two lamps');

  const deletion = await moov.images.delete({ accountID, imageID });
  assert.ok(deletion);

  for (const size of [undefined, '120x80']) {
    const response = await moov.images.getPublic({
      publicID: image.publicID,
      ...(size !== undefined && { size }),
    });
    const bytes = Buffer.from(await new Response(response?.result as ReadableStream).arrayBuffer());
    const { format, width, height } = await sharp(bytes).metadata();
    assert.deepEqual([format, width, height], ['jpeg', ...(size === undefined ? [400, 400] : [120, 80])]);
  }
}

for (const version of ['v2024.01.00', 'v2026.10.00', undefined]) {
  describe(`the official SDK ${version === undefined ? 'without a version' : `at ${version}`}`, () => {
    let server: TestServer;
    let moov: Moov;
    before(async () => {
      server = await startServer();
      moov = new Moov({
        serverURL: server.url,
        security: { username: KEY.publicKey, password: KEY.secretKey },
        ...(version !== undefined && { xMoovVersion: version }),
      });
    });
    after(() => server.close());

    test('calls all seven operations', () => callAllOperations(moov));

    test('accepts a 304 for a conditional request', async () => {
      const { link, publicID } = await upload(moov, await picture(3));
      const accept = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';
      const etag = (await fetch(link, { headers: { accept } })).headers.get('etag') ?? '';
      const response = await moov.images.getPublic({ publicID, ifNoneMatch: etag });
      assert.equal(response?.result, undefined, 'a 304 has no body');
      assert.deepEqual(response?.headers.etag, [etag]);
    });

    test('parses errors into its typed classes', async () => {
      const bytes = await picture(4);
      const { imageID } = await upload(moov, bytes);
      await assert.rejects(upload(moov, bytes), (error) => {
        assert.ok(error instanceof GenericError);
        assert.equal(error.statusCode, 409);
        assert.match(error.error, /already/);
        return true;
      });
      await assert.rejects(upload(moov, Buffer.from('no picture')), (error) => {
        assert.ok(error instanceof ImageRequestValidationError);
        assert.match(error.image ?? '', /PNG, JPEG or WebP/);
        return true;
      });
      await assert.rejects(upload(moov, await picture(5), 'x'.repeat(2_001)), (error) => {
        assert.ok(error instanceof ImageRequestValidationError);
        assert.match(error.metadata?.altText ?? '', /2000/);
        return true;
      });
      const changing = moov.images.updateMetadata({
        accountID,
        imageID,
        imageMetadataRequest: { altText: 'a\u0000b' },
      });
      await assert.rejects(changing, (error) => {
        assert.ok(error instanceof ImageMetadataValidationError);
        assert.match(error.altText ?? '', /control/);
        return true;
      });
      const unknownRequest = moov.images.getMetadata({
        accountID,
        imageID: '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
      });
      await assert.rejects(unknownRequest, (error) => error instanceof MoovError && error.statusCode === 404);
    });
  });
}

describe('the official SDK with an access token', () => {
  let server: TestServer;
  let moov: Moov;
  before(async () => {
    server = await startServer();
    moov = new Moov({
      serverURL: server.url,
      security: { username: KEY.publicKey, password: KEY.secretKey },
    });
  });
  after(() => server.close());

  /** An SDK client with a token instead of the key. A request hook sets the header. */
  const createTokenClient = (accessToken: string) => {
    const httpClient = new HTTPClient();
    httpClient.addHook('beforeRequest', (request) => {
      const next = new Request(request);
      next.headers.set('authorization', `Bearer ${accessToken}`);
      return next;
    });
    return new Moov({ serverURL: server.url, httpClient });
  };
  const scope = `/accounts/${accountID}/images.read /accounts/${accountID}/images.write`;
  const request = { grantType: 'client_credentials', scope } as const;

  test('creates a token and calls all seven operations with it', async () => {
    const { result } = await moov.authentication.createAccessToken(request);
    assert.equal(result.scope, scope);
    assert.equal(result.tokenType, 'Bearer');
    await callAllOperations(createTokenClient(result.accessToken));
  });

  test('creates a token with credentials in the body, refreshes it, and revokes it', async () => {
    const anonymous = new Moov({ serverURL: server.url });
    const client = { clientId: KEY.publicKey, clientSecret: KEY.secretKey };
    const first = await anonymous.authentication.createAccessToken({ ...request, ...client });
    const { refreshToken } = first.result;
    const grantType = 'refresh_token';
    const second = await anonymous.authentication.createAccessToken({ grantType, refreshToken, ...client });
    const bearer = createTokenClient(second.result.accessToken);
    await bearer.images.list({ accountID });
    const token = second.result.accessToken;
    await anonymous.authentication.revokeAccessToken({ token, tokenTypeHint: 'access_token', ...client });
    const listAfterRevoke = bearer.images.list({ accountID });
    await assert.rejects(listAfterRevoke, (error) => error instanceof MoovError && error.statusCode === 401);
  });

  test('parses errors into its typed classes', async () => {
    await assert.rejects(
      moov.authentication.createAccessToken({ ...request, scope: 'nonsense' }),
      (error) => {
        assert.ok(error instanceof GenericError);
        assert.equal(error.statusCode, 400);
        assert.equal(error.error, 'invalid_scope');
        return true;
      },
    );
    const refreshing = moov.authentication.createAccessToken({
      grantType: 'refresh_token',
      refreshToken: 'unknown',
    });
    await assert.rejects(
      refreshing,
      (error) => error instanceof GenericError && error.error === 'invalid_grant',
    );
  });
});
