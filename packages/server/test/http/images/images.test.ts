import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { picture } from '../../support/sample.ts';
import {
  ACCOUNT,
  type ImageJSON,
  skipOnSeveralNodes,
  startServer,
  type TestServer,
} from '../../support/server.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server.close());

const path = (...rest: string[]) => ['/accounts', ACCOUNT, 'images', ...rest].join('/');
const json = async (response: Response) => (await response.json()) as Record<string, unknown>;
const put = (imageID: string, body: unknown, headers: Record<string, string> = {}) =>
  server.fetch(path(imageID, 'metadata'), {
    method: 'PUT',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

describe('upload', () => {
  test('returns 201 with exactly the metadata', async () => {
    const response = await server.upload(await picture(1), { metadata: { altText: 'A lamp' } });
    assert.equal(response.status, 201);
    const image = (await response.json()) as ImageJSON;
    // The placeholder and the colour are present as soon as the picture is analysed.
    const { placeholder, color, ...others } = image;
    assert.deepEqual(Object.keys(others).sort(), [
      'altText',
      'bytes',
      'createdOn',
      'fileName',
      'format',
      'height',
      'imageID',
      'link',
      'publicID',
      'tags',
      'updatedOn',
      'version',
      'visibility',
      'width',
    ]);
    assert.match(image.imageID, UUID);
    assert.match(image.publicID, /^[A-Za-z0-9_-]{21}$/);
    assert.match(image.createdOn, RFC_3339);
    assert.equal(image.updatedOn, image.createdOn);
    assert.equal(image.link, `${server.url}/images/${image.publicID}`);
    assert.equal(image.altText, 'A lamp');
  });

  test('leaves absent fields out', async () => {
    const image = await server.addImage(await picture(2));
    assert.equal('altText' in image, false);
    assert.equal('disabledOn' in image, false);
  });

  test('accepts flat and nested metadata, with and without alt text', async () => {
    const altText = async (seed: number, metadata: unknown) =>
      (await server.addImage(await picture(seed), { metadata })).altText;
    assert.equal(await altText(3, { altText: 'flat' }), 'flat');
    assert.equal(await altText(4, { metadata: { altText: 'nested' } }), 'nested');
    assert.equal(await altText(5, {}), undefined);
    assert.equal(await altText(6, { altText: '' }), undefined);
    assert.equal(await altText(7, { altText: null }), undefined);
  });

  test('has newlines for the line breaks of other systems, in a form and in JSON', async () => {
    const image = await server.addImage(await picture(120), { metadata: { altText: 'a\r\nb\rc' } });
    assert.equal(image.altText, 'a\nb\nc');
    const path = `/accounts/${ACCOUNT}/images/${image.imageID}/metadata`;
    const updated = await server.send('PUT', path, { altText: 'd\re\r\n' });
    assert.deepEqual([updated.status, updated.body.altText], [200, 'd\ne\n']);
  });

  test('refuses metadata that is not JSON with 400, and wrong types with 422 and the field', async () => {
    const bytes = await picture(8);
    for (const metadata of ['{altText: 1}', '', 'A lamp']) {
      const response = await server.upload(bytes, { metadata });
      assert.equal(response.status, 400, metadata);
      assert.match(String((await json(response)).error), /metadata part is not valid JSON/);
    }
    for (const metadata of [
      '[]',
      '"A lamp"',
      '1',
      'null',
      '{"altText": 1}',
      '{"altText": {}}',
      '{"metadata": []}',
    ]) {
      const response = await server.upload(bytes, { metadata });
      assert.equal(response.status, 422, metadata);
      const body = (await json(response)) as { metadata?: { altText?: string } };
      assert.deepEqual(Object.keys(body), ['metadata']);
      assert.equal(typeof body.metadata?.altText, 'string');
    }
    assert.equal((await server.upload(bytes)).status, 201, 'the refused uploads left no image');
  });

  test('refuses alt text that is too long or contains control characters or lone surrogates with 422', async () => {
    const bytes = await picture(9);
    for (const altText of ['x'.repeat(2001), 'a\u0000b', 'a\ud800b', '\u001b[31m']) {
      const response = await server.upload(bytes, { metadata: { altText } });
      assert.equal(response.status, 422);
      assert.match(
        ((await json(response)) as { metadata: { altText: string } }).metadata.altText,
        /altText must/,
      );
    }
  });
});

describe('a duplicate', () => {
  test('has the same bytes as an image of the account, disabled or not, and gets 409', async () => {
    const bytes = await picture(20);
    const first = await server.addImage(bytes);
    const again = await server.upload(bytes, { metadata: { altText: 'other' } });
    assert.equal(again.status, 409);
    assert.deepEqual(Object.keys(await json(again)), ['error']);
    assert.equal((await server.fetch(path(first.imageID), { method: 'DELETE' })).status, 204);
    assert.equal((await server.upload(bytes)).status, 409);
  });

  test('gets the existing image next to the error from v2026.10.00 on', async () => {
    const bytes = await picture(21);
    const first = await server.addImage(bytes, { metadata: { altText: 'first' } });
    const response = await server.upload(bytes, { headers: { 'x-moov-version': 'v2026.10.00' } });
    assert.equal(response.status, 409);
    assert.equal(response.headers.get('x-moov-version'), 'v2026.10.00');
    const { error, ...existing } = await json(response);
    assert.equal(typeof error, 'string');
    assert.deepEqual(existing, { ...first });
    for (const version of ['v2026.07.00', 'v2024.01.00']) {
      const older = await server.upload(bytes, { headers: { 'x-moov-version': version } });
      assert.deepEqual(Object.keys(await json(older)), ['error']);
    }
  });

  test('of another image gets 409 with only {error} in an update, at every version', async () => {
    const taken = await picture(22);
    await server.addImage(taken);
    const other = await server.addImage(await picture(23));
    const response = await server.upload(taken, {
      replace: other.imageID,
      headers: { 'x-moov-version': 'v2026.10.00' },
    });
    assert.equal(response.status, 409);
    assert.deepEqual(Object.keys(await json(response)), ['error']);
  });

  test('is accepted again once its image has other bytes', async () => {
    const old = await picture(24);
    const image = await server.addImage(old);
    assert.equal((await server.upload(await picture(25), { replace: image.imageID })).status, 200);
    assert.equal((await server.upload(old)).status, 201);
  });

  test('that is sent 20 times at once gets one 201 and nineteen 409', async () => {
    const bytes = await picture(26);
    const responses = await Promise.all(Array.from({ length: 20 }, () => server.upload(bytes)));
    const statuses = responses.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [201, ...Array<number>(19).fill(409)]);
  });
});

describe('list', () => {
  let own: TestServer;
  const images: ImageJSON[] = [];
  const list = (query: string) => own.fetch(`/accounts/${ACCOUNT}/images${query}`);
  const ids = async (query: string) =>
    ((await (await list(query)).json()) as ImageJSON[]).map((image) => image.imageID);

  before(async () => {
    own = await startServer();
    for (let seed = 40; seed < 65; seed++) images.unshift(await own.addImage(await picture(seed)));
    await own.fetch(path(images[3]?.imageID ?? ''), { method: 'DELETE' });
  });
  after(() => own.close());

  test('is newest first, includes disabled images, and has 20 images by default', async () => {
    const expected = images.map(({ imageID }) => imageID);
    assert.deepEqual(await ids(''), expected.slice(0, 20));
    assert.deepEqual(await ids('?count=200'), expected);
    assert.deepEqual(await ids('?skip=5&count=3'), expected.slice(5, 8));
    assert.deepEqual(await ids('?skip=99999'), []);
  });

  test('returns the total number and the link to the next page', async () => {
    const response = await list('?skip=5&count=10');
    assert.equal(response.headers.get('x-total-count'), '25');
    const next = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1] ?? '';
    assert.equal(next, `${own.url}/accounts/${ACCOUNT}/images?skip=15&count=10`);
    const last = await own.fetch(new URL(next).pathname + new URL(next).search);
    assert.equal(((await last.json()) as unknown[]).length, 10);
    assert.equal(last.headers.get('link'), null);
  });

  test('refuses a skip or count that is not a whole number, empty or repeated, and a count of 0, with 400', async () => {
    for (const query of [
      '?count=0',
      '?count=-1',
      '?count=',
      '?count=x',
      '?count=1.5',
      '?count=1&count=1',
      '?skip=-1',
      '?skip=',
      '?skip=a',
      '?skip=1&skip=2',
    ]) {
      const response = await list(query);
      assert.equal(response.status, 400, query);
      assert.match(String((await json(response)).error), /^(skip|count) must be/);
    }
    assert.equal((await list('?unknown=1')).status, 200);
  });

  test('accepts whole numbers of any length', async () => {
    const large = '9'.repeat(400);
    for (const skip of ['9'.repeat(15), '9'.repeat(16), large]) {
      const response = await list(`?skip=${skip}`);
      assert.equal(response.status, 200, skip);
      assert.deepEqual(await response.json(), []);
    }
    assert.deepEqual(await ids(`?count=${large}`), await ids('?count=200'));
  });
});

