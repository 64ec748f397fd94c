/**
 * The fields of an image: what the server knows of the picture, and the metadata that clients set.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const IMAGES = `/accounts/${ACCOUNT}/images`;

let server: TestServer;
let count = 0;
before(async () => {
  server = await startServer();
});
after(() => server.close());

/** A JPEG of 60x40 pixels, or of 40x60 upright pixels with this orientation. Each call gives other bytes. */
function picture(orientation = 1): Promise<Buffer> {
  count += 1;
  return sharp({ create: { width: 60, height: 40, channels: 3, background: '#c85a10' } })
    .withMetadata({ orientation })
    .withExif({ IFD0: { ImageDescription: `picture ${count}` } })
    .jpeg()
    .toBuffer();
}

/** Uploads a picture with this header of its part, as other clients write it. */
async function uploadAs(disposition: string, metadata?: unknown): Promise<ImageJSON> {
  const form = new FormData();
  form.append('image', new File([new Uint8Array(await picture())], 'NAME'));
  if (metadata !== undefined) form.append('metadata', JSON.stringify(metadata));
  const request = new Request('http://localhost', { method: 'POST', body: form });
  const body = Buffer.from(await request.arrayBuffer()).toString('latin1');
  const sent = body.replace('; filename="NAME"', Buffer.from(disposition).toString('latin1'));
  const response = await server.fetch(IMAGES, {
    method: 'POST',
    body: Buffer.from(sent, 'latin1'),
    headers: { 'content-type': request.headers.get('content-type') ?? '' },
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()) as ImageJSON;
}

async function update(imageID: string, metadata: unknown) {
  return server.send<ImageJSON & Record<string, string>>('PUT', `${IMAGES}/${imageID}/metadata`, metadata);
}

describe('the metadata of an image', () => {
  test('has the size of the upright picture, its format, its bytes and its version', async () => {
    const bytes = await picture(6);
    const { width, height, format, bytes: size, version, visibility } = await server.addImage(bytes);
    assert.deepEqual(
      { width, height, format, size, version, visibility },
      { width: 40, height: 60, format: 'jpeg', size: bytes.length, version: 1, visibility: 'public' },
    );
    const animation = await sharp(await picture())
      .webp()
      .toBuffer();
    assert.equal((await server.addImage(animation)).format, 'webp');
  });

  test('is the same in the answers of upload, get, list and update', async () => {
    const metadata = { altText: 'a', tags: ['Red'], fileName: 'a.jpg', focalPoint: { x: 0, y: 1 } };
    const image = await server.addImage(await picture(), { metadata: { metadata } });
    assert.deepEqual((await server.send('GET', `${IMAGES}/${image.imageID}`)).body, image);
    assert.deepEqual((await server.send('GET', `${IMAGES}?count=1`)).body, [image]);
    const { body, status } = await update(image.imageID, metadata);
    assert.equal(status, 200);
    assert.deepEqual(body, { ...image, updatedOn: body.updatedOn });
  });

  test('has the existing image in the answer to a duplicate', async () => {
    const bytes = await picture();
    const image = await server.addImage(bytes, { metadata: { tags: ['one'] } });
    const response = await server.upload(bytes, { headers: { 'x-moov-version': 'v2026.10.00' } });
    assert.equal(response.status, 409);
    const { error, ...existing } = (await response.json()) as ImageJSON & { error: string };
    assert.match(error, /already/);
    assert.deepEqual(existing, image);
  });
});

describe('the file name', () => {
  const NAMES: readonly (readonly [sent: string, stored: string | undefined])[] = [
    ['; filename="shoe.jpg"', 'shoe.jpg'],
    ['; filename="C:\\fotos\\Sommer 2024\\shoe.jpg"', 'shoe.jpg'],
    ['; filename="../../etc/shoe.jpg"', 'shoe.jpg'],
    ['; filename="тапочки 👟.jpg"', 'тапочки 👟.jpg'],
    [`; filename="${'e\u0301'}te\u0301.jpg"`, 'été.jpg'],
    ['; filename="\u202egpj.exe\u202c.jpg"', 'gpj.exe.jpg'],
    ['; filename="a\u0007b.jpg"', 'ab.jpg'],
    [`; filename="${'é'.repeat(300)}.jpg"`, 'é'.repeat(255)],
    ['; filename=" "', undefined],
    ['; filename=".."', undefined],
    ['; filename="folder/"', undefined],
    ['', undefined],
  ];
  for (const [sent, stored] of NAMES) {
    test(`of a part with ${JSON.stringify(sent.slice(0, 40))} is ${JSON.stringify(stored?.slice(0, 20))}`, async () => {
      const image = await uploadAs(sent);
      assert.equal(image.fileName, stored);
      assert.equal('fileName' in image, stored !== undefined);
    });
  }

  test('in the metadata replaces that of the part, and null removes it', async () => {
    const part = '; filename="sent.jpg"';
    assert.equal((await uploadAs(part, { fileName: 'named.jpg' })).fileName, 'named.jpg');
    assert.equal('fileName' in (await uploadAs(part, { fileName: null })), false);
    assert.equal((await uploadAs(part, { altText: 'x' })).fileName, 'sent.jpg');
    assert.equal((await uploadAs(part, { fileName: 'C:\\a/b\\c.jpg' })).fileName, 'c.jpg');
  });

  test('stays unless the metadata names it', async () => {
    const { imageID } = await uploadAs('; filename="sent.jpg"');
    assert.equal((await update(imageID, { altText: 'x' })).body.fileName, 'sent.jpg');
    assert.equal((await update(imageID, { fileName: 'new.jpg' })).body.fileName, 'new.jpg');
    assert.equal((await update(imageID, {})).body.fileName, 'new.jpg');
    assert.equal((await update(imageID, { fileName: 'x'.repeat(255) })).body.fileName, 'x'.repeat(255));
    assert.equal('fileName' in (await update(imageID, { fileName: '' })).body, false);
  });

  test('does not change the fingerprint of a retry', async () => {
    const bytes = await picture();
    const send = (name: string, key: string) => {
      const form = new FormData();
      form.append('image', new File([new Uint8Array(bytes)], name));
      return server.fetch(IMAGES, { method: 'POST', body: form, headers: { 'x-idempotency-key': key } });
    };
    const first = await send('one.jpg', 'fields-1');
    const retry = await send('two.jpg', 'fields-1');
    assert.deepEqual([first.status, retry.status], [201, 201]);
    assert.deepEqual(await retry.json(), await first.json());
  });
});

describe('tags', () => {
  test('are stored as NFC without duplicates, in their order', async () => {
    const tags = ['Rot', ' Sommer ', 'e\u0301te\u0301', 'ROT', 'ÉTÉ', '鞋', 'a"b\\c'];
    const image = await server.addImage(await picture(), { metadata: { tags } });
    assert.deepEqual(image.tags, ['Rot', 'Sommer', 'été', '鞋', 'a"b\\c']);
    assert.deepEqual((await update(image.imageID, { tags: ['new'] })).body.tags, ['new']);
    assert.deepEqual((await update(image.imageID, { altText: 'x' })).body.tags, []);
    assert.deepEqual((await update(image.imageID, { tags: null })).body.tags, []);
  });

  test('may be 50 of 64 characters', async () => {
    const tags = Array.from({ length: 50 }, (_, i) => `👟${i}-`.padEnd(65, 'x'));
    assert.equal([...(tags[0] ?? '')].length, 64);
    const image = await server.addImage(await picture(), { metadata: { tags } });
    assert.deepEqual(image.tags, tags);
    const again = await update(image.imageID, { tags: [...tags, tags[0]] });
    assert.deepEqual(again.body.tags, tags);
  });
});

describe('metadata that is refused', () => {
  const REFUSED: readonly (readonly [metadata: Record<string, unknown>, why: RegExp])[] = [
    [{ tags: 'red' }, /tags must be an array of strings/],
    [{ tags: ['red', 1] }, /tags must be an array of strings/],
    [{ tags: { 0: 'red' } }, /tags must be an array of strings/],
    [{ tags: [''] }, /empty tag/],
    [{ tags: [' \t'] }, /empty tag/],
    [{ tags: ['x'.repeat(65)] }, /64 characters.* 65/],
    [{ tags: ['a\nb'] }, /one line/],
    [{ tags: ['a\u0007b'] }, /control characters/],
    [{ tags: ['\ud800'] }, /Unicode/],
    [{ tags: Array.from({ length: 51 }, (_, i) => `tag ${i}`) }, /at most 50 tags.* 51/],
    [{ fileName: 1 }, /fileName must be a string/],
    [{ fileName: 'x'.repeat(256) }, /255 characters.* 256/],
    [{ fileName: 'a\u0000b.jpg' }, /control characters/],
    [{ fileName: '\u202egpj.exe' }, /direction of text/],
    [{ fileName: 'folder/' }, /name of a file/],
    [{ fileName: '..' }, /name of a file/],
    [{ visibility: 'private' }, /does not support private images/],
    [{ visibility: 'hidden' }, /visibility must be public/],
    [{ visibility: true }, /visibility must be public/],
  ];

  test('gets 422 with the reason at its field, flat and nested, and changes nothing', async () => {
    const image = await server.addImage(await picture(), { metadata: { altText: 'x', tags: ['kept'] } });
    for (const [metadata, why] of REFUSED) {
      const [field = ''] = Object.keys(metadata);
      for (const sent of [metadata, { metadata: { ...metadata, altText: 'y' } }]) {
        const { status, body } = await update(image.imageID, sent);
        assert.equal(status, 422, JSON.stringify(sent));
        assert.deepEqual(Object.keys(body), [field]);
        assert.match(body[field] ?? '', why);
      }
      const upload = await server.upload(await picture(), { metadata });
      assert.equal(upload.status, 422, JSON.stringify(metadata));
      const body = (await upload.json()) as { metadata: Record<string, string> };
      assert.deepEqual([Object.keys(body), Object.keys(body.metadata)], [['metadata'], [field]]);
      assert.match(body.metadata[field] ?? '', why);
    }
    assert.deepEqual((await server.send('GET', `${IMAGES}/${image.imageID}`)).body, image);
  });

  test('names all its fields at once', async () => {
    const metadata = { altText: 1, focalPoint: 1, tags: 1, fileName: 1, visibility: 1 };
    const upload = await server.upload(await picture(), { metadata });
    const { metadata: problems } = (await upload.json()) as { metadata: object };
    assert.deepEqual(Object.keys(problems).sort(), Object.keys(metadata).sort());
  });

  test('is not the visibility public, which is stored, kept and may be null', async () => {
    const image = await server.addImage(await picture(), { metadata: { visibility: 'public' } });
    assert.equal(image.visibility, 'public');
    for (const metadata of [{}, { visibility: null }, { visibility: 'public' }]) {
      assert.equal((await update(image.imageID, metadata)).body.visibility, 'public');
    }
  });
});
