/**
 * Tests every operation on images against a real server.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  APIError,
  DuplicateImageError,
  GenericError,
  ImageMetadataValidationError,
  ImageRequestValidationError,
  imageURL,
  NEWEST_VERSION,
  srcset,
  Vitrine,
} from '@vitrine/client';
import sharp from 'sharp';
import { picture } from '../../server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';

const accountID = ACCOUNT;
const security = { username: KEY.publicKey, password: KEY.secretKey };

let server: TestServer;
let vitrine: Vitrine;
let next = 1;
/** The bytes of a new picture. */
const newPicture = () => picture(next++);
before(async () => {
  server = await startServer();
  vitrine = new Vitrine({ serverURL: server.url, security });
});
after(() => server.close());

const readBytes = async (stream: ReadableStream<Uint8Array> | undefined) =>
  Buffer.from(await new Response(stream ?? null).arrayBuffer());
const isAPIError = (status: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === status;

describe('images', () => {
  test('support all seven operations', async () => {
    const { result: uploaded, headers } = await vitrine.images.upload({
      accountID,
      image: { fileName: 'lamp.jpg', content: await newPicture() },
      metadata: { altText: 'A lamp' },
    });
    assert.equal(uploaded.altText, 'A lamp');
    assert.ok(uploaded.createdOn instanceof Date && uploaded.updatedOn instanceof Date);
    assert.equal('disabledOn' in uploaded, false);
    assert.match(headers['x-request-id']?.[0] ?? '', /./);

    const { imageID, publicID } = uploaded;
    const listed = await vitrine.images.list({ accountID });
    assert.deepEqual(listed.result, [uploaded]);
    assert.deepEqual(listed.headers['x-total-count'], ['1']);
    assert.deepEqual((await vitrine.images.getMetadata({ accountID, imageID })).result, uploaded);

    const image = await newPicture();
    const { result: updated } = await vitrine.images.update({ accountID, imageID, image });
    assert.deepEqual(
      [updated.imageID, updated.publicID, updated.altText, updated.createdOn],
      [imageID, publicID, 'A lamp', uploaded.createdOn],
    );

    const described = await vitrine.images.updateMetadata({ accountID, imageID, altText: 'Two lamps' });
    assert.equal(described.result.altText, 'Two lamps');
    const cleared = await vitrine.images.updateMetadata({ accountID, imageID });
    assert.equal('altText' in cleared.result, false);

    assert.deepEqual(Object.keys(await vitrine.images.delete({ accountID, imageID })), ['headers']);
    const disabled = await vitrine.images.getMetadata({ accountID, imageID });
    assert.ok(disabled.result.disabledOn instanceof Date);

    const rendition = await vitrine.images.getPublic({ publicID, size: '120x80' });
    assert.deepEqual(rendition.headers['content-type'], ['image/jpeg']);
    const { width, height } = await sharp(await readBytes(rendition.result)).metadata();
    assert.deepEqual([width, height], [120, 80]);
  });

  test('return their original byte for byte, as a stream or verified', async () => {
    const image = await newPicture();
    const { imageID } = (await vitrine.images.upload({ accountID, image })).result;
    const streamed = await vitrine.images.original({ accountID, imageID });
    assert.deepEqual(await readBytes(streamed.result), image);
    const verified = await vitrine.images.original({ accountID, imageID }, { verify: true });
    assert.deepEqual(await readBytes(verified.result), image);
    const [ifNoneMatch = ''] = verified.headers.etag ?? [];
    for (const verify of [true, false]) {
      const again = await vitrine.images.original({ accountID, imageID, ifNoneMatch }, { verify });
      assert.equal('result' in again, false);
    }
    const anonymous = new Vitrine({ serverURL: server.url });
    await assert.rejects(anonymous.images.original({ accountID, imageID }), isAPIError(401));
    const unknown = { accountID, imageID: '00000000-0000-4000-8000-000000000000' };
    await assert.rejects(vitrine.images.original(unknown, { verify: true }), isAPIError(404));
  });

  test('accept the nested requests of the official SDK', async () => {
    const { result } = await vitrine.images.upload({
      accountID,
      imageUploadRequestMultiPart: {
        image: { fileName: 'example.file', content: await newPicture() },
        metadata: { altText: 'A chair' },
      },
    });
    assert.equal(result.altText, 'A chair');
    const { imageID } = result;
    const updated = await vitrine.images.update({
      accountID,
      imageID,
      imageUploadRequestMultiPart: { image: new Blob([Uint8Array.from(await newPicture())]) },
    });
    assert.equal(updated.result.altText, 'A chair');
    const described = await vitrine.images.updateMetadata({
      accountID,
      imageID,
      imageMetadataRequest: { altText: 'Two chairs' },
    });
    assert.equal(described.result.altText, 'Two chairs');
  });

  test('have renditions, which a current ETag does not send again', async () => {
    const { result } = await vitrine.images.upload({ accountID, image: await newPicture() });
    const { publicID } = result;
    const anonymous = new Vitrine({ serverURL: server.url });
    const first = await anonymous.images.getPublic({ publicID, size: '40x0', format: 'avif', quality: 40 });
    assert.deepEqual(first.headers['content-type'], ['image/avif']);
    assert.equal((await sharp(await readBytes(first.result)).metadata()).width, 40);

    const [etag = ''] = first.headers.etag ?? [];
    const again = { publicID, size: '40x0', format: 'avif', quality: 40 } as const;
    const second = await anonymous.images.getPublic({ ...again, ifNoneMatch: etag });
    assert.equal(second.result, undefined);
    assert.deepEqual(second.headers.etag, [etag]);

    const webp = await anonymous.images.getPublic({ publicID }, { acceptHeaderOverride: 'image/webp' });
    assert.deepEqual(webp.headers['content-type'], ['image/webp']);
    await webp.result?.cancel();
  });

  test('have the size that imageURL and srcset promise', async () => {
    const content = await sharp({
      create: { width: 900, height: 600, channels: 3, background: '#246' },
    })
      .png()
      .toBuffer();
    const { link } = (await vitrine.images.upload({ accountID, image: content })).result;
    const response = await fetch(imageURL(link, { size: { width: 90 }, format: 'png', dpr: 2 }));
    const { width, height, format } = await sharp(await response.arrayBuffer()).metadata();
    assert.deepEqual([width, height, format], [180, 120, 'png']);
    const candidates = [
      ...srcset(link, { widths: [300, 2_500], aspectRatio: 2, fit: 'cover' }).split(', '),
      ...srcset(link, { size: '900x500', dprs: [1, 3] }).split(', '),
    ];
    for (const candidate of candidates) {
      const [url = '', descriptor = ''] = candidate.split(' ');
      const actual = await sharp(await (await fetch(url)).arrayBuffer()).metadata();
      const expected = Number.parseFloat(descriptor) * (descriptor.endsWith('w') ? 1 : 900);
      assert.ok(Math.abs(actual.width - expected) <= 5, `${candidate} is ${actual.width} wide`);
    }
  });
});

describe('the fields of an image', () => {
  test('are read from an upload, and replaced with the metadata', async () => {
    const content = await newPicture();
    const metadata = { altText: 'A lamp', tags: ['light'], focalPoint: { x: 0, y: 1 } };
    const image = { fileName: 'lamp.jpg', content };
    const { result } = await vitrine.images.upload({ accountID, image, metadata });
    const { width, height, format, bytes, fileName, tags, version, visibility, focalPoint, color } = result;
    assert.ok(width && height && /^#[0-9a-f]{6}$/.test(color ?? ''));
    assert.deepEqual(
      { format, bytes, fileName, tags, version, visibility, focalPoint },
      {
        ...{ format: 'jpeg', bytes: content.length, fileName: 'lamp.jpg', tags: ['light'], version: 1 },
        ...{ visibility: 'public', focalPoint: { x: 0, y: 1 } },
      },
    );
    const { imageID } = result;
    const change = { altText: 'B', tags: ['a', 'b'], fileName: 'b.jpg' };
    const changed = (await vitrine.images.updateMetadata({ accountID, imageID, ...change })).result;
    assert.deepEqual([changed.tags, changed.fileName, changed.focalPoint], [['a', 'b'], 'b.jpg', undefined]);
  });

  test('that are invalid are named by the error', async () => {
    const image = { fileName: 'lamp.jpg', content: await newPicture() };
    const { imageID } = (await vitrine.images.upload({ accountID, image })).result;
    await assert.rejects(
      vitrine.images.updateMetadata({ accountID, imageID, tags: [''], fileName: 'x'.repeat(256) }),
      (error) =>
        error instanceof ImageMetadataValidationError &&
        error.altText === undefined &&
        /empty/.test(error.tags ?? '') &&
        /255/.test(error.fileName ?? ''),
    );
  });
});

describe('a list', () => {
  let listServer: TestServer;
  let client: Vitrine;
  const requests: string[] = [];
  before(async () => {
    listServer = await startServer();
    client = new Vitrine({
      serverURL: listServer.url,
      security,
      fetch: (url, init) => {
        requests.push(new URL(url).search);
        return fetch(url, init);
      },
    });
    for (let number = 0; number < 5; number += 1)
      await client.images.upload({
        accountID,
        image: await picture(number),
        metadata: { altText: `${number}` },
      });
  });
  after(() => listServer.close());

  test('resolves to one page when awaited', async () => {
    const { result } = await client.images.list({ accountID, skip: 1, count: 2 });
    assert.deepEqual(
      result.map(({ altText }) => altText),
      ['3', '2'],
    );
  });

  test('sends its filters and its order, also when iterated', async () => {
    const filters = { search: '2', minWidth: 1, minHeight: 2, format: 'jpeg', unused: true } as const;
    requests.length = 0;
    const { result } = await client.images.list({ accountID, ...filters, sort: 'fileName' });
    assert.deepEqual(
      result.map(({ altText }) => altText),
      ['2'],
    );
    const [query] = requests;
    assert.deepEqual(Object.fromEntries(new URLSearchParams(query)), {
      ...{ search: '2', minWidth: '1', minHeight: '2', format: 'jpeg', unused: 'true', sort: 'fileName' },
    });
    const altTexts: (string | undefined)[] = [];
    for await (const { altText } of client.images.list({ accountID, sort: 'createdOn', count: 2 })) {
      altTexts.push(altText);
    }
    assert.deepEqual(altTexts, ['0', '1', '2', '3', '4']);
    assert.equal(
      (await client.images.list({ accountID, tag: 'none', visibility: 'public' })).result.length,
      0,
    );
  });

  test('yields the items of all pages when iterated, with one request per page', async () => {
    requests.length = 0;
    const altTexts: (string | undefined)[] = [];
    for await (const { altText } of client.images.list({ accountID, skip: 1, count: 2 }))
      altTexts.push(altText);
    assert.deepEqual(altTexts, ['3', '2', '1', '0']);
    assert.deepEqual(requests, ['?skip=1&count=2', '?skip=3&count=2']);
  });

  test('sends no request until it is used, and one request for several awaits', async () => {
    requests.length = 0;
    const list = client.images.list({ accountID });
    assert.deepEqual(requests, []);
    const [first, second] = await Promise.all([list, list.then((page) => page)]);
    assert.equal(first, second);
    assert.deepEqual(requests, ['']);
    assert.equal(await list.finally(() => undefined), first);
  });

  test('sends no further request when the iteration stops', async () => {
    requests.length = 0;
    for await (const _ of client.images.list({ accountID, count: 1 })) break;
    assert.equal(requests.length, 1);
  });

  test('yields each image once if an upload shifts the pages', async () => {
    const altTexts: (string | undefined)[] = [];
    for await (const { altText } of client.images.list({ accountID, count: 2 })) {
      altTexts.push(altText);
      if (altTexts.length === 1) await client.images.upload({ accountID, image: await picture(77) });
    }
    assert.deepEqual(altTexts, ['4', '3', '2', '1', '0']);
  });

  test('with a wrong key rejects when awaited or iterated', async () => {
    const wrongKey = new Vitrine({
      serverURL: listServer.url,
      security: { username: 'no', password: 'body' },
    });
    await assert.rejects(wrongKey.images.list({ accountID }), isAPIError(401));
    await assert.rejects(
      wrongKey.images.list({ accountID }).catch((error) => Promise.reject(error)),
      isAPIError(401),
    );
    await assert.rejects(async () => {
      for await (const _ of wrongKey.images.list({ accountID })) assert.fail('the list has an item');
    }, isAPIError(401));
  });
});

describe('errors', () => {
  test('for a duplicate have the existing image', async () => {
    const image = await newPicture();
    const { result: existing } = await vitrine.images.upload({ accountID, image });
    await assert.rejects(vitrine.images.upload({ accountID, image }), (error) => {
      assert.ok(error instanceof DuplicateImageError && error instanceof GenericError);
      assert.deepEqual(error.existing, existing);
      assert.deepEqual([error.name, error.status, error.statusCode], ['DuplicateImageError', 409, 409]);
      assert.match(error.error, /already/);
      assert.match(error.message, /the server answered 409: .*already/);
      assert.match(error.requestId ?? '', /^.{8,}$/);
      assert.equal(JSON.parse(error.body).imageID, existing.imageID);
      assert.equal(error.headers.get('x-moov-version'), NEWEST_VERSION);
      return true;
    });
  });

  test('for a duplicate have no image in old API versions', async () => {
    const image = await newPicture();
    await vitrine.images.upload({ accountID, image });
    const old = new Vitrine({ serverURL: server.url, security, xMoovVersion: 'v2024.01.00' });
    await assert.rejects(
      old.images.upload({ accountID, image }),
      (error) => error instanceof DuplicateImageError && error.existing === undefined,
    );
  });

  test('for a reused idempotency key are a plain GenericError', async () => {
    const headers = { 'X-Idempotency-Key': 'my-own-key' };
    await vitrine.images.upload({ accountID, image: await newPicture() }, { headers });
    await assert.rejects(
      vitrine.images.upload({ accountID, image: await newPicture() }, { headers }),
      (error) => error instanceof GenericError && error.name === 'GenericError' && error.status === 409,
    );
  });

  test('of validation have the problem of each field', async () => {
    const { imageID } = (await vitrine.images.upload({ accountID, image: await newPicture() })).result;
    const text = new TextEncoder().encode('no picture');
    for (const call of [
      () => vitrine.images.upload({ accountID, image: text }),
      () => vitrine.images.update({ accountID, imageID, image: text }),
    ]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof ImageRequestValidationError);
        assert.match(error.image ?? '', /PNG, JPEG or WebP/);
        assert.equal(error.message, `the server answered 422: image: ${error.image}`);
        assert.equal(error.metadata, undefined);
        return true;
      });
    }
    const image = await newPicture();
    await assert.rejects(
      vitrine.images.upload({ accountID, image, metadata: { altText: 'x'.repeat(2_001) } }),
      (error) => error instanceof ImageRequestValidationError && /2000/.test(error.metadata?.altText ?? ''),
    );
    await assert.rejects(
      vitrine.images.updateMetadata({ accountID, imageID, altText: 'a\u0000b' }),
      (error) => error instanceof ImageMetadataValidationError && /control/.test(error.altText ?? ''),
    );
    await assert.rejects(
      vitrine.images.updateMetadata({ accountID, imageID, focalPoint: { x: 2, y: 0 } }),
      (error) => error instanceof ImageMetadataValidationError && /0 to 1/.test(error.focalPoint ?? ''),
    );
    const focalPoint = { x: 0.25, y: 1 };
    const described = await vitrine.images.updateMetadata({ accountID, imageID, altText: 'x', focalPoint });
    assert.deepEqual(described.result.focalPoint, focalPoint);
  });

  test('of a disabled image are a GenericError, and other statuses are a plain APIError', async () => {
    const { imageID } = (await vitrine.images.upload({ accountID, image: await newPicture() })).result;
    await vitrine.images.delete({ accountID, imageID });
    await assert.rejects(
      vitrine.images.updateMetadata({ accountID, imageID, altText: 'x' }),
      (error) => error instanceof GenericError && error.name === 'GenericError' && error.status === 409,
    );
    const unknownID = '00000000-0000-4000-8000-000000000000';
    await assert.rejects(vitrine.images.getMetadata({ accountID, imageID: unknownID }), isAPIError(404));
    await assert.rejects(vitrine.images.getPublic({ publicID: 'abcdefghijklmnopqrstu' }), isAPIError(404));
    await assert.rejects(
      new Vitrine({ serverURL: server.url }).images.getMetadata({ accountID, imageID }),
      isAPIError(401),
    );
    await assert.rejects(vitrine.images.list({ accountID, count: 0 }), isAPIError(400));
  });

  test('for a file over 16 MiB are a 413, as bytes, as a stream and with progress', async () => {
    const tooLarge = new Uint8Array(17 * 1024 * 1024);
    const stream = () => new Blob([tooLarge]).stream() as ReadableStream<Uint8Array>;
    await assert.rejects(vitrine.images.upload({ accountID, image: tooLarge }), isAPIError(413));
    await assert.rejects(vitrine.images.upload({ accountID, image: stream() }), isAPIError(413));
    await assert.rejects(
      vitrine.images.upload({ accountID, image: tooLarge }, { onProgress: () => undefined }),
      isAPIError(413),
    );
  });
});
