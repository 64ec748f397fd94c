/** Purges of a cache by complete servers: when they are sent, by which server, and what failures do. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { openPostgres } from '../../../src/database/postgres/postgres.ts';
import { linkOn, type Nodes, startNodes } from '../../delivery/nodes.ts';
import { readMetrics } from '../../support/metrics.ts';
import { jpeg } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { startPostgres } from '../../support/postgres.ts';
import { ACCOUNT, type ImageJSON, startServer } from '../../support/server.ts';
import { waitFor } from '../../support/waiting.ts';
import { startCache } from './cache-server.ts';

const { postgres, skip } = await startPostgres();
after(() => postgres?.stop());

/** Milliseconds between a change and its purge. */
const VISIBLE_AFTER = 6_000;

/** A log that keeps the messages about purges. */
function purgeLog() {
  const messages: string[] = [];
  const write = (line: string) => {
    const { msg } = JSON.parse(line) as { msg: string };
    if (/purge/.test(msg)) messages.push(msg);
  };
  return { messages, logTo: { write } };
}

describe('a server with a cache in front', { concurrency: true }, () => {
  test('purges a picture once, six seconds after its last change', async (t) => {
    const cache = await startCache();
    t.after(() => cache.close());
    const server = await startServer({ VITRINE_PURGE_URL: cache.purgeURL });
    t.after(() => server.close());
    const [one, two] = [
      await server.addImage(await jpeg({ seed: 1 })),
      await server.addImage(await jpeg({ seed: 2 })),
    ];
    await server.addImage(await jpeg({ seed: 3 }), { replace: one.imageID });
    await server.addImage(await jpeg({ seed: 4 }), { replace: one.imageID });
    await server.send('DELETE', `/accounts/${ACCOUNT}/images/${two.imageID}`);
    const changed = performance.now();
    await waitFor('there is no purge', () => cache.purges.length > 0);
    const [purge] = cache.purges;
    assert.equal(purge?.publicID, one.publicID);
    assert.ok((purge?.at ?? 0) - changed > VISIBLE_AFTER - 1_000, 'the purge is too early');
    // A later change of the other image has its own purge, and the first one is not repeated.
    await server.send('POST', `/accounts/${ACCOUNT}/images/${two.imageID}/enable`);
    await server.send('PUT', `/accounts/${ACCOUNT}/images/${two.imageID}/metadata`, {
      focalPoint: { x: 0, y: 1 },
    });
    await waitFor('there is no second purge', () => cache.purges.length > 1);
    assert.deepEqual(
      cache.purges.map(({ publicID }) => publicID),
      [one.publicID, two.publicID],
    );
  });

  test('repeats a purge until the cache is there, with one warning', async (t) => {
    const port = await freePort();
    const { messages, logTo } = purgeLog();
    const purgeURL = `http://127.0.0.1:${port}/purge/{publicID}?all`;
    const server = await startServer({ VITRINE_PURGE_URL: purgeURL }, { logTo });
    t.after(() => server.close());
    const image = await server.addImage(await jpeg({ seed: 1 }));
    await server.addImage(await jpeg({ seed: 2 }), { replace: image.imageID });
    await waitFor('there is no warning', () => messages.length > 0);
    let failures = 2;
    const cache = await startCache(() => (failures-- > 0 ? 503 : 204), port);
    t.after(() => cache.close());
    await waitFor('there is no success', () => messages.length > 1);
    assert.deepEqual(
      messages.map((text) => text.replace(/:.*/, '')),
      ['caches could not be purged', 'caches are purged again'],
    );
    assert.equal(cache.purges.length, 3);
    const metrics = await readMetrics(server);
    assert.equal(metrics.value('vitrine_purges_total', { outcome: 'sent' }), 1);
    assert.ok(metrics.value('vitrine_purges_total', { outcome: 'failed' }) >= 3);
  });

  test('stops at once while a cache does not answer, and sends the purge after the next start', async (t) => {
    let isHanging = true;
    const cache = await startCache(() => (isHanging ? 'hang' : 404));
    t.after(() => cache.close());
    const server = await startServer({ VITRINE_PURGE_URL: cache.purgeURL });
    const image = await server.addImage(await jpeg({ seed: 1 }));
    await server.addImage(await jpeg({ seed: 2 }), { replace: image.imageID });
    await waitFor('there is no purge', () => cache.purges.length > 0);
    // The server answers as before.
    assert.equal((await fetch(image.link)).status, 200);
    const start = performance.now();
    const restarting = server.restart();
    isHanging = false;
    const again = await restarting;
    t.after(() => again.close());
    assert.ok(performance.now() - start < 5_000, 'the stop waited for the cache');
    await waitFor('the purge is lost', () => cache.purges.length > 1);
  });
});

