/**
 * Generated requests: paths, queries and headers for the routes, and bytes for the HTTP parser. Each answer
 * must be well-formed and below 500, or the connection is closed. The server must continue to work.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';
import { HOSTILE_TEXTS } from './json.ts';

/** Fixed, so that each run of the tests sends the same requests. */
const SEED = 20_261_124;

let server: TestServer;
let image: ImageJSON;
/** The lines of the log with level `error` or `fatal`. */
const errors: string[] = [];
before(async () => {
  server = await startServer(
    { VITRINE_RATE_LIMIT: '0', VITRINE_SIZE_BUDGET: '0' },
    {
      logTo: {
        write: (line) => {
          if (/"level":(50|60)/.test(line)) errors.push(line);
        },
      },
    },
  );
  image = await server.addImage(await picture(1));
});
after(() => server.close());

const words = fc.oneof(fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom(...HOSTILE_TEXTS));
const encode = (value: string) => encodeURIComponent(value.toWellFormed());
/** A part of a URL, with valid or invalid encoding. */
const piece = fc.oneof(
  words.map(encode),
  fc.string({ unit: fc.constantFrom(...'%/.\\;?&=+:@a0-~'), maxLength: 12 }),
  fc.constantFrom('%', '%00', '%2e%2e%2f', '%c0%af', '%ff', '..', '.', '//'),
);

