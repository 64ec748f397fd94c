import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text as textOf } from 'node:stream/consumers';
import { after, before, describe, type TestContext, test } from 'node:test';
import sharp from 'sharp';
import { png, QUARTERS, quad } from '../../support/pictures.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, startServer, type TestServer } from '../../support/server.ts';

const SDK_ACCEPT = 'image/jpeg;q=1, image/png;q=0.7, image/webp;q=0';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server.close());

const get = (image: ImageJSON, query = '', headers: Record<string, string> = {}) =>
  fetch(`${image.link}${query}`, { headers });

/** The properties of the decoded bytes, independent of the headers. */
async function decoded(response: Response) {
  assert.equal(response.status, 200, await response.clone().text());
  const bytes = Buffer.from(await response.arrayBuffer());
  const { format, width, height, pages, pageHeight, exif, icc, xmp, iptc, orientation, space, hasAlpha } =
    await sharp(bytes, {
      pages: -1,
    }).metadata();
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
  const pixel = (x: number, y: number) => [
    ...data.subarray((y * info.width + x) * info.channels).subarray(0, info.channels),
  ];
  return {
    bytes,
    format,
    width,
    height: pageHeight ?? height,
    pages,
    exif,
    icc,
    xmp,
    iptc,
    orientation,
    space,
    hasAlpha,
    pixel,
  };
}

/** Red, green, blue and white quarters, clockwise from the top left. */
function quarters(width: number, height: number): ReturnType<typeof sharp> {
  const part = (background: string, left: number, top: number) => ({
    input: { create: { width: width / 2, height: height / 2, channels: 3 as const, background } },
    left,
    top,
  });
  return sharp({ create: { width, height, channels: 3, background: 'red' } }).composite([
    part('#00ff00', width / 2, 0),
    part('#0000ff', width / 2, height / 2),
    part('white', 0, height / 2),
  ]);
}

function close(actual: number[], expected: number[], tolerance = 12): void {
  assert.ok(
    expected.every((value, index) => Math.abs(value - (actual[index] ?? -1)) <= tolerance),
    `${actual} is not close to ${expected}`,
  );
}

