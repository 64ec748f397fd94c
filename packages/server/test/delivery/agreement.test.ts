/**
 * Three servers over one PostgreSQL: when they show a change by one of them. Also the answers during a render
 * and without a database. test/database/postgres/listener.test.ts harms the connections.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readMetrics } from '../support/metrics.ts';
import { jpeg } from '../support/pictures.ts';
import { startOwnPostgres } from '../support/postgres.ts';
import { childrenOf } from '../support/processes.ts';
import { ACCOUNT, type ImageJSON } from '../support/server.ts';
import { waitFor } from '../support/waiting.ts';
import { linkOn, type Node, type Nodes, startNodes } from './nodes.ts';

const { postgres, skip } = await startOwnPostgres();
after(() => postgres?.stop());

/** Milliseconds. The promise of the documents. */
const BOUND = 6_000;
/** Replaces that are measured: more by hand. */
const REPLACES = Number(process.env.TEST_REPLACES ?? 30);

const CACHE_CONTROL = 'public, max-age=3600, stale-while-revalidate=86400';

describe('three servers over one PostgreSQL', { skip }, () => {
  let started: Nodes;
  let one: Node;
  let others: readonly Node[];
  before(async () => {
    assert.ok(postgres);
    started = await startNodes(3, await postgres.createDatabase(), { VITRINE_SIZE_BUDGET: '0' });
    const [first, ...rest] = started.nodes;
    assert.ok(first);
    one = first;
    others = rest;
  });
  after(() => started.close());

  const etagOn = async (node: Node, image: ImageJSON) => {
    const response = await fetch(linkOn(node, image, '?size=40x30'));
    assert.equal(response.status, 200);
    await response.arrayBuffer();
    return response.headers.get('etag');
  };

  test('show a replaced picture on all of them within a second, and never later than six', async (t) => {
    const image = await one.addImage(await jpeg({ seed: 1 }));
    const times: number[] = [];
    for (let seed = 2; seed < REPLACES + 2; seed += 1) {
      const before = await Promise.all(others.map((node) => etagOn(node, image)));
      await one.addImage(await jpeg({ seed }), { replace: image.imageID });
      const start = performance.now();
      const expected = await etagOn(one, image);
      await Promise.all(
        others.map(async (node, i) => {
          for (;;) {
            const etag = await etagOn(node, image);
            if (etag === expected) break;
            assert.equal(etag, before[i]);
            assert.ok(performance.now() - start < BOUND, 'not shown within six seconds');
          }
          times.push(performance.now() - start);
        }),
      );
    }
    times.sort((a, b) => a - b);
    const at = (part: number) => Math.round(times[Math.ceil(times.length * part) - 1] ?? 0);
    t.diagnostic(`${times.length} times: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms`);
    const delay = (await readMetrics(one)).value('vitrine_changes_delay_seconds');
    assert.ok(delay > 0 && delay < 4, `${delay} s`);
    assert.deepEqual(
      started.nodes.flatMap(({ warnings }) => warnings),
      [],
    );
  });

  test('show a disabled state and a focal point on all of them', async () => {
    const image = await one.addImage(await jpeg({ width: 900, height: 300, seed: 900 }));
    const { publicID } = image;
    const shown = (node: Node) => node.app.publicImages.find(publicID).then(({ image }) => image);
    for (const node of others) assert.equal((await shown(node)).disabledOn, undefined);
    await one.send('PUT', `/accounts/${ACCOUNT}/images/${image.imageID}/metadata`, {
      focalPoint: { x: 0.9, y: 0.5 },
    });
    await one.send('DELETE', `/accounts/${ACCOUNT}/images/${image.imageID}`);
    for (const node of others) {
      await waitFor(
        'the image is not disabled',
        () => shown(node),
        ({ disabledOn }) => !!disabledOn,
      );
      assert.deepEqual((await shown(node)).focalPoint, { x: 0.9, y: 0.5 });
    }
  });

  test('answer with the new picture when it arrives during the render of the old one', async (t) => {
    const present = childrenOf(process.pid);
    const node = await started.add();
    t.after(() => node.close());
    const image = await one.addImage(await jpeg({ width: 1_600, height: 1_200, seed: 899 }));
    const render = (query: string) => fetch(linkOn(node, image, query));
    await (await render('?size=31x32')).arrayBuffer();
    const workers = childrenOf(process.pid).filter((pid) => !present.includes(pid));
    assert.ok(workers.length > 0);
    for (const pid of workers) process.kill(pid, 'SIGSTOP');
    const slow = render('?size=333x222');
    await waitFor(
      'no render runs',
      async () => (await readMetrics(node)).value('vitrine_tasks_running', {}) > 0,
    );
    const old = await node.app.publicImages.find(image.publicID);
    await one.addImage(await jpeg({ seed: 901 }), { replace: image.imageID });
    await waitFor('the change is not heard', () => node.app.publicImages.stateOf(old.image) === undefined);
    for (const pid of workers) process.kill(pid, 'SIGCONT');
    const response = await slow;
    assert.equal(response.headers.get('cache-control'), CACHE_CONTROL);
    const expected = await fetch(linkOn(one, image, '?size=333x222'));
    assert.equal(response.headers.get('etag'), expected.headers.get('etag'));
    assert.deepEqual(await response.bytes(), await expected.bytes());
  });

  test('let caches keep an answer briefly while the database is away, also from memory', async () => {
    assert.ok(postgres);
    const [node] = others;
    assert.ok(node);
    const image = await one.addImage(await jpeg({ seed: 902 }));
    const get = async (headers: Record<string, string> = {}, query = '?size=77x55') => {
      const response = await fetch(linkOn(node, image, query), { headers });
      await response.arrayBuffer();
      return response;
    };
    const first = await get();
    const etag = first.headers.get('etag') ?? '';
    const usual = first.headers.get('cache-control');
    assert.equal(usual, CACHE_CONTROL);
    assert.equal((await get()).headers.get('server-timing'), 'cache;desc=memory');
    await postgres.crash();
    const cacheControl = async (...request: Parameters<typeof get>) => {
      const response = await get(...request);
      return [response.status, response.headers.get('cache-control'), response.headers.get('etag')];
    };
    const brief = 'public, max-age=5';
    await waitFor(
      'the record stays confirmed',
      () => cacheControl(),
      ([, value]) => value === brief,
    );
    assert.deepEqual(await cacheControl(), [200, brief, etag]);
    assert.deepEqual(await cacheControl({ 'if-none-match': etag }), [304, brief, etag]);
    const [status, value] = await cacheControl({}, '?size=78x56');
    assert.deepEqual([status, value], [200, brief]);
    const warm = await get();
    assert.equal(warm.headers.get('server-timing'), 'cache;desc=memory');
    assert.equal(warm.headers.get('cache-control'), brief);

    await postgres.start();
    await waitFor(
      'the record is not confirmed',
      () => cacheControl(),
      ([, value]) => value === usual,
    );
    await one.addImage(await jpeg({ seed: 903 }), { replace: image.imageID });
    await waitFor(
      'the new picture is not shown',
      () => cacheControl(),
      ([, , value]) => value !== etag,
    );
  });
});
