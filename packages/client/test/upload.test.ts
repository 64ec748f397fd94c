/**
 * Tests uploads: the types of files, the multipart form and progress.
 * They run against a real server and against a faulty server that records the requests.
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
let recorder: FaultyServer;
let vitrine: Vitrine;
let recordedClient: Vitrine;
before(async () => {
  server = await startServer();
  recorder = await startFaulty();
  vitrine = new Vitrine({ serverURL: server.url, security });
  recordedClient = new Vitrine({ serverURL: recorder.url, security });
});
after(async () => {
  await server.close();
  await recorder.close();
});

/** The last recorded form, parsed by Node. */
async function lastForm(): Promise<FormData> {
  const { headers, body } = recorder.received.at(-1) ?? assert.fail('no request arrived');
  return new Response(new Uint8Array(body), {
    headers: { 'content-type': headers['content-type'] ?? '' },
  }).formData();
}

const createStream = (...pieces: Uint8Array[]) =>
  new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });

describe('a large file on Node', () => {
  test('is streamed, because a slow link may need more time than Node waits for an answer', async () => {
    const bodies: (string | undefined)[] = [];
    const client = new Vitrine({
      serverURL: recorder.url,
      security,
      fetch: (url, init) => {
        bodies.push(init.body?.constructor.name);
        return fetch(url, init);
      },
    });
    recorder.answer({ status: 201, body: IMAGE });
    const large = new Uint8Array(1024 * 1024 + 1).map((_, index) => index % 251);
    await client.images.upload({ accountID, image: large });
    assert.deepEqual(bodies, ['ReadableStream']);
    const { headers, body } = recorder.received.at(-1) ?? assert.fail();
    assert.equal(Number(headers['content-length']), body.length);
    const file = (await lastForm()).get('image') as File;
    assert.deepEqual(new Uint8Array(await file.arrayBuffer()), large);
    await client.images.upload({ accountID, image: new Uint8Array(1_000) });
    assert.equal(bodies[1], 'Blob');
  });

  test('is sent again by a retry', async () => {
    recorder.answer({ status: 408 }, { status: 201, body: IMAGE });
    const image = new Uint8Array(2 * 1024 * 1024).map((_, index) => index % 251);
    const retries = { strategy: 'backoff', backoff: { initialInterval: 1 } } as const;
    await recordedClient.images.upload({ accountID, image }, { retries });
    const [first, second] = recorder.received;
    assert.ok(second?.body.length && second.body.length > image.length);
    assert.deepEqual(second.headers['x-idempotency-key'], first?.headers['x-idempotency-key']);
  });
});

describe('a file', () => {
  test('can have any supported type and arrives unchanged', async () => {
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
      ReadableStream: () => createStream(bytes.subarray(0, 100), bytes.subarray(100)),
      'the stream of a Blob': () => new Blob([bytes]).stream(),
    };
    const { result } = await vitrine.images.upload({ accountID, image: bytes });
    for (const [kind, content] of Object.entries(contents)) {
      for (const image of [content(), { fileName: 'a.png', content: content() }]) {
        // The server rejects it as a duplicate, so the SHA-256 is the same.
        const upload = vitrine.images.upload({ accountID, image });
        await assert.rejects(
          upload,
          (error) => error instanceof DuplicateImageError && error.existing?.imageID === result.imageID,
          kind,
        );
      }
    }
  });

  test('and its metadata form a standard multipart body', async () => {
    recorder.answer({ status: 201, body: IMAGE });
    const image = { fileName: 'la "lampe"\r\nété.png', content: new Uint8Array([0, 13, 10, 45, 45, 255]) };
    await recordedClient.images.upload({ accountID, image, metadata: { altText: 'été "x"\n' } });
    const form = await lastForm();
    assert.deepEqual([...form.keys()], ['image', 'metadata']);
    const file = form.get('image');
    assert.ok(file instanceof File);
    assert.equal(file.name, 'la "lampe"\r\nété.png');
    assert.equal(file.type, 'application/octet-stream');
    assert.deepEqual(new Uint8Array(await file.arrayBuffer()), image.content);
    assert.deepEqual(JSON.parse(String(form.get('metadata'))), { altText: 'été "x"\n' });
  });

  test('keeps the name of a File, and a Blob gets a default name', async () => {
    recorder.answer({ status: 201, body: IMAGE });
    for (const [image, name] of [
      [new File(['x'], 'lamp.png'), 'lamp.png'],
      [new Blob(['x']), 'image'],
    ] as const) {
      await recordedClient.images.upload({ accountID, image });
      assert.equal(((await lastForm()).get('image') as File).name, name);
    }
    assert.equal((await lastForm()).has('metadata'), false);
  });

  test('of an unsupported type is rejected before any request', async () => {
    recorder.answer({ status: 201, body: IMAGE });
    const locked = createStream();
    new Response(locked).body?.getReader();
    for (const [image, message] of [
      ['lamp.png', /image must be a Blob, a Uint8Array, an ArrayBuffer or a ReadableStream/],
      [undefined, /image must be/],
      [{ fileName: 'x', content: 'text' }, /image\.content must be/],
      [{ fileName: 7, content: new Blob([]) }, /image\.fileName must be a string/],
      [locked, /image must be an unlocked stream: it already has a reader/],
    ] as const) {
      const upload = recordedClient.images.upload({ accountID, image: image as ImageFile });
      await assert.rejects(upload, { name: 'TypeError', message });
    }
    assert.deepEqual(recorder.received, []);
  });
});

