/**
 * Fifty replaces behind a real Varnish, while clients read all images. After its purge, no image is ever
 * shown as it was before. One of the three servers hears of no change, so it shows each as late as it may.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Node, startNodes } from '../../delivery/nodes.ts';
import { jpeg } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { ImageJSON } from '../../support/server.ts';
import { waitFor } from '../../support/waiting.ts';
import { skip as noVarnish, startVarnish } from './varnish.ts';

const { postgres, skip: noPostgres } = await startPostgres();
after(() => postgres?.stop());

const IMAGES = 50;
const READERS = 6;
/** Reads of each image after its purge. */
const READS_AFTER = 20;

test('a purge never brings the old picture back', { skip: noVarnish || noPostgres }, async (t) => {
  assert.ok(postgres);
  const database = await postgres.createDatabase();
  const port = await freePort();
  const started = await startNodes(1, database, {
    VITRINE_PURGE_URL: `http://127.0.0.1:${port}/images/{publicID}`,
    VITRINE_SIZE_BUDGET: '0',
    VITRINE_RATE_LIMIT: '0',
  });
  t.after(() => started.close());
  await started.add({ VITRINE_DATABASE_LISTEN: 'postgres://vitrine@127.0.0.1:1/none' });
  await started.add();
  const [one] = started.nodes as [Node];
  const varnish = await startVarnish(started.nodes, port);
  t.after(() => varnish.close());

  const read = async ({ link }: ImageJSON, base = varnish.url) => {
    const response = await fetch(new URL(`${new URL(link).pathname}?size=40x30`, base));
    await response.arrayBuffer();
    assert.equal(response.status, 200);
    return response.headers.get('etag') ?? '';
  };
  const images: { image: ImageJSON; old: string; new?: string; readsAfter: number; returned: number }[] = [];
  for (let i = 0; i < IMAGES; i += 1) {
    const image = await one.addImage(await jpeg({ seed: i + 1 }));
    images.push({ image, old: await read(image), readsAfter: 0, returned: 0 });
  }
  let reading = true;
  const readers = Array.from({ length: READERS }, async (_, i) => {
    for (let at = i; reading; at += 1) {
      const each = images[at % IMAGES];
      assert.ok(each);
      const wasPurged = each.readsAfter > 0;
      const etag = await read(each.image);
      if (etag === each.new) each.readsAfter += 1;
      else {
        assert.equal(etag, each.old);
        if (wasPurged) each.returned += 1;
      }
    }
  });
  // All servers have the records of all images in memory, and read them all the time.
  const nodeReaders = started.nodes.map(async (node) => {
    for (let at = 0; reading; at += 1) {
      const each = images[at % IMAGES];
      assert.ok(each);
      await read(each.image, node.url);
    }
  });
  for (const [i, each] of images.entries()) {
    await one.addImage(await jpeg({ seed: i + 1_001 }), { replace: each.image.imageID });
    each.new = await read(each.image, one.url);
    assert.notEqual(each.new, each.old);
  }
  const purges = () => postgres.query(database, 'select 1 from purges');
  await waitFor('purges remain', purges, ({ length }) => length === 0);
  const late = () => images.filter(({ readsAfter }) => readsAfter < READS_AFTER).length;
  await waitFor('images are not shown as they are', late, (count) => count === 0).finally(() => {
    reading = false;
  });
  await Promise.all([...readers, ...nodeReaders]);
  const [hits, misses] = [varnish.counter('MAIN.cache_hit'), varnish.counter('MAIN.cache_miss')];
  t.diagnostic(`${hits} hits and ${misses} misses of the cache`);
  assert.ok(hits > misses, 'the cache was used');
  assert.equal(images.filter(({ returned }) => returned > 0).length, 0);
  for (const { image, new: expected } of images) assert.equal(await read(image), expected);
});