describe('the size of a rendition', () => {
  let wide: ImageJSON;
  let small: ImageJSON;
  let huge: ImageJSON;
  before(async () => {
    wide = await server.addImage(await quarters(600, 300).png().toBuffer());
    small = await server.addImage(await quarters(60, 40).png().toBuffer());
    huge = await server.addImage(await quarters(5000, 2500).jpeg().toBuffer());
  });

  const cases: [string, () => ImageJSON, string, number, number][] = [
    ['is 400x400 by default', () => wide, '', 400, 400],
    ['is exactly the requested one', () => wide, '?size=123x45', 123, 45],
    ['is exactly the requested one also when it enlarges', () => small, '?size=500x300', 500, 300],
    ['keeps the proportions if the height is 0', () => wide, '?size=200x0', 200, 100],
    ['keeps the proportions if the width is 0', () => wide, '?size=0x200', 400, 200],
    ['enlarges in proportion', () => small, '?size=0x400', 600, 400],
    ['stays within 2048 in proportion', () => wide, '?size=0x2000', 2048, 1024],
    ['is that of the image for 0x0', () => small, '?size=0x0', 60, 40],
    ['is bounded by 2048 for 0x0', () => huge, '?size=0x0', 2048, 1024],
    ['is capped on each side separately', () => wide, '?size=99999x30', 2048, 30],
    ['fits inside for contain, unpadded', () => wide, '?size=100x100&fit=contain', 100, 50],
    ['is multiplied by dpr', () => wide, '?size=100x50&dpr=2', 200, 100],
    ['keeps its proportions with a dpr', () => huge, '?size=1600x900&dpr=2', 2048, 1152],
    ['is multiplied by a dpr of many digits', () => wide, '?size=100x50&dpr=1.100000023841858', 110, 55],
    ['is that of dpr=3 beyond it', () => wide, '?size=100x50&dpr=4', 300, 150],
    ['is that of dpr=1 below it', () => wide, '?size=100x50&dpr=0.5', 100, 50],
  ];
  for (const [name, image, query, width, height] of cases) {
    test(`${name}: ${query} → ${width}x${height}`, async () => {
      const result = await decoded(await get(image(), query));
      assert.deepEqual([result.width, result.height], [width, height]);
    });
  }

  test('covers from the centre', async () => {
    const { pixel } = await decoded(await get(wide, '?size=300x300', { accept: 'image/png' }));
    close(pixel(10, 10), [255, 0, 0]);
    close(pixel(290, 10), [0, 255, 0]);
    close(pixel(290, 290), [0, 0, 255]);
    close(pixel(10, 290), [255, 255, 255]);
  });

  test('of a malformed size is 400 and names the form', async () => {
    for (const size of [
      '',
      'x',
      '400',
      '400X400',
      '0400x400',
      '-1x5',
      '100000x1',
      '1.5x2',
      '400x400x1',
      '%34x',
      '4 0x40',
    ]) {
      const response = await get(wide, `?size=${size}`);
      assert.equal(response.status, 400, size);
      assert.match(((await response.json()) as { error: string }).error, /^size must be of the form WxH/);
      assert.equal(response.headers.get('cache-control'), 'no-store');
    }
    assert.equal((await get(wide, '?size=10x10&size=10x10')).status, 400);
  });

  test('and all other parameters are refused with the name of the parameter and its limits', async () => {
    const dpr = 'dpr must be a decimal number above 0, such as 1.5';
    const quality = 'quality must be a whole number from 1 to 100';
    for (const [query, error] of [
      ['size=400', 'size must be of the form WxH, each a whole number from 0 to 99999'],
      ['size=1x1&size=2x2', 'size must be given once'],
      ['fit=fill', 'fit must be one of cover, contain'],
      ['position=top', 'position must be one of center, attention, entropy, focal'],
      ['format=gif', 'format must be one of webp, jpeg, png, avif'],
      ['quality=0', quality],
      ['quality=80.0', quality],
      ...['', '0', '-1', 'NaN', 'abc', 'Infinity', '1e1'].map((value) => [`dpr=${value}`, dpr]),
    ] as const) {
      const response = await get(wide, `?${query}`);
      assert.equal(response.status, 400, query);
      assert.deepEqual(await response.json(), { error }, query);
    }
  });

  test('has the same ETag for each notation of the same dpr', async () => {
    const tags = new Set<string | null>();
    for (const dpr of ['1.1', '1.10', '1.100000023841858'])
      tags.add((await get(wide, `?size=100x50&dpr=${dpr}`)).headers.get('etag'));
    tags.add((await get(wide, '?size=110x55')).headers.get('etag'));
    assert.equal(tags.size, 1);
  });

  test('is correct for extreme shapes', async () => {
    const line = await server.addImage(await quarters(2, 30_000).png().toBuffer());
    for (const [query, width, height] of [
      ['?size=2048x2048', 2048, 2048],
      ['?size=1x1', 1, 1],
      ['?size=0x2048', 1, 2048],
      ['?size=2048x0', 1, 2048],
    ] as const) {
      const result = await decoded(await get(line, query));
      assert.equal(result.width, width, query);
      assert.equal(result.height, height, query);
    }
  });
});

describe('the default size', () => {
  test('and size=400x400 have the same bytes and ETag', async () => {
    const image = await server.addImage(await picture(1));
    const one = await get(image);
    const other = await get(image, '?size=400x400');
    assert.equal(one.headers.get('etag'), other.headers.get('etag'));
    assert.deepEqual(await one.arrayBuffer(), await other.arrayBuffer());
  });
});