describe('three servers with a cache in front', { skip }, () => {
  const url = () => {
    assert.ok(postgres);
    return postgres.createDatabase();
  };
  const close = (nodes: Nodes) => () => nodes.close();

  test('purge each picture once, when all of them show it', async (t) => {
    let nodes: Nodes | undefined;
    const images = new Map<string, { image: ImageJSON; etag: string | null }>();
    const early: string[] = [];
    const cache = await startCache(async (publicID) => {
      const { image, etag } = images.get(publicID) ?? {};
      for (const node of nodes?.nodes ?? []) {
        const response = await fetch(linkOn(node, image as ImageJSON, '?size=40x30'));
        await response.arrayBuffer();
        if (response.headers.get('etag') !== etag) early.push(publicID);
      }
      return 200;
    });
    t.after(() => cache.close());
    const database = await url();
    nodes = await startNodes(1, database, { VITRINE_PURGE_URL: cache.purgeURL, VITRINE_SIZE_BUDGET: '0' });
    t.after(close(nodes));
    const [one] = nodes.nodes;
    assert.ok(one);
    // The second hears nothing, so it shows changes as late as possible.
    await nodes.add({ VITRINE_DATABASE_LISTEN: 'postgres://vitrine@127.0.0.1:1/none' });
    await nodes.add();
    const etag = async (index: number, image: ImageJSON) => {
      const node = nodes?.nodes[index];
      assert.ok(node);
      const response = await fetch(linkOn(node, image, '?size=40x30'));
      await response.arrayBuffer();
      return response.headers.get('etag');
    };
    const COUNT = 20;
    for (let i = 0; i < COUNT; i += 1) {
      const image = await one.addImage(await jpeg({ seed: i + 1 }));
      // Read just before the change, so that the record stays as long as possible.
      await Promise.all([etag(1, image), etag(2, image)]);
      await one.addImage(await jpeg({ seed: i + 101 }), { replace: image.imageID });
      images.set(image.publicID, { image, etag: await etag(0, image) });
    }
    await waitFor('purges are missing', () => cache.purges.length >= COUNT);
    await waitFor(
      'purges remain',
      async () => (await postgres?.query(database, 'select 1 from purges'))?.length === 0,
    );
    assert.deepEqual(early, []);
    assert.deepEqual(cache.purges.map(({ publicID }) => publicID).toSorted(), [...images.keys()].toSorted());
  });

  test('send a purge that a dead server has claimed', async (t) => {
    const cache = await startCache();
    t.after(() => cache.close());
    const database = await url();
    const nodes = await startNodes(1, database, { VITRINE_PURGE_URL: cache.purgeURL });
    t.after(close(nodes));
    const [one] = nodes.nodes;
    assert.ok(one);
    const image = await one.addImage(await jpeg({ seed: 1 }));
    await one.addImage(await jpeg({ seed: 2 }), { replace: image.imageID });
    const dead = await openPostgres({ url: database });
    const ids = (await dead.purges.listDue(new Date(), 9)).map(({ purgeID }) => purgeID);
    const until = Date.now() + 9_000;
    assert.equal((await dead.purges.claim(ids, new Date(), new Date(until))).length, 1);
    await dead.close();
    await waitFor('the purge is lost', () => cache.purges.length > 0);
    assert.ok(Date.now() > until, 'the purge was claimed twice');
  });
});
