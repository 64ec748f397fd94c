/**
 * The shortest way must not be told from the long one by anything but its speed, and must never take for a request what
 * is none.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, mock, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

interface Answer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A connection on which bytes are sent as they are, and answers are read one by one. */
class Wire {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #news = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.socket = socket;
    const tell = () => {
      this.#news.resolve();
      this.#news = Promise.withResolvers();
    };
    socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      tell();
    });
    socket.on('close', () => {
      this.#ended = true;
      tell();
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
      await this.#news.promise;
    }
  }

  /** True if nothing more came before the other side closed. */
  async isEmptyAtEnd(): Promise<boolean> {
    this.socket.end();
    if (!this.#ended) await once(this.socket, 'close');
    return this.#received.length === 0;
  }

  async ask(head: string): Promise<Answer> {
    await this.send(head);
    return this.answer();
  }
}

function headOf(path: string, lines: readonly string[] = []): string {
  return ['GET', path, 'HTTP/1.1\r\nHost: example.org\r\n'].join(' ') + [...lines, '', ''].join('\r\n');
}

/** What may differ between answers to the same request. */
function lasting({ status, headers, body }: Answer) {
  // The long way and the short one tell of themselves.
  const own = new Set(['date', 'x-request-id', 'server-timing']);
  const kept = [...headers].filter(([name]) => !own.has(name)).sort();
  return { status, headers: kept, body: body.toString('base64') };
}

describe('a request that is byte for byte one that was answered from memory', () => {
  let server: TestServer;
  let image: ImageJSON;
  let path: string;
  /** Requests that the parser made. */
  let parsed = 0;

  before(async () => {
    server = await startServer();
    image = await server.addImage(await picture(11));
    path = `/images/${image.publicID}?size=64x64`;
    server.app.http.server.on('request', () => {
      parsed += 1;
    });
  });
  after(() => server.close());

  /** A connection for which the head is known. */
  async function warmed(head: string): Promise<Wire> {
    const wire = await Wire.open(server);
    for (let i = 0; i < 3; i += 1) await wire.ask(head);
    const before = parsed;
    await wire.ask(head);
    assert.equal(parsed, before, 'the short way is not taken');
    return wire;
  }

  test('is answered without the parser, and alike', async () => {
    const etag = (await fetch(new URL(path, server.url))).headers.get('etag');
    for (const lines of [
      [],
      [`If-None-Match: ${etag}`],
      ['Accept: image/webp'],
      ['x-request-id: abcdefgh'],
    ]) {
      const head = headOf(path, lines);
      const wire = await Wire.open(server);
      const [long, short, shortest] = [await wire.ask(head), await wire.ask(head), await wire.ask(head)];
      const before = parsed;
      const again = await wire.ask(head);
      assert.equal(parsed, before);
      for (const answer of [short, shortest, again]) assert.deepEqual(lasting(answer), lasting(long));
      assert.equal(again.status, lines[0]?.startsWith('If-None-Match') ? 304 : 200);
      assert.equal(again.body.length > 0, again.status === 200);
      const ids = new Set([long, short, shortest, again].map(({ headers }) => headers.get('x-request-id')));
      assert.equal(ids.size, lines[0]?.startsWith('x-request-id') ? 1 : 4);
      wire.socket.destroy();
    }
  });

  test('shows the new picture right after a replace', async () => {
    const other = await server.addImage(await picture(12));
    const head = headOf(`/images/${other.publicID}?size=64x64`);
    const wire = await warmed(head);
    const old = await wire.ask(head);
    assert.equal((await server.upload(await picture(13), { replace: other.imageID })).status, 200);
    const renewed = await wire.ask(head);
    assert.notEqual(renewed.headers.get('etag'), old.headers.get('etag'));
    assert.notDeepEqual(renewed.body, old.body);
    wire.socket.destroy();
  });

  test('is no request where it is the body of another', async () => {
    const head = headOf(path);
    const wire = await warmed(head);
    await wire.send(
      `PUT /accounts/${ACCOUNT}/images/${image.imageID}/metadata HTTP/1.1\r\nHost: example.org\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${head.length}\r\n\r\n`,
    );
    await wire.send(head);
    assert.equal((await wire.answer()).status, 401);
    assert.equal(await wire.isEmptyAtEnd(), true, 'the body was answered as well');
  });

  test('is no request where it is the body of a GET', async () => {
    const head = headOf(path);
    const wire = await warmed(head);
    await wire.send(headOf(path, [`Content-Length: ${head.length}`]));
    await wire.send(head);
    assert.equal((await wire.answer()).status, 200);
    assert.equal(await wire.isEmptyAtEnd(), true, 'the body was answered as well');
  });

  test('may come in pieces, two at once, or before the answer to another: all are answered, in order', async () => {
    const head = headOf(path);
    const cold = (size: string) => headOf(`/images/${image.publicID}?size=${size}`);
    for (const chunks of [
      [head.slice(0, 20), head.slice(20)],
      [head + head],
      [cold('31x31'), head],
      [head, cold('32x32'), head, head],
      [head + head.slice(0, 9), head.slice(9) + cold('33x33') + head],
    ]) {
      const wire = await warmed(head);
      for (const chunk of chunks) await wire.send(chunk);
      const count = chunks.join('').split('\r\n\r\n').length - 1;
      const lengths: number[] = [];
      for (let i = 0; i < count; i += 1) {
        const answer = await wire.answer();
        assert.equal(answer.status, 200);
        lengths.push(answer.body.length);
      }
      const asked = chunks.join('').split('\r\n\r\n').slice(0, -1);
      const warmLength = (await wire.ask(head)).body.length;
      for (const [i, text] of asked.entries()) {
        assert.equal(lengths[i] === warmLength, text.includes('64x64'), `answer ${i} is of another request`);
      }
      assert.equal(await wire.isEmptyAtEnd(), true);
    }
  });

  test('goes to the parser if it says that the connection is to be closed', async () => {
    const head = headOf(path, ['Connection: close']);
    for (let i = 0; i < 4; i += 1) {
      const wire = await Wire.open(server);
      const answer = await wire.ask(head);
      assert.equal(answer.headers.get('connection'), 'close');
      await once(wire.socket, 'close');
    }
  });

  test('is answered every time to a client that reads later', async () => {
    const head = headOf(path);
    const wire = await warmed(head);
    const { body } = await wire.ask(head);
    wire.socket.pause();
    for (let i = 0; i < 300; i += 1) await wire.send(head);
    wire.socket.resume();
    for (let i = 0; i < 300; i += 1) assert.deepEqual((await wire.answer()).body, body);
    wire.socket.destroy();
  });
});

