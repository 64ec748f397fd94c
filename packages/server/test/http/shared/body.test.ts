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

/** The parts of a request that a body needs: its bytes, and whether all have arrived. */
function createRequest() {
  const raw = new PassThrough() as PassThrough & { complete: boolean };
  raw.complete = false;
  raw.once('end', () => {
    raw.complete = true;
  });
  return raw;
}

const GENEROUS: Pace = { maxSilence: 60_000, grace: 60_000, minRate: 0, checkInterval: 5 };

function watch(raw: PassThrough, limit: number, pace: Partial<Pace> = {}): Readable {
  return watchBody(raw as unknown as IncomingMessage, raw, limit, { ...GENEROUS, ...pace });
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

  test('fails as too slow after a silence', async () => {
    const raw = createRequest();
    const body = watch(raw, 1000, { maxSilence: 20 });
    raw.write('first');
    assert.ok(isAppError(await failureOf(body), 'too-slow'));
  });

  test('at a slow rate fails as too slow after the grace period', async () => {
    const raw = createRequest();
    const body = watch(raw, 1e9, { grace: 20, minRate: 1e9 });
    const drip = setInterval(() => raw.write('x'), 1);
    assert.ok(isAppError(await failureOf(body), 'too-slow'));
    clearInterval(drip);
  });

  test('at a slow rate is accepted during the grace period', async () => {
    const raw = createRequest();
    const body = watch(raw, 1e9, { minRate: 1e9 });
    body.resume();
    // Long enough for many checks of the pace.
    for (let check = 0; check < 20; check++) {
      raw.write('x');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(body.errored, null);
    body.destroy();
  });

  test('does not fail as too slow while the server does not read it', async () => {
    const raw = createRequest();
    const body = watch(raw, 1e9, { maxSilence: 10, grace: 10, minRate: 1e9 });
    raw.write(Buffer.alloc(200_000));
    // Long enough for many checks of the pace.
    for (let check = 0; check < 20; check++) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(body.errored, null);
    body.destroy();
  });

  test('that fails without an error listener does not end the process', async () => {
    const raw = createRequest();
    const body = watch(raw, 1000, { maxSilence: 10 });
    // An 'error' event without a listener would end this process and fail this test.
    await new Promise((resolve) => body.once('close', resolve));
    assert.ok(isAppError(body.errored, 'too-slow'));
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
