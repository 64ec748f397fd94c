/**
 * Forms as clients really send them: metadata in single fields, white space behind boundaries, wrong names
 * and types. The limits of forms are in upload.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const IMAGES = `/accounts/${ACCOUNT}/images`;

let server: TestServer;
let number = 500;
before(async () => {
  server = await startServer();
});
after(() => server.close());

type Fields = readonly (readonly [name: string, value: string])[];

/** Uploads a new picture with text fields. With `replace`, replaces the picture of this image. */
async function upload(fields: Fields, { replace, last = false }: { replace?: string; last?: boolean } = {}) {
  const form = new FormData();
  const appendImage = async () => form.append('image', new Blob([await picture(number++)]), 'a.jpg');
  if (!last) await appendImage();
  for (const [name, value] of fields) form.append(name, value);
  if (last) await appendImage();
  const response = await server.fetch(replace === undefined ? IMAGES : `${IMAGES}/${replace}`, {
    method: replace === undefined ? 'POST' : 'PUT',
    body: form,
  });
  return { status: response.status, body: (await response.json()) as ImageJSON & { metadata?: unknown } };
}

describe('metadata in single fields of a form', () => {
  const cases: Record<string, [Fields, Pick<ImageJSON, 'altText' | 'focalPoint'>]> = {
    altText: [[['altText', 'A lamp']], { altText: 'A lamp' }],
    'altText with brackets': [[['metadata[altText]', 'A lamp']], { altText: 'A lamp' }],
    'altText with a dot': [[['metadata.altText', 'A lamp']], { altText: 'A lamp' }],
    // Forms of browsers send CRLF for each line break.
    'altText with line breaks': [[['altText', 'One\ntwo']], { altText: 'One\ntwo' }],
    'altText that looks like JSON': [[['altText', '{"a":1}']], { altText: '{"a":1}' }],
    'altText beyond ASCII': [[['altText', 'Größe 灯 🍋']], { altText: 'Größe 灯 🍋' }],
    'an empty altText': [[['altText', '']], {}],
    'the same altText twice': [
      [
        ['altText', 'A lamp'],
        ['metadata[altText]', 'A lamp'],
      ],
      { altText: 'A lamp' },
    ],
    'focalPoint with brackets': [
      [
        ['focalPoint[x]', '0.25'],
        ['focalPoint[y]', '1'],
      ],
      { focalPoint: { x: 0.25, y: 1 } },
    ],
    'focalPoint with two brackets': [
      [
        ['metadata[focalPoint][x]', '0.25'],
        ['metadata[focalPoint][y]', '0.5'],
      ],
      { focalPoint: { x: 0.25, y: 0.5 } },
    ],
    'focalPoint with dots': [
      [
        ['metadata.focalPoint.x', '0'],
        ['focalPoint.y', '0'],
      ],
      { focalPoint: { x: 0, y: 0 } },
    ],
    'focalPoint as JSON': [[['focalPoint', '{"x":0.1,"y":0.2}']], { focalPoint: { x: 0.1, y: 0.2 } }],
    'an empty focalPoint': [
      [
        ['focalPoint[x]', ''],
        ['focalPoint[y]', ''],
      ],
      {},
    ],
    'both fields': [
      [
        ['altText', 'A lamp'],
        ['focalPoint', '{"x":0.1,"y":0.2}'],
      ],
      { altText: 'A lamp', focalPoint: { x: 0.1, y: 0.2 } },
    ],
    'a field beside a metadata part': [
      [
        ['metadata', '{"focalPoint":{"x":0.1,"y":0.2}}'],
        ['altText', 'A lamp'],
      ],
      { altText: 'A lamp', focalPoint: { x: 0.1, y: 0.2 } },
    ],
    'a field that repeats the metadata part': [
      [
        ['altText', 'One\ntwo'],
        ['metadata', '{"metadata":{"altText":"One\\r\\ntwo"}}'],
      ],
      { altText: 'One\ntwo' },
    ],
    'unknown fields': [
      [
        ['alt', 'x'],
        ['metadata[title]', 'x'],
        ['altText2', 'x'],
        ['xaltText', 'x'],
        ['metadata[metadata][altText]', 'x'],
        ['__proto__[altText]', 'x'],
        ['constructor', 'x'],
        ['', 'x'],
      ],
      {},
    ],
  };
  for (const [name, [fields, expected]] of Object.entries(cases)) {
    test(`is taken by an upload: ${name}`, async () => {
      for (const last of [false, true]) {
        const { status, body } = await upload(fields, { last });
        assert.equal(status, 201, JSON.stringify(body));
        const { altText, focalPoint } = body;
        assert.deepEqual({ altText, focalPoint }, { altText: undefined, focalPoint: undefined, ...expected });
      }
    });
  }

  test('replaces the metadata in an update, and without any the metadata stays', async () => {
    const { body: image } = await upload([['altText', 'before']]);
    const replace = image.imageID;
    assert.equal((await upload([], { replace })).body.altText, 'before');
    assert.equal((await upload([['unknown', 'x']], { replace })).body.altText, 'before');
    assert.equal((await upload([['altText', 'after']], { replace })).body.altText, 'after');
    assert.equal((await upload([['metadata[altText]', 'later']], { replace })).body.altText, 'later');
    assert.equal((await upload([['altText', '']], { replace })).body.altText, undefined);
  });

  const refused: Record<string, [Fields, Record<string, RegExp>]> = {
    'contradict a metadata part': [
      [
        ['metadata', '{"altText":"one"}'],
        ['altText', 'two'],
      ],
      { altText: /^altText has different values in two parts of the form/ },
    ],
    'contradict each other': [
      [
        ['altText', 'one'],
        ['metadata.altText', 'two'],
        ['focalPoint', '{"x":0,"y":0}'],
        ['focalPoint[x]', '1'],
        ['focalPoint[y]', '0'],
      ],
      { altText: /^altText has different values/, focalPoint: /^focalPoint has different values/ },
    ],
    'have an empty and another value': [
      [
        ['altText', ''],
        ['altText', 'one'],
      ],
      { altText: /^altText has different values/ },
    ],
    'are not valid': [
      [
        ['altText', 'a\u0000b'],
        ['focalPoint[x]', '2'],
        ['focalPoint[y]', '0'],
      ],
      { altText: /^altText must not hold control/, focalPoint: /^focalPoint must be/ },
    ],
    'are not numbers': [
      [
        ['focalPoint[x]', 'left'],
        ['focalPoint[y]', '0'],
      ],
      { focalPoint: /^focalPoint must be/ },
    ],
    'are incomplete': [[['focalPoint[x]', '0.5']], { focalPoint: /^focalPoint must be/ }],
    'are parts of a text': [[['altText[de]', 'Lampe']], { altText: /^altText must be a string/ }],
  };
  for (const [name, [fields, expected]] of Object.entries(refused)) {
    test(`gets 422 with the field if values ${name}`, async () => {
      const { status, body } = await upload(fields);
      assert.equal(status, 422);
      const metadata = body.metadata as Record<string, string>;
      assert.deepEqual(Object.keys(body), ['metadata']);
      assert.deepEqual(Object.keys(metadata), Object.keys(expected));
      for (const [field, reason] of Object.entries(expected)) assert.match(metadata[field] ?? '', reason);
    });
  }

  test('gets 422 if it is not UTF-8, and 413 beyond 64 KiB together with the metadata part', async () => {
    const latin1 = Buffer.from(
      '--b\r\nContent-Disposition: form-data; name="altText"\r\n\r\n\xe9\r\n--b--\r\n',
      'latin1',
    );
    const answer = await post(latin1, 'multipart/form-data; boundary=b');
    assert.equal(answer.status, 422);
    assert.match(await answer.text(), /"altText":"[^"]*part altText is not valid UTF-8/);
    const large = await upload([
      ['altText', 'x'.repeat(40_000)],
      ['metadata', `{"junk":"${'x'.repeat(40_000)}"}`],
    ]);
    assert.equal(large.status, 413);
  });

  test('ignores the empty inputs of a page, and keeps the name of the file', async () => {
    const { status, body } = await upload([
      ['altText', ''],
      ['tags', ''],
      ['fileName', ''],
      ['visibility', ''],
      ['focalPoint', ''],
    ]);
    assert.equal(status, 201);
    const { altText, fileName, tags } = body as ImageJSON & { tags: string[]; fileName: string };
    assert.deepEqual({ altText, fileName, tags }, { altText: undefined, fileName: 'a.jpg', tags: [] });
  });

  test('has tags as repeated fields, with brackets or as JSON, and a file name', async () => {
    for (const fields of [
      [
        ['tags', 'blue'],
        ['tags', 'a, b'],
      ],
      [
        ['tags[]', 'blue'],
        ['metadata[tags][]', 'a, b'],
      ],
      [
        ['tags[0]', 'blue'],
        ['tags[1]', 'a, b'],
      ],
      [
        ['metadata[tags]', '["blue","a, b"]'],
        ['tags', ''],
      ],
    ] satisfies [string, string][][]) {
      const { status, body } = await upload([...fields, ['metadata[fileName]', 'lamp.jpg']]);
      assert.equal(status, 201);
      const { tags, fileName } = body as ImageJSON & { tags: string[]; fileName: string };
      assert.deepEqual({ tags, fileName }, { tags: ['blue', 'a, b'], fileName: 'lamp.jpg' });
    }
    // As many as an image may have, and texts that are also JSON.
    const many = Array.from({ length: 48 }, (_, index) => `tag ${index}`);
    const tags = ['null', '12', ...many];
    const { status, body } = await upload(tags.map((tag) => ['tags[]', tag] as const));
    assert.deepEqual([status, (body as ImageJSON & { tags: string[] }).tags], [201, tags]);
    const refused: [Fields, RegExp][] = [
      [[['tags', 'x'.repeat(65)]], /"tags":"[^"]*64/],
      [
        [
          ['metadata', '{"tags":["red"]}'],
          ['tags[]', 'blue'],
        ],
        /"tags":"tags has different values/,
      ],
    ];
    for (const [fields, reason] of refused) {
      const answer = await upload(fields);
      assert.equal(answer.status, 422);
      assert.match(JSON.stringify(answer.body.metadata), reason);
    }
  });
});

