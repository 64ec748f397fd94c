/**
 * What a person sees: the public link and the API reference, in a real browser.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { launchBrowser } from '../../support/browser.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

let server: TestServer;
let browser: Browser | undefined;
// Somebody else's page.
const elsewhere = createServer((_request, response) =>
  response.setHeader('content-type', 'text/html').end('<p>Shop'),
);
let elsewhereURL: string;
before(async () => {
  server = await startServer();
  browser = await launchBrowser();
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  elsewhereURL = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`;
});
after(async () => {
  await browser?.close();
  elsewhere.close();
  await server.close();
});

describe('in a browser', () => {
  test('a public link shows the picture, in any size and on any page', async (t) => {
    if (!browser) return t.skip('there is no Chromium on this machine');
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
      const shown = await page.evaluate(
        '[document.images[0].naturalWidth, document.images[0].naturalHeight]',
      );
      assert.deepEqual(shown, [width, height], query);
    }
    // On a page of another origin, as <img> and through fetch.
    await page.goto(elsewhereURL);
    const embedded = await page.evaluate(`(async (link) => {
      const img = document.body.appendChild(new Image());
      img.src = link;
      await img.decode();
      return [img.naturalWidth, (await fetch(link)).headers.get('content-type')];
    })(${JSON.stringify(image.link)})`);
    assert.deepEqual(embedded, [400, 'image/png']);
    const accepted = await page.request.get(image.link, {
      headers: { accept: 'image/avif,image/webp,*/*;q=0.8' },
    });
    assert.equal(accepted.headers()['content-type'], 'image/webp');
    await page.close();
  });

  test('the API reference works offline and shows every operation', async (t) => {
    if (!browser) return t.skip('there is no Chromium on this machine');
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(String(error)));
    const foreign: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !request.url().startsWith('data:'))
        foreign.push(request.url());
    });
    await page.goto(`${server.url}/docs/api`);
    await page.locator('.opblock').first().waitFor();
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: object };
    const operations = Object.values(paths).flatMap((path: object) => Object.keys(path));
    assert.ok(operations.length >= 18);
    assert.equal(await page.locator('.opblock').count(), operations.length);
    await page.locator('#operations-Images-uploadImage .opblock-summary').click();
    await page.locator('#operations-Images-uploadImage .opblock-body').waitFor();
    assert.deepEqual(problems, []);
    assert.deepEqual(foreign, []);
    await page.close();
  });

  test('a page of an allowed origin uploads, reads what it is told, and lists; one of another origin does not', async (t) => {
    if (!browser) return t.skip('there is no Chromium on this machine');
    const open = await startServer({ VITRINE_CORS_ORIGINS: new URL(elsewhereURL).origin });
    t.after(() => open.close());
    const stranger = createServer((_request, response) =>
      response.setHeader('content-type', 'text/html').end('<p>Other'),
    );
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    t.after(() => stranger.close());
    const strangerURL = `http://127.0.0.1:${(stranger.address() as AddressInfo).port}/`;
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
            const listed = await fetch(images, { headers: { authorization, 'x-moov-version': 'latest' } });
            const seen = ['x-total-count', 'x-moov-version', 'x-request-id', 'ratelimit', 'ratelimit-policy'];
            return { status: upload.status, seen: seen.map((name) => listed.headers.get(name)) };
          } catch (error) {
            return { status: String(error), seen: [] };
          }
        },
        { images: `${open.url}/accounts/${ACCOUNT}/images`, authorization: open.authorization, bytes },
      );
    };
    const refused = await uploadFrom(strangerURL);
    assert.match(String(refused.status), /Failed to fetch/);
    const { status, seen } = await uploadFrom(elsewhereURL);
    assert.equal(status, 201);
    const [total, version, requestID, standing, policy] = seen;
    assert.equal(total, '1', 'the stranger added nothing');
    assert.equal(version, 'v2026.10.00');
    assert.ok(requestID);
    assert.match(standing ?? '', /"address";r=\d+;t=\d+, "key";r=\d+;t=\d+/);
    assert.match(policy ?? '', /"address";q=2000;w=2/);
  });

  test('a page of any origin draws a public picture on a canvas and reads it, and asks for it conditionally', async (t) => {
    if (!browser) return t.skip('there is no Chromium on this machine');
    const { link } = await server.addImage(
      await sharp({ create: { width: 60, height: 60, channels: 3, background: '#336699' } })
        .png()
        .toBuffer(),
    );
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(elsewhereURL);
    // As text, because it speaks of a document, which nothing here has.
    const seen = (await page.evaluate(`(async (link) => {
      const img = new Image();
      img.crossOrigin = 'anonymous';
      img.src = link + '?size=60x60&format=png';
      await img.decode();
      const context = document.createElement('canvas').getContext('2d');
      context.drawImage(img, 0, 0);
      // Throws if the picture may be shown, but not read.
      const pixel = [...context.getImageData(30, 30, 1, 1).data];
      const first = await fetch(link, { cache: 'no-store' });
      const etag = first.headers.get('etag');
      const again = await fetch(link, { cache: 'no-store', headers: { 'if-none-match': etag } });
      const unknown = await fetch(new URL(link).origin + '/images/unknown');
      return { pixel, etag, statuses: [first.status, again.status, unknown.status] };
    })(${JSON.stringify(link)})`)) as { pixel: number[]; etag: string; statuses: number[] };
    assert.deepEqual(seen.pixel, [0x33, 0x66, 0x99, 255]);
    assert.match(seen.etag, /^W\//);
    assert.deepEqual(seen.statuses, [200, 304, 404]);
  });

  test('a page of another site cannot change anything with credentials that the browser holds', async (t) => {
    if (!browser) return t.skip('there is no Chromium on this machine');
    const image = await server.addImage(await picture(9));
    const page = await browser.newPage();
    await page.goto(elsewhereURL);
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
