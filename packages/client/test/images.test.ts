/**
 * Every operation, against a real server.
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
/** Bytes that no test has used before. */
const fresh = () => picture(next++);
before(async () => {
  server = await startServer();
  vitrine = new Vitrine({ serverURL: server.url, security });
});
after(() => server.close());

const bytesOf = async (stream: ReadableStream<Uint8Array> | undefined) =>
  Buffer.from(await new Response(stream ?? null).arrayBuffer());
const status = (expected: number) => (error: unknown) =>
  error instanceof APIError && error.name === 'APIError' && error.status === expected;

describe('images', () => {
  test('go through all seven operations', async () => {
    const { result: uploaded, headers } = await vitrine.images.upload({
      accountID,
      image: { fileName: 'lamp.jpg', content: await fresh() },
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

    const image = await fresh();
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

    const shown = await vitrine.images.getPublic({ publicID, size: '120x80' });
    assert.deepEqual(shown.headers['content-type'], ['image/jpeg']);
    const { width, height } = await sharp(await bytesOf(shown.result)).metadata();
    assert.deepEqual([width, height], [120, 80]);
  });

  test('give their original back, to the byte, as a stream or checked first', async () => {
    const image = await fresh();
    const { imageID } = (await vitrine.images.upload({ accountID, image })).result;
    const streamed = await vitrine.images.original({ accountID, imageID });
    assert.deepEqual(await bytesOf(streamed.result), image);
    const checked = await vitrine.images.original({ accountID, imageID }, { verify: true });
    assert.deepEqual(await bytesOf(checked.result), image);
    const [ifNoneMatch = ''] = checked.headers.etag ?? [];
    for (const verify of [true, false]) {
      const again = await vitrine.images.original({ accountID, imageID, ifNoneMatch }, { verify });
      assert.equal('result' in again, false);
    }
    const strangers = new Vitrine({ serverURL: server.url });
    await assert.rejects(strangers.images.original({ accountID, imageID }), status(401));
    const nothing = { accountID, imageID: '00000000-0000-4000-8000-000000000000' };
    await assert.rejects(vitrine.images.original(nothing, { verify: true }), status(404));
  });

  test('can be given as the official SDK nests them', async () => {
    const { result } = await vitrine.images.upload({
      accountID,
      imageUploadRequestMultiPart: {
        image: { fileName: 'example.file', content: await fresh() },
        metadata: { altText: 'A chair' },
      },
    });
    assert.equal(result.altText, 'A chair');
    const { imageID } = result;
    const updated = await vitrine.images.update({
      accountID,
      imageID,
      imageUploadRequestMultiPart: { image: new Blob([Uint8Array.from(await fresh())]) },
    });
    assert.equal(updated.result.altText, 'A chair');
    const described = await vitrine.images.updateMetadata({
      accountID,
      imageID,
      imageMetadataRequest: { altText: 'Two chairs' },
    });
    assert.equal(described.result.altText, 'Two chairs');
  });

  test('show themselves in other forms, and not again to who has them', async () => {
    const { result } = await vitrine.images.upload({ accountID, image: await fresh() });
    const { publicID } = result;
    const strangers = new Vitrine({ serverURL: server.url });
    const first = await strangers.images.getPublic({ publicID, size: '40x0', format: 'avif', quality: 40 });
    assert.deepEqual(first.headers['content-type'], ['image/avif']);
    assert.equal((await sharp(await bytesOf(first.result)).metadata()).width, 40);

    const [etag = ''] = first.headers.etag ?? [];
    const again = { publicID, size: '40x0', format: 'avif', quality: 40 } as const;
    const second = await strangers.images.getPublic({ ...again, ifNoneMatch: etag });
    assert.equal(second.result, undefined);
    assert.deepEqual(second.headers.etag, [etag]);

    const webp = await strangers.images.getPublic({ publicID }, { acceptHeaderOverride: 'image/webp' });
    assert.deepEqual(webp.headers['content-type'], ['image/webp']);
    await webp.result?.cancel();
  });

  test('have links whose written forms are what the server gives', async () => {
    const content = await sharp({
      create: { width: 900, height: 600, channels: 3, background: '#246' },
    })
      .png()
      .toBuffer();
    const { link } = (await vitrine.images.upload({ accountID, image: content })).result;
    const answered = await fetch(imageURL(link, { size: { width: 90 }, format: 'png', dpr: 2 }));
    const { width, height, format } = await sharp(await answered.arrayBuffer()).metadata();
    assert.deepEqual([width, height, format], [180, 120, 'png']);
    const candidates = [
      ...srcset(link, { widths: [300, 2_500], aspectRatio: 2, fit: 'cover' }).split(', '),
      ...srcset(link, { size: '900x500', dprs: [1, 3] }).split(', '),
    ];
    for (const candidate of candidates) {
      const [url = '', descriptor = ''] = candidate.split(' ');
      const shown = await sharp(await (await fetch(url)).arrayBuffer()).metadata();
      const promised = Number.parseFloat(descriptor) * (descriptor.endsWith('w') ? 1 : 900);
      assert.ok(Math.abs(shown.width - promised) <= 5, `${candidate} is ${shown.width} wide`);
    }
  });
});

describe('a list', () => {
  let own: TestServer;
  let client: Vitrine;
  const requests: string[] = [];
  before(async () => {
    own = await startServer();
    client = new Vitrine({
      serverURL: own.url,
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
  after(() => own.close());

  test('awaited is one page', async () => {
    const { result } = await client.images.list({ accountID, skip: 1, count: 2 });
    assert.deepEqual(
      result.map(({ altText }) => altText),
      ['3', '2'],
    );
  });

  test('iterated is everything on all pages, in no more requests than there are pages', async () => {
    requests.length = 0;
    const seen: (string | undefined)[] = [];
    for await (const { altText } of client.images.list({ accountID, skip: 1, count: 2 })) seen.push(altText);
    assert.deepEqual(seen, ['3', '2', '1', '0']);
    assert.deepEqual(requests, ['?skip=1&count=2', '?skip=3&count=2']);
  });

  test('asks nothing before it is awaited or iterated, and only once however often it is awaited', async () => {
    requests.length = 0;
    const list = client.images.list({ accountID });
    assert.deepEqual(requests, []);
    const [first, second] = await Promise.all([list, list.then((page) => page)]);
    assert.equal(first, second);
    assert.deepEqual(requests, ['']);
    assert.equal(await list.finally(() => undefined), first);
  });

  test('stops asking when its reader stops', async () => {
    requests.length = 0;
    for await (const _ of client.images.list({ accountID, count: 1 })) break;
    assert.equal(requests.length, 1);
  });

  test('gives each image once, though pages shift while it runs', async () => {
    const seen: (string | undefined)[] = [];
    for await (const { altText } of client.images.list({ accountID, count: 2 })) {
      seen.push(altText);
      if (seen.length === 1) await client.images.upload({ accountID, image: await picture(77) });
    }
    assert.deepEqual(seen, ['4', '3', '2', '1', '0']);
  });

  test('of nobody is an error where it is awaited or iterated', async () => {
    const wrong = new Vitrine({ serverURL: own.url, security: { username: 'no', password: 'body' } });
    await assert.rejects(wrong.images.list({ accountID }), status(401));
    await assert.rejects(
      wrong.images.list({ accountID }).catch((error) => Promise.reject(error)),
      status(401),
    );
    await assert.rejects(async () => {
      for await (const _ of wrong.images.list({ accountID })) assert.fail('there is nothing to see');
    }, status(401));
  });
});

describe('errors', () => {
  test('of a duplicate have the image that is there already', async () => {
    const image = await fresh();
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

  test('of a duplicate are still what they are where the version does not say which image', async () => {
    const image = await fresh();
    await vitrine.images.upload({ accountID, image });
    const old = new Vitrine({ serverURL: server.url, security, xMoovVersion: 'v2024.01.00' });
    await assert.rejects(
      old.images.upload({ accountID, image }),
      (error) => error instanceof DuplicateImageError && error.existing === undefined,
    );
  });

  test('of a used idempotency key are no duplicates', async () => {
    const headers = { 'X-Idempotency-Key': 'my-own-key' };
    await vitrine.images.upload({ accountID, image: await fresh() }, { headers });
    await assert.rejects(
      vitrine.images.upload({ accountID, image: await fresh() }, { headers }),
      (error) => error instanceof GenericError && error.name === 'GenericError' && error.status === 409,
    );
  });

  test('of validation say what is wrong, by field', async () => {
    const { imageID } = (await vitrine.images.upload({ accountID, image: await fresh() })).result;
    const noPicture = new TextEncoder().encode('no picture');
    for (const call of [
      () => vitrine.images.upload({ accountID, image: noPicture }),
      () => vitrine.images.update({ accountID, imageID, image: noPicture }),
    ]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof ImageRequestValidationError);
        assert.match(error.image ?? '', /PNG, JPEG or WebP/);
        assert.equal(error.message, `the server answered 422: image: ${error.image}`);
        assert.equal(error.metadata, undefined);
        return true;
      });
    }
    const image = await fresh();
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

  test('of the state of things are generic, and the others have their status', async () => {
    const { imageID } = (await vitrine.images.upload({ accountID, image: await fresh() })).result;
    await vitrine.images.delete({ accountID, imageID });
    await assert.rejects(
      vitrine.images.updateMetadata({ accountID, imageID, altText: 'x' }),
      (error) => error instanceof GenericError && error.name === 'GenericError' && error.status === 409,
    );
    const nobody = '00000000-0000-4000-8000-000000000000';
    await assert.rejects(vitrine.images.getMetadata({ accountID, imageID: nobody }), status(404));
    await assert.rejects(vitrine.images.getPublic({ publicID: 'abcdefghijklmnopqrstu' }), status(404));
    await assert.rejects(
      new Vitrine({ serverURL: server.url }).images.getMetadata({ accountID, imageID }),
      status(401),
    );
    await assert.rejects(vitrine.images.list({ accountID, count: 0 }), status(400));
  });

  test('of a file that is too large arrive, however it is sent', async () => {
    const tooLarge = new Uint8Array(17 * 1024 * 1024);
    const streamed = () => new Blob([tooLarge]).stream() as ReadableStream<Uint8Array>;
    await assert.rejects(vitrine.images.upload({ accountID, image: tooLarge }), status(413));
    await assert.rejects(vitrine.images.upload({ accountID, image: streamed() }), status(413));
    await assert.rejects(
      vitrine.images.upload({ accountID, image: tooLarge }, { onProgress: () => undefined }),
      status(413),
    );
  });
});
