import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { PassThrough, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { isAppError } from '../../../src/errors.ts';
import { checkBodyHeaders, claimBody, linger, type Pace, watchBody } from '../../../src/http/shared/body.ts';
import { sendEndlessly } from '../../support/endless.ts';

/** A request as far as a body is concerned: what the socket brings, and whether all of it has come. */
function incoming() {
  const raw = new PassThrough() as PassThrough & { complete: boolean };
  raw.complete = false;
  raw.once('end', () => {
    raw.complete = true;
  });
  return raw;
}

const UNHURRIED: Pace = { maxSilence: 60_000, grace: 60_000, minRate: 0, checkInterval: 5 };

function watch(raw: PassThrough, limit: number, pace: Partial<Pace> = {}): Readable {
  return watchBody(raw as unknown as IncomingMessage, raw, limit, { ...UNHURRIED, ...pace });
}

async function failure(body: Readable): Promise<unknown> {
  body.resume();
  const [error] = await once(body, 'error').catch((thrown: unknown) => [thrown]);
  return error;
}

describe('a body', () => {
  test('comes through whole, up to its limit', async () => {
    const raw = incoming();
    const body = watch(raw, 10);
    raw.end('0123456789');
    assert.equal(String(await buffer(body)), '0123456789');
  });

  test('that is larger than its limit ends as too large, and its source is left as it is', async () => {
    const raw = incoming();
    const body = watch(raw, 10);
    raw.write('0123456789a');
    assert.ok(isAppError(await failure(body), 'too-large'));
    assert.equal(raw.destroyed, false, 'the answer still has to go out');
  });

  test('of which no byte comes for too long ends as too slow', async () => {
    const raw = incoming();
    const body = watch(raw, 1000, { maxSilence: 20 });
    raw.write('first');
    assert.ok(isAppError(await failure(body), 'too-slow'));
  });

  test('that drips ends as too slow once the grace is over', async () => {
    const raw = incoming();
    const body = watch(raw, 1e9, { grace: 20, minRate: 1e9 });
    const drip = setInterval(() => raw.write('x'), 1);
    assert.ok(isAppError(await failure(body), 'too-slow'));
    clearInterval(drip);
  });

  test('that drips is let be until the grace is over', async () => {
    const raw = incoming();
    const body = watch(raw, 1e9, { minRate: 1e9 });
    body.resume();
    // As many looks at the pace as would have ended it many times over.
    for (let look = 0; look < 20; look++) {
      raw.write('x');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(body.errored, null);
    body.destroy();
  });

  test('that nobody reads is not the client’s fault', async () => {
    const raw = incoming();
    const body = watch(raw, 1e9, { maxSilence: 10, grace: 10, minRate: 1e9 });
    raw.write(Buffer.alloc(200_000));
    // As many looks at the pace as would have ended it many times over.
    for (let look = 0; look < 20; look++) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(body.errored, null);
    body.destroy();
  });

  test('that fails while nobody looks at it ends nothing but itself', async () => {
    const raw = incoming();
    const body = watch(raw, 1000, { maxSilence: 10 });
    // An 'error' that no listener hears would end this process, and fail this test.
    await new Promise((resolve) => body.once('close', resolve));
    assert.ok(isAppError(body.errored, 'too-slow'));
  });

  test('whose sender goes away ends as cancelled', async () => {
    const raw = incoming();
    const body = watch(raw, 1000);
    raw.write('half');
    raw.destroy();
    assert.ok(isAppError(await failure(body), 'cancelled'));
  });

  test('whose sender is gone already ends as cancelled', async () => {
    const raw = incoming();
    raw.destroy();
    await once(raw, 'close');
    assert.ok(isAppError(await failure(watch(raw, 1000)), 'cancelled'));
  });

  test('is refused by its headers alone if they say enough', () => {
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

test('a refused body is read on a little and no more, also if much of it came before the refusal', async (t) => {
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
  const gone = await sendEndlessly(socket);
  assert.ok(gone < 48 * 1024 * 1024, `${gone} bytes went out`);
});