const post = (body: Buffer | string, type?: string) =>
  server.fetch(IMAGES, {
    method: 'POST',
    body: Buffer.from(body as string),
    ...(type !== undefined && { headers: { 'content-type': type } }),
  });

describe('the body of a form', () => {
  const head = (name: string) => `Content-Disposition: form-data; name="${name}"; filename="a"\r\n\r\n`;
  /** A form with boundary `b`, with these texts behind its boundaries and around it. */
  async function send(
    { first = '', second = '', last = '', before = '', behind = '' },
    chunkSize = Number.POSITIVE_INFINITY,
  ): Promise<Response> {
    const body = Buffer.concat([
      Buffer.from(`${before}--b${first}\r\n${head('image')}`),
      await picture(number++),
      Buffer.from(`\r\n--b${second}\r\n${head('metadata')}{"altText":"x"}\r\n--b--${last}${behind}`),
    ]);
    async function* chunks() {
      for (let at = 0; at < body.length; at += chunkSize) {
        yield body.subarray(at, at + chunkSize);
        await new Promise(setImmediate);
      }
    }
    return server.fetch(IMAGES, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      body: chunks() as unknown as NonNullable<RequestInit['body']>,
      duplex: 'half',
    } as RequestInit);
  }

  const shapes: Record<string, Parameters<typeof send>[0]> = {
    'white space behind every boundary': { first: '  ', second: ' \t ', last: '  \r\n' },
    'white space behind the first boundary': { first: '\t', last: '\r\n' },
    'text before the first boundary': { before: 'This is a form.\r\n\r\n', last: '\r\n' },
    'an empty line before the first boundary': { before: '\r\n', last: '\r\n' },
    'text behind the last boundary': { behind: `\r\n${'The end. '.repeat(40_000)}` },
    'nothing behind the last boundary': {},
  };
  for (const [name, shape] of Object.entries(shapes)) {
    test(`may have ${name}`, async () => {
      for (const size of [Number.POSITIVE_INFINITY, 700, ...(name.includes('white') ? [1] : [])]) {
        const response = await send(shape, size);
        const body = (await response.json()) as ImageJSON;
        assert.equal(response.status, 201, JSON.stringify(body));
        assert.equal(body.altText, 'x');
      }
    });
  }

  test('keeps white space and dashes in a file', async () => {
    const bytes = Buffer.concat([await picture(number++), Buffer.from('\r\n--c  \r\n--  \r\n- -b \r\n--')]);
    const form = Buffer.concat([Buffer.from(`--b\r\n${head('image')}`), bytes, Buffer.from('\r\n--b--\r\n')]);
    const response = await post(form, 'multipart/form-data; boundary=b');
    const { imageID } = (await response.json()) as ImageJSON;
    const original = await server.fetch(`${IMAGES}/${imageID}/original`);
    assert.deepEqual(Buffer.from(await original.bytes()), bytes);
  });

  const malformed: Record<string, [string, RegExp]> = {
    'that is cut off': [`--b\r\n${head('image')}\x89PNG`, /it ends before its last boundary/],
    'with another boundary': [`--c\r\n${head('image')}x\r\n--c--\r\n`, /no line begins with two dashes/],
    'with line breaks of Unix': [
      `--b\n${head('image')}x\n--b--\n`,
      /its lines end with LF, but they must end with CRLF/,
    ],
    'that is empty': ['', /multipart/],
  };
  for (const [name, [body, reason]] of Object.entries(malformed)) {
    test(`${name} gets 400 with the reason`, async () => {
      const response = await post(body, 'multipart/form-data; boundary=b');
      assert.equal(response.status, 400);
      assert.match(((await response.json()) as { error: string }).error, reason);
    });
  }

  test('with the file under another name gets 422 with both names', async () => {
    for (const name of ['file', 'Image', 'images[]']) {
      const form = new FormData();
      form.append(name, new Blob([await picture(1)]), 'a.jpg');
      form.append('metadata', '{}');
      const response = await server.fetch(IMAGES, { method: 'POST', body: form });
      assert.equal(response.status, 422);
      const image = `a file part named "image" is required, but the file of the form is named "${name}"`;
      assert.deepEqual(await response.json(), { image });
    }
  });
});