test('a page of a list has at most 200 images', async () => {
  const own = await startServer();
  try {
    const numbers = Array.from({ length: 201 }, (_, index) => 1_000 + index);
    for (let from = 0; from < numbers.length; from += 20) {
      await Promise.all(
        numbers.slice(from, from + 20).map(async (number) => own.addImage(await picture(number))),
      );
    }
    const response = await own.fetch(`/accounts/${ACCOUNT}/images?count=201`);
    assert.equal(((await response.json()) as unknown[]).length, 200);
    assert.match(response.headers.get('link') ?? '', /skip=200&count=200>; rel="next"/);
  } finally {
    await own.close();
  }
});

describe('get_metadata', () => {
  test('returns 200 with the metadata that upload returned', async () => {
    const image = await server.addImage(await picture(70), { metadata: { altText: 'Eine Lampe — 灯' } });
    const response = await server.fetch(path(image.imageID));
    assert.equal(response.status, 200);
    assert.deepEqual(await json(response), { ...image });
    assert.equal((await server.fetch(path(image.imageID.toUpperCase()))).status, 200);
  });

  test('returns the same 404 for unknown and malformed image IDs', async () => {
    const answers = new Set<string>();
    for (const id of [
      '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
      'nonsense',
      '..%2f..',
      '%00',
      "'%20or%201=1",
      'x'.repeat(90),
      'x'.repeat(8_000),
      '%ff',
      '%',
      '%zz',
    ]) {
      const response = await server.fetch(path(id));
      assert.equal(response.status, 404, id);
      assert.match(response.headers.get('x-request-id') ?? '', UUID);
      assert.equal(response.headers.get('x-moov-version'), 'v2024.01.00');
      assert.equal((await fetch(server.url + path(id))).status, 401, 'credentials come first');
      answers.add(await response.text());
    }
    assert.deepEqual([...answers], ['{"error":"image not found"}']);
  });
});

