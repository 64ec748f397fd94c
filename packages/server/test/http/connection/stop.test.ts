/**
 * A stop while a client takes its time over what it was sent: the answer is sent to its end, and nobody who comes in the
 * meantime holds the stop up.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import sharp from 'sharp';
import { startServer } from '../../support/server.ts';

/** Bytes: more than all that lies between server and client can hold. */
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

async function ask(socket: Socket, path: string): Promise<string> {
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
  /** Stops the server; resolves when newcomers are told so, with what they are told. */
  const stop = async () => {
    const closing = server.close();
    for (;;) {
      const newcomer = open();
      const told = await ask(newcomer, '/livez');
      newcomer.destroy();
      if (told.includes('stopping')) return { told, closing };
    }
  };
  return { open, slow, stop };
}

test('a stop waits for a slow reader, and neither for those who come meanwhile nor for the silent', async () => {
  const { open, slow, stop } = await startWithSlowReader();
  const { told, closing } = await stop();
  assert.match(told, /^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n.*\{"error":"the server is stopping"\}$/s);
  const silent = open();
  const gone = once(silent, 'close');
  const answer = await answerOf(slow);
  const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(answer.toString('latin1', 0, 2_000)) ?? [];
  assert.equal(answer.length - answer.indexOf('\r\n\r\n') - 4, Number(length), 'whole');
  await closing;
  await gone;
});

test('meanwhile an open connection gets one more answer, in our own words: alive, and stopping', async () => {
  const { open, slow, stop } = await startWithSlowReader();
  const [one, other] = [open(), open()];
  for (const socket of [one, other]) assert.match(await ask(socket, '/livez'), /^HTTP\/1\.1 200 /);
  const { closing } = await stop();
  const ready = await ask(one, '/readyz');
  assert.match(ready, /^HTTP\/1\.1 503 /);
  assert.match(ready, /\r\nx-request-id: /);
  assert.match(ready, /\r\ncache-control: no-store\r\n/);
  assert.match(ready, /\r\nconnection: close\r\n/i);
  assert.match(ready, /"status":"stopping"/);
  assert.match(await ask(other, '/livez'), /^HTTP\/1\.1 200 /);
  await answerOf(slow);
  await closing;
});

test('nor does a stop wait for who has sent half of a header', async () => {
  const server = await startServer();
  const { hostname, port } = new URL(server.url);
  const half = connect(Number(port), hostname);
  const gone = once(half, 'close');
  half.write('GET /livez HTTP/1.1\r\nHost: x\r\nX-A');
  // Once another is answered, that has come as well.
  await server.fetch('/livez');
  await server.close();
  await gone;
});