const PARAMETERS = [
  'size',
  'fit',
  'position',
  'format',
  'quality',
  'dpr',
  'skip',
  'count',
  'disabled',
  'unused',
  'altText',
  'search',
  'title',
  'category',
  'dryRun',
];
const query = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...PARAMETERS), piece),
      fc.oneof(piece, fc.constantFrom('1', '-1', '300x0', '9x9', 'true', 'webp')),
    ),
    { maxLength: 5 },
  )
  .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map((pair) => pair.join('=')).join('&')}`));

const path = fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7).chain((which) =>
  fc.tuple(piece, piece).map(([one, other]) => {
    const account = `/accounts/${ACCOUNT}`;
    return [
      `/${one}`,
      `/${one}/${other}`,
      `/images/${image?.publicID}`,
      `/images/${one}`,
      `${account}/images`,
      `${account}/images/${one}`,
      `${account}/products/${one}`,
      `/accounts/${one}/images/${other}`,
    ][which] as string;
  }),
);

const NAMES = [
  'accept',
  'if-none-match',
  'x-moov-version',
  'x-request-id',
  'x-idempotency-key',
  'origin',
  'range',
  'content-type',
  'content-encoding',
  'x-forwarded-for',
  'cookie',
];
const header = fc.string({
  unit: fc
    .integer({ min: 0x20, max: 0xff })
    .filter((code) => code !== 0x7f)
    .map((code) => String.fromCharCode(code)),
  maxLength: 40,
});
const headers = fc.dictionary(fc.constantFrom(...NAMES), header, { maxKeys: 4 });
const method = fc.constantFrom('GET', 'HEAD', 'DELETE', 'POST', 'PUT', 'PATCH', 'OPTIONS');

const agent = new Agent({ keepAlive: true, maxSockets: 4 });
after(() => agent.destroy());

/** Sends a request without the normalization of URLs and headers that `fetch` does. */
async function sendRaw(verb: string, target: string, extraHeaders: Record<string, string>) {
  const outgoing = request(server.url, { agent, method: verb, path: target, headers: extraHeaders });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = await text(incoming);
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
}

test('generated paths, queries and headers get well-formed answers below 500', async () => {
  await fc.assert(
    fc.asyncProperty(method, path, query, headers, async (verb, pathname, search, extraHeaders) => {
      const answer = await sendRaw(verb, pathname + search, {
        authorization: server.authorization,
        ...extraHeaders,
      });
      assert.ok(answer.status < 500, `${answer.status}: ${answer.body}`);
      assert.ok(answer.headers['x-request-id']);
      if (answer.status < 400 || verb === 'HEAD') return;
      assert.match(String(answer.headers['content-type']), /^application\/json/);
      assert.match(String(answer.headers['cache-control']), /no-store|max-age=60/);
      assert.equal(typeof JSON.parse(answer.body), 'object');
    }),
    { numRuns: 1_500, seed: SEED },
  );
  assert.deepEqual(errors, []);
});

/** Parses the answers on a connection. @returns their statuses. @throws AssertionError if one is malformed */
function parseAnswers(received: Buffer): number[] {
  const statuses: number[] = [];
  let rest = received;
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n');
    assert.ok(end >= 0, `a head without an end: ${rest.toString('latin1').slice(0, 200)}`);
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [ -~]+$/.exec(first)?.[1]);
    assert.ok(status >= 100, `no status: ${first.slice(0, 200)}`);
    for (const line of lines) assert.match(line, /^[A-Za-z-]+: [\x20-\x7e\x80-\xff]*$/);
    statuses.push(status);
    const length = Number(/^content-length: (\d+)$/im.exec(lines.join('\n'))?.[1] ?? 0);
    rest = rest.subarray(end + 4);
    // No request here is a HEAD, whose answer has a length and no body.
    assert.ok(status < 200 || status === 304 || rest.length >= length, 'the body is cut short');
    rest = status < 200 || status === 304 ? rest : rest.subarray(length);
  }
  return statuses;
}

/** Sends bytes, ends the client's side of the connection, and reads until the server closes its side. */
function exchange(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.end(bytes));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks)));
    // The server may close the connection with a reset.
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET' || reject(error));
  });
}

describe('generated bytes', () => {
  const validRequests = (): string[] => [
    `GET /livez HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET /images/${image.publicID}?size=9x9 HTTP/1.1\r\nHost: a\r\nAccept: image/webp\r\n\r\n`,
    `GET /ping HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.authorization}\r\n\r\n`,
    `POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
    `POST /oauth2/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
    `POST /accounts/${ACCOUNT}/images HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.authorization}\r\n` +
      'Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 71\r\n\r\n' +
      '--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabcdefg\r\n--b--\r\n',
  ];
  const HOSTILE_PARTS = [
    '\r\n',
    '\r',
    '\n',
    '\0',
    ' ',
    ':',
    'HTTP/9.9',
    'Content-Length: 5\r\n',
    'Content-Length: -1\r\n',
    'Content-Length: 99999999999999999999\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Transfer-Encoding: gzip, chunked\r\n',
    'Expect: 100-continue\r\n',
    'Upgrade: h2c\r\nConnection: Upgrade\r\n',
    'Connection: close\r\n',
    'ffffffffffffffff\r\n',
    '\x80\xff',
  ];
  /** A change of a request: at a relative position, text replaces a number of characters. */
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.oneof(fc.constant(0), fc.nat({ max: 8 })),
    put: fc.oneof(fc.constantFrom(...HOSTILE_PARTS), fc.string({ unit: 'binary-ascii', maxLength: 8 })),
  });

  test('of changed requests get valid HTTP answers below 500, or none', async () => {
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: 5 }), fc.array(change, { maxLength: 3 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (requests) => {
          const bytes = requests.map(([which, changes]) => {
            let request = validRequests()[which] ?? '';
            for (const { at, cut, put } of changes) {
              const from = Math.floor(at * request.length);
              request = request.slice(0, from) + put + request.slice(from + cut);
            }
            return request;
          });
          const received = await exchange(Buffer.from(bytes.join(''), 'latin1'));
          for (const status of parseAnswers(received)) {
            statuses.add(status);
            assert.ok(status < 500, `${status}: ${received.toString('latin1').slice(0, 500)}`);
          }
        },
      ),
      { numRuns: 600, seed: SEED },
    );
    assert.deepEqual(errors, []);
    for (const status of [200, 400]) assert.ok(statuses.has(status), `${status} among ${[...statuses]}`);
    assert.equal((await server.fetch('/ping')).status, 200);
  });

  test('of noise get 400 or no answer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        for (const status of parseAnswers(await exchange(Buffer.from(noise)))) assert.equal(status, 400);
      }),
      { numRuns: 300, seed: SEED },
    );
    assert.equal((await server.fetch('/ping')).status, 200);
  });
});
