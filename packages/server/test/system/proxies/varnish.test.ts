/**
 * `ops/varnish` in front of three nodes. Varnish stores pictures until a node purges them by their public ID.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { jpeg } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { waitFor } from '../../support/waiting.ts';
import { describeCache, storedAnswer } from './caching.ts';
import { describeProxy } from './expectations.ts';
import { startProgram, VARNISH } from './programs.ts';
import { CLIENT_HEADERS, send } from './requests.ts';
import { setUpProxy } from './setup.ts';

const { setup, skip } = await setUpProxy(VARNISH);

describe('Varnish', { skip }, () => {
  if (!setup) return;
  const { proxy } = setup;
  describeProxy(setup);
  describeCache(setup);

  test('shows a picture until it is purged, and then the new one in every size and format', async () => {
    const image = await proxy.addImage(await jpeg({ seed: 600 }));
    const other = proxy.url + (await setup.addPicture());
    const url = proxy.url + new URL(image.link).pathname;
    const variants = ['', '?size=50x50', '?size=60x60&format=png'].flatMap((query) =>
      CLIENT_HEADERS.map((accept) => ({ url: url + query, headers: accept === undefined ? {} : { accept } })),
    );
    const before = new Map<(typeof variants)[number], string>();
    for (const variant of variants) {
      const { headers } = await send(variant.url, variant.headers);
      before.set(variant, headers.etag ?? '');
    }
    await storedAnswer(other);
    const replaced = await proxy.upload(await jpeg({ seed: 601 }), { replace: image.imageID });
    assert.equal(replaced.status, 200, await replaced.text());
    for (const variant of variants) {
      const { headers } = await send(variant.url, variant.headers);
      assert.equal(headers.etag, before.get(variant));
      assert.equal(headers['x-cache'], 'HIT');
    }
    const purged = await send(url, {}, 'PURGE');
    assert.equal(purged.status, 200);
    // The other nodes may know the old record for some seconds. The mark of the purge ends that in the cache.
    for (const variant of variants) {
      await waitFor(`the new picture for ${JSON.stringify(variant)}`, async () => {
        const { headers } = await send(variant.url, variant.headers);
        return headers.etag !== before.get(variant);
      });
    }
    assert.equal((await send(other)).headers['x-cache'], 'HIT', 'only the purged picture is gone');
  });

  test('refuses a purge without a public ID', async () => {
    for (const path of ['/', '/images/', '/accounts'])
      assert.equal((await send(proxy.url + path, {}, 'PURGE')).status, 400);
  });

  test('refuses a purge by another address than that of a node', async () => {
    const purge = await send(
      proxy.url + (await setup.addPicture()),
      { 'x-forwarded-for': '127.0.0.1' },
      'PURGE',
    );
    assert.equal(purge.status, 200, 'this machine is a node');
    const strict = {
      ...VARNISH,
      configure: (text: string, ...rest: [number, readonly number[], string]) =>
        VARNISH.configure(text, ...rest).replace('"localhost";', '"192.0.2.1";'),
    };
    const port = await freePort();
    const program = await startProgram(strict, port, setup.nodes.ports);
    try {
      const headers = { 'x-forwarded-for': '192.0.2.1' };
      const { status } = await send(`http://127.0.0.1:${port}/images/some`, headers, 'PURGE');
      assert.equal(status, 403);
    } finally {
      await program.stop();
    }
  });

  test('a picture that a node began to send before the purge does not stay', async (t) => {
    // A node that holds an answer until the test lets it go.
    const held: ServerResponse[] = [];
    let version = 'old';
    const node = createServer((request, response) => {
      if (request.url?.startsWith('/readyz')) response.end('{}');
      else if (request.url?.endsWith('hold=1') && version === 'old') held.push(response);
      else answer(response, version);
    });
    const answer = (response: ServerResponse, body: string) =>
      response.writeHead(200, { 'cache-control': 'public, max-age=3600', vary: 'Accept' }).end(body);
    await once(node.listen(0, '127.0.0.1'), 'listening');
    const nodePort = (node.address() as AddressInfo).port;
    const port = await freePort();
    const program = await startProgram(VARNISH, port, [nodePort, nodePort, nodePort]);
    t.after(async () => {
      await program.stop();
      node.closeAllConnections();
      node.close();
    });
    const url = `http://127.0.0.1:${port}/images/picture?hold=1`;
    const first = send(url);
    await waitFor('the node has the request', () => held.length === 1);
    version = 'new';
    assert.equal((await send(url, {}, 'PURGE')).status, 200);
    assert.equal((await send(url, {}, 'PURGE')).status, 200);
    for (const response of held) answer(response, 'old');
    assert.equal((await first).body.toString(), 'old');
    await waitFor('the old picture is gone', async () => (await send(url)).body.toString() === 'new');
  });
});
