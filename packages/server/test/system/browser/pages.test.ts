/**
 * Public links, pages below a path, and CORS in a real browser.
 */
import assert from 'node:assert/strict';
import { createServer, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { launchBrowser } from '../../support/browser.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

const NO_BROWSER = 'there is no Chromium on this machine';

interface Site {
  readonly url: string;
  close(): void;
}

/** Starts a web site with one page, on an origin of its own. */
async function startSite(): Promise<Site> {
  const site = createServer((_request, response) =>
    response.setHeader('content-type', 'text/html').end('<p>Shop'),
  );
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  const { port } = site.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => site.close() };
}

/**
 * Starts a proxy that serves another server below a path, which it removes from requests. It answers 404 to
 * all other paths.
 * @returns the URL of the path.
 */
async function startProxyBelow(path: string, target: () => string): Promise<Site> {
  const proxy = createServer((request, response) => {
    if (!request.url?.startsWith(`${path}/`)) return response.writeHead(404).end();
    const { method, headers } = request;
    const inner = sendRequest(
      new URL(request.url.slice(path.length), target()),
      { method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    return request.pipe(inner);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}${path}`, close: () => proxy.close() };
}

let server: TestServer;
let browser: Browser | undefined;
let shop: Site;
before(async () => {
  server = await startServer();
  browser = await launchBrowser();
  shop = await startSite();
});
after(async () => {
  await browser?.close();
  shop.close();
  await server.close();
});

describe('a browser', () => {
  test('shows the picture of a public link in several sizes, and on a page of another origin', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const image = await server.addImage(
      await sharp({ create: { width: 600, height: 300, channels: 3, background: '#336699' } })
        .png()
        .toBuffer(),
    );
    const page = await browser.newPage();
    for (const [query, width, height] of [
      ['', 400, 400],
      ['?size=200x0', 200, 100],
      ['?size=0x0&format=avif', 600, 300],
    ] as const) {
      await page.goto(`${image.link}${query}`);
      const size = await page.evaluate('[document.images[0].naturalWidth, document.images[0].naturalHeight]');
      assert.deepEqual(size, [width, height], query);
    }
    // On a page of another origin, with <img> and with fetch.
    await page.goto(shop.url);
    const embedding = await page.evaluate(`(async (link) => {
      const img = document.body.appendChild(new Image());
      img.src = link;
      await img.decode();
      return [img.naturalWidth, (await fetch(link)).headers.get('content-type')];
    })(${JSON.stringify(image.link)})`);
    assert.deepEqual(embedding, [400, 'image/png']);
    const response = await page.request.get(image.link, {
      headers: { accept: 'image/avif,image/webp,*/*;q=0.8' },
    });
    assert.equal(response.headers()['content-type'], 'image/webp');
    await page.close();
  });

  test('shows the pages of a server that a proxy serves below a path', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    let inner = '';
    const proxy = await startProxyBelow('/media', () => inner);
    t.after(() => proxy.close());
    const server = await startServer({ VITRINE_PUBLIC_URL: proxy.url });
    t.after(() => server.close());
    inner = server.url;
    const page = await browser.newPage();
    t.after(() => page.close());
    const problems: string[] = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('response', (answer) => answer.status() >= 400 && problems.push(answer.url()));
    page.on('requestfailed', (request) => problems.push(request.url()));
    await page.goto(`${proxy.url}/`);
    assert.equal(await page.evaluate('document.styleSheets.length'), 1);
    const operation = page.getByText('Upload a PNG, JPEG or WebP image').first();
    await page.locator('a').first().click();
    await operation.waitFor();
    assert.equal(page.url(), `${proxy.url}/docs/api`);
    await page.goto(`${proxy.url}/docs`);
    await operation.waitFor();
    assert.equal(page.url(), `${proxy.url}/docs/api`);
    assert.deepEqual(problems, []);
    const { link } = await server.addImage(await picture(3));
    await page.goto(link);
    assert.equal(await page.evaluate('document.images[0].naturalWidth'), 400);
  });

  test('uploads, lists and reads the response headers from an allowed origin only', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const corsServer = await startServer({ VITRINE_CORS_ORIGINS: new URL(shop.url).origin });
    t.after(() => corsServer.close());
    const otherSite = await startSite();
    t.after(() => otherSite.close());
    const bytes = [...(await picture(10))];
    const page = await browser.newPage();
    t.after(() => page.close());
    const uploadFrom = async (url: string) => {
      await page.goto(url);
      return page.evaluate(
        async ({ images, authorization, bytes }) => {
          const headers = { authorization, 'x-idempotency-key': 'from-a-page' };
          const form = new FormData();
          form.append('image', new Blob([new Uint8Array(bytes)]), 'a.jpg');
          try {
            const upload = await fetch(images, { method: 'POST', body: form, headers });
            const list = await fetch(images, { headers: { authorization, 'x-moov-version': 'latest' } });
            const names = [
              'x-total-count',
              'x-moov-version',
              'x-request-id',
              'ratelimit',
              'ratelimit-policy',
            ];
            return { status: upload.status, values: names.map((name) => list.headers.get(name)) };
          } catch (error) {
            return { status: String(error), values: [] };
          }
        },
        {
          images: `${corsServer.url}/accounts/${ACCOUNT}/images`,
          authorization: corsServer.authorization,
          bytes,
        },
      );
    };
    const otherUpload = await uploadFrom(otherSite.url);
    assert.match(String(otherUpload.status), /Failed to fetch/);
    const { status, values } = await uploadFrom(shop.url);
    assert.equal(status, 201);
    const [total, version, requestID, rateLimit, policy] = values;
    assert.equal(total, '1', 'the page of the other origin added nothing');
    assert.equal(version, 'v2026.10.00');
    assert.ok(requestID);
    assert.match(rateLimit ?? '', /"address";r=\d+;t=\d+, "key";r=\d+;t=\d+/);
    assert.match(policy ?? '', /"address";q=2000;w=2/);
  });

  test('reads the pixels of a public picture on any origin, and sends conditional requests', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const { link } = await server.addImage(
      await sharp({ create: { width: 60, height: 60, channels: 3, background: '#336699' } })
        .png()
        .toBuffer(),
    );
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(shop.url);
    // The function is a text, because these sources have no types of the DOM.
    const result = (await page.evaluate(`(async (link) => {
      const img = new Image();
      img.crossOrigin = 'anonymous';
      img.src = link + '?size=60x60&format=png';
      await img.decode();
      const context = document.createElement('canvas').getContext('2d');
      context.drawImage(img, 0, 0);
      // getImageData throws if CORS does not allow the page to read the pixels.
      const pixel = [...context.getImageData(30, 30, 1, 1).data];
      const first = await fetch(link, { cache: 'no-store' });
      const etag = first.headers.get('etag');
      const again = await fetch(link, { cache: 'no-store', headers: { 'if-none-match': etag } });
      const unknown = await fetch(new URL(link).origin + '/images/unknown');
      return { pixel, etag, statuses: [first.status, again.status, unknown.status] };
    })(${JSON.stringify(link)})`)) as { pixel: number[]; etag: string; statuses: number[] };
    assert.deepEqual(result.pixel, [0x33, 0x66, 0x99, 255]);
    assert.match(result.etag, /^W\//);
    assert.deepEqual(result.statuses, [200, 304, 404]);
  });

  test('blocks an upload with credentials from a page of another origin', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const image = await server.addImage(await picture(9));
    const page = await browser.newPage();
    await page.goto(shop.url);
    const outcome = await page.evaluate(
      async ([link, authorization]) => {
        const [origin = '', publicID = ''] = (link ?? '').split('/images/');
        const form = new FormData();
        form.append('image', new Blob(['x']));
        const headers = { authorization: authorization ?? '' };
        const url = `${origin}/accounts/3a4ed2d9-03e1-4b0e-b45f-2a9ca72f8adb/images`;
        const answer = await fetch(url, { method: 'POST', body: form, headers }).catch((error: unknown) =>
          String(error),
        );
        return typeof answer === 'string' ? answer : `answered ${answer.status} for ${publicID}`;
      },
      [image.link, server.authorization],
    );
    assert.match(outcome, /Failed to fetch/);
    await page.close();
  });
});
