/**
 * The route of originals: the unchanged bytes, for principals with the scope, and never as a page in a
 * browser.
 */
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { createAccount } from '../../support/administration.ts';
import { picture } from '../../support/sample.ts';
import {
  ACCOUNT,
  type ImageJSON,
  skipOnSeveralNodes,
  startServer,
  type TestServer,
} from '../../support/server.ts';

const POLICY = "default-src 'none'; sandbox";

describe('the original of an image', () => {
  let server: TestServer;
  const logged: { code?: string; err?: { cause?: { message?: string }; stack?: string } }[] = [];
  let number = 7_000;
  before(async () => {
    server = await startServer({}, { logTo: { write: (line) => logged.push(JSON.parse(line)) } });
  });
  after(() => server.close());

  const pathOf = ({ imageID }: ImageJSON) => `/accounts/${ACCOUNT}/images/${imageID}/original`;
  const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
  const fileOf = (bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    return join(server.folder, 'blobs/originals', digest.slice(0, 2), digest);
  };
  async function upload(make = () => picture(number++)): Promise<{ image: ImageJSON; bytes: Buffer }> {
    const bytes = await make();
    return { image: await server.addImage(bytes), bytes };
  }

  test('has exactly the uploaded bytes, in its own format, as an attachment', async () => {
    const square = () => sharp({ create: { width: 40, height: 40, channels: 3, background: '#abc' } });
    const makes = {
      // With metadata that public links strip.
      jpg: () =>
        square()
          .withExif({ IFD0: { Artist: 'marker' } })
          .jpeg()
          .toBuffer(),
      png: () => square().png().toBuffer(),
      webp: () => square().webp().toBuffer(),
    };
    for (const [extension, make] of Object.entries(makes)) {
      const { image, bytes } = await upload(make);
      const response = await server.fetch(pathOf(image));
      assert.equal(response.status, 200);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
      const { headers } = response;
      const expected = {
        'content-type': `image/${extension === 'jpg' ? 'jpeg' : extension}`,
        'content-length': String(bytes.length),
        'content-disposition': `attachment; filename="${image.publicID}.${extension}"`,
        'x-content-type-options': 'nosniff',
        'content-security-policy': POLICY,
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': 'no-store',
        'accept-ranges': 'none',
        etag: `"${digestOf(bytes)}"`,
        'repr-digest': `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`,
      };
      for (const [name, value] of Object.entries(expected)) assert.equal(headers.get(name), value, name);
    }
  });

  test('returns 304 for a matching If-None-Match, no body for HEAD, and ignores ranges', async () => {
    const { image, bytes } = await upload();
    const etag = `"${digestOf(bytes)}"`;
    for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const response = await server.fetch(pathOf(image), { headers: { 'if-none-match': tag } });
      assert.deepEqual([response.status, response.headers.get('etag')], [304, etag], tag);
      assert.equal(response.headers.get('content-security-policy'), POLICY);
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
    }
    const head = await server.fetch(pathOf(image), { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('content-length'), String(bytes.length));
    assert.equal(head.headers.get('content-disposition'), `attachment; filename="${image.publicID}.jpg"`);
    assert.equal((await head.arrayBuffer()).byteLength, 0);
    const range = await server.fetch(pathOf(image), { headers: { range: 'bytes=0-9' } });
    assert.deepEqual([range.status, (await range.arrayBuffer()).byteLength], [200, bytes.length]);
  });

  test('returns 412 if If-Match has other entity tags', async () => {
    const { image, bytes } = await upload();
    const etag = `"${digestOf(bytes)}"`;
    const request = (tags: string, more: Record<string, string> = {}) =>
      server.fetch(pathOf(image), { headers: { 'if-match': tags, ...more } });
    for (const tags of [etag, `"x", ${etag}`, '*']) assert.equal((await request(tags)).status, 200, tags);
    // If-Match requires strong comparison, so a weak tag never matches.
    for (const tags of ['"x"', `W/${etag}`, '']) {
      const response = await request(tags, { 'if-none-match': etag });
      assert.equal(response.status, 412, tags);
      assert.equal(response.headers.get('etag'), null);
      assert.deepEqual(await response.json(), {
        error: 'the original has none of the entity tags of If-Match',
      });
    }
    assert.equal((await request(etag, { 'if-none-match': etag })).status, 304);
  });

  test('can be read for a disabled image, and has the new bytes after a replacement', async () => {
    const { image } = await upload();
    const next = await picture(number++);
    assert.equal((await server.upload(next, { replace: image.imageID })).status, 200);
    await server.fetch(`/accounts/${ACCOUNT}/images/${image.imageID}`, { method: 'DELETE' });
    const response = await server.fetch(pathOf(image));
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), next);
  });

  test('returns 404 for an unknown image and for an image of another account', async () => {
    const { image } = await upload();
    const other = await createAccount(server);
    for (const path of [
      `/accounts/${ACCOUNT}/images/${randomUUID()}/original`,
      `/accounts/${ACCOUNT}/images/nonsense/original`,
      `/accounts/${other}/images/${image.imageID}/original`,
    ]) {
      const { status, headers, body } = await server.send('GET', path);
      assert.deepEqual([status, body], [404, { error: 'image not found' }]);
      assert.equal(headers.get('etag'), null);
    }
  });

  test('that is lost or truncated returns 503, sends no bytes, and explains the fault in the log', {
    skip: skipOnSeveralNodes,
  }, async () => {
    const lost = await upload();
    await rm(fileOf(lost.bytes));
    const short = await upload();
    await writeFile(fileOf(short.bytes), short.bytes.subarray(1));
    for (const [{ image, bytes }, fault] of [
      [lost, 'is not stored'],
      [short, 'bytes and not'],
    ] as const) {
      for (const method of ['GET', 'HEAD']) {
        logged.length = 0;
        const response = await server.fetch(pathOf(image), { method });
        assert.equal(response.status, 503);
        for (const name of ['etag', 'repr-digest', 'content-disposition', 'accept-ranges'])
          assert.equal(response.headers.get(name), null, name);
        assert.equal(response.headers.get('content-type'), 'application/json; charset=utf-8');
        if (method === 'GET')
          assert.deepEqual(await response.json(), { error: 'the original of the image cannot be read now' });
        const line = JSON.stringify(logged.find(({ code }) => code === 'unavailable'));
        assert.ok(line.includes(`The original ${digestOf(bytes)} of image ${image.imageID}`), line);
        assert.ok(line.includes(fault), line);
      }
    }
  });

  test('closes its file when the client disconnects in the middle', {
    skip: skipOnSeveralNodes,
  }, async () => {
    // Larger than all buffers on the way, and quick to decode.
    const { image, bytes } = await upload(async () => {
      const noise = { create: { width: 2_200, height: 2_200, channels: 3, background: '#888' } } as const;
      return sharp({
        ...noise,
        create: { ...noise.create, noise: { type: 'gaussian', mean: 128, sigma: 60 } },
      })
        .png({ compressionLevel: 0 })
        .toBuffer();
    });
    assert.ok(bytes.length > 12_000_000);
    const isOpen = () =>
      readdirSync('/proc/self/fd').some((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`) === fileOf(bytes);
        } catch {
          return false;
        }
      });
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    const responseClosed = new Promise<void>((resolve) => {
      server.app.http.server.once('request', (_request, response) => response.once('close', () => resolve()));
    });
    socket.write(
      `GET ${pathOf(image)} HTTP/1.1\r\nhost: x\r\nauthorization: ${server.authorization}\r\n\r\n`,
    );
    await once(socket, 'data');
    socket.pause();
    assert.ok(isOpen());
    socket.destroy();
    await responseClosed;
    while (isOpen()) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await readFile(fileOf(bytes)), bytes);
  });
});
