/**
 * Malformed requests over plain sockets. Their answers look like all other errors.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startServer, type TestServer } from '../../support/server.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server.close());

/** Sends a text and returns the first answer: status, headers and JSON. */
async function exchange(socket: Socket, text: string) {
  socket.write(text);
  let received = '';
  const complete = /^HTTP\/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n(\{.*\})$/s;
  while (!complete.test(received)) {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    received += chunk;
  }
  const [, status, head = '', body = ''] = complete.exec(received) ?? [];
  const headers = new Headers(head.split('\r\n').map((line) => line.split(/: (.*)/, 2) as [string, string]));
  return { status: Number(status), headers, body: JSON.parse(body) as Record<string, unknown> };
}

function open(): Socket {
  return connect(Number(new URL(server.url).port), '127.0.0.1');
}

describe('a request that no route can answer', () => {
  const cases: [string, string, number, RegExp][] = [
    ['without a Host', 'GET /livez HTTP/1.1\r\n\r\n', 400, /Host/],
    ['with another Expect', 'GET /livez HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n', 417, /100-continue/],
    ['that is not HTTP', 'nonsense\r\n\r\n', 400, /not well-formed HTTP/],
    [
      'with too many headers',
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      /16384 bytes/,
    ],
  ];
  for (const [name, text, expected, reason] of cases) {
    test(`${name} is ${expected} {error}, not stored, with a request ID`, async () => {
      const socket = open();
      const { status, headers, body } = await exchange(socket, text);
      socket.destroy();
      assert.equal(status, expected);
      assert.deepEqual(Object.keys(body), ['error']);
      assert.match(String(body.error), reason);
      assert.match(headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.equal(headers.get('content-type'), 'application/json; charset=utf-8');
    });
  }

  test('leaves the connection usable, also when it has a body', async () => {
    const socket = open();
    for (const lines of [
      'Expect: foo\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
      'Content-Length: 2\r\n\r\nhi',
    ]) {
      const { status } = await exchange(socket, `POST /livez HTTP/1.1\r\n${lines}`);
      assert.ok(status === 417 || status === 400, String(status));
      assert.equal((await exchange(socket, 'GET /livez HTTP/1.1\r\nHost: a\r\n\r\n')).status, 200);
    }
    socket.destroy();
  });

  test('needs no Host in HTTP/1.0', async () => {
    const socket = open();
    assert.equal((await exchange(socket, 'GET /livez HTTP/1.0\r\n\r\n')).status, 200);
    socket.destroy();
  });
});

test('serves the API reference with and without a slash at its end', async () => {
  for (const path of ['/docs', '/docs/', '/docs/api', '/docs/api/']) {
    const response = await server.fetch(path);
    assert.equal(response.status, 200, path);
    assert.match(await response.text(), /swagger-ui/);
    assert.equal(new URL(response.url).pathname, '/docs/api');
  }
});
