/**
 * The log of a server under requests that mean it harm: a line for each request whatever is in it, each of them JSON and
 * bounded; and for each answer of the server's own fault a line with the cause, under the ID that the client got.
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

/** What no line may hold: a terminal or a reader of lines would obey it. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/;
const HOSTILE = '\r\n{"level":"fatal"}\u001b[2J\u0000\u2028\u202e\u009b31m';

let server: TestServer;
let image: ImageJSON;
let written: string[] = [];
/** Of each request that a route got, when it is over. */
let over: Promise<unknown>[] = [];

before(async () => {
  server = await startServer({}, { logTo: { write: (line) => written.push(line) } });
  server.app.http.server.on('request', (_request, response) => over.push(once(response, 'close')));
  image = await server.addImage(await picture(1));
});
beforeEach(async () => {
  await Promise.all(over);
  over = [];
  written = [];
});
after(() => server.close());

/** All lines, each of which must be harmless, JSON, and of bounded values. */
function lines(): Line[] {
  return written.map((line) => {
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

/** The lines of requests that were answered, once all are over. */
async function answered(): Promise<Line[]> {
  await Promise.all(over);
  return lines().filter(({ msg }) => msg === 'answered');
}

/** Sends bytes as they are and waits for the connection to end. */
async function raw(text: string): Promise<void> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  // Not ended: whoever ends its side is taken for gone, and what takes a moment is not answered any more.
  socket.resume().write(Buffer.from(text, 'latin1'));
  await once(socket, 'close');
}

describe('the log', () => {
  test('has one line for each request, whatever its path, its headers and its texts are', async () => {
    const encoded = encodeURIComponent(HOSTILE);
    const paths = [
      `/images/${encoded}`,
      `/${encoded}/${'x'.repeat(5_000)}`,
      `/accounts/${encoded}/images`,
      `/accounts/${ACCOUNT}/images/${encoded}?${encoded}`,
      '/%0a%0d%1b%5b2J%e2%80%a8%9b%ff',
    ];
    for (const path of paths) await raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const headers = {
      'x-request-id': 'a"b\\u0000c{}',
      'user-agent': `\u009b31m${'y'.repeat(5_000)}`,
      'x-moov-version': '\u009b',
      'x-idempotency-key': 'z'.repeat(5_000),
      authorization: server.authorization,
      connection: 'close',
    };
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    await raw(`GET /ping HTTP/1.1\r\nHost: x\r\n${head.join('')}\r\n`);
    await server.send('PUT', `/accounts/${ACCOUNT}/images/${image.imageID}/metadata`, { altText: HOSTILE });
    await server.upload(await picture(2), { metadata: { altText: HOSTILE } });
    await server.upload(Buffer.from(HOSTILE), { metadata: HOSTILE });
    assert.equal((await answered()).length, paths.length + 4);
    assert.equal(lines().filter(({ level }) => level === 'fatal').length, 0);
  });

  test('never holds credentials, right ones or wrong ones, in whatever place they come', async () => {
    const wrong = 'wrong-secret-of-somebody';
    const given = [basic(KEY.publicKey, wrong), `Bearer ${wrong}`, wrong];
    for (const authorization of given) {
      await server.fetch('/ping', { headers: { authorization } });
      await server.fetch(`/ping?access_token=${wrong}`, { headers: { authorization, cookie: wrong } });
    }
    await server.send('POST', '/oauth2/token', { grant_type: 'client_credentials', client_secret: wrong });
    assert.equal((await answered()).length, given.length * 2 + 1);
    assert.equal(written.join('').includes(wrong), false);
    assert.equal(
      written.join('').includes(Buffer.from(`${KEY.publicKey}:${wrong}`).toString('base64')),
      false,
    );
  });

  test('tells of a request whose client went away before it was answered', async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    const begun = once(server.app.http.server, 'request');
    socket.write(
      `POST /accounts HTTP/1.1\r\nHost: x\r\nX-Request-Id: went-away\r\nAuthorization: ${server.authorization}\r\n` +
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    );
    const [, response] = await begun;
    socket.destroy();
    await once(response, 'close');
    const [line] = lines().filter(({ msg }) => msg === 'client went away');
    assert.deepEqual([line?.requestId, line?.status, line?.path], ['went-away', 499, '/accounts']);
    assert.deepEqual(await answered(), []);
  });
});

describe('an answer of the server’s own fault', () => {
  /** The one line that tells of the failure of this answer. */
  async function causeOf(response: Response): Promise<Line> {
    await Promise.all(over);
    assert.ok(response.status >= 500, String(response.status));
    const id = response.headers.get('x-request-id');
    const failures = lines().filter(({ requestId, level }) => requestId === id && level === 'error');
    assert.equal(failures.length, 1);
    return failures[0] ?? assert.fail('no line');
  }

  test('that is a defect has its stack in the log, and nothing of it in the answer', async () => {
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

  test('that comes of a dependency has the dependency’s own words as its cause', async () => {
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
