/**
 * What every proxy has to do. Each test file runs all of it with its own program.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MAX_ORIGINAL_BYTES } from '../../../src/image.ts';
import { ACCOUNT } from '../../support/client.ts';
import { readMetrics } from '../../support/metrics.ts';
import { flat, jpeg, oneTransparentPixel } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { waitFor } from '../../support/waiting.ts';
import type { Nodes } from './nodes.ts';
import { startProgram } from './programs.ts';
import { reduceAccept } from './reduced-accept.ts';
import { type Answer, CLIENT_HEADERS, curlUpload, pngOfSize, randomHeaders, send } from './requests.ts';
import type { ProxySetup } from './setup.ts';

const COUNT = 12;

/** Registers the tests. */
export function describeProxy(setup: ProxySetup): void {
  const { proxy, nodes } = setup;
  const get = (path: string, headers?: Record<string, string>) => send(proxy.url + path, headers);

  describe('the Accept header', () => {
    test('gives the same bytes as without a proxy, for clients and for any mixture', async () => {
      const originals = [
        await jpeg({ seed: 900 }),
        await oneTransparentPixel(64, 64, 3, 3).png().toBuffer(),
        await flat(64, 64, 'olive').png().toBuffer(),
        await flat(64, 64, 'maroon').webp({ lossless: true }).toBuffer(),
      ];
      const formats = new Set<string>();
      for (const original of originals) {
        const path = new URL((await proxy.addImage(original)).link).pathname;
        // Each header meets what the headers before it left in the cache.
        for (const accept of [...CLIENT_HEADERS, ...randomHeaders(150, 7)]) {
          const headers = accept === undefined ? {} : { accept };
          const [behind, direct] = await Promise.all([
            get(path, headers),
            send(nodes.urlOf(0) + path, headers),
          ]);
          assert.deepEqual(summaryOf(behind), summaryOf(direct), `${path} for ${accept}`);
          formats.add(behind.headers['content-type'] ?? '');
        }
      }
      assert.deepEqual([...formats].sort(), ['image/avif', 'image/jpeg', 'image/png', 'image/webp']);
    });

    test('reaches the nodes as docs/caching.md reduces it', async (t) => {
      const node = createServer(({ url = '', headers }, response) => {
        if (url.startsWith('/images/')) response.setHeader('cache-control', 'no-store');
        response.end(JSON.stringify({ accept: headers.accept }));
      });
      await once(node.listen(0, '127.0.0.1'), 'listening');
      const { port: nodePort } = node.address() as AddressInfo;
      const port = await freePort();
      const running = await startProgram(setup.program, port, [nodePort, nodePort, nodePort]);
      t.after(async () => {
        await running.stop();
        node.closeAllConnections();
        node.close();
      });
      for (const [index, accept] of [...CLIENT_HEADERS, ...randomHeaders(600, 23)].entries()) {
        const headers = accept === undefined ? {} : { accept };
        // Each has its own path, because a cache may not ask the node twice.
        const { body } = await send(`http://127.0.0.1:${port}/images/${index}`, headers);
        const { accept: received } = JSON.parse(body.toString()) as { accept?: string };
        assert.equal(received, reduceAccept(accept), String(accept));
      }
    });

    test('is still in Vary, for the caches behind the proxy', async () => {
      const { headers } = await get(await setup.addPicture());
      assert.equal(headers.vary, 'Accept');
      assert.match(headers['cache-control'] ?? '', /max-age=3600/);
    });
  });

  describe('the home node of a picture', () => {
    test('gets all sizes and formats of it, and every node is a home', async () => {
      const paths = await addPictures(setup);
      for (const path of paths) {
        for (const query of ['?size=50x50', '?size=60x60&format=png', '?size=70x70&v=1']) {
          assert.equal((await get(path + query)).status, 200);
        }
      }
      await waitFor('all requests are in the logs', () =>
        paths.every((path) => nodes.servedBy(path).length > 0),
      );
      const homes = new Set(paths.map((path) => setup.homeOf(path)));
      assert.equal(homes.size, nodes.ports.length);
    });

    test('makes a rendition once for many simultaneous requests', async () => {
      const path = await setup.addPicture();
      const before = await countRenders(nodes);
      const requests = Array.from({ length: 20 }, () => get(`${path}?size=111x111`));
      for (const { status } of await Promise.all(requests)) assert.equal(status, 200);
      assert.equal((await countRenders(nodes)) - before, 1);
    });

    test('is another one while it is dead, without an error, and no other picture moves', async () => {
      const paths = await addPictures(setup);
      for (const path of paths) assert.equal((await get(`${path}?size=50x50`)).status, 200);
      await waitFor('all requests are in the logs', () =>
        paths.every((path) => nodes.servedBy(path).length > 0),
      );
      const before = new Map(paths.map((path) => [path, setup.homeOf(path)]));
      const dead = before.get(paths[0] ?? '') ?? 0;
      await nodes.kill(dead);
      for (const path of paths) assert.equal((await get(`${path}?size=60x60`)).status, 200, path);
      const others = paths.filter((path) => before.get(path) !== dead);
      for (const path of others) assert.equal(setup.homeOf(path), before.get(path));
      await nodes.start(dead);
      // New sizes, so that no cache answers for the node.
      const [moved = ''] = paths.filter((path) => before.get(path) === dead);
      let size = 100;
      await waitFor('the node has its pictures again', async () => {
        size += 1;
        assert.equal((await get(`${moved}?size=${size}x${size}`)).status, 200);
        return nodes.running[dead]?.output().includes(`"path":"${moved}"`);
      });
    });

    const exception = setup.program.checksNodes ? '' : ', or gets 503 with Retry-After';
    test(`may stop and start while clients fetch and upload: every request succeeds${exception}`, async () => {
      const paths = await addPictures(setup);
      let isDone = false;
      const failures: string[] = [];
      const note = (method: string, status: number, retryAfter: string | undefined) => {
        const isAllowed = !setup.program.checksNodes && status === 503 && retryAfter !== undefined;
        if (status !== 200 && status !== 201 && !isAllowed) failures.push(`${method} ${status}`);
      };
      const fetchAll = async (from: number) => {
        for (let size = from; !isDone; size += 2) {
          for (const path of paths) {
            const { status, headers } = await get(`${path}?size=${size}x40`);
            note('GET', status, headers['retry-after']);
          }
        }
      };
      const upload = async () => {
        for (let seed = 1_000; !isDone; seed += 1) {
          const response = await proxy.upload(await jpeg({ seed, width: 64, height: 64 }));
          await response.arrayBuffer();
          note('POST', response.status, response.headers.get('retry-after') ?? undefined);
        }
      };
      const load = [fetchAll(30), fetchAll(31), upload()];
      for (const index of nodes.ports.keys()) {
        assert.equal(await nodes.stop(index), 0);
        await nodes.start(index);
        // The proxy uses the node again before the next one stops.
        await waitFor('the node gets requests', () => nodes.running[index]?.output().includes('/images/'));
      }
      isDone = true;
      await Promise.all(load);
      assert.deepEqual(failures, []);
    });
  });

  describe('an upload', () => {
    test('of 16 MiB is accepted, and of one byte more gets the 413 of the node, with curl', async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'vitrine-upload-'));
      t.after(() => rm(folder, { recursive: true }));
      const file = join(folder, 'picture.png');
      const url = `${proxy.url}/accounts/${ACCOUNT}/images`;
      const upload = (more?: readonly string[]) => curlUpload(url, file, proxy.authorization, more);
      await writeFile(file, await pngOfSize(MAX_ORIGINAL_BYTES));
      const accepted = await upload();
      assert.equal(accepted.status, 201, accepted.body);
      await writeFile(file, await pngOfSize(MAX_ORIGINAL_BYTES + 1));
      for (const more of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect:']]) {
        const { status, body } = await upload(more);
        assert.equal(status, 413, body);
        assert.match((JSON.parse(body) as { error: string }).error, /16777216 bytes/);
      }
      await writeFile(file, Buffer.alloc(19 * 1024 * 1024));
      for (const more of [[], ['-H', 'Transfer-Encoding: chunked'], ['-H', 'Expect:']]) {
        const { status, body } = await upload(more);
        assert.equal(status, 413, body);
        assert.ok(typeof (JSON.parse(body) as { error: unknown }).error === 'string', body);
      }
    });

    test('that the node rejects early gets the answer of the node', async () => {
      const response = await fetch(`${proxy.url}/accounts/${ACCOUNT}/images`, {
        method: 'POST',
        headers: {
          authorization: 'Basic d3Jvbmc6d3Jvbmc=',
          'content-type': 'multipart/form-data; boundary=b',
        },
        body: Buffer.alloc(4 * 1024 * 1024),
      });
      assert.equal(response.status, 401, await response.text());
    });
  });

  test('A conditional request gets 304', async () => {
    const path = await setup.addPicture();
    const { headers } = await get(path);
    const answer = await get(path, { 'if-none-match': headers.etag ?? '' });
    assert.equal(answer.status, 304);
    assert.equal(answer.body.length, 0);
    assert.equal(answer.headers.etag, headers.etag);
    assert.equal(answer.headers.vary, 'Accept');
    assert.equal((await get(path, { 'if-none-match': '"other"' })).status, 200);
  });

  test('HEAD gets the headers of GET and no body', async () => {
    const path = await setup.addPicture();
    const head = await send(proxy.url + path, {}, 'HEAD');
    const { headers } = await get(path);
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    for (const name of ['etag', 'content-type', 'content-length', 'vary'])
      assert.equal(head.headers[name], headers[name], name);
  });

  test('The node sees the address of the client, and never one that the client wrote', async () => {
    const path = await setup.addPicture();
    await get(`${path}?size=33x33`, { 'x-forwarded-for': '203.0.113.7' });
    await waitFor('the request is in a log', () => nodes.servedBy(path).length > 0);
    const output = nodes.running.map((node) => node?.output() ?? '').join('\n');
    const line = output.split('\n').find((each) => each.includes(`"path":"${path}"`)) ?? '';
    assert.equal((JSON.parse(line) as { ip: string }).ip, '127.0.0.1');
  });

  test('The metrics and the readiness of a node are not public', async () => {
    for (const path of ['/metrics', '/readyz', '/readyz?for=reads']) {
      const { status, headers } = await get(path);
      assert.equal(status, 404, path);
      assert.match(headers['content-type'] ?? '', /^application\/json/);
    }
    assert.equal((await get('/livez')).status, 200);
  });
}

function summaryOf({ status, headers, body }: Answer) {
  return { status, type: headers['content-type'], etag: headers.etag, bytes: body.length };
}

async function countRenders(nodes: Nodes): Promise<number> {
  let count = 0;
  for (const index of nodes.ports.keys()) {
    const metrics = await readMetrics({ url: nodes.urlOf(index) });
    for (const line of metrics.all('vitrine_render_duration_seconds_count'))
      count += Number(line.split(' ').at(-1));
  }
  return count;
}

async function addPictures(setup: ProxySetup): Promise<string[]> {
  const paths: string[] = [];
  for (let number = 0; number < COUNT; number += 1) paths.push(await setup.addPicture());
  return paths;
}
