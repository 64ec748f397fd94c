/**
 * Several requests on one open connection: split, pipelined, answered from memory or by the route. Both ways
 * must give the same answers, and a request body must never be read as a request.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A connection that sends bytes unchanged and reads answers one by one. */
class Wire {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #change = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.socket = socket;
    const notify = () => {
      this.#change.resolve();
      this.#change = Promise.withResolvers();
    };
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      notify();
    });
    socket.on('close', () => {
      this.#ended = true;
      notify();
    });
  }

  static async open(server: TestServer): Promise<Wire> {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    return new Wire(socket);
  }

  /** Resolves when the kernel has the bytes. */
  send(text: string): Promise<void> {
    return new Promise((resolve) => this.socket.write(text, 'latin1', () => resolve()));
  }

  async answer(): Promise<Answer> {
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end >= 0) {
        const [first = '', ...lines] = this.#received.toString('latin1', 0, end).split('\r\n');
        const headers = new Map(
          lines.map((line) => {
            const [name = '', value = ''] = line.split(/: (.*)/, 2);
            return [name.toLowerCase(), value] as const;
          }),
        );
        const length = Number(headers.get('content-length') ?? 0);
        const whole = end + 4 + length;
        if (this.#received.length >= whole) {
          const body = this.#received.subarray(end + 4, whole);
          this.#received = this.#received.subarray(whole);
          return { status: Number(first.split(' ')[1]), headers, body };
        }
      }
      if (this.#ended) throw new Error(`the connection ended after ${this.#received.length} bytes`);
      await this.#change.promise;
    }
  }

  /** True if nothing more came before the other side closed. */
  async isEmptyAtEnd(): Promise<boolean> {
    this.socket.end();
    if (!this.#ended) await once(this.socket, 'close');
    return this.#received.length === 0;
  }

  async request(head: string): Promise<Answer> {
    await this.send(head);
    return this.answer();
  }
}

function headOf(path: string, lines: readonly string[] = []): string {
  return ['GET', path, 'HTTP/1.1\r\nHost: example.org\r\n'].join(' ') + [...lines, '', ''].join('\r\n');
}

/** The parts that two answers to the same request have in common. */
function comparable({ status, headers, body }: Answer) {
  // Server-Timing differs between an answer of the route and one ahead of the router.
  const varying = new Set(['date', 'x-request-id', 'server-timing']);
  const common = [...headers].filter(([name]) => !varying.has(name)).sort();
  return { status, headers: common, body: body.toString('base64') };
}

/** True if the answer was sent ahead of the router: the route adds the times of its parts. */
function isWarm({ headers }: Answer): boolean {
  return ['cache;desc=memory', 'cache;desc=revalidated'].includes(headers.get('server-timing') ?? '');
}

