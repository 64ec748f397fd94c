import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { MAX_ORIGINAL_BYTES } from '../../../src/image.ts';
import { sendEndlessly } from '../../support/endless.ts';
import { blackPng, flat, otherFormats, photo, pngChunk, withPngChunks } from '../../support/pictures.ts';
import { picture } from '../../support/sample.ts';
import {
  ACCOUNT,
  skipOnSeveralNodes,
  startServer,
  type TestServer,
  uploadForm,
} from '../../support/server.ts';

const BOUNDARY = 'vitrine-test-boundary';
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`;
const IMAGES = `/accounts/${ACCOUNT}/images`;

type Body = NonNullable<RequestInit['body']>;

let server: TestServer;
let total = 0;
before(async () => {
  server = await startServer();
});
after(() => server.close());

const countImages = async () => Number((await server.fetch(IMAGES)).headers.get('x-total-count'));
const listStaged = () => server.stagedFiles();

/** A refused upload leaves neither an image nor a staged file. */
async function assertUnchanged(): Promise<void> {
  assert.equal(await countImages(), total);
  assert.deepEqual(await listStaged(), []);
}

interface Part {
  name?: string;
  fileName?: string;
  type?: string;
  content: Buffer | string;
}

/** The bytes of a form. The parts can be invalid in any way. */
function rawForm(parts: Part[], end = `--${BOUNDARY}--\r\n`): Buffer {
  const chunks = parts.flatMap(({ name, fileName, type, content }) => [
    Buffer.from(
      `--${BOUNDARY}\r\nContent-Disposition: form-data${name === undefined ? '' : `; name="${name}"`}` +
        `${fileName === undefined ? '' : `; filename="${fileName}"`}\r\n` +
        `${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`,
    ),
    Buffer.from(content),
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat([...chunks, Buffer.from(end)]);
}

const post = (body: Body | Buffer, headers: Record<string, string> = { 'content-type': TYPE }) =>
  server.fetch(IMAGES, { method: 'POST', body: body as Body, headers });

async function assertRefused(response: Response, status: number, pattern: RegExp): Promise<void> {
  const text = await response.text();
  assert.equal(response.status, status, text);
  assert.match(text, pattern);
}

/** A valid PNG of exactly this many bytes. An ancillary chunk fills it up. */
async function pngOfSize(size: number): Promise<Buffer> {
  const png = await flat(32, 32, size % 2 === 0 ? 'teal' : 'navy')
    .png()
    .toBuffer();
  const filler = pngChunk('viTr', Buffer.alloc(size - png.length - 12, 'v'));
  return withPngChunks(png, filler);
}

describe('a form', () => {
  beforeEach(async () => {
    total = await countImages();
  });

  test('without an image part gets 422 {image}', async () => {
    const form = new FormData();
    form.append('metadata', '{"altText":"alone"}');
    const response = await post(form, {});
    assert.equal(response.status, 422);
    assert.deepEqual(Object.keys((await response.json()) as object), ['image']);
    await assertUnchanged();
  });

  test('with errors in both parts gets both errors', async () => {
    const form = new FormData();
    form.append('metadata', '{"altText":1}');
    const body = (await (await post(form, {})).json()) as Record<string, unknown>;
    assert.deepEqual(Object.keys(body).sort(), ['image', 'metadata']);
  });

  test('with two image parts gets 400, and neither is stored', async () => {
    const [one, two] = [await picture(1), await picture(2)];
    const parts = [one, two].map((content) => ({ name: 'image', fileName: 'a.jpg', content }));
    await assertRefused(await post(rawForm(parts)), 400, /more than one part named \\"image\\"/);
    await assertUnchanged();
  });

  test('with two metadata parts gets 400', async () => {
    const parts = [
      { name: 'metadata', content: '{}' },
      { name: 'metadata', content: '{}' },
      { name: 'image', fileName: 'a', content: await picture(3) },
    ];
    await assertRefused(await post(rawForm(parts)), 400, /more than one part named \\"metadata\\"/);
    await assertUnchanged();
  });

  test('may have its parts in any order, with any type, without a file name, and next to other parts', async () => {
    const shapes: Part[][] = [
      [
        { name: 'metadata', type: 'application/json', content: '{}' },
        { name: 'image', fileName: 'a.gif', type: 'image/gif', content: await picture(4) },
      ],
      [
        { name: 'image', type: 'text/plain', content: await picture(5) },
        { name: 'metadata', content: '{}' },
      ],
      [{ name: 'image', fileName: '', content: await picture(6) }],
      [
        { name: 'image', fileName: '../../etc/passwd', content: await picture(7) },
        { name: '__proto__', content: '{"a":1}' },
      ],
      [
        { name: 'other', fileName: 'b.bin', content: 'x'.repeat(100) },
        { name: 'image', fileName: 'a\u202e.jpg', content: await picture(8) },
        { content: 'no name' },
      ],
    ];
    for (const parts of shapes) {
      const response = await post(rawForm(parts));
      assert.equal(response.status, 201, await response.text());
    }
    assert.deepEqual(await listStaged(), []);
  });

  test('with 50 000 fields gets 400', async () => {
    const parts = Array.from({ length: 50_000 }, (_, index) => ({ name: `f${index}`, content: 'x' }));
    await assertRefused(await post(rawForm(parts)), 400, /more than 80 parts/);
    await assertUnchanged();
  });

  test('with more than 64 KiB of metadata gets 413', async () => {
    const form = uploadForm(await picture(9), `{"altText":"x","junk":"${'y'.repeat(66_000)}"}`);
    await assertRefused(await post(form, {}), 413, /metadata part is larger than 65536 bytes/);
    await assertUnchanged();
  });

  test('that is not a multipart form gets 400', async () => {
    const bytes = await picture(10);
    await assertRefused(
      await post(bytes, { 'content-type': 'multipart/form-data' }),
      400,
      /must be multipart\/form-data; boundary/,
    );
    await assertRefused(await post(bytes), 400, /not a well-formed multipart form/);
    for (const type of [
      'application/json',
      'application/octet-stream',
      'text/plain',
      'multipart/mixed; boundary=x',
    ]) {
      await assertRefused(await post('{', { 'content-type': type }), 400, /must be multipart/);
    }
    await assertRefused(await post('', { 'content-type': TYPE }), 400, /multipart/);
    await assertUnchanged();
  });

  test('with metadata that is not UTF-8 gets 422', async () => {
    const metadata = Buffer.concat([
      Buffer.from('{"altText":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}'),
    ]);
    const parts = [
      { name: 'metadata', content: metadata },
      { name: 'image', fileName: 'a', content: await picture(40) },
    ];
    await assertRefused(await post(rawForm(parts)), 422, /"metadata":\{"altText":"[^"]*UTF-8/);
    const typed = [
      { ...parts[0], type: 'application/json; charset=utf-8', content: '{"altText":"灯"}' },
      parts[1],
    ] as Part[];
    const accepted = await post(rawForm(typed));
    assert.match(await accepted.text(), /"altText":"灯"/);
    total = await countImages();
  });

  test('with any Content-Encoding gets 415', async () => {
    for (const encoding of ['gzip', 'br', 'deflate', 'zstd', 'gzip, br']) {
      const headers = { 'content-type': TYPE, 'content-encoding': encoding };
      await assertRefused(await post(rawForm([]), headers), 415, /Content-Encoding/);
    }
  });

  test('that is truncated at any byte gets 400 and leaves no file', async () => {
    const whole = rawForm([
      { name: 'metadata', content: '{"altText":"cut"}' },
      { name: 'image', fileName: 'a.jpg', type: 'image/jpeg', content: await picture(11) },
    ]);
    // The last line break and the dash before it are not needed to see the end.
    for (let length = 0; length < whole.length - 4; length += length < 400 ? 1 : 97) {
      const response = await post(whole.subarray(0, length));
      assert.equal(response.status, 400, `${length} bytes: ${await response.text()}`);
    }
    await assertUnchanged();
  });

  test('whose client disconnects in the middle leaves no file', { skip: skipOnSeveralNodes }, async () => {
    const whole = rawForm([{ name: 'image', fileName: 'a.jpg', content: await picture(12) }]);
    for (const length of [10, 150, 300, whole.length - 30]) {
      const started = once(server.app.http.server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
      const sender = httpRequest(`${server.url}${IMAGES}`, {
        method: 'POST',
        headers: {
          authorization: server.authorization,
          'content-type': TYPE,
          'content-length': whole.length,
        },
      });
      const senderClosed = new Promise((resolve) => sender.once('close', resolve));
      sender.on('error', () => undefined);
      await new Promise<void>((resolve) => sender.write(whole.subarray(0, length), () => resolve()));
      const [, response] = await started;
      const responseClosed = once(response, 'close');
      sender.destroy();
      await Promise.all([senderClosed, responseClosed]);
    }
    while ((await listStaged()).length > 0) await new Promise(setImmediate);
    await assertUnchanged();
  });
});

describe('a picture', () => {
  beforeEach(async () => {
    total = await countImages();
  });

  test('of any format that is truncated gets 422 {image}', async () => {
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const bytes = await photo().toFormat(format).toBuffer();
      for (const share of [0.1, 0.5, 0.9]) {
        const response = await server.upload(bytes.subarray(0, bytes.length * share));
        assert.equal(response.status, 422, `${format} ${share}`);
        const body = (await response.json()) as { image?: string };
        assert.deepEqual(Object.keys(body), ['image']);
        assert.ok((body.image ?? '').length > 10);
      }
    }
    await assertUnchanged();
  });

  test('of any other format gets 422', async () => {
    for (const [name, bytes] of Object.entries(await otherFormats())) {
      const response = await server.upload(bytes);
      assert.equal(response.status, 422, name);
      assert.match(
        ((await response.json()) as { image: string }).image,
        name === 'signature' ? /incomplete/ : /PNG, JPEG or WebP/,
        name,
      );
    }
    await assertUnchanged();
  });

  test('with no bytes gets 422 that says so', async () => {
    const response = await server.upload(Buffer.alloc(0));
    assert.equal(response.status, 422);
    const image = 'the file is empty: send a PNG, JPEG or WebP picture';
    assert.deepEqual(await response.json(), { image });
    await assertUnchanged();
  });

  test('with too many pixels gets 422 before it is decoded', async () => {
    const bytes = blackPng(10_001, 10_000);
    const response = await server.upload(bytes);
    assert.equal(response.status, 422);
    assert.match(((await response.json()) as { image: string }).image, /100/);
    await assertUnchanged();
  });
});

describe('the limit of 16 MiB', () => {
  test('applies to the file: 16 777 216 bytes get 201, one byte more gets 413', async () => {
    const exact = await pngOfSize(MAX_ORIGINAL_BYTES);
    assert.equal(exact.length, 16_777_216);
    const accepted = await server.upload(exact, { metadata: { altText: 'x'.repeat(2_000) } });
    assert.equal(accepted.status, 201, await accepted.text());
    total = await countImages();
    const over = await server.upload(await pngOfSize(MAX_ORIGINAL_BYTES + 1));
    await assertRefused(over, 413, /16777216 bytes/);
    await assertUnchanged();
  });

  test('refuses a Content-Length of 200 MB before reading the body', async () => {
    total = await countImages();
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    const answer = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        text += chunk;
        if (text.includes('\r\n\r\n')) resolve(text);
      });
    });
    // The client sends no byte of the body. The answer still comes.
    socket.write(
      `POST ${IMAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: ${server.authorization}\r\n` +
        `Content-Type: ${TYPE}\r\nContent-Length: 200000000\r\n\r\n`,
    );
    const text = await answer;
    socket.destroy();
    assert.match(text, /^HTTP\/1\.1 413 /);
    assert.doesNotMatch(text, /connection: close/i);
    await assertUnchanged();
  });

  test('sends 413 and not 100 Continue for a Content-Length of 200 MB', async () => {
    const request = httpRequest(`${server.url}${IMAGES}`, {
      method: 'POST',
      headers: {
        authorization: server.authorization,
        'content-type': TYPE,
        'content-length': 200_000_000,
        expect: '100-continue',
      },
    });
    let continued = false;
    request.on('continue', () => {
      continued = true;
    });
    const status = await new Promise((resolve, reject) => {
      request.on('response', (response) => resolve(response.statusCode));
      request.on('error', reject);
      request.flushHeaders();
    });
    request.destroy();
    assert.deepEqual([status, continued], [413, false]);
  });

  test('sends 100 Continue to a client with valid headers', async () => {
    const whole = rawForm([{ name: 'image', fileName: 'a.jpg', content: await picture(30) }]);
    const request = httpRequest(`${server.url}${IMAGES}`, {
      method: 'POST',
      headers: {
        authorization: server.authorization,
        'content-type': TYPE,
        'content-length': whole.length,
        expect: '100-continue',
      },
    });
    const status = await new Promise((resolve, reject) => {
      request.on('continue', () => request.end(whole));
      request.on('response', (response) => resolve(response.resume().statusCode));
      request.on('error', reject);
      request.flushHeaders();
    });
    assert.equal(status, 201);
  });

  test('applies to an endless chunked body', async () => {
    total = await countImages();
    const chunk = Buffer.alloc(1024 * 1024, 'x');
    async function* endless() {
      yield Buffer.from(
        `--${BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n`,
      );
      for (;;) yield chunk;
    }
    const response = await server.fetch(IMAGES, {
      method: 'POST',
      body: endless() as unknown as Body,
      headers: { 'content-type': TYPE },
      duplex: 'half',
    } as RequestInit);
    await assertRefused(response, 413, /16777216 bytes/);
    await assertUnchanged();
  });
});

describe('a client that sends too much gets the 413 instead of a broken pipe', () => {
  // 40 MB: more than the socket buffers, and quick to create.
  const SIZE = 40_000_000;
  const run = promisify(execFile);

  test('fetch', async () => {
    const response = await server.upload(Buffer.alloc(SIZE, 1));
    assert.equal(response.status, 413);
    assert.match(((await response.json()) as { error: string }).error, /larger than/);
  });

  test('curl', async (t) => {
    const { stdout } = await run('sh', [
      '-c',
      `head -c ${SIZE} /dev/zero | curl -sS -H 'Authorization: ${server.authorization}' -H 'Expect:' -F 'image=@-;filename=a' -w '%{http_code}' ${server.url}${IMAGES}`,
    ]).catch((error: Error & { code?: unknown; stdout?: string }) => {
      if (error.code === 127) t.skip('curl is not installed');
      throw error;
    });
    assert.match(stdout, /larger than .*413$/s);
  });

  test('with a raw socket that never stops sending, and is disconnected', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    let answer = '';
    socket.on('data', (data: Buffer) => {
      answer += data;
    });
    socket.write(
      `POST ${IMAGES} HTTP/1.1\r\nHost: x\r\nAuthorization: ${server.authorization}\r\n` +
        `Content-Type: ${TYPE}\r\nContent-Length: 4000000000\r\n\r\n`,
    );
    const sent = await sendEndlessly(socket);
    assert.match(answer, /^HTTP\/1\.1 413 /);
    // The server reads 4 MiB more. The rest is in the buffers of the operating system.
    assert.ok(sent < 48 * 1024 * 1024, `the client sent ${sent} bytes`);
  });

  // Like requests and httpx: after a broken pipe, the client reads the response of the server.
  test('Python', async (t) => {
    const script = `
import http.client, sys, urllib.parse
b = "${BOUNDARY}"
body = ("--%s\\r\\nContent-Disposition: form-data; name=\\"image\\"; filename=\\"a\\"\\r\\n\\r\\n" % b).encode() + b"x" * ${SIZE} + ("\\r\\n--%s--\\r\\n" % b).encode()
headers = {"Authorization": "${server.authorization}", "Content-Type": "multipart/form-data; boundary=" + b}
u = urllib.parse.urlsplit(sys.argv[1])
c = http.client.HTTPConnection(u.hostname, u.port)
try: c.request("POST", u.path, body=body, headers=headers)
except BrokenPipeError: pass
r = c.getresponse(); print(r.status, r.read().decode())
`;
    const hasPython = await run('python3', ['-c', 'pass']).then(
      () => true,
      () => false,
    );
    if (!hasPython) {
      t.skip('python3 is not installed');
      return;
    }
    const { stdout } = await run('python3', ['-c', script, `${server.url}${IMAGES}`]);
    assert.match(stdout, /^413 .*larger than/);
  });
});
