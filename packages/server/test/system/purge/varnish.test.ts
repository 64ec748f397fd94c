/**
 * Fifty replaces behind a real Varnish, while clients read all images. After its purge, no image is ever
 * shown as it was before. One of the three servers hears of no change, so it shows each as late as it may.
 */
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { type Node, startNodes } from '../../delivery/nodes.ts';
import { jpeg } from '../../support/pictures.ts';
import { freePort } from '../../support/ports.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { ImageJSON } from '../../support/server.ts';
import { waitFor } from '../../support/waiting.ts';
import { type Program, programSkipReason, startProgram, VARNISH } from '../proxies/programs.ts';

const { postgres, skip: noPostgres } = await startPostgres();
after(() => postgres?.stop());

const IMAGES = 50;
const READERS = 6;
/** Reads of each image after its purge. */
const READS_AFTER = 20;

/**
 * The smallest configuration with purges. Each request goes to the next server, so that a purged image is
 * fetched from any of them.
 */
const IN_TURN: Program = {
  ...VARNISH,
  configure: (_text, _port, nodes) => `vcl 4.1;
import directors;
import xkey;
${nodes.map((port, i) => `backend node${i} { .host = "127.0.0.1"; .port = "${port}"; }`).join('\n')}
sub vcl_init {
  new nodes = directors.round_robin();
  ${nodes.map((_, i) => `nodes.add_backend(node${i});`).join('\n  ')}
}
sub vcl_recv {
  set req.backend_hint = nodes.backend();
  if (req.method == "PURGE") {
    return (synth(200, "Purged " + xkey.purge(regsub(req.url, "^/images/([^?]*).*$", "\\1"))));
  }
}
sub vcl_backend_response {
  set beresp.http.xkey = regsub(bereq.url, "^/images/([^?]*).*$", "\\1");
}
sub vcl_deliver {
  if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; }
}
`,
};

const skip = programSkipReason(VARNISH) || noPostgres;
for (const [name, program] of [
  ['with the configuration of ops', VARNISH],
  ['that asks the servers in turn', IN_TURN],
] as const) {
  test(`a purge of Varnish ${name} never brings the old picture back`, { skip }, (t) =>
    replaceUnderLoad(t, program),
  );
}

async function replaceUnderLoad(t: TestContext, program: Program): Promise<void> {
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
  const ports = started.nodes.map(({ url }) => Number(new URL(url).port));
  const varnish = await startProgram(program, port, ports);
  t.after(() => varnish.stop());

  const answers = { hits: 0, others: 0 };
  const proxy = `http://127.0.0.1:${port}`;
  const read = async ({ link }: ImageJSON, base = proxy) => {
    const response = await fetch(new URL(`${new URL(link).pathname}?size=40x30`, base));
    await response.arrayBuffer();
    assert.equal(response.status, 200);
    answers[response.headers.get('x-cache') === 'HIT' ? 'hits' : 'others'] += 1;
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
  t.diagnostic(`${answers.hits} answers of the cache, and ${answers.others} of the servers`);
  assert.ok(answers.hits > IMAGES * READS_AFTER, 'the cache was used');
  assert.equal(images.filter(({ returned }) => returned > 0).length, 0);
  for (const { image, new: expected } of images) assert.equal(await read(image), expected);
}