describe('the format of a rendition', () => {
  let opaque: ImageJSON;
  let clear: ImageJSON;
  let filled: ImageJSON;
  before(async () => {
    opaque = await server.addImage(await quarters(80, 60).webp({ lossless: true }).toBuffer());
    const overlay = { r: 0, g: 0, b: 255, alpha: 0.5 };
    clear = await server.addImage(
      await sharp({ create: { width: 80, height: 60, channels: 4, background: overlay } })
        .png()
        .toBuffer(),
    );
    filled = await server.addImage(await quarters(82, 60).ensureAlpha(1).png().toBuffer());
  });

  const format = async (image: ImageJSON, accept?: string, query = '') => {
    const response = await get(image, query, accept === undefined ? {} : { accept });
    const type = response.headers.get('content-type');
    const result = await decoded(response);
    // libvips calls AVIF by its container.
    assert.equal(type, `image/${result.format === 'heif' ? 'avif' : result.format}`);
    assert.equal(response.headers.get('vary'), 'Accept');
    assert.ok(
      response.headers.get('content-disposition')?.startsWith(`inline; filename="${image.publicID}.`),
    );
    return type;
  };

  test('depends on the original and the Accept header', async () => {
    assert.equal(await format(opaque, SDK_ACCEPT), 'image/jpeg');
    assert.equal(await format(opaque, 'image/webp,*/*'), 'image/webp');
    assert.equal(await format(opaque, '*/*'), 'image/jpeg');
    assert.equal(await format(opaque, 'text/plain'), 'image/jpeg');
    assert.equal(await format(opaque, 'image/avif'), 'image/avif');
    assert.equal(await format(opaque, '*/*', '?format=png'), 'image/png');
  });

  test('of a photograph is not PNG for clients that name PNG first and accept JPEG', async () => {
    const safari13 = 'image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5';
    const photo = await server.addImage(await png({ width: 160, height: 120, seed: 900 }));
    assert.equal(await format(photo, safari13), 'image/jpeg');
    assert.equal(await format(photo, 'image/png'), 'image/png');
    assert.equal(await format(photo, safari13, '?format=png'), 'image/png');
    assert.equal(await format(clear, safari13), 'image/png');
  });

  test('is one of VITRINE_FORMATS, unless the link names another', async () => {
    const offering = await startServer({ VITRINE_FORMATS: 'jpeg,png' });
    try {
      const image = await offering.addImage(await picture(1));
      assert.equal(await format(image, 'image/avif,image/webp,image/*,*/*;q=0.8'), 'image/jpeg');
      assert.equal(await format(image, '*/*', '?format=webp'), 'image/webp');
    } finally {
      await offering.close();
    }
  });

  test('of a transparent image is JPEG, on white, only if nothing else is accepted', async () => {
    assert.equal(await format(clear, SDK_ACCEPT), 'image/png');
    assert.equal(await format(clear, 'image/jpeg, image/webp;q=0.1'), 'image/webp');
    const { pixel } = await decoded(await get(clear, '', { accept: 'image/jpeg' }));
    close(pixel(200, 200), [127, 127, 255]);
    const png = await decoded(await get(clear, '', { accept: 'image/png' }));
    close(png.pixel(200, 200), [0, 0, 255, 128], 2);
  });

  test('of an image with an alpha channel without transparent pixels is that of an opaque one', async () => {
    assert.equal(await format(filled, SDK_ACCEPT), 'image/jpeg');
  });
});

