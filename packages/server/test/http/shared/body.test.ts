import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { isAppError } from '../../../src/errors.ts';
import { checkBodyHeaders, claimBody, linger, PACE, watchBody } from '../../../src/http/shared/body.ts';
import { SlowBodies } from '../../../src/http/shared/slow-bodies.ts';
import { sendEndlessly } from '../../support/endless.ts';

/** The parts of a request that a body needs: its bytes, and whether all have arrived. */
function createRequest() {
  const raw = new PassThrough() as PassThrough & { complete: boolean };
  raw.complete = false;
  raw.once('end', () => {
    raw.complete = true;
  });
  return raw;
}

function watch(raw: PassThrough, limit: number, slowBodies = new SlowBodies(PACE.maxSlow), address = 'one') {
  return watchBody(raw as unknown as IncomingMessage, raw, { limit, pace: PACE, address, slowBodies });
}

async function failureOf(body: Readable): Promise<unknown> {
  body.resume();
  const [error] = await once(body, 'error').catch((thrown: unknown) => [thrown]);
  return error;
}

describe('a body', () => {
  test('passes unchanged up to its limit', async () => {
    const raw = createRequest();
    const body = watch(raw, 10);
    raw.end('0123456789');
    assert.equal(String(await buffer(body)), '0123456789');
  });

  test('larger than its limit fails as too large and leaves its source open', async () => {
    const raw = createRequest();
    const body = watch(raw, 10);
    raw.write('0123456789a');
    assert.ok(isAppError(await failureOf(body), 'too-large'));
    assert.equal(raw.destroyed, false, 'the answer still has to be sent');
  });

  test('fails as cancelled when the client goes away', async () => {
    const raw = createRequest();
    const body = watch(raw, 1000);
    raw.write('half');
    raw.destroy();
    assert.ok(isAppError(await failureOf(body), 'cancelled'));
  });

  test('fails as cancelled when the client has already gone', async () => {
    const raw = createRequest();
    raw.destroy();
    await once(raw, 'close');
    assert.ok(isAppError(await failureOf(watch(raw, 1000)), 'cancelled'));
  });

  test('is refused by its headers if they show the reason', () => {
    const refusal = (headers: IncomingMessage['headers']) => {
      try {
        checkBodyHeaders(headers, 100);
        return undefined;
      } catch (error) {
        return isAppError(error) ? error.code : error;
      }
    };
    assert.equal(refusal({ 'content-length': '100' }), undefined);
    assert.equal(refusal({ 'content-length': '101' }), 'too-large');
    assert.equal(refusal({ 'transfer-encoding': 'chunked' }), undefined);
    assert.equal(refusal({ 'content-encoding': 'identity' }), undefined);
    assert.equal(refusal({ 'content-encoding': 'br' }), 'unsupported-media');
  });
});

