/**
 * Made-up requests: paths, queries and headers for the routes, and bytes for the parser. Whatever comes, the answer is
 * well-formed and no error of the server's, or the connection is closed; and the server goes on.
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
import { HOSTILE } from './json.ts';

const SEED = 20_261_124;

let server: TestServer;
let image: ImageJSON;
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

const words = fc.oneof(fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom(...HOSTILE));
const quoted = (value: string) => encodeURIComponent(value.toWellFormed());
/** Encoded as it should be, or only as far as a URL can be sent at all. */
const piece = fc.oneof(
  words.map(quoted),
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
    const under = `/accounts/${ACCOUNT}`;
    return [
      `/${one}`,
      `/${one}/${other}`,
      `/images/${image?.publicID}`,
      `/images/${one}`,
      `${under}/images`,
      `${under}/images/${one}`,
      `${under}/products/${one}`,
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

/** As `fetch` would, but what is asked goes out as it is. */
async function ask(verb: string, asked: string, extra: Record<string, string>) {
  const outgoing = request(server.url, { agent, method: verb, path: asked, headers: extra });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = await text(incoming);
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
}

test('made-up paths, queries and headers get well-formed answers that are nobody’s fault but the client’s', async () => {
  await fc.assert(
    fc.asyncProperty(method, path, query, headers, async (verb, where, asked, extra) => {
      const answer = await ask(verb, where + asked, { authorization: server.authorization, ...extra });
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

/** Answers on a connection, one after another, until there is no whole one left. @throws if something else is there. */
function answersIn(received: Buffer): number[] {
  const statuses: number[] = [];
  let rest = received;
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n');
    assert.ok(end >= 0, `no end of a head: ${rest.toString('latin1').slice(0, 200)}`);
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [ -~]+$/.exec(first)?.[1]);
    assert.ok(status >= 100, `no status: ${first.slice(0, 200)}`);
    for (const line of lines) assert.match(line, /^[A-Za-z-]+: [\x20-\x7e\x80-\xff]*$/);
    statuses.push(status);
    const length = Number(/^content-length: (\d+)$/im.exec(lines.join('\n'))?.[1] ?? 0);
    rest = rest.subarray(end + 4);
    // HEAD names the length of what it does not send; it is not asked for here.
    assert.ok(status < 200 || status === 304 || rest.length >= length, 'the body is cut short');
    rest = status < 200 || status === 304 ? rest : rest.subarray(length);
  }
  return statuses;
}

/** Sends it, ends our side, and reads to the end of theirs. */
function exchange(bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.end(bytes));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('close', () => resolve(Buffer.concat(chunks)));
    // A reset is a way to close.
    socket.on('error', (error: NodeJS.ErrnoException) => error.code === 'ECONNRESET' || reject(error));
  });
}

describe('made-up bytes', () => {
  const good = (): string[] => [
    `GET /livez HTTP/1.1\r\nHost: a\r\n\r\n`,
    `GET /images/${image.publicID}?size=9x9 HTTP/1.1\r\nHost: a\r\nAccept: image/webp\r\n\r\n`,
    `GET /ping HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.authorization}\r\n\r\n`,
    `POST /oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
    `POST /oauth2/token HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
    `POST /accounts/${ACCOUNT}/images HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.authorization}\r\n` +
      'Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 71\r\n\r\n' +
      '--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nabcdefg\r\n--b--\r\n',
  ];
  const TROUBLE = [
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
  /** Where something is put into a request, what, and how much of it that takes the place of. */
  const change = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.oneof(fc.constant(0), fc.nat({ max: 8 })),
    put: fc.oneof(fc.constantFrom(...TROUBLE), fc.string({ unit: 'binary-ascii', maxLength: 8 })),
  });

  test('that are nearly requests are answered in HTTP, or not at all', async () => {
    const statuses = new Set<number>();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: 5 }), fc.array(change, { maxLength: 3 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (requests) => {
          const bytes = requests.map(([which, changes]) => {
            let request = good()[which] ?? '';
            for (const { at, cut, put } of changes) {
              const from = Math.floor(at * request.length);
              request = request.slice(0, from) + put + request.slice(from + cut);
            }
            return request;
          });
          const received = await exchange(Buffer.from(bytes.join(''), 'latin1'));
          for (const status of answersIn(received)) {
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

  test('that are noise are answered in HTTP, or not at all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        for (const status of answersIn(await exchange(Buffer.from(noise)))) assert.equal(status, 400);
      }),
      { numRuns: 300, seed: SEED },
    );
    assert.equal((await server.fetch('/ping')).status, 200);
  });
});