describe('the look of a rendition', () => {
  test('is upright for every EXIF orientation', async () => {
    for (let orientation = 1; orientation <= 8; orientation++) {
      const image = await server.addImage(await quad(orientation));
      const result = await decoded(await get(image, '?size=0x0', { accept: 'image/png' }));
      assert.deepEqual([result.width, result.height], [120, 80], `orientation ${orientation}`);
      assert.equal(result.orientation, undefined);
      for (const [index, colour] of QUARTERS.entries()) {
        close(result.pixel(index % 2 === 0 ? 20 : 100, index < 2 ? 20 : 60), [...colour], 16);
      }
    }
  });

  test('is sRGB for each profile and colour space of the original', async () => {
    const p3 = await server.addImage(
      await quarters(80, 62)
        .withIccProfile('p3')
        .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
        .toBuffer(),
    );
    const cmyk = await server.addImage(
      await quarters(80, 64).toColourspace('cmyk').withIccProfile('cmyk').jpeg({ quality: 95 }).toBuffer(),
    );
    const grey = await server.addImage(await quarters(80, 66).toColourspace('b-w').png().toBuffer());
    const deep = await server.addImage(await quarters(80, 68).toColourspace('rgb16').png().toBuffer());
    for (const image of [p3, cmyk, grey, deep]) {
      const result = await decoded(await get(image, '?size=0x0', { accept: 'image/png' }));
      assert.notEqual(result.space, 'cmyk');
      assert.equal(result.icc, undefined);
      close(result.pixel(10, 50), [255, 255, 255], 6);
    }
    close((await decoded(await get(p3, '?size=0x0&format=png'))).pixel(10, 10), [255, 0, 0], 16);
    close((await decoded(await get(deep, '?size=0x0&format=png'))).pixel(70, 10), [0, 255, 0], 2);
    const red = (await decoded(await get(cmyk, '?size=0x0&format=png'))).pixel(10, 10);
    assert.ok((red[0] ?? 0) > 200 && (red[1] ?? 255) < 70, `red stays red from CMYK: ${red}`);
  });

  test('has no metadata: EXIF, GPS, XMP, IPTC, ICC', async () => {
    const secret = 'SECRET-52.5200N';
    const original = await quarters(80, 70)
      .withExif({ IFD0: { Artist: secret }, IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '52/1 31/1 12/1' } })
      .withXmp(`<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>${secret}</a></x:xmpmeta>`)
      .withIccProfile('p3')
      .jpeg()
      .toBuffer();
    assert.ok(original.includes(secret), 'the original has metadata');
    const image = await server.addImage(original);
    for (const format of ['jpeg', 'png', 'webp', 'avif']) {
      const { bytes, exif, icc, xmp, iptc } = await decoded(await get(image, `?format=${format}`));
      assert.deepEqual([exif, icc, xmp, iptc], [undefined, undefined, undefined, undefined], format);
      assert.equal(bytes.includes(secret), false);
    }
  });
});

describe('an animated WebP', () => {
  let image: ImageJSON;
  before(async () => {
    const frames = ['red', '#00ff00', '#0000ff'].map((background) => ({
      create: { width: 60, height: 40, channels: 3 as const, background },
    }));
    const inputs = await Promise.all(frames.map((frame) => sharp(frame).png().toBuffer()));
    const bytes = await sharp(inputs, { join: { animated: true } })
      .webp({ delay: [100, 200, 300], loop: 2 })
      .toBuffer();
    image = await server.addImage(bytes);
  });

  test('stays animated as WebP, in any size', async () => {
    const response = await get(image, '?size=30x30', { accept: 'image/webp' });
    const { pages, width, height, bytes } = await decoded(response);
    assert.deepEqual([pages, width, height], [3, 30, 30]);
    assert.deepEqual((await sharp(bytes).metadata()).delay, [100, 200, 300]);
  });

  test('is its first frame in any other format', async () => {
    const { pages, pixel } = await decoded(await get(image, '?size=30x30', { accept: 'image/png' }));
    assert.ok(pages === undefined || pages === 1);
    close(pixel(15, 15), [255, 0, 0]);
  });
});

/** The Last-Modified after a change. Earlier states of the same second do not have this date. */
function nextSecond(updatedOn: string): string {
  return new Date(Math.ceil(Date.parse(updatedOn) / 1000) * 1000).toUTCString();
}

/** Moves the clock to a time when each image has its Last-Modified. */
function skipSettlingTime(t: TestContext): void {
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 2_000 });
}

