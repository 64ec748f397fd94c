/**
 * Tests connection failures, timeouts, aborts and retries on real connections to a faulty server.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { getEventListeners, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import {
  ConnectionError,
  ResponseValidationError,
  type RetryConfig,
  TimeoutError,
  Vitrine,
} from '@vitrine/client';
import { type FaultyServer, IMAGE, startFaulty } from './faulty.ts';

const accountID = '3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb';
const { imageID, publicID } = IMAGE;
const image = new Uint8Array([1, 2, 3]);
const retries: RetryConfig = {
  strategy: 'backoff',
  backoff: { initialInterval: 1, maxInterval: 4, exponent: 2, maxElapsedTime: 20_000 },
  retryConnectionErrors: true,
};

let server: FaultyServer;
let vitrine: Vitrine;
before(async () => {
  server = await startFaulty();
  vitrine = new Vitrine({ serverURL: server.url, security: { username: 'a', password: 'b' }, retries });
});
after(() => server.close());

const imageReply = { status: 200, body: IMAGE };
const uploadReply = { status: 201, body: IMAGE };

describe('retries', () => {
  test('continue until the server answers', async () => {
    server.answer({ status: 503 }, { status: 502, body: '<h1>Bad gateway' }, { status: 429 }, imageReply);
    const { result } = await vitrine.images.getMetadata({ accountID, imageID });
    assert.equal(result.imageID, imageID);
    assert.equal(server.received.length, 4);
  });

  test('are off by default and can be turned off for one call', async () => {
    server.answer({ status: 503 });
    const plain = new Vitrine({ serverURL: server.url });
    await assert.rejects(plain.ping.ping(), { name: 'APIError', status: 503 });
    await assert.rejects(vitrine.ping.ping({ retries: { strategy: 'none' } }), { status: 503 });
    assert.equal(server.received.length, 2);
    server.answer({ status: 503 }, { status: 200 });
    await plain.ping.ping({ retries });
  });

  test('end with the last error after maxElapsedTime', async () => {
    server.answer({ status: 500 }, { status: 503, body: { error: 'still full' } });
    await assert.rejects(
      vitrine.ping.ping({
        retries: { strategy: 'backoff', backoff: { initialInterval: 1, maxElapsedTime: 1_500 } },
      }),
      { name: 'APIError', status: 503, message: 'the server answered 503: still full' },
    );
  });

  test('wait as long as Retry-After says, or end at once if that exceeds maxElapsedTime', async () => {
    server.answer({ status: 503, headers: { 'retry-after': '1' } }, imageReply);
    const start = performance.now();
    await vitrine.images.getMetadata({ accountID, imageID });
    assert.ok(performance.now() - start >= 999, 'it retried before Retry-After');
    server.answer({ status: 503, headers: { 'retry-after': '3600' } }, imageReply);
    await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }), { status: 503 });
    assert.equal(server.received.length, 1);
  });

  test('call onRetry with the error and the pause, and wait for it', async () => {
    server.answer({ status: 408 }, { status: 503 }, imageReply);
    const calls: [number | undefined, number][] = [];
    let isWaiting = false;
    const onRetry: NonNullable<Extract<RetryConfig, { strategy: 'backoff' }>['onRetry']> = async (
      error,
      pause,
    ) => {
      calls.push(['status' in error ? error.status : undefined, server.received.length]);
      assert.ok(pause > 0 && pause <= 4);
      isWaiting = true;
      await new Promise((resolve) => setTimeout(resolve, 20));
      isWaiting = false;
    };
    await vitrine.images.getMetadata({ accountID, imageID }, { retries: { ...retries, onRetry } });
    assert.equal(isWaiting, false);
    assert.deepEqual(calls, [
      [408, 1],
      [503, 2],
    ]);
    server.answer({ status: 503 }, imageReply);
    const reason = new Error('no more attempts');
    const refuse = () => Promise.reject(reason);
    await assert.rejects(
      vitrine.images.getMetadata({ accountID, imageID }, { retries: { ...retries, onRetry: refuse } }),
      reason,
    );
    assert.equal(server.received.length, 1);
  });

  test('of an upload send the same bytes and idempotency key; another upload has another key', async () => {
    server.answer({ status: 503 }, (_, response) => response.destroy(), { status: 500 }, uploadReply);
    await vitrine.images.upload({ accountID, image, metadata: { altText: 'x' } });
    const keys = server.received.map(({ headers }) => headers['x-idempotency-key']);
    assert.equal(keys.length, 4);
    assert.match(String(keys[0]), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(new Set(keys).size, 1);
    assert.deepEqual(server.received[3]?.body, server.received[0]?.body);
    server.answer(uploadReply);
    await vitrine.images.upload({ accountID, image });
    assert.notEqual(server.received[0]?.headers['x-idempotency-key'], keys[0]);
    await vitrine.images.upload({ accountID, image }, { headers: { 'x-idempotency-key': 'mine' } });
    assert.equal(server.received[1]?.headers['x-idempotency-key'], 'mine');
  });

  test('of an upload restart the progress at 0', async () => {
    server.answer({ status: 503 }, uploadReply);
    const sent: number[] = [];
    await vitrine.images.upload({ accountID, image }, { onProgress: (progress) => sent.push(progress.sent) });
    assert.deepEqual(sent, [0, 3, 0, 3]);
  });

  test('skip an upload of a stream, because a stream can be read only once', async () => {
    for (const status of [503, 429]) {
      server.answer({ status }, uploadReply);
      const upload = vitrine.images.upload({ accountID, image: new Blob([image]).stream() });
      await assert.rejects(upload, { status });
      assert.equal(server.received.length, 1);
    }
  });

  test('skip permanent errors', async () => {
    for (const status of [400, 404, 409, 413, 422, 507]) {
      server.answer({ status, body: { error: 'no' } });
      await assert.rejects(vitrine.images.upload({ accountID, image }), { status });
      assert.equal(server.received.length, 1);
    }
  });
});

describe('a connection', () => {
  test('that is refused is a ConnectionError with the reason', async () => {
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as { port: number };
    closed.close();
    await once(closed, 'close');
    const client = new Vitrine({ serverURL: `http://127.0.0.1:${port}` });
    await assert.rejects(client.ping.ping(), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.equal(error.message, `no answer from http://127.0.0.1:${port}: ECONNREFUSED`);
      assert.ok(error.cause instanceof TypeError);
      return true;
    });
  });

  test('that breaks during a response is a ConnectionError and is retried', async () => {
    const halfway = (_: unknown, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"imageID"', () => response.destroy());
    };
    server.answer(halfway, imageReply);
    await vitrine.images.getMetadata({ accountID, imageID });
    assert.equal(server.received.length, 2);
    server.answer(halfway);
    const call = vitrine.images.getMetadata({ accountID, imageID }, { retries: { strategy: 'none' } });
    await assert.rejects(call, (error) => error instanceof ConnectionError);
  });

  test('that breaks during a picture is a ConnectionError of the stream', async () => {
    server.answer((_, response) => {
      response.writeHead(200, { 'content-type': 'image/webp', 'content-length': '1000' });
      response.write('RIFF', () => response.destroy());
    });
    const { result } = await vitrine.images.getPublic({ publicID });
    await assert.rejects(new Response(result).arrayBuffer(), (error) => error instanceof ConnectionError);
  });
});

describe('a verified original', () => {
  const bytes = Buffer.from('the bytes of a picture');
  const digest = `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`;
  const original =
    (headers: Record<string, string>, body: Uint8Array) => (_: unknown, response: ServerResponse) =>
      response.writeHead(200, { 'content-type': 'image/png', ...headers }).end(body);
  const call = () => vitrine.images.original({ accountID, imageID }, { verify: true });

  test('is returned if the header also has digests of other algorithms', async () => {
    server.answer(original({ 'repr-digest': `sha-512=:AAAA:, ${digest}` }, bytes));
    assert.equal(await new Response((await call()).result).text(), String(bytes));
  });

  test('is retried if the connection breaks during the body', async () => {
    const halfway = (_: unknown, response: ServerResponse) => {
      response.writeHead(200, { 'repr-digest': digest, 'content-length': bytes.length });
      response.write(bytes.subarray(3), () => response.destroy());
    };
    server.answer(halfway, original({ 'repr-digest': digest }, bytes));
    assert.equal(await new Response((await call()).result).text(), String(bytes));
    assert.equal(server.received.length, 2);
  });

  test('fails if its digest differs, the digest is missing, or it is larger than 16 MiB', async () => {
    for (const [headers, body, message] of [
      [{ 'repr-digest': digest }, Buffer.from('the bytes of another'), /do not have the digest/],
      [{}, bytes, /has no SHA-256 digest/],
      [{ 'repr-digest': 'sha-256=:short:' }, bytes, /has no SHA-256 digest/],
      [{ 'repr-digest': digest }, Buffer.alloc(16 * 1024 * 1024 + 1), /more bytes than the limit: 16777216/],
    ] as const) {
      server.answer(original(headers, body));
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof ResponseValidationError, String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  });
});

describe('a timeout', () => {
  const silent = () => undefined;

  test('is a TimeoutError, before the response and during its body', async () => {
    const incomplete = (_: unknown, response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{');
    };
    const options = { timeoutMs: 60, retries: { strategy: 'none' } } as const;
    for (const reply of [silent, incomplete]) {
      server.answer(reply);
      await assert.rejects(vitrine.images.getMetadata({ accountID, imageID }, options), (error) => {
        assert.ok(error instanceof TimeoutError);
        assert.deepEqual([error.timeoutMs, error.message], [60, 'no answer within 60 ms']);
        return true;
      });
    }
  });

  test('applies to each attempt and is retried', async () => {
    server.answer(silent, silent, imageReply);
    await vitrine.images.getMetadata({ accountID, imageID }, { timeoutMs: 200 });
    assert.ok(server.received.length >= 3);
  });

  test('includes the wait for the security function', async () => {
    const hangingClient = new Vitrine({
      serverURL: server.url,
      security: () => new Promise<never>(() => undefined),
      timeoutMs: 30,
    });
    await assert.rejects(hangingClient.ping.ping(), (error) => error instanceof TimeoutError);
  });

  test('longer than the longest timer does not fire at once', async () => {
    server.answer(imageReply);
    await vitrine.images.getMetadata({ accountID, imageID }, { timeoutMs: Number.POSITIVE_INFINITY });
    await vitrine.images.getMetadata({ accountID, imageID }, { timeoutMs: 1e12 });
  });

  test('ends when the body of a picture begins', async () => {
    let finish = () => {};
    server.answer((_, response) => {
      response.writeHead(200, { 'content-type': 'image/webp' });
      response.write('begin');
      finish = () => response.end('end');
    });
    const { result } = await vitrine.images.getPublic({ publicID }, { timeoutMs: 300 });
    const reader = result?.getReader();
    await reader?.read();
    await new Promise((resolve) => setTimeout(resolve, 400));
    finish();
    assert.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), 'end');
  });
});

describe('an abort', () => {
  const reason = new Error('the user left');

  test('before or during a call rejects with its reason and leaves no listener', async () => {
    const { signal } = new AbortController();
    server.answer(imageReply);
    await vitrine.images.getMetadata({ accountID, imageID }, { signal });
    assert.deepEqual(getEventListeners(signal, 'abort'), []);

    const early = vitrine.ping.ping({ signal: AbortSignal.abort(reason) });
    await assert.rejects(early, reason);

    const during = new AbortController();
    const closed = new Promise((resolve) => {
      server.answer((request) => {
        request.socket.once('close', resolve);
        during.abort(reason);
      });
    });
    await assert.rejects(vitrine.ping.ping({ signal: during.signal }), reason);
    await closed;
    assert.equal(server.received.length, 1, 'an aborted call was retried');
  });

  test('ends a pause between attempts', async () => {
    const controller = new AbortController();
    server.answer((_, response) => {
      response.writeHead(503, { 'retry-after': '15' }).end('{}', () => {
        setImmediate(() => controller.abort(reason));
      });
    });
    await assert.rejects(vitrine.ping.ping({ signal: controller.signal }), reason);
  });

  test('ends an upload during its stream and cancels the stream', async () => {
    const controller = new AbortController();
    const cancelled = Promise.withResolvers<unknown>();
    const endless = new ReadableStream<Uint8Array>({
      pull(stream) {
        stream.enqueue(new Uint8Array(65_536));
      },
      cancel: cancelled.resolve,
    });
    server.answer((request) => {
      request.once('data', () => controller.abort(reason));
    });
    const upload = vitrine.images.upload({ accountID, image: endless }, { signal: controller.signal });
    await assert.rejects(upload, reason);
    await cancelled.promise;
  });

  test('ends the stream of a picture', async () => {
    const controller = new AbortController();
    server.answer((_, response) => {
      response.writeHead(200, { 'content-type': 'image/webp' });
      response.write('begin');
    });
    const { result } = await vitrine.images.getPublic({ publicID }, { signal: controller.signal });
    const reader = result?.getReader();
    await reader?.read();
    controller.abort(reason);
    await assert.rejects(reader?.read() ?? Promise.resolve(), reason);
    assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
  });

  test('has no listener left after a picture is read or cancelled', async () => {
    const { signal } = new AbortController();
    server.answer({ status: 200, headers: { 'content-type': 'image/webp' }, body: 'picture' });
    const read = await vitrine.images.getPublic({ publicID }, { signal });
    assert.equal(await new Response(read.result).text(), 'picture');
    const cancelled = await vitrine.images.getPublic({ publicID }, { signal });
    await cancelled.result?.cancel();
    assert.deepEqual(getEventListeners(signal, 'abort'), []);
  });
});
