/**
 * Tests the client in a real browser against a real server, over HTTP/1.1 and HTTP/2.
 */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser } from '../../server/test/support/browser.ts';
import { png } from '../../server/test/support/pictures.ts';
import { ACCOUNT, KEY, startServer, type TestServer } from '../../server/test/support/server.ts';
import { type Site, startSite } from './site.ts';

type Client = typeof import('@vitrine/client');

/** The input of the functions that run in the page. They cannot use variables of this file. */
interface PageInput {
  readonly client: string;
  readonly serverURL: string;
  readonly accountID: string;
  readonly security: { readonly username: string; readonly password: string };
  /** A new picture, as Base64. */
  readonly picture: string;
}

let browser: Browser | undefined;
let server: TestServer;
const sites: Partial<Record<'http1' | 'http2', Site>> = {};
let seed = 1;
before(async () => {
  browser = await launchBrowser();
  if (!browser) return;
  server = await startServer();
  for (const protocol of ['http1', 'http2'] as const) {
    const site = await startSite(server.url, protocol);
    if (site) sites[protocol] = site;
  }
});
after(async () => {
  await browser?.close();
  await Promise.all(Object.values(sites).map((site) => site.close()));
  await server?.close();
});

/** Runs a function in a page of a site. An uncaught error of the page fails the test. */
async function inPage<Result>(
  t: TestContext,
  protocol: 'http1' | 'http2',
  work: (input: PageInput) => Promise<Result>,
  serverURL?: string,
): Promise<Result | undefined> {
  if (!browser) return void t.skip('Chromium is not installed');
  const site = sites[protocol];
  if (!site) return void t.skip('OpenSSL, which makes the certificate for HTTP/2, is not installed');
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  try {
    const page: Page = await context.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(site.url);
    const picture = (await png({ width: 700, height: 500, seed: seed++ })).toString('base64');
    const security = { username: KEY.publicKey, password: KEY.secretKey };
    const input = { client: '/client/index.ts', accountID: ACCOUNT, security, picture };
    const result = await page.evaluate(work, { ...input, serverURL: serverURL ?? site.url });
    assert.deepEqual(errors, []);
    return result;
  } finally {
    await context.close();
  }
}

for (const protocol of ['http1', 'http2'] as const) {
  describe(`in a browser, over ${protocol}`, () => {
    test('every operation works', async (t) => {
      const done = await inPage(t, protocol, async ({ client, serverURL, accountID, security, picture }) => {
        const { Vitrine, DuplicateImageError, imageURL } = (await import(client)) as Client;
        const vitrine = new Vitrine({ serverURL, security });
        const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
        const { result: uploaded } = await vitrine.images.upload({
          accountID,
          image: new File([bytes], 'lamp.png'),
          metadata: { altText: 'A lamp' },
        });
        const { imageID, publicID } = uploaded;
        const outcomes: Record<string, unknown> = { date: uploaded.createdOn instanceof Date };
        // The same bytes as every other type of content.
        for (const image of [bytes, new Blob([bytes]), new Blob([bytes]).stream(), bytes.buffer]) {
          const error = await vitrine.images.upload({ accountID, image }).catch((thrown) => thrown);
          if (!(error instanceof DuplicateImageError) || error.existing?.imageID !== imageID) throw error;
        }
        const page = await vitrine.images.list({ accountID, count: 1 });
        outcomes.newest = page.result[0]?.imageID === imageID;
        let all = 0;
        for await (const _ of vitrine.images.list({ accountID, count: 2 })) all += 1;
        outcomes.all = all === Number(page.headers['x-total-count']);
        const same = await vitrine.images.getMetadata({ accountID, imageID });
        outcomes.same = JSON.stringify(same.result) === JSON.stringify(uploaded);
        outcomes.described = (
          await vitrine.images.updateMetadata({ accountID, imageID, altText: 'b' })
        ).result.altText;
        // The same picture with other bytes: decoders ignore bytes after the end.
        const longer = new Blob([bytes, new Uint8Array(1)]);
        const updated = await vitrine.images
          .update({ accountID, imageID, image: longer })
          .catch((thrown) => thrown);
        outcomes.updated = updated.result?.imageID === imageID || updated.name;
        const rendition = await vitrine.images.getPublic({ publicID, size: '60x0', format: 'webp' });
        const blob = await new Response(rendition.result ?? null).blob();
        outcomes.type = rendition.headers['content-type'];
        // biome-ignore lint/suspicious/noExplicitAny: this code runs in the page; Node's types lack the DOM.
        const dom = globalThis as any;
        const bitmap = await dom.createImageBitmap(blob);
        outcomes.shown = bitmap.width;
        const link = new URL(new URL(imageURL(uploaded.link, { size: { width: 50 } })).pathname, serverURL);
        link.search = '?size=50x0';
        const element = new dom.Image();
        element.src = link.href;
        await element.decode();
        outcomes.element = element.naturalWidth;
        const price = { currency: 'USD', valueDecimal: '4.99' };
        const product = { title: 'Lamp', basePrice: price, images: [{ imageID }] };
        const { productID } = (await vitrine.products.create({ accountID, ...product })).result;
        const { result: usage } = await vitrine.images.usage({ accountID, imageID });
        outcomes.used = usage.products[0]?.productID === productID;
        outcomes.renamed = (
          await vitrine.accounts.update({ accountID, displayName: 'Shop' })
        ).result.displayName;
        const { username: clientId, password: clientSecret } = security;
        const grant = { grantType: 'client_credentials', clientId, clientSecret } as const;
        const anonymous = new Vitrine({ serverURL });
        const { result: token } = await anonymous.authentication.createAccessToken(grant);
        outcomes.token = (await new Vitrine({ serverURL, security: token }).ping.ping()) !== undefined;
        // A login dialog would block the call, so the browser must not open one.
        outcomes.wrongSecret = await anonymous.authentication
          .createAccessToken({ ...grant, clientSecret: 'wrong' })
          .catch((error) => error.status);
        await vitrine.images.delete({ accountID, imageID });
        const disabled = await vitrine.images.getMetadata({ accountID, imageID });
        outcomes.disabled = disabled.result.disabledOn instanceof Date;
        return outcomes;
      });
      if (!done) return;
      assert.deepEqual(done, {
        date: true,
        newest: true,
        all: true,
        same: true,
        described: 'b',
        updated: true,
        type: ['image/webp'],
        shown: 60,
        element: 50,
        used: true,
        renamed: 'Shop',
        token: true,
        wrongSecret: 401,
        disabled: true,
      });
    });

    test('errors, aborts, timeouts and lost connections are the same as in Node', async (t) => {
      const names = await inPage(t, protocol, async ({ client, serverURL, accountID, security, picture }) => {
        const { Vitrine } = (await import(client)) as Client;
        const vitrine = new Vitrine({ serverURL, security });
        const wrongKey = new Vitrine({ serverURL, security: { username: 'ü', password: 'b' } });
        const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
        const controller = new AbortController();
        const onProgress = () => controller.abort(new Error('the user left'));
        const calls = [
          // A login dialog would block the call, so the browser must not open one.
          () => wrongKey.ping.ping(),
          () => vitrine.images.upload({ accountID, image: new Uint8Array(9) }),
          () => vitrine.images.upload({ accountID, image: bytes }, { onProgress, signal: controller.signal }),
          () => vitrine.ping.ping({ timeoutMs: 0.001 }),
          () => vitrine.ping.ping({ serverURL: 'http://localhost:1' }),
        ];
        const names: string[] = [];
        for (const call of calls)
          names.push(
            await call().then(
              () => 'no error',
              (error) => `${error.name} ${error.status ?? ''}`,
            ),
          );
        return names;
      });
      if (!names) return;
      assert.deepEqual(names, [
        'APIError 401',
        'ImageRequestValidationError 422',
        'Error ',
        'TimeoutError ',
        'ConnectionError ',
      ]);
    });
  });
}