describe('caching', () => {
  let image: ImageJSON;
  before(async () => {
    image = await server.addImage(await picture(50));
  });

  test('is public, with a weak ETag, Last-Modified and Vary', async (t) => {
    skipSettlingTime(t);
    const { headers } = await get(image);
    assert.match(headers.get('etag') ?? '', /^W\/"[A-Za-z0-9_-]{22}"$/);
    assert.equal(headers.get('cache-control'), 'public, max-age=3600, stale-while-revalidate=86400');
    assert.equal(headers.get('vary'), 'Accept');
    assert.equal(headers.get('last-modified'), nextSecond(image.updatedOn));
    assert.equal(headers.get('access-control-allow-origin'), '*');
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('content-security-policy'), "default-src 'none'; sandbox");
    // The file name comes from the server, not from the upload.
    assert.equal(headers.get('content-disposition'), `inline; filename="${image.publicID}.jpeg"`);
    assert.equal(headers.get('set-cookie'), null);
  });

  test('answers If-None-Match with 304, without a body, with the headers of the 200', async (t) => {
    skipSettlingTime(t);
    const first = await get(image);
    const etag = first.headers.get('etag') ?? '';
    for (const header of [etag, etag.slice(2), `"other", ${etag}`, '*']) {
      const response = await get(image, '', { 'if-none-match': header });
      assert.equal(response.status, 304, header);
      assert.equal((await response.arrayBuffer()).byteLength, 0);
      for (const name of ['etag', 'cache-control', 'vary', 'last-modified']) {
        assert.equal(response.headers.get(name), first.headers.get(name), name);
      }
    }
    assert.equal((await get(image, '?size=10x10', { 'if-none-match': etag })).status, 200);
    assert.equal((await get(image, '', { 'if-none-match': etag, accept: 'image/png' })).status, 200);
  });

  test('answers If-Modified-Since only without If-None-Match', async (t) => {
    skipSettlingTime(t);
    const since = nextSecond(image.updatedOn);
    assert.equal((await get(image, '', { 'if-modified-since': since })).status, 304);
    const both = { 'if-modified-since': since, 'if-none-match': '"other"' };
    assert.equal((await get(image, '', both)).status, 200);
    assert.equal((await get(image, '', { 'if-modified-since': '9999' })).status, 200, 'no HTTP date');
  });

  test('ignores dates shortly after a change, in answers of the route and from memory', async (t) => {
    const recent = await server.addImage(await picture(52));
    const changedAt = Date.parse(recent.updatedOn);
    const since = { 'if-modified-since': nextSecond(recent.updatedOn) };
    t.mock.timers.enable({ apis: ['Date'], now: changedAt + 1_999 });
    for (let n = 0; n < 3; n++) {
      const response = await get(recent, '', since);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get('last-modified'), null);
    }
    // The stored headers of the early answers must not be sent any more.
    t.mock.timers.setTime(changedAt + 2_000);
    assert.equal((await get(recent)).headers.get('last-modified'), nextSecond(recent.updatedOn));
    assert.equal((await get(recent, '', since)).status, 304);
    const earlier = new Date(Math.floor(changedAt / 1000) * 1000).toUTCString();
    const replaced = await get(recent, '', { 'if-modified-since': earlier });
    assert.equal(replaced.status, 200, 'an earlier state may have the second of the change');
  });

  test('has one ETag for one rendition, also with unknown parameters', async () => {
    const etag = async (query: string) => (await get(image, query)).headers.get('etag');
    const plain = await etag('');
    for (const query of [
      '?x=1',
      '?utm_source=a&size=400x400',
      '?fit=cover',
      '?position=center',
      '?dpr=1',
      '?quality=82',
    ]) {
      assert.equal(await etag(query), plain, query);
    }
    assert.notEqual(await etag('?quality=10'), plain);
    assert.notEqual(await etag('?size=401x400'), plain);
  });

  test('has the new image under each link after a replace, with any value of an unknown parameter', async () => {
    const replaced = await server.addImage(await picture(9060));
    const queries = [
      '',
      '?v=1',
      '?v=2',
      '?v=2&v=3',
      '?v',
      '?v=%00',
      '?__proto__=1&constructor=2',
      '?V=1&size=400x400',
    ];
    // Each link is asked for twice, so that the second answer comes from memory, ahead of the router.
    const read = async () => {
      const answers = [];
      for (const query of [...queries, ...queries]) {
        const response = await get(replaced, query);
        assert.equal(response.status, 200, query);
        const bytes = Buffer.from(await response.arrayBuffer()).toString('base64');
        answers.push(`${response.headers.get('etag')} ${bytes}`);
      }
      const [first] = answers;
      assert.deepEqual(new Set(answers), new Set([first]), 'all links have the same bytes and ETag');
      return first;
    };
    const before = await read();
    const etag = before?.split(' ')[0] ?? '';
    assert.equal((await get(replaced, '?v=1', { 'if-none-match': etag })).status, 304);
    await server.addImage(await picture(9061), { replace: replaced.imageID });
    assert.equal((await get(replaced, '?v=1', { 'if-none-match': etag })).status, 200);
    assert.notEqual(await read(), before);
  });

  test('has the headers of a 304 for a HEAD, without Content-Length', async () => {
    const etag = (await get(image)).headers.get('etag') ?? '';
    const head = await fetch(image.link, { method: 'HEAD', headers: { 'if-none-match': etag } });
    assert.equal(head.status, 304);
    assert.equal(head.headers.get('etag'), etag);
    assert.equal(head.headers.get('content-length'), null);
  });

  test('has the headers of a GET for a HEAD, without a body', async (t) => {
    skipSettlingTime(t);
    const full = await get(image);
    const head = await fetch(image.link, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal((await head.arrayBuffer()).byteLength, 0);
    for (const name of ['etag', 'content-type', 'content-length', 'cache-control', 'vary', 'last-modified']) {
      assert.equal(head.headers.get(name), full.headers.get(name), name);
    }
  });

  test('of an unknown public ID lasts one minute', async () => {
    const ids = ['x'.repeat(21), 'short', '%2e%2e%2fetc', 'x'.repeat(8_000), '%ff', '%', 'a%zzb', '%c3%28'];
    for (const id of ids) {
      const response = await fetch(`${server.url}/images/${id}`);
      assert.equal(response.status, 404);
      assert.equal(response.headers.get('cache-control'), 'public, max-age=60');
      assert.deepEqual(await response.json(), { error: 'image not found' });
    }
  });

  test('follows VITRINE_CACHE_CONTROL', async () => {
    const other = await startServer({ VITRINE_CACHE_CONTROL: 'public, max-age=5' });
    try {
      const { publicID } = await other.addImage(await picture(51));
      assert.equal(
        (await other.fetch(`/images/${publicID}`)).headers.get('cache-control'),
        'public, max-age=5',
      );
    } finally {
      await other.close();
    }
  });
});

