/**
 * A stop while a client reads slowly. The answer is sent to its end, and other connections do not delay the
 * stop.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import sharp from 'sharp';
import { startServer } from '../../support/server.ts';

/** More bytes than the buffers between server and client hold. */
const LARGE = 8_000_000;

async function noise(): Promise<Buffer> {
  const gaussian = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  return sharp({ create: { width: 2048, height: 2048, channels: 3, background: 'white', noise: gaussian } })
    .jpeg({ quality: 80 })
    .toBuffer();
}

async function answerOf(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

async function request(socket: Socket, path: string): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return String(answer);
}

/** A server with a connection on which a large answer waits to be read. */
async function startWithSlowReader() {
  const server = await startServer();
  const { hostname, port } = new URL(server.url);
  const open = () => connect(Number(port), hostname);
  const link = new URL((await server.addImage(await noise())).link).pathname;
  const path = `${link}?size=2048x2048&format=png`;
  assert.ok((await (await server.fetch(path)).bytes()).length > LARGE);
  const slow = open();
  slow.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(slow, 'readable');
  /** Stops the server. Resolves with the first refusal of a new connection. */
  const stop = async () => {
    const closing = server.close();
    for (;;) {
      const newcomer = open();
      const refusal = await request(newcomer, '/livez');
      newcomer.destroy();
      if (refusal.includes('stopping')) return { refusal, closing };
    }
  };
  return { open, slow, stop };
}

test('a stop waits for a slow reader, and not for new or silent connections', async () => {
  const { open, slow, stop } = await startWithSlowReader();
  const { refusal, closing } = await stop();
  assert.match(refusal, /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n.*\{"error":"the server is stopping"\}$/s);
  const silent = open();
  const gone = once(silent, 'close');
  const answer = await answerOf(slow);
  const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(answer.toString('latin1', 0, 2_000)) ?? [];
  assert.equal(answer.length - answer.indexOf('\r\n\r\n') - 4, Number(length), 'the answer is complete');
  await closing;
  await gone;
});

test('a stop gives an open connection one more answer: alive, or not ready because it stops', async () => {
  const { open, slow, stop } = await startWithSlowReader();
  const [one, other] = [open(), open()];
  for (const socket of [one, other]) assert.match(await request(socket, '/livez'), /^HTTP\/1\.1 200 /);
  const { closing } = await stop();
  const ready = await request(one, '/readyz');
  assert.match(ready, /^HTTP\/1\.1 503 /);
  assert.match(ready, /\r\nx-request-id: /);
  assert.match(ready, /\r\ncache-control: no-store\r\n/);
  assert.match(ready, /\r\nconnection: close\r\n/i);
  assert.match(ready, /"status":"stopping"/);
  assert.match(await request(other, '/livez'), /^HTTP\/1\.1 200 /);
  await answerOf(slow);
  await closing;
});

test('a stop does not wait for a client that has sent half of a header', async () => {
  const server = await startServer();
  const { hostname, port } = new URL(server.url);
  const half = connect(Number(port), hostname);
  const gone = once(half, 'close');
  half.write('GET /livez HTTP/1.1\r\nHost: x\r\nX-A');
  // The half header has arrived when this request is answered.
  await server.fetch('/livez');
  await server.close();
  await gone;
});