describe('progress in a browser', () => {
  /** Records the progress of three uploads. The second one is a stream. */
  const recordProgress = async ({ client, serverURL, accountID, security, picture }: PageInput) => {
    const { Vitrine } = (await import(client)) as Client;
    const vitrine = new Vitrine({ serverURL, security });
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const all: { sent: number; total?: number }[][] = [];
    for (const image of [bytes, new Blob([bytes]).stream(), bytes]) {
      const steps: { sent: number; total?: number }[] = [];
      const call = vitrine.images.upload({ accountID, image }, { onProgress: (step) => steps.push(step) });
      await call.catch((error) => error.name === 'DuplicateImageError' || Promise.reject(error));
      all.push(steps);
    }
    return { size: bytes.length, all };
  };

  test('over HTTP/1.1 is reported only at the start and at the end', async (t) => {
    const requests = sites.http1?.requests.length ?? 0;
    const progress = await inPage(t, 'http1', recordProgress);
    if (!progress) return;
    const { size, all } = progress;
    const whole = [
      { sent: 0, total: size },
      { sent: size, total: size },
    ];
    assert.deepEqual(all, [whole, [{ sent: 0 }, { sent: size }], whole]);
    const uploads = sites.http1?.requests.slice(requests).filter((line) => line.startsWith('POST'));
    assert.equal(uploads?.length, 3, 'a streaming attempt reached the server');
  });

  test('over HTTP/2 is reported in steps', async (t) => {
    const progress = await inPage(t, 'http2', recordProgress);
    if (!progress) return;
    for (const steps of progress.all) {
      assert.ok(steps.length > 5, `${steps.length} steps for ${progress.size} bytes`);
      assert.equal(steps.at(-1)?.sent, progress.size);
    }
  });
});

describe('on a page of another origin', () => {
  test('the client works if the server allows the origin', async (t) => {
    if (!sites.http1) return t.skip('Chromium is not installed');
    const corsServer = await startServer({ VITRINE_CORS_ORIGINS: sites.http1.url });
    try {
      const outcome = await inPage(
        t,
        'http1',
        async ({ client, serverURL, accountID, security, picture }) => {
          const { Vitrine } = (await import(client)) as Client;
          const vitrine = new Vitrine({ serverURL, security });
          const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
          const { result, headers } = await vitrine.images.upload({ accountID, image: bytes });
          let all = 0;
          for await (const _ of vitrine.images.list({ accountID, count: 1 })) all += 1;
          const { publicID } = result;
          const rendition = await vitrine.images.getPublic({ publicID });
          await rendition.result?.cancel();
          return { all, identified: 'x-request-id' in headers, type: rendition.headers['content-type'] };
        },
        corsServer.url,
      );
      assert.deepEqual(outcome, { all: 1, identified: true, type: ['image/jpeg'] });
    } finally {
      await corsServer.close();
    }
  });
});
