/**
 * Files: what can be sent, how it is framed, and how far it is. Against a real server and one that shows what it got.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  APIError,
  DuplicateImageError,
  type FileContent,
  type ImageFile,
  type Progress,
  Vitrine,
} from '@vitrine/client';
import { png } from '../../server/test/support/pictures.ts';
import { picture } from '../../server/test/support/sample.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';
import { type FaultyServer, IMAGE, startFaulty } from './faulty.ts';

const accountID = ACCOUNT;
const security = { username: KEY.publicKey, password: KEY.secretKey };

let server: TestServer;
let mirror: FaultyServer;
let vitrine: Vitrine;
let shown: Vitrine;
before(async () => {
  server = await startServer();
  mirror = await startFaulty();
  vitrine = new Vitrine({ serverURL: server.url, security });
  shown = new Vitrine({ serverURL: mirror.url, security });
});
after(async () => {
  await server.close();
  await mirror.close();
});

/** The last request of the mirror, taken apart by someone else's parser. */
async function lastForm(): Promise<FormData> {
  const { headers, body } = mirror.received.at(-1) ?? assert.fail('nothing came');
  return new Response(new Uint8Array(body), {
    headers: { 'content-type': headers['content-type'] ?? '' },
  }).formData();
}

const streamOf = (...pieces: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });

describe('a file', () => {
  test('can be anything that has bytes, and arrives as it is', async () => {
    const bytes = Uint8Array.from(await picture(1));
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const padded = new Uint8Array([9, ...bytes, 9]);
    const contents: Record<string, () => FileContent> = {
      Uint8Array: () => bytes,
      'a part of a buffer': () => padded.subarray(1, -1),
      Buffer: () => Buffer.from(bytes),
      'shared memory': () => shared,
      ArrayBuffer: () => bytes.buffer,
      Blob: () => new Blob([bytes]),
      ReadableStream: () => streamOf(bytes.subarray(0, 100), bytes.subarray(100)),
      'the stream of a Blob': () => new Blob([bytes]).stream(),
    };
    const { result } = await vitrine.images.upload({ accountID, image: bytes });
    for (const [kind, content] of Object.entries(contents)) {
      for (const image of [content(), { fileName: 'a.png', content: content() }]) {
        // The same SHA-256, so the same bytes.
        const upload = vitrine.images.upload({ accountID, image });
        await assert.rejects(
          upload,
          (error) => error instanceof DuplicateImageError && error.existing?.imageID === result.imageID,
          kind,
        );
      }
    }
  });

  test('and its metadata are a form as everybody reads it', async () => {
    mirror.answer({ status: 201, body: IMAGE });
    const image = { fileName: 'la "lampe"\r\nété.png', content: new Uint8Array([0, 13, 10, 45, 45, 255]) };
    await shown.images.upload({ accountID, image, metadata: { altText: 'été "x"\n' } });
    const form = await lastForm();
    assert.deepEqual([...form.keys()], ['image', 'metadata']);
    const file = form.get('image');
    assert.ok(file instanceof File);
    assert.equal(file.name, 'la "lampe"\r\nété.png');
    assert.equal(file.type, 'application/octet-stream');
    assert.deepEqual(new Uint8Array(await file.arrayBuffer()), image.content);
    assert.deepEqual(JSON.parse(String(form.get('metadata'))), { altText: 'été "x"\n' });
  });

  test('has the name that it brings along, and needs none', async () => {
    mirror.answer({ status: 201, body: IMAGE });
    for (const [image, name] of [
      [new File(['x'], 'lamp.png'), 'lamp.png'],
      [new Blob(['x']), 'image'],
    ] as const) {
      await shown.images.upload({ accountID, image });
      assert.equal(((await lastForm()).get('image') as File).name, name);
    }
    assert.equal((await lastForm()).has('metadata'), false);
  });

  test('that cannot be sent is refused before anything is', async () => {
    mirror.answer({ status: 201, body: IMAGE });
    const locked = streamOf();
    new Response(locked).body?.getReader();
    for (const [image, message] of [
      ['lamp.png', /image must be a Blob, a Uint8Array, an ArrayBuffer or a ReadableStream/],
      [undefined, /image must be/],
      [{ fileName: 'x', content: 'text' }, /image\.content must be/],
      [{ fileName: 7, content: new Blob([]) }, /image\.fileName must be a string/],
      [locked, /image is a stream that is being read already/],
    ] as const) {
      const upload = shown.images.upload({ accountID, image: image as ImageFile });
      await assert.rejects(upload, { name: 'TypeError', message });
    }
    assert.deepEqual(mirror.received, []);
  });
});

