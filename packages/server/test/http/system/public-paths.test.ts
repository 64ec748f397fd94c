/**
 * Paths in pages, redirects, links and headers of a server that a proxy serves below a path of its own. The
 * proxy has already removed that path from these requests. test/system/browser has the proxy and the browser.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { publicPathOf, withPublicPaths } from '../../../src/http/shared/public-paths.ts';
import { picture } from '../../support/sample.ts';
import { ACCOUNT, startServer, type TestServer } from '../../support/server.ts';

describe('a public path', () => {
  const cases: [string | undefined, string][] = [
    [undefined, '/docs/api'],
    ['https://example.com', '/docs/api'],
    ['https://example.com/media', '/media/docs/api'],
    ['https://example.com/a/b', '/a/b/docs/api'],
    ['https://example.com/a%20b', '/a%20b/docs/api'],
    // Two slashes would make `media` a host.
    ['https://example.com//media', '/media/docs/api'],
  ];
  for (const [publicURL, path] of cases) {
    test(`with the public URL ${publicURL} is ${path}`, () => {
      assert.equal(publicPathOf(publicURL)('/docs/api'), path);
    });
  }

  test('is written into attributes of a page, but not into links to other hosts', () => {
    const html =
      '<a href="/x?a=1">/x</a><img src="/y"><a href="//host/z"><a href="https://host/z"><a href="#top">';
    assert.equal(
      withPublicPaths(html, publicPathOf('https://example.com/r&d')),
      '<a href="/r&amp;d/x?a=1">/x</a><img src="/r&amp;d/y"><a href="//host/z"><a href="https://host/z"><a href="#top">',
    );
    assert.equal(withPublicPaths(html, publicPathOf(undefined)), html);
  });
});

describe('a server with a path in its public URL', () => {
  let server: TestServer;
  before(async () => {
    server = await startServer({ VITRINE_PUBLIC_URL: 'https://example.com/media/' });
  });
  after(() => server.close());

  test('redirects to the API reference below the path', async () => {
    for (const path of ['/docs', '/docs/', '/docs/api/']) {
      const { status, headers } = await server.fetch(path, { redirect: 'manual' });
      assert.deepEqual([status, headers.get('location')], [302, '/media/docs/api']);
    }
  });

  test('writes the path into every link of its pages', async () => {
    for (const path of ['/', '/docs/api']) {
      const html = await (await server.fetch(path)).text();
      // Links are absolute, or relative to the address of the page.
      const links = [...html.matchAll(/(?:href|src)="([^"]*)"/g)]
        .map(([, link = '']) => new URL(link, `https://example.com/media${path}`))
        .filter(({ protocol }) => protocol !== 'data:');
      assert.ok(links.length > 2, html);
      for (const { pathname } of links) {
        assert.match(pathname, /^\/media\//);
        assert.equal((await server.fetch(pathname.slice('/media'.length))).status, 200, pathname);
      }
    }
  });

  test('writes the path into the servers of the OpenAPI document', async () => {
    const document = (await (await server.fetch('/openapi.json')).json()) as { servers: unknown };
    assert.deepEqual(document.servers, [{ url: '/media' }]);
  });

  test('writes the path into public links and into the links to the next page', async () => {
    const image = await server.addImage(await picture(1));
    await server.addImage(await picture(2));
    assert.equal(image.link, `https://example.com/media/images/${image.publicID}`);
    const { headers } = await server.fetch(`/accounts/${ACCOUNT}/images?count=1`);
    const next = `https://example.com/media/accounts/${ACCOUNT}/images?skip=1&count=1`;
    assert.equal(headers.get('link'), `<${next}>; rel="next"`);
  });
});

test('a server without a public URL writes its own paths', async (t) => {
  const server = await startServer();
  t.after(() => server.close());
  const document = (await (await server.fetch('/openapi.json')).json()) as { servers: unknown };
  assert.deepEqual(document.servers, [{ url: '/' }]);
  const answer = await server.fetch('/docs', { redirect: 'manual' });
  assert.equal(answer.headers.get('location'), '/docs/api');
  assert.match(await (await server.fetch('/')).text(), /href="\/style\.css"/);
});
