/**
 * The API reference at `/docs/api` in a real browser. It shows every operation, and its forms contain nothing
 * invented. Users can upload images and see them.
 */
import assert from 'node:assert/strict';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
import { PLACEHOLDERS } from '../../../src/http/shared/examples.ts';
import { launchBrowser } from '../../support/browser.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, type ImageJSON, KEY, startServer, type TestServer } from '../../support/server.ts';

const NO_BROWSER = 'there is no Chromium on this machine';
const PREFIX = '/library';
/** One operation for each kind of form. `test/http/system/reference.test.ts` checks all of them. */
const FORMS = [
  'listImageMetadata',
  'uploadImage',
  'updateImageMetadata',
  'getPublicImage',
  'createProduct',
  'createLineItems',
  'createKey',
  'createAccessToken',
  'revokeAccessToken',
];

let server: TestServer;
let browser: Browser | undefined;
let proxy: Server;
before(async () => {
  server = await startServer({ VITRINE_RATE_LIMIT: '0' });
  browser = await launchBrowser();
  proxy = await startProxy(server.url);
});
after(async () => {
  await browser?.close();
  proxy.close();
  proxy.closeAllConnections();
  await server.close();
});

/** Starts a proxy that serves the server under a prefix. */
async function startProxy(target: string): Promise<Server> {
  const proxy = createServer((incoming, outgoing) => {
    const { method = 'GET', url = '/', headers } = incoming;
    if (!url.startsWith(`${PREFIX}/`)) return outgoing.writeHead(404).end('outside the prefix');
    const forwarded = request(new URL(target + url.slice(PREFIX.length)), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    return incoming.pipe(forwarded);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

interface Reference {
  readonly page: Page;
  /** Errors in the console, such as violations of the Content-Security-Policy. */
  readonly problems: string[];
  /** Requests for another host. */
  readonly strangers: string[];
  operation(id: string): Locator;
}

/** Opens the reference and waits for its operations. */
async function openReference(browser: Browser, url: string): Promise<Reference> {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  const strangers: string[] = [];
  const { origin } = new URL(url);
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin && !request.url().startsWith('data:'))
      strangers.push(request.url());
  });
  await page.goto(url);
  await page.locator('.opblock').first().waitFor();
  return { page, problems, strangers, operation: (id) => page.locator(`.opblock[id$="-${id}"]`) };
}

/** Opens the form of an operation. */
async function tryOut(operation: Locator): Promise<void> {
  await operation.locator('.opblock-summary-control').click();
  await operation.getByRole('button', { name: 'Try it out' }).click();
  await operation.getByRole('button', { name: 'Execute' }).waitFor();
}

/** Sends a form, and returns the status that the page shows. */
async function execute(operation: Locator): Promise<string> {
  await operation.getByRole('button', { name: 'Execute' }).click();
  return operation.locator('.live-responses-table tbody .response-col_status').first().innerText();
}

async function logIn(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Authorize' }).first().click();
  const dialog = page.locator('.auth-container').filter({ hasText: 'basicAuth' });
  await dialog.locator('input').first().fill(KEY.publicKey);
  await dialog.locator('input[type=password]').fill(KEY.secretKey);
  await dialog.getByRole('button', { name: 'Apply' }).click();
  await dialog.getByRole('button', { name: 'Close' }).click();
}

describe('the API reference', () => {
  test('shows every operation with its examples, without an error or a request for another host', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const { page, problems, strangers, operation } = await openReference(browser, `${server.url}/docs/api`);
    t.after(() => page.close());
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: object };
    const count = Object.values(paths).flatMap((path: object) => Object.keys(path)).length;
    assert.ok(count >= 18);
    assert.equal(await page.locator('.opblock').count(), count);

    const wrong: string[] = [];
    for (const id of FORMS) {
      const form = operation(id);
      await tryOut(form);
      const inputs = form.locator('input:not([type=checkbox], [type=file]), textarea');
      const values = await inputs.evaluateAll((all) => all.map((one) => (one as { value: string }).value));
      const samples = await form.locator('.responses-inner .example').allInnerTexts();
      for (const value of values) if (isInvented(value)) wrong.push(`${id} is filled with ${value}`);
      for (const sample of samples)
        if (/"string"|^string$/.test(sample.trim())) wrong.push(`${id} has the sample ${sample}`);
      // Open operations make the page slow.
      await form.locator('.opblock-summary-control').click();
    }
    assert.deepEqual(wrong, []);
    assert.deepEqual(problems, []);
    assert.deepEqual(strangers, []);
  });

  test('sends nothing while a required ID is empty', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const { page, operation } = await openReference(browser, `${server.url}/docs/api`);
    t.after(() => page.close());
    const requests: string[] = [];
    page.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));
    const disable = operation('disableImage');
    await tryOut(disable);
    await disable.getByRole('button', { name: 'Execute' }).click();
    await disable.locator('.invalid').first().waitFor();
    assert.deepEqual(requests, []);
  });

  test('uploads an image and shows it, also behind a proxy with a prefix', async (t) => {
    if (!browser) return t.skip(NO_BROWSER);
    const { port } = proxy.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}${PREFIX}/docs/api`;
    const { page, problems, operation } = await openReference(browser, url);
    t.after(() => page.close());
    await logIn(page);

    const upload = operation('uploadImage');
    await tryOut(upload);
    await upload.getByPlaceholder('accountID').fill(ACCOUNT);
    const file = async (name: string, n: number) => ({
      name,
      mimeType: 'image/jpeg',
      buffer: await picture(n),
    });
    await upload.locator('input[type=file]').setInputFiles(await file('plain.jpg', 1));
    assert.equal(await execute(upload), '201');
    await upload.getByRole('button', { name: 'Clear' }).click();
    await upload.locator('input[type=file]').setInputFiles(await file('described.jpg', 2));
    await upload.getByPlaceholder('metadata').fill('{"altText": "A lamp"}');
    assert.equal(await execute(upload), '201');
    const { body } = await server.send<ImageJSON[]>('GET', `/accounts/${ACCOUNT}/images`);
    assert.deepEqual(
      body.map(({ altText }) => altText),
      ['A lamp', undefined],
      'an empty field is not sent',
    );

    const show = operation('getPublicImage');
    await tryOut(show);
    await show.getByPlaceholder('publicID').fill(body[0]?.publicID ?? '');
    assert.equal(await execute(show), '200');
    const image = show.locator('.live-responses-table img');
    await image.waitFor();
    const width = await image.evaluate(async (element) => {
      const picture = element as unknown as { decode(): Promise<void>; naturalWidth: number };
      await picture.decode();
      return picture.naturalWidth;
    });
    assert.equal(width, 400);
    const link = page.getByRole('link', { name: 'openapi.json' });
    const target = await link.evaluate((element) => (element as unknown as { href: string }).href);
    assert.equal(new URL(target).pathname, `${PREFIX}/openapi.json`);
    assert.deepEqual(problems, []);
  });
});

/** True for a value that Swagger UI invents, and for an ID or a secret. */
function isInvented(value: string): boolean {
  const invented = ['string', ...Object.values(PLACEHOLDERS)];
  return invented.some((text) => value.includes(text)) || /[0-9a-f]{8}(-[0-9a-f]{4}){3}-/.test(value);
}
