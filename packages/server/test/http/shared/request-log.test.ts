/**
 * The log of a server under hostile requests. Each request has one line of JSON with bounded values. Each 5xx
 * has one line with its cause, under the request ID that the client got.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, beforeEach, describe, test } from 'node:test';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, basic, type ImageJSON, KEY, startServer, type TestServer } from '../../support/server.ts';

type Line = Record<string, unknown> & {
  readonly err?: { readonly message: string; readonly stack: string; readonly cause?: { message: string } };
};

/** Characters that control a terminal or break lines. No line may have them. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
const HOSTILE = '\r\n{"level":"fatal"}\u001b[2J\u0000\u2028\u202e\u009b31m';

let server: TestServer;
let image: ImageJSON;
let output: string[] = [];
/** One for each request; resolves when its connection is done with it. */
let completions: Promise<unknown>[] = [];

before(async () => {
  server = await startServer({}, { logTo: { write: (line) => output.push(line) } });
  server.app.http.server.on('request', (_request, response) => completions.push(once(response, 'close')));
  image = await server.addImage(await picture(1));
});
beforeEach(async () => {
  await Promise.all(completions);
  completions = [];
  output = [];
});
after(() => server.close());

/** All lines. Asserts that each is harmless JSON with bounded values. */
function lines(): Line[] {
  return output.map((line) => {
    assert.ok(line.endsWith('}\n'), line);
    assert.doesNotMatch(line.slice(0, -1), UNSAFE);
    const parsed = JSON.parse(line, (name, value) => {
      if (typeof value === 'string')
        assert.ok(value.length <= (name === 'stack' ? 4_097 : 257), `${name} in ${line}`);
      return value;
    }) as Line;
    for (const secret of [KEY.secretKey, server.authorization.slice(6)])
      assert.equal(line.includes(secret), false);
    return parsed;
  });
}

/** The lines of answered requests, after all requests are completed. */
async function answeredLines(): Promise<Line[]> {
  await Promise.all(completions);
  return lines().filter(({ msg }) => msg === 'answered');
}

/** Sends bytes unchanged and waits for the connection to close. */
async function sendRaw(text: string): Promise<void> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  // Does not end its side: the server would take the client for gone and not answer.
  socket.resume().write(Buffer.from(text, 'latin1'));
  await once(socket, 'close');
}

describe('the log', () => {
  test('has one line for each request with hostile paths, headers and texts', async () => {
    const encoded = encodeURIComponent(HOSTILE);
    const paths = [
      `/images/${encoded}`,
      `/${encoded}/${'x'.repeat(5_000)}`,
      `/accounts/${encoded}/images`,
      `/accounts/${ACCOUNT}/images/${encoded}?${encoded}`,
      '/%0a%0d%1b%5b2J%e2%80%a8%9b%ff',
    ];
    for (const path of paths) await sendRaw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const headers = {
      'x-request-id': 'a"b\\u0000c{}',
      'user-agent': `\u009b31m${'y'.repeat(5_000)}`,
      'x-moov-version': '\u009b',
      'x-idempotency-key': 'z'.repeat(5_000),
      authorization: server.authorization,
      connection: 'close',
    };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    await sendRaw(`GET /ping HTTP/1.1\r\nHost: x\r\n${head.join('')}\r\n`);
    await server.send('PUT', `/accounts/${ACCOUNT}/images/${image.imageID}/metadata`, { altText: HOSTILE });
    await server.upload(await picture(2), { metadata: { altText: HOSTILE } });
    await server.upload(Buffer.from(HOSTILE), { metadata: HOSTILE });
    assert.equal((await answeredLines()).length, paths.length + 4);
    assert.equal(lines().filter(({ level }) => level === 'fatal').length, 0);
  });

  test('never holds correct or wrong credentials from any part of a request', async () => {
    const wrong = 'wrong-secret-of-a-client';
    const credentials = [basic(KEY.publicKey, wrong), `Bearer ${wrong}`, wrong];
    for (const authorization of credentials) {
      await server.fetch('/ping', { headers: { authorization } });
      await server.fetch(`/ping?access_token=${wrong}`, { headers: { authorization, cookie: wrong } });
    }
    await server.send('POST', '/oauth2/token', { grant_type: 'client_credentials', client_secret: wrong });
    assert.equal((await answeredLines()).length, credentials.length * 2 + 1);
    assert.equal(output.join('').includes(wrong), false);
    assert.equal(
      output.join('').includes(Buffer.from(`${KEY.publicKey}:${wrong}`).toString('base64')),
      false,
    );
  });

  test('has a line for a request whose client went away before the answer', async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const requested = once(server.app.http.server, 'request');
    socket.write(
      `POST /accounts HTTP/1.1\r\nHost: x\r\nX-Request-Id: went-away\r\nAuthorization: ${server.authorization}\r\n` +
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    );
    const [, response] = await requested;
    socket.destroy();
    await once(response, 'close');
    const [line] = lines().filter(({ msg }) => msg === 'client went away');
    assert.deepEqual([line?.requestId, line?.status, line?.path], ['went-away', 499, '/accounts']);
    assert.deepEqual(await answeredLines(), []);
  });
});

describe('the log of a 5xx', () => {
  /** The only error line of this answer. */
  async function causeOf(response: Response): Promise<Line> {
    await Promise.all(completions);
    assert.ok(response.status >= 500, String(response.status));
    const id = response.headers.get('x-request-id');
    const failures = lines().filter(({ requestId, level }) => requestId === id && level === 'error');
    assert.equal(failures.length, 1);
    return failures[0] ?? assert.fail('no line');
  }

  test('has the stack of a defect, and the answer has nothing of it', async () => {
    const database = new DatabaseSync(join(server.folder, 'vitrine.db'));
    database.exec('alter table line_items rename to line_items_gone');
    const response = await server.fetch(`/accounts/${ACCOUNT}/line-items/${randomUUID()}`);
    database.exec('alter table line_items_gone rename to line_items');
    database.close();
    assert.equal(response.status, 500);
    const line = await causeOf(response);
    assert.match(line.err?.message ?? '', /no such table: line_items/);
    assert.match(line.err?.stack ?? '', /line-items\.ts/);
    assert.doesNotMatch(await response.text(), /table|line_items/);
  });

  test('has the message of the failed dependency as the cause', async () => {
    const lost = await server.addImage(await picture(5));
    await rm(join(server.folder, 'blobs', 'originals'), { recursive: true });
    const response = await fetch(`${lost.link}?size=98x97`);
    assert.equal(response.status, 503);
    const line = await causeOf(response);
    assert.equal(line.code, 'unavailable');
    assert.match(line.err?.cause?.message ?? '', /originals\//);
    assert.doesNotMatch(await response.text(), /originals/);
  });
});