describe('the pace of a body', () => {
  beforeEach(() => mock.timers.enable({ apis: ['setInterval'] }));
  afterEach(() => mock.timers.reset());

  /** Lets seconds pass. `send` is called before each. */
  async function pass(seconds: number, send: (second: number) => void = () => undefined): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      send(second);
      await new Promise(setImmediate);
      mock.timers.tick(1_000);
      await new Promise(setImmediate);
    }
  }

  function start(...options: [slowBodies?: SlowBodies, address?: string]) {
    const raw = createRequest();
    const body = watch(raw, 1e9, ...options);
    body.resume();
    return { body, send: (bytes: number) => raw.write(Buffer.alloc(bytes)), end: () => raw.end() };
  }

  test('may be 45 kB a second for the whole of 16 MiB', async () => {
    const { body, send, end } = start();
    await pass(373, () => send(45_000));
    end();
    await new Promise(setImmediate);
    assert.deepEqual([body.errored, body.readableEnded], [null, true]);
  });

  test('may have silences of almost a minute', async () => {
    const { body, send } = start();
    for (let silence = 0; silence < 5; silence++) {
      send(300_000);
      await pass(59);
      assert.equal(body.errored, null);
    }
  });

  test('may be just above the lowest rate for an hour', async () => {
    const { body, send } = start();
    await pass(3_600, () => send(4_000));
    assert.equal(body.errored, null);
  });

  test('ends after a minute without a byte, also after much came', async () => {
    for (const bytes of [0, 10_000_000]) {
      const { body, send } = start();
      if (bytes > 0) send(bytes);
      await pass(59);
      assert.equal(body.errored, null);
      // A silence begins at the check that counts its last byte.
      await pass(2);
      const error: unknown = body.errored;
      assert.ok(isAppError(error, 'too-slow'));
      assert.match(error.message, /no byte of the request body came for 60 seconds/);
    }
  });

  test('ends below the lowest rate over a minute, also after much came', async () => {
    for (const bytes of [0, 10_000_000]) {
      const { body, send } = start();
      if (bytes > 0) send(bytes);
      await pass(59, () => send(3_900));
      assert.equal(body.errored, null);
      await pass(2, () => send(3_900));
      const error: unknown = body.errored;
      assert.ok(isAppError(error, 'too-slow'));
      assert.match(error.message, /more slowly than 4000 bytes a second, over 60 seconds/);
    }
  });

  test('does not count while the server does not read', async () => {
    const raw = createRequest();
    const body = watch(raw, 1e9);
    raw.write(Buffer.alloc(200_000));
    await pass(600);
    assert.equal(body.errored, null);
    body.resume();
    await pass(59);
    assert.equal(body.errored, null);
    await pass(2);
    assert.ok(isAppError(body.errored, 'too-slow'));
  });

  test('that fails without an error listener does not end the process', async () => {
    const { body } = start();
    await pass(62);
    // An 'error' event without a listener would end this process and fail this test.
    assert.ok(body.closed);
  });

  test('may be slow for 64 bodies of an address: beyond that, the slowest ends', async () => {
    const slowBodies = new SlowBodies(PACE.maxSlow);
    const bodies = Array.from({ length: 65 }, () => start(slowBodies));
    const other = start(slowBodies, 'two');
    const sendAll = () => {
      for (const [index, { send }] of bodies.entries()) send(index === 20 ? 5_000 : 40_000);
      other.send(4_500);
    };
    await pass(29, sendAll);
    assert.ok(bodies.every(({ body }) => body.errored === null));
    await pass(1, sendAll);
    const ended = bodies.filter(({ body }) => body.errored !== null);
    assert.deepEqual(ended, [bodies[20]]);
    const error = bodies[20]?.body.errored;
    assert.ok(isAppError(error, 'rate-limited'));
    assert.match(error.message, /one address may have at most 64 slow request bodies at once/);
    assert.deepEqual([error.retryAfter, error.rejection], [10, 'slow-bodies']);
    assert.equal(other.body.errored, null, 'the limit is for each address');
    await pass(100, sendAll);
    assert.ok(bodies.every(({ body }, index) => index === 20 || body.errored === null));
  });

  test('is slow no more when a body becomes fast, is complete or ends', async () => {
    const slowBodies = new SlowBodies(1);
    const change: Record<string, (body: ReturnType<typeof start>) => void> = {
      fast: ({ send }) => send(10_000_000),
      complete: ({ end }) => end(),
      ended: ({ body }) => body.destroy(),
    };
    for (const [name, makeRoom] of Object.entries(change)) {
      const first = start(slowBodies, name);
      await pass(31, () => first.send(5_000));
      makeRoom(first);
      await pass(1);
      const second = start(slowBodies, name);
      // Fast enough to be slower than the first one would be without the change.
      await pass(20, () => second.send(4_500));
      await pass(20, () => second.send(4_500));
      assert.equal(second.body.errored, null, name);
      second.body.destroy();
      first.body.destroy();
    }
  });

  test('ends the newest of equally slow bodies', async () => {
    const slowBodies = new SlowBodies(2);
    const bodies = [start(slowBodies), start(slowBodies), start(slowBodies)];
    await pass(31, () => {
      for (const { send } of bodies) send(5_000);
    });
    assert.deepEqual(
      bodies.map(({ body }) => body.errored === null),
      [true, true, false],
    );
  });

  test('is never slow in the first half minute, nor above 64 KiB a second', async () => {
    const slowBodies = new SlowBodies(0);
    const young = start(slowBodies);
    const fast = start(slowBodies);
    await pass(29, () => fast.send(65_536));
    assert.equal(young.body.errored, null);
    await pass(31, () => fast.send(65_536));
    assert.equal(fast.body.errored, null);
    assert.ok(isAppError(young.body.errored, 'rate-limited'));
  });
});

test('reads a bounded part of a refused body, also if much of it came before the refusal', async (t) => {
  const server = createServer(async (request, response) => {
    while (request.readableLength < request.readableHighWaterMark) await new Promise(setImmediate);
    response.once('finish', () => linger(request));
    claimBody(request);
    response.writeHead(413).end();
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  socket.resume();
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n');
  const bytes = await sendEndlessly(socket);
  assert.ok(bytes < 48 * 1024 * 1024, `${bytes} bytes were sent`);
});