describe('a stream', () => {
  test('that fails fails the upload with its own error, and nothing is stored', async () => {
    const before = (await vitrine.images.list({ accountID })).headers['x-total-count'];
    const bytes = await picture(2);
    const reason = new Error('the disk is gone');
    let pulled = 0;
    const failing = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        if (pulled === 1) controller.enqueue(bytes.subarray(0, 300));
        else controller.error(reason);
      },
    });
    await assert.rejects(vitrine.images.upload({ accountID, image: failing }), reason);
    assert.deepEqual((await vitrine.images.list({ accountID })).headers['x-total-count'], before);
  });

  test('of anything but bytes is refused', async () => {
    const text = new ReadableStream({
      start(controller) {
        controller.enqueue('text');
        controller.close();
      },
    });
    await assert.rejects(vitrine.images.upload({ accountID, image: text }), {
      name: 'TypeError',
      message: 'the stream of the image must yield Uint8Arrays',
    });
  });

  test('is given up when the upload is, begun or not', async () => {
    const endless = () => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const stream = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: resolve,
      });
      return { stream, cancelled: promise };
    };
    const wrong = new Vitrine({ serverURL: server.url, security: { username: 'no', password: 'body' } });
    const nobody = new Vitrine({
      serverURL: server.url,
      security: () => Promise.reject(new Error('no token')),
    });
    for (const client of [wrong, nobody, vitrine]) {
      const { stream, cancelled } = endless();
      const error = await client.images.upload({ accountID, image: stream }).catch((reason) => reason);
      assert.equal(await cancelled, error);
    }
  });
});

describe('progress', () => {
  const total = 3_000_000;
  const noted = () => {
    const steps: Progress[] = [];
    return { steps, onProgress: (progress: Progress) => void steps.push(progress) };
  };

  test('goes from nothing to the whole file, in steps', async () => {
    const { steps, onProgress } = noted();
    const image = await png({ width: 1_500, height: 1_000 });
    await vitrine.images.upload({ accountID, image }, { onProgress });
    assert.deepEqual(steps[0], { sent: 0, total: image.length });
    assert.deepEqual(steps.at(-1), { sent: image.length, total: image.length });
    assert.ok(steps.length > 5, `${steps.length} steps for ${image.length} bytes`);
    assert.ok(steps.every(({ sent }, at) => at === 0 || sent > (steps[at - 1]?.sent ?? 0)));
  });

  test('of a stream has no total', async () => {
    mirror.answer({ status: 201, body: IMAGE });
    const { steps, onProgress } = noted();
    const image = streamOf(new Uint8Array(10), new Uint8Array(20));
    await shown.images.update({ accountID, imageID: IMAGE.imageID, image }, { onProgress });
    assert.deepEqual(steps, [{ sent: 0 }, { sent: 10 }, { sent: 30 }]);
  });

  test('does not change what is sent: the length is known beforehand all the same', async () => {
    mirror.answer({ status: 201, body: IMAGE });
    const image = new Uint8Array(total);
    await shown.images.upload({ accountID, image });
    await shown.images.upload({ accountID, image }, { onProgress: () => undefined });
    const [plain, watched] = mirror.received;
    assert.equal(watched?.headers['content-length'], plain?.headers['content-length']);
    assert.equal(watched?.body.length, Number(watched?.headers['content-length']));
  });

  test('runs no further ahead than the connection takes', async () => {
    const reason = new Error('seen enough');
    const controller = new AbortController();
    const { steps, onProgress } = noted();
    // Takes the headers, and nothing more.
    mirror.answer((request) => request.pause());
    const large = new Uint8Array(64 * 1024 * 1024);
    const upload = shown.images.upload(
      { accountID, image: large },
      {
        signal: controller.signal,
        onProgress(progress) {
          onProgress(progress);
          // Once the buffers of both sides are full nothing more is reported.
          clearTimeout(stall);
          stall = setTimeout(() => controller.abort(reason), 200);
        },
      },
    );
    let stall: ReturnType<typeof setTimeout> | undefined;
    await assert.rejects(upload, reason);
    assert.ok((steps.at(-1)?.sent ?? 0) < large.length / 2);
  });

  test('that its listener cannot bear ends the upload with what it throws', async () => {
    const reason = new Error('no such progress bar');
    mirror.answer({ status: 201, body: IMAGE });
    for (const bearable of [0, 1]) {
      let calls = 0;
      const onProgress = () => {
        if (calls === bearable) throw reason;
        calls += 1;
      };
      await assert.rejects(
        shown.images.upload({ accountID, image: new Uint8Array(total) }, { onProgress }),
        reason,
      );
    }
  });

  test('of a refused upload does not hide the refusal', async () => {
    const upload = vitrine.images.upload(
      { accountID, image: new Uint8Array(total) },
      { onProgress: () => undefined },
    );
    await assert.rejects(upload, (error) => error instanceof APIError && error.status === 422);
  });
});