describe('a repeated request on one connection', () => {
  let server: TestServer;
  let image: ImageJSON;
  let path: string;

  before(async () => {
    server = await startServer();
    image = await server.addImage(await picture(11));
    path = `/images/${image.publicID}?size=64x64`;
  });
  after(() => server.close());

  /** A connection on which this request is answered ahead of the router. */
  async function openWarm(head: string): Promise<Wire> {
    const wire = await Wire.open(server);
    await wire.request(head);
    assert.ok(isWarm(await wire.request(head)), 'the route answered');
    return wire;
  }

  test('gets the same answer from memory as from the route', async () => {
    const etag = (await fetch(new URL(path, server.url))).headers.get('etag');
    for (const lines of [
      [],
      [`If-None-Match: ${etag}`],
      ['Accept: image/webp'],
      ['x-request-id: abcdefgh'],
    ]) {
      const head = headOf(path, lines);
      const wire = await Wire.open(server);
      // Makes the rendition, so that the next answer of the route has it.
      await wire.request(head);
      server.app.publicImages.forget(image.publicID);
      const first = await wire.request(head);
      assert.ok(!isWarm(first), 'the answer came from memory');
      const later = [await wire.request(head), await wire.request(head), await wire.request(head)];
      for (const answer of later) {
        assert.ok(isWarm(answer), 'the route answered');
        assert.deepEqual(comparable(answer), comparable(first));
        assert.equal(answer.status, lines[0]?.startsWith('If-None-Match') ? 304 : 200);
        assert.equal(answer.body.length > 0, answer.status === 200);
      }
      const ids = new Set([first, ...later].map(({ headers }) => headers.get('x-request-id')));
      assert.equal(ids.size, lines[0]?.startsWith('x-request-id') ? 1 : 4);
      wire.socket.destroy();
    }
  });

  test('gets the new picture right after a replacement', async () => {
    const other = await server.addImage(await picture(12));
    const head = headOf(`/images/${other.publicID}?size=64x64`);
    const wire = await openWarm(head);
    const old = await wire.request(head);
    assert.equal((await server.upload(await picture(13), { replace: other.imageID })).status, 200);
    const renewed = await wire.request(head);
    assert.notEqual(renewed.headers.get('etag'), old.headers.get('etag'));
    assert.notDeepEqual(renewed.body, old.body);
    wire.socket.destroy();
  });

  test('is not answered when it is the body of a PUT', async () => {
    const head = headOf(path);
    const wire = await openWarm(head);
    await wire.send(
      `PUT /accounts/${ACCOUNT}/images/${image.imageID}/metadata HTTP/1.1\r\nHost: example.org\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${head.length}\r\n\r\n`,
    );
    await wire.send(head);
    assert.equal((await wire.answer()).status, 401);
    assert.equal(await wire.isEmptyAtEnd(), true, 'the body was answered as well');
  });

  test('is not answered when it is the body of a GET', async () => {
    const head = headOf(path);
    const wire = await openWarm(head);
    await wire.send(headOf(path, [`Content-Length: ${head.length}`]));
    await wire.send(head);
    assert.equal((await wire.answer()).status, 200);
    assert.equal(await wire.isEmptyAtEnd(), true, 'the body was answered as well');
  });

  test('is answered in order when it is split, pipelined or sent before an earlier answer', async () => {
    const head = headOf(path);
    const cold = (size: string) => headOf(`/images/${image.publicID}?size=${size}`);
    for (const chunks of [
      [head.slice(0, 20), head.slice(20)],
      [head + head],
      [cold('31x31'), head],
      [head, cold('32x32'), head, head],
      [head + head.slice(0, 9), head.slice(9) + cold('33x33') + head],
    ]) {
      const wire = await openWarm(head);
      for (const chunk of chunks) await wire.send(chunk);
      const requests = chunks.join('').split('\r\n\r\n').slice(0, -1);
      const lengths: number[] = [];
      for (const _ of requests) {
        const answer = await wire.answer();
        assert.equal(answer.status, 200);
        lengths.push(answer.body.length);
      }
      const warmLength = (await wire.request(head)).body.length;
      for (const [i, text] of requests.entries()) {
        assert.equal(lengths[i] === warmLength, text.includes('64x64'), `answer ${i} is of another request`);
      }
      assert.equal(await wire.isEmptyAtEnd(), true);
    }
  });

  test('closes the connection when it says "Connection: close"', async () => {
    const head = headOf(path, ['Connection: close']);
    for (let i = 0; i < 4; i += 1) {
      const wire = await Wire.open(server);
      const answer = await wire.request(head);
      assert.equal(answer.headers.get('connection'), 'close');
      await once(wire.socket, 'close');
    }
  });

  test('is answered 300 times to a client that reads only afterwards', async () => {
    const head = headOf(path);
    const wire = await openWarm(head);
    const { body } = await wire.request(head);
    wire.socket.pause();
    for (let i = 0; i < 300; i += 1) await wire.send(head);
    wire.socket.resume();
    for (let i = 0; i < 300; i += 1) assert.deepEqual((await wire.answer()).body, body);
    wire.socket.destroy();
  });
});

describe('a stop', () => {
  for (const way of ['route', 'memory'] as const) {
    test(`sends an unread answer from ${way === 'route' ? 'the route' : 'memory'} to its end`, async () => {
      const server = await startServer();
      try {
        // Noise, so that no kernel buffer holds the whole answer.
        const noise = { width: 1_600, height: 1_600, channels: 3 as const, background: 'black' };
        const original = await sharp({
          create: { ...noise, noise: { type: 'gaussian', mean: 128, sigma: 60 } },
        })
          .jpeg()
          .toBuffer();
        const image = await server.addImage(original);
        const head = headOf(`/images/${image.publicID}?size=0x0&format=png`);
        const wire = await Wire.open(server);
        const { body } = await wire.request(head);
        const { publicImages, http } = server.app;
        if (way === 'memory') assert.ok(isWarm(await wire.request(head)));
        // The route then reads the record again and finds the rendition in memory.
        else publicImages.forget(image.publicID);
        wire.socket.pause();
        const requested = once(http.server, 'request') as Promise<[unknown, ServerResponse]>;
        await wire.send(head);
        const [, response] = await requested;
        while (!response.writableEnded) await setImmediate();
        const closed = server.app.close();
        wire.socket.resume();
        assert.ok((await wire.answer()).body.equals(body));
        wire.socket.destroy();
        await closed;
        assert.equal(http.server.listening, false);
      } finally {
        await server.close();
      }
    });
  }

  test('does not wait for a connection without a request', async () => {
    const server = await startServer();
    const wire = await Wire.open(server);
    const closed = once(wire.socket, 'close');
    await server.close();
    await closed;
  });
});