describe('update', () => {
  test('keeps the IDs, the link, createdOn and, without a metadata part, the metadata', async () => {
    const metadata = { altText: 'kept', tags: ['kept'], focalPoint: { x: 0, y: 1 }, fileName: 'kept.jpg' };
    const image = await server.addImage(await picture(80), { metadata });
    const bytes = await picture(81);
    const response = await server.upload(bytes, { replace: image.imageID });
    assert.equal(response.status, 200);
    const replaced = (await response.json()) as ImageJSON;
    const { updatedOn, height, placeholder, color } = replaced;
    assert.deepEqual(replaced, {
      ...image,
      updatedOn,
      height,
      bytes: bytes.length,
      ...(placeholder !== undefined && { placeholder, color }),
    });
    assert.notEqual(height, image.height);
    assert.ok(updatedOn >= image.updatedOn);
  });

  test('replaces or clears the alt text with a metadata part', async () => {
    const image = await server.addImage(await picture(82), { metadata: { altText: 'old' } });
    const changed = async (seed: number, metadata: unknown) =>
      (await server.addImage(await picture(seed), { replace: image.imageID, metadata })).altText;
    assert.equal(await changed(83, { altText: 'new' }), 'new');
    assert.equal(await changed(84, {}), undefined);
  });

  test('with the current bytes of the image succeeds, so that PUT is idempotent', async () => {
    const bytes = await picture(85);
    const image = await server.addImage(bytes);
    assert.equal((await server.upload(bytes, { replace: image.imageID })).status, 200);
    assert.equal(
      (await server.upload(bytes, { replace: image.imageID, metadata: { altText: 'x' } })).status,
      200,
    );
  });

  test('with a refused picture changes nothing', async () => {
    const image = await server.addImage(await picture(86), { metadata: { altText: 'stays' } });
    const before = await (await server.fetch(`/images/${image.publicID}`)).arrayBuffer();
    const response = await server.upload(Buffer.from('no picture'), { replace: image.imageID, metadata: {} });
    assert.equal(response.status, 422);
    assert.deepEqual(await json(await server.fetch(path(image.imageID))), { ...image });
    const after = await (await server.fetch(`/images/${image.publicID}`)).arrayBuffer();
    assert.deepEqual(Buffer.from(after), Buffer.from(before));
  });

  test('of an unknown image returns 404', async () => {
    const response = await server.upload(await picture(87), {
      replace: '7cec5bd3-6340-4de4-a923-bf6ec0f7e921',
    });
    assert.equal(response.status, 404);
  });

  test('shows the new picture at the same link at once', async () => {
    const image = await server.addImage(await picture(88));
    const etag = async () => (await server.fetch(`/images/${image.publicID}`)).headers.get('etag');
    const before = await etag();
    await server.addImage(await picture(89), { replace: image.imageID });
    assert.notEqual(await etag(), before);
  });
});