describe('a stop', () => {
  for (const way of ['long', 'shortest'] as const) {
    test(`does not cut off an answer of the ${way} way that is still on its way out`, async () => {
      const server = await startServer();
      try {
        // Noise: a picture that no kernel takes in one piece.
        const noise = { width: 1_600, height: 1_600, channels: 3 as const, background: 'black' };
        const original = await sharp({
          create: { ...noise, noise: { type: 'gaussian', mean: 128, sigma: 60 } },
        })
          .jpeg()
          .toBuffer();
        const image = await server.addImage(original);
        const head = headOf(`/images/${image.publicID}?size=0x0&format=png`);
        const wire = await Wire.open(server);
        const { body } = await wire.ask(head);
        const { delivery, publicImages, http } = server.app;
        const peek = mock.method(delivery, 'peek');
        if (way === 'shortest') for (let i = 0; i < 2; i += 1) await wire.ask(head);
        // As when its record was read anew, which the test would otherwise have to be quick to avoid.
        else publicImages.forget(image.publicID);
        const before = peek.mock.callCount();
        wire.socket.pause();
        await wire.send(head);
        while (peek.mock.callCount() === before) await setImmediate();
        // The router hands over its answer in a later turn than the one that counts.
        for (let turn = 0; turn < 10; turn += 1) await setImmediate();
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

  test('does not wait for a connection on which nothing was asked', async () => {
    const server = await startServer();
    const wire = await Wire.open(server);
    const closed = once(wire.socket, 'close');
    await server.close();
    await closed;
  });
});