/** The answer, with its headers, to a request with another Host than that of the server. */
async function underHost(host: string, to: TestServer, method: string, path: string, body?: object) {
  const { authorization } = to;
  const outgoing = request(new URL(path, to.url), {
    method,
    headers: { host, authorization, 'x-forwarded-host': host, 'content-type': 'application/json' },
  });
  outgoing.end(body === undefined ? '' : JSON.stringify(body));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  const { statusCode = 0, rawHeaders } = response;
  return { status: statusCode, text: `${rawHeaders.join('\n')}\n${await textOf(response)}` };
}

describe('a link', () => {
  test('begins with VITRINE_PUBLIC_URL, also if the client sends another Host', async () => {
    const other = await startServer({ VITRINE_PUBLIC_URL: 'https://pictures.example/shop/' });
    try {
      const image = await other.addImage(await picture(9060), {
        headers: { 'x-forwarded-host': 'evil.example' },
      });
      assert.equal(image.link, `https://pictures.example/shop/images/${image.publicID}`);
      // The list now has a next page, whose link is checked as well.
      await other.addImage(await picture(62));
      const { imageID } = image;
      const price = { currency: 'EUR', valueDecimal: '1' };
      const item = { name: 'a', basePrice: price, quantity: 1, imageIDs: [imageID] };
      const account = `/accounts/${ACCOUNT}`;
      for (const [method, path, body] of [
        ['GET', `${account}/images?count=1`],
        ['GET', `${account}/images/${imageID}`],
        ['PUT', `${account}/images/${imageID}/metadata`, { altText: 'a' }],
        ['POST', `${account}/products`, { title: 'a', basePrice: price, images: [{ imageID }] }],
        ['GET', `${account}/products?count=1`],
        ['POST', `${account}/line-items`, { items: [item] }],
        ['GET', `${account}/line-items?count=1`],
      ] as const) {
        const { status, text } = await underHost('evil.example', other, method, path, body);
        assert.ok(status < 300, text);
        assert.match(text, /https:\/\/pictures\.example\/shop\/images\//, `${method} ${path}`);
        assert.ok(!text.includes('evil'), text);
      }
    } finally {
      await other.close();
    }
  });

  test('needs no credentials and ignores wrong ones', async () => {
    const image = await server.addImage(await picture(61));
    assert.equal((await get(image, '', { authorization: 'Basic nonsense' })).status, 200);
  });
});