describe('delete', () => {
  test('disables the image: it stays public, listed and readable, and cannot be changed', async () => {
    const image = await server.addImage(await picture(100), { metadata: { altText: 'off' } });
    const response = await server.fetch(path(image.imageID), { method: 'DELETE' });
    assert.equal(response.status, 204);
    assert.equal(await response.text(), '');
    const disabled = (await json(await server.fetch(path(image.imageID)))) as unknown as ImageJSON;
    assert.match(disabled.disabledOn ?? '', RFC_3339);
    assert.equal((await fetch(image.link)).status, 200);
    const listed = (await (await server.fetch(`${path()}?count=200`)).json()) as ImageJSON[];
    assert.ok(listed.some(({ imageID }) => imageID === image.imageID));
    assert.equal((await server.upload(await picture(101), { replace: image.imageID })).status, 409);
    assert.equal((await put(image.imageID, { altText: 'on' })).status, 409);
  });

  test('of a disabled image returns 204 and keeps disabledOn', async () => {
    const image = await server.addImage(await picture(102));
    const disable = async () => {
      assert.equal((await server.fetch(path(image.imageID), { method: 'DELETE' })).status, 204);
      return (await json(await server.fetch(path(image.imageID)))).disabledOn;
    };
    assert.equal(await disable(), await disable());
  });

  test('accepts a content type without a body', async () => {
    const image = await server.addImage(await picture(103));
    const headers = { 'content-type': 'application/json' };
    assert.equal((await server.fetch(path(image.imageID), { method: 'DELETE', headers })).status, 204);
  });

  test('of an unknown image returns 404', async () => {
    const response = await server.fetch(path('7cec5bd3-6340-4de4-a923-bf6ec0f7e921'), { method: 'DELETE' });
    assert.equal(response.status, 404);
  });
});

