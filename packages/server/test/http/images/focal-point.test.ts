/**
 * A focal point from the upload to the crop that keeps it.
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

/** A picture with a red left half and a blue right half. Each call returns different bytes. */
function halves(width = 200, height = 50): Promise<Buffer> {
  count += 1;
  const half = { width: width / 2, height, channels: 3 as const, background: '#0000ff' };
  return sharp({ create: { width, height, channels: 3, background: '#ff0000' } })
    .composite([{ input: { create: half }, left: width / 2, top: 0 }])
    .withExif({ IFD0: { ImageDescription: String(count) } })
    .png()
    .toBuffer();
}

/** The colour of the first pixel of a square crop, with the ETag. */
async function crop({ link }: ImageJSON, query = 'position=focal') {
  const response = await fetch(`${link}?size=40x40&format=png&${query}`);
  assert.equal(response.status, 200);
  const pixels = await sharp(await response.arrayBuffer())
    .removeAlpha()
    .raw()
    .toBuffer();
  return { colour: pixels[0] === 255 ? 'red' : 'blue', etag: response.headers.get('etag') };
}

async function describeImage(imageID: string, metadata: unknown) {
  const response = await server.fetch(`${IMAGES}/${imageID}/metadata`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(metadata),
  });
  return { status: response.status, body: (await response.json()) as ImageJSON & Record<string, unknown> };
}

describe('a focal point', () => {
  test('is set by an upload, appears in the metadata, and stays in crops', async () => {
    for (const [x, colour] of [
      [0.1, 'red'],
      [0.9, 'blue'],
    ] as const) {
      const image = await server.addImage(await halves(), {
        metadata: { altText: 'x', focalPoint: { x, y: 0.5 } },
      });
      assert.deepEqual(image.focalPoint, { x, y: 0.5 });
      assert.equal((await crop(image)).colour, colour);
    }
  });

  test('that is absent means the centre: the same rendition as position=center', async () => {
    const image = await server.addImage(await halves());
    assert.equal('focalPoint' in image, false);
    const centre = await crop(image, 'position=center');
    assert.deepEqual(await crop(image), centre);
    assert.deepEqual(await crop(image, ''), centre);
  });

  test('changes with the metadata, and the next request for the same link gets the new crop', async () => {
    const image = await server.addImage(await halves(), { metadata: { focalPoint: { x: 0, y: 0 } } });
    const before = await crop(image);
    assert.equal(before.colour, 'red');
    const moved = await describeImage(image.imageID, { focalPoint: { x: 1, y: 1 } });
    assert.deepEqual(moved.body.focalPoint, { x: 1, y: 1 });
    const after = await crop(image);
    assert.equal(after.colour, 'blue');
    assert.notEqual(after.etag, before.etag);
  });

  test('stays when the file is replaced, and is removed by metadata that does not name it', async () => {
    const image = await server.addImage(await halves(), { metadata: { focalPoint: { x: 0.25, y: 0.75 } } });
    const replaced = await server.upload(await halves(), { replace: image.imageID });
    assert.deepEqual(((await replaced.json()) as ImageJSON).focalPoint, { x: 0.25, y: 0.75 });
    const form = { replace: image.imageID, metadata: { metadata: { focalPoint: { x: 0.5, y: 1 / 3 } } } };
    const nested = (await (await server.upload(await halves(), form)).json()) as ImageJSON;
    assert.deepEqual([nested.focalPoint, nested.altText], [{ x: 0.5, y: 0.333333 }, undefined]);
    for (const metadata of [{ altText: 'a lamp', focalPoint: null }, { altText: 'a lamp' }]) {
      await describeImage(image.imageID, { focalPoint: { x: 0, y: 0 } });
      const removed = await describeImage(image.imageID, metadata);
      assert.deepEqual(
        [removed.status, 'focalPoint' in removed.body, removed.body.altText],
        [200, false, 'a lamp'],
      );
    }
  });

  test('that is invalid returns 422 with its field, and changes nothing', async () => {
    const image = await server.addImage(await halves(), {
      metadata: { altText: 'x', focalPoint: { x: 0, y: 0 } },
    });
    for (const focalPoint of [
      1,
      '0.5,0.5',
      [],
      {},
      { x: 0.5 },
      { x: 1.01, y: 0 },
      { x: -1, y: 0 },
      { x: '0', y: 0 },
    ]) {
      const { status, body } = await describeImage(image.imageID, { altText: 'y', focalPoint });
      assert.equal(status, 422, JSON.stringify(focalPoint));
      assert.deepEqual(Object.keys(body), ['focalPoint']);
      assert.match(String(body.focalPoint), /focalPoint must be .* from 0 to 1/);
    }
    const upload = await server.upload(await halves(), { metadata: { altText: 1, focalPoint: 1 } });
    assert.equal(upload.status, 422);
    const { metadata } = (await upload.json()) as { metadata: object };
    assert.deepEqual(Object.keys(metadata).toSorted(), ['altText', 'focalPoint']);
    const now = (await (await server.fetch(`${IMAGES}/${image.imageID}`)).json()) as ImageJSON;
    assert.deepEqual([now.altText, now.focalPoint], ['x', { x: 0, y: 0 }]);
  });
});
