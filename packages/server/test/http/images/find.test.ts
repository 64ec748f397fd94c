/**
 * Finding images over HTTP: the filters and orders of the list, its headers, and what it refuses.
 * The conformance suites of the databases have all combinations.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import sharp from 'sharp';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const IMAGES = `/accounts/${ACCOUNT}/images`;

let server: TestServer;
let istanbul: ImageJSON;
let lamp: ImageJSON;
let chair: ImageJSON;

function picture(width: number, height: number, format: 'jpeg' | 'png' | 'webp'): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background: '#336699' } })
    .toFormat(format)
    .toBuffer();
}

before(async () => {
  server = await startServer();
  istanbul = await server.addImage(await picture(60, 40, 'jpeg'), {
    metadata: { altText: 'İstanbul by night', tags: ['City', 'Été'], fileName: 'zoo.jpg' },
  });
  lamp = await server.addImage(await picture(40, 60, 'png'), {
    metadata: { tags: ['light', 'city'], fileName: 'Ämpel 100%.png' },
  });
  chair = await server.addImage(await picture(10, 10, 'webp'), {
    metadata: { altText: 'Chair', fileName: 'berg.webp' },
  });
  assert.equal((await server.fetch(`${IMAGES}/${chair.imageID}`, { method: 'DELETE' })).status, 204);
});
after(() => server.close());

/** The file names of a list. */
async function find(query: string): Promise<(string | undefined)[]> {
  const { status, body, headers } = await server.send<ImageJSON[]>('GET', `${IMAGES}?${query}`);
  assert.equal(status, 200, query);
  assert.equal(headers.get('x-total-count'), String(body.length), query);
  return body.map(({ fileName }) => fileName);
}

describe('the list of images', () => {
  test('finds images by text, tag, format, size, state and use', async () => {
    const all = [chair, lamp, istanbul].map(({ fileName }) => fileName);
    const QUERIES: readonly (readonly [query: string, expected: readonly (string | undefined)[]])[] = [
      ['', all],
      ['search=', all],
      ['search=istanbul', ['zoo.jpg']],
      ['search=ISTANBUL%20BY', ['zoo.jpg']],
      ['search=ete', ['zoo.jpg']],
      ['search=ampel', ['Ämpel 100%.png']],
      ['search=100%25', ['Ämpel 100%.png']],
      ['search=ty', [lamp.fileName, istanbul.fileName]],
      ['search=g', all],
      ['search=nothing', []],
      ['tag=city', [lamp.fileName, istanbul.fileName]],
      ['tag=CITY&format=png', ['Ämpel 100%.png']],
      ['tag=cit', []],
      ['tag=ete', []],
      ['format=webp', ['berg.webp']],
      ['minWidth=41', ['zoo.jpg']],
      ['minWidth=40&minHeight=40', [lamp.fileName, istanbul.fileName]],
      ['minWidth=99999999999999999999', []],
      ['disabled=true', ['berg.webp']],
      ['disabled=false&altText=missing', ['Ämpel 100%.png']],
      ['unused=true', all],
      ['unused=false', []],
      ['visibility=public', all],
      ['visibility=private', []],
      ['withdrawn=false', all],
      ['withdrawn=true', []],
      ['withdrawn=true&tag=city&sort=bytes', []],
      ['sort=fileName', ['Ämpel 100%.png', 'berg.webp', 'zoo.jpg']],
      ['sort=-fileName', ['zoo.jpg', 'berg.webp', 'Ämpel 100%.png']],
      ['sort=createdOn', all.toReversed()],
      ['sort=-createdOn', all],
      ['sort=createdOn&disabled=false', [istanbul.fileName, lamp.fileName]],
    ];
    for (const [query, expected] of QUERIES) assert.deepEqual(await find(query), expected, query);
  });

  test('sorts by bytes and by the time of the last change', async () => {
    const bytes = [istanbul, lamp, chair].toSorted((one, other) => one.bytes - other.bytes);
    const names = bytes.map(({ fileName }) => fileName);
    assert.deepEqual(await find('sort=bytes'), names);
    assert.deepEqual(await find('sort=-bytes'), names.toReversed());
    const { tags, altText } = istanbul;
    await server.send('PUT', `${IMAGES}/${istanbul.imageID}/metadata`, { altText, tags });
    assert.equal((await find('sort=-updatedOn'))[0], 'zoo.jpg');
    assert.equal((await find('sort=updatedOn')).at(-1), 'zoo.jpg');
  });

  test('links to the next page with all parameters, and counts the matches of all pages', async () => {
    const query = 'search=i&sort=fileName&minWidth=5&tag=City&count=1';
    const first = await server.send<ImageJSON[]>('GET', `${IMAGES}?${query}`);
    assert.equal(first.headers.get('x-total-count'), '2');
    const [, next = ''] = /^<(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '') ?? [];
    const url = new URL(next);
    const sent = Object.fromEntries(new URLSearchParams(query));
    assert.deepEqual(Object.fromEntries(url.searchParams), { ...sent, skip: '1' });
    const second = await server.send<ImageJSON[]>('GET', url.pathname + url.search);
    assert.deepEqual(
      [...first.body, ...second.body].map(({ fileName }) => fileName),
      ['Ämpel 100%.png', 'zoo.jpg'],
    );
    assert.equal(second.headers.get('link'), null);
  });

  test('refuses other values with the parameter and its form', async () => {
    const REFUSED: readonly (readonly [query: string, why: RegExp])[] = [
      ['sort=size', /sort must be one of -createdOn, createdOn, .*bytes/],
      ['sort=', /sort must be one of/],
      ['format=gif', /format must be one of webp, jpeg, png/],
      ['minWidth=1.5', /minWidth must be a whole number/],
      ['minHeight=-1', /minHeight must be a whole number/],
      ['tag=', /tag must be a tag.*empty/],
      [`tag=${'x'.repeat(65)}`, /tag/],
      ['tag=a%0Ab', /tag must be a tag.*line/],
      ['tag=a&tag=b', /tag must be given once/],
      ['altText=present', /altText must be one of missing/],
      ['visibility=hidden', /visibility must be one of public, private/],
      ['withdrawn=yes', /withdrawn must be one of true, false/],
      ['search=a%00b', /search must not hold control characters/],
    ];
    for (const [query, why] of REFUSED) {
      const { status, body } = await server.send('GET', `${IMAGES}?${query}`);
      assert.equal(status, 400, query);
      assert.match(body.error, why, query);
    }
  });
});