describe('update_metadata', () => {
  test('sets the alt text, and clears it with {}, "" or null', async () => {
    const image = await server.addImage(await picture(110));
    const set = async (body: unknown) => {
      const response = await put(image.imageID, body);
      assert.equal(response.status, 200);
      return (await json(response)).altText;
    };
    assert.equal(await set({ altText: 'a "quoted" 100% _text_ \\ <b>' }), 'a "quoted" 100% _text_ \\ <b>');
    assert.equal(await set({}), undefined);
    assert.equal(await set({ metadata: { altText: 'nested' } }), 'nested');
    assert.equal(await set({ altText: '' }), undefined);
    assert.equal(await set({ altText: 'x' }), 'x');
    assert.equal(await set({ altText: null }), undefined);
  });

  test('refuses wrong types and texts with 422 {altText}, and invalid JSON with 400', async () => {
    const image = await server.addImage(await picture(111), { metadata: { altText: 'stays' } });
    for (const body of [
      { altText: 1 },
      { altText: 'x'.repeat(2001) },
      { altText: 'a\u0000' },
      [],
      '"x"',
      'null',
      '7',
      '{"altText":"\\ud800"}',
    ]) {
      const response = await put(image.imageID, body);
      assert.equal(response.status, 422, JSON.stringify(body).slice(0, 40));
      assert.deepEqual(Object.keys(await json(response)), ['altText']);
    }
    for (const body of ['', '{', 'altText']) assert.equal((await put(image.imageID, body)).status, 400, body);
    assert.equal((await put(image.imageID, '<a/>', { 'content-type': 'text/xml' })).status, 415);
    assert.equal((await put(image.imageID, { altText: 'x'.repeat(70_000) })).status, 413);
    assert.equal((await json(await server.fetch(path(image.imageID)))).altText, 'stays');
  });
});

describe('the quota of images', () => {
  test('counts enabled images; above it, uploads get 400 with the limit', async () => {
    const small = await startServer({ VITRINE_IMAGE_QUOTA: '3' });
    try {
      const added: ImageJSON[] = [];
      for (let seed = 120; seed < 123; seed++) added.push(await small.addImage(await picture(seed)));
      const refused = await small.upload(await picture(123));
      assert.equal(refused.status, 400);
      assert.match(String((await json(refused)).error), /limit of 3 images/);
      assert.equal(
        (await small.upload(await picture(122))).status,
        409,
        'the duplicate is found before the quota is checked',
      );
      assert.equal(
        (await small.upload(Buffer.from('x'))).status,
        422,
        'the invalid picture is found before the quota is checked',
      );
      await small.fetch(path(added[0]?.imageID ?? ''), { method: 'DELETE' });
      assert.equal((await small.upload(await picture(123))).status, 201);
    } finally {
      await small.close();
    }
  });
});

describe('the quota of bytes', () => {
  test('counts the originals of enabled images; above it, uploads and updates get 400 with the limit', async () => {
    const pictures = await Promise.all([160, 161, 162].map(picture));
    const [three, one, two] = pictures.sort((a, b) => a.length - b.length) as [Buffer, Buffer, Buffer];
    const limit = one.length + two.length;
    const small = await startServer({ VITRINE_BYTE_QUOTA: String(limit) });
    try {
      const first = await small.addImage(one);
      const second = await small.addImage(two);
      const refused = await small.upload(three);
      assert.equal(refused.status, 400);
      const text = `byte quota exceeded: limit ${limit} bytes of images that are not disabled`;
      assert.deepEqual(await json(refused), { error: text });
      assert.equal(
        (await small.upload(two)).status,
        409,
        'the duplicate is found before the quota is checked',
      );

      const large = await sharp({ create: { width: 300, height: 300, channels: 3, background: 'teal' } })
        .png({ compressionLevel: 0 })
        .toBuffer();
      assert.ok(large.length > limit);
      const update = await small.upload(large, { replace: second.imageID });
      assert.equal(update.status, 400);
      assert.deepEqual(await json(update), { error: text });
      assert.deepEqual(await json(await small.fetch(path(second.imageID))), { ...second });

      await small.fetch(path(first.imageID), { method: 'DELETE' });
      assert.equal((await small.upload(three)).status, 201);
    } finally {
      await small.close();
    }
  });
});