describe('a wrong Content-Type', () => {
  const FORM = 'the body must be multipart/form-data with a file part named "image", but ';
  const onForms: [string | undefined, string][] = [
    ['application/json', `${FORM}Content-Type is application/json`],
    ['text/plain;charset=UTF-8', `${FORM}Content-Type is text/plain;charset=UTF-8`],
    ['application/x-www-form-urlencoded', `${FORM}Content-Type is application/x-www-form-urlencoded`],
    ['image/jpeg', `${FORM}Content-Type is image/jpeg`],
    ['multipart/mixed; boundary=b', `${FORM}Content-Type is multipart/mixed; boundary=b`],
    ['nonsense', `${FORM}Content-Type is nonsense`],
    ['multipart/form-data-x; boundary=b', `${FORM}Content-Type is multipart/form-data-x; boundary=b`],
    ['multipart/form-data', 'Content-Type has no boundary'],
    ['multipart/form-data; charset=utf-8', 'Content-Type has no boundary'],
    ['multipart/form-data; boundary=', 'Content-Type has no boundary'],
    ['multipart/form-data; boundary=""', 'Content-Type has no boundary'],
    ['multipart/form-data; noboundary=b', 'Content-Type has no boundary'],
    [undefined, `${FORM}the request has no Content-Type`],
    ['x'.repeat(300), `${FORM}Content-Type is ${'x'.repeat(80)}…`],
  ];
  test('on the route of a form gets 400 that says what came and what is wanted', async () => {
    const image = await server.addImage(await picture(number++));
    for (const [type, expected] of onForms) {
      for (const [method, path] of [
        ['POST', IMAGES],
        ['PUT', `${IMAGES}/${image.imageID}`],
      ] as const) {
        const response = await server.fetch(path, {
          method,
          // Without a type of its own.
          body: Buffer.from('{}'),
          ...(type !== undefined && { headers: { 'content-type': type } }),
        });
        const { error } = (await response.json()) as { error: string };
        assert.equal(response.status, 400, `${type}: ${error}`);
        assert.ok(error.startsWith(expected), `${type}: ${error}`);
      }
    }
  });

  test('on a route of JSON gets 415 that says what came and what is wanted, and changes nothing', async () => {
    const image = await server.addImage(await picture(number++), { metadata: { altText: 'kept' } });
    const path = `${IMAGES}/${image.imageID}`;
    const form = new FormData();
    form.append('altText', 'lost');
    const bodies: [NonNullable<RequestInit['body']>, string | undefined, string][] = [
      [Buffer.from('{}'), undefined, 'the request has no Content-Type'],
      [Buffer.from('{}'), 'text/plain', 'Content-Type is text/plain'],
      [
        Buffer.from('altText=x'),
        'application/x-www-form-urlencoded',
        'Content-Type is application/x-www-form',
      ],
      [Buffer.from('{}'), 'nonsense', 'Content-Type is nonsense'],
      [form, undefined, 'Content-Type is multipart/form-data; boundary='],
    ];
    for (const [body, type, came] of bodies) {
      const headers = type === undefined ? {} : { 'content-type': type };
      const response = await server.fetch(`${path}/metadata`, { method: 'PUT', body, headers });
      const { error } = (await response.json()) as { error: string };
      assert.equal(response.status, 415, `${type}: ${error}`);
      assert.ok(error.startsWith(`Content-Type must be application/json, but ${came}`), error);
    }
    assert.equal(((await (await server.fetch(path)).json()) as ImageJSON).altText, 'kept');
  });

  test('on a route of OAuth names both types', async () => {
    const headers = { 'content-type': 'text/plain' };
    const response = await server.fetch('/oauth2/token', { method: 'POST', body: 'grant_type=x', headers });
    assert.equal(response.status, 415);
    const { error_description } = (await response.json()) as { error_description: string };
    const types = 'application/json or application/x-www-form-urlencoded';
    assert.equal(error_description, `Content-Type must be ${types}, but Content-Type is text/plain`);
  });
});