describe('a stream', () => {
  test('that fails rejects the upload with its own error, and the server stores no image', async () => {
    const before = (await vitrine.images.list({ accountID })).headers['x-total-count'];
    const bytes = await picture(2);
    const reason = new Error('the disk is gone');
    let pulls = 0;
    const failing = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls += 1;
        if (pulls === 1) controller.enqueue(bytes.subarray(0, 300));
        else controller.error(reason);
      },
    });
    await assert.rejects(vitrine.images.upload({ accountID, image: failing }), reason);
    assert.deepEqual((await vitrine.images.list({ accountID })).headers['x-total-count'], before);
  });

  test('of text is rejected', async () => {
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

  test('is cancelled when the upload fails, whether or not reading has begun', async () => {
    const endless = () => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const stream = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: resolve,
      });
      return { stream, cancelled: promise };
    };
    const wrongKey = new Vitrine({ serverURL: server.url, security: { username: 'no', password: 'body' } });
    const noToken = new Vitrine({
      serverURL: server.url,
      security: () => Promise.reject(new Error('no token')),
    });
    for (const client of [wrongKey, noToken, vitrine]) {
      const { stream, cancelled } = endless();
      const error = await client.images.upload({ accountID, image: stream }).catch((reason) => reason);
      assert.equal(await cancelled, error);
    }
  });
});

describe('progress', () => {
  const total = 3_000_000;
  const recordSteps = () => {
    const steps: Progress[] = [];
    return { steps, onProgress: (progress: Progress) => void steps.push(progress) };
  };

  test('goes from 0 to the whole file in steps', async () => {
    const { steps, onProgress } = recordSteps();
    const image = await png({ width: 1_500, height: 1_000 });
    await vitrine.images.upload({ accountID, image }, { onProgress });
    assert.deepEqual(steps[0], { sent: 0, total: image.length });
    assert.deepEqual(steps.at(-1), { sent: image.length, total: image.length });
    assert.ok(steps.length > 5, `${steps.length} steps for ${image.length} bytes`);
    assert.ok(steps.every(({ sent }, index) => index === 0 || sent > (steps[index - 1]?.sent ?? 0)));
  });

  test('of a stream has no total', async () => {
    recorder.answer({ status: 201, body: IMAGE });
    const { steps, onProgress } = recordSteps();
    const image = createStream(new Uint8Array(10), new Uint8Array(20));
    await recordedClient.images.update({ accountID, imageID: IMAGE.imageID, image }, { onProgress });
    assert.deepEqual(steps, [{ sent: 0 }, { sent: 10 }, { sent: 30 }]);
  });

  test('does not change the request: it has the same Content-Length', async () => {
    recorder.answer({ status: 201, body: IMAGE });
    const image = new Uint8Array(total);
    await recordedClient.images.upload({ accountID, image });
    await recordedClient.images.upload({ accountID, image }, { onProgress: () => undefined });
    const [plain, withProgress] = recorder.received;
    assert.equal(withProgress?.headers['content-length'], plain?.headers['content-length']);
    assert.equal(withProgress?.body.length, Number(withProgress?.headers['content-length']));
  });

  test('stops when the server stops reading', async () => {
    const reason = new Error('seen enough');
    const controller = new AbortController();
    const { steps, onProgress } = recordSteps();
    // The server reads the headers and no body.
    recorder.answer((request) => request.pause());
    const large = new Uint8Array(64 * 1024 * 1024);
    const upload = recordedClient.images.upload(
      { accountID, image: large },
      {
        signal: controller.signal,
        onProgress(progress) {
          onProgress(progress);
          // After the buffers of both sides are full, no more progress is reported.
          clearTimeout(stall);
          stall = setTimeout(() => controller.abort(reason), 200);
        },
      },
    );
    let stall: ReturnType<typeof setTimeout> | undefined;
    await assert.rejects(upload, reason);
    assert.ok((steps.at(-1)?.sent ?? 0) < large.length / 2);
  });

  test('callback that throws ends the upload with its exception', async () => {
    const reason = new Error('no such progress bar');
    recorder.answer({ status: 201, body: IMAGE });
    for (const failingCall of [0, 1]) {
      let calls = 0;
      const onProgress = () => {
        if (calls === failingCall) throw reason;
        calls += 1;
      };
      await assert.rejects(
        recordedClient.images.upload({ accountID, image: new Uint8Array(total) }, { onProgress }),
        reason,
      );
    }
  });

  test('of a rejected upload does not hide the error response', async () => {
    const upload = vitrine.images.upload(
      { accountID, image: new Uint8Array(total) },
      { onProgress: () => undefined },
    );
    await assert.rejects(upload, (error) => error instanceof APIError && error.status === 422);
  });
});