describe('idempotency', () => {
  const keyed = (key: string) => ({ headers: { 'x-idempotency-key': key } });

  test('returns the first response to a retry of the same upload', async () => {
    const bytes = await picture(130);
    const options = { metadata: { altText: 'once' }, ...keyed('retry-1') };
    const first = await server.upload(bytes, options);
    const body = await first.text();
    assert.equal(first.status, 201);
    await put((JSON.parse(body) as ImageJSON).imageID, { altText: 'changed since' });
    const again = await server.upload(bytes, options);
    assert.equal(again.status, 201);
    assert.equal(await again.text(), body);
  });

  test('refuses the same key with other bytes or other metadata with 409', async () => {
    const bytes = await picture(131);
    assert.equal((await server.upload(bytes, keyed('retry-2'))).status, 201);
    assert.equal((await server.upload(await picture(132), keyed('retry-2'))).status, 409);
    assert.equal(
      (await server.upload(bytes, { metadata: { altText: 'x' }, ...keyed('retry-2') })).status,
      409,
    );
  });

  test('makes concurrent retries wait for the first upload and returns its response to all', async () => {
    const bytes = await picture(133);
    const retries = await Promise.all(
      Array.from({ length: 5 }, () => server.upload(bytes, keyed('retry-3'))),
    );
    assert.deepEqual(
      retries.map(({ status }) => status),
      [201, 201, 201, 201, 201],
    );
    assert.equal(new Set(await Promise.all(retries.map((retry) => retry.text()))).size, 1);
  });

  test('remembers only a 201', async () => {
    assert.equal((await server.upload(Buffer.from('no picture'), keyed('retry-4'))).status, 422);
    assert.equal((await server.upload(await picture(134), keyed('retry-4'))).status, 201);
  });

  test('refuses a key that is too long or not printable with 400', async () => {
    for (const key of ['x'.repeat(256), 'with space', '']) {
      assert.equal((await server.upload(await picture(135), keyed(key))).status, 400);
    }
  });
});

describe('every response', () => {
  test('has an x-request-id: a valid one of the client, or a new one', async () => {
    for (const target of [path(), '/images/unknown', '/nowhere', '/livez', '/ping']) {
      assert.match((await server.fetch(target)).headers.get('x-request-id') ?? '', UUID, target);
    }
    const echoed = await server.fetch('/ping', { headers: { 'x-request-id': 'client-id.0001' } });
    assert.equal(echoed.headers.get('x-request-id'), 'client-id.0001');
    const replaced = await server.fetch('/ping', { headers: { 'x-request-id': 'a "bad" one' } });
    assert.match(replaced.headers.get('x-request-id') ?? '', UUID);
  });

  test('of the API has the version that answered; public links and probes have none', async () => {
    const version = async (target: string, requested?: string) => {
      const response = await server.fetch(
        target,
        requested === undefined ? {} : { headers: { 'x-moov-version': requested } },
      );
      return [response.status, response.headers.get('x-moov-version')];
    };
    assert.deepEqual(await version('/ping'), [200, 'v2024.01.00']);
    assert.deepEqual(await version('/ping', 'v2025.05.00'), [200, 'v2025.04.00']);
    assert.deepEqual(await version('/ping', 'latest'), [200, 'v2026.10.00']);
    assert.deepEqual(await version(path('nonsense'), 'dev'), [404, 'v2026.10.00']);
    assert.deepEqual(await version('/livez', 'nonsense'), [200, null]);
    const image = await server.addImage(await picture(140));
    assert.deepEqual(await version(`/images/${image.publicID}`, 'nonsense'), [200, null]);
  });

  test('to a malformed version is 404 {error}, after the credentials are checked', async () => {
    const headers = { 'x-moov-version': '2024' };
    const without = await fetch(`${server.url}${path()}`, { headers });
    assert.equal(without.status, 401);
    assert.equal(without.headers.get('x-moov-version'), 'v2024.01.00');
    const response = await server.fetch('/ping', { headers: { 'x-moov-version': '2024' } });
    assert.equal(response.status, 404);
    assert.match(String((await json(response)).error), /X-Moov-Version must be/);
  });

  test('to an unknown path is 404 {error} as JSON with no-store', async () => {
    const response = await server.fetch('/nowhere/at/all');
    assert.equal(response.status, 404);
    assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(typeof (await json(response)).error, 'string');
  });
});

test('the original is stored unchanged', { skip: skipOnSeveralNodes }, async () => {
  const bytes = await picture(150);
  await server.addImage(bytes);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const { readFile } = await import('node:fs/promises');
  const stored = await readFile(`${server.folder}/blobs/originals/${digest.slice(0, 2)}/${digest}`);
  assert.deepEqual(stored, Buffer.from(bytes));
});
