/**
 * The queue of each address for new renditions: the order, the limits, and what clients see of them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RENDER_WAITING, RenderQueues, slotsPerAddress } from '../../../src/http/shared/render-queues.ts';
import { picture } from '../../support/sample.ts';
import { type ImageJSON, startServer } from '../../support/server.ts';

const LONG = 600_000;
const never = new AbortController().signal;

/** Takes a slot that is free. */
function takeFree(queues: RenderQueues, address: string): () => void {
  const slot = queues.acquire(address, 'image', never);
  assert.ok(typeof slot === 'function', 'a free slot is granted at once');
  return slot;
}

/** Resolves when all promises that are due have run. */
const settle = () => new Promise(setImmediate);

describe('the slots of an address', () => {
  test('are granted at once up to the limit, and to each address', async () => {
    const queues = new RenderQueues({ slots: 2, maxWaiting: 10, maxWait: LONG });
    takeFree(queues, 'a');
    const release = takeFree(queues, 'a');
    const waiting = queues.acquire('a', 'image', never);
    assert.ok(waiting instanceof Promise);
    takeFree(queues, 'b');
    takeFree(queues, 'b');
    release();
    (await waiting)();
  });

  test('are granted to images in turn, and within an image in order', async () => {
    const queues = new RenderQueues({ slots: 1, maxWaiting: 100, maxWait: LONG });
    const release = takeFree(queues, 'a');
    const order: string[] = [];
    const requests = ['x', 'x', 'x', 'x', 'y', 'z', 'y'].map(async (image, index) => {
      const free = await queues.acquire('a', image, never);
      order.push(`${image}${index}`);
      free();
    });
    release();
    await Promise.all(requests);
    assert.deepEqual(order, ['x0', 'y4', 'z5', 'x1', 'y6', 'x2', 'x3']);
  });

  test('are refused with 429 and Retry-After when too many wait', async () => {
    const queues = new RenderQueues({ slots: 1, maxWaiting: 3, maxWait: LONG });
    const release = takeFree(queues, 'a');
    const waiting = Array.from({ length: 3 }, () => queues.acquire('a', 'x', never));
    await assert.rejects(async () => queues.acquire('a', 'y', never), {
      code: 'rate-limited',
      message: 'too many new renditions for this address: at most 3 wait, for up to 600 s',
      retryAfter: 1,
      rejection: 'address-share',
    });
    takeFree(queues, 'b');
    release();
    for (const slot of waiting) (await slot)();
  });

  test('are refused with 429 after the longest wait', async () => {
    const queues = new RenderQueues({ slots: 1, maxWaiting: 3, maxWait: 1 });
    const release = takeFree(queues, 'a');
    await assert.rejects(async () => queues.acquire('a', 'x', never), {
      code: 'rate-limited',
      rejection: 'address-share',
    });
    release();
    takeFree(queues, 'a')();
  });

  test('are not taken by clients that disconnect while they wait, and make room for others', async () => {
    const queues = new RenderQueues({ slots: 1, maxWaiting: 1, maxWait: LONG });
    const release = takeFree(queues, 'a');
    const controller = new AbortController();
    const leaving = queues.acquire('a', 'x', controller.signal);
    const left = assert.rejects(async () => leaving, { code: 'cancelled' });
    controller.abort();
    await left;
    const next = queues.acquire('a', 'x', never);
    release();
    (await next)();
  });

  test('leave nothing behind when all are free', async () => {
    const queues = new RenderQueues({ slots: 1, maxWaiting: 10, maxWait: LONG });
    const release = takeFree(queues, 'a');
    const waiting = Array.from({ length: 5 }, (_, n) => queues.acquire('a', `${n}`, never));
    assert.equal(queues.size, 1);
    release();
    release();
    for (const slot of waiting) (await slot)();
    await settle();
    assert.equal(queues.size, 0);
    takeFree(queues, 'a');
  });

  test('are two for each worker, at least 16, and at most half of the common queue', () => {
    assert.deepEqual([1, 8, 20, 256].map(slotsPerAddress), [16, 16, 40, 128]);
  });
});

describe('many new sizes at once from one address', () => {
  const statusesOf = async (urls: readonly string[]) => {
    const counts: Record<number, number> = {};
    await Promise.all(
      urls.map(async (url) => {
        const response = await fetch(url);
        await response.arrayBuffer();
        counts[response.status] = (counts[response.status] ?? 0) + 1;
        if (response.status !== 429) return;
        assert.ok(Number(response.headers.get('retry-after')) >= 1);
        assert.equal(response.headers.get('cache-control'), 'no-store');
      }),
    );
    return counts;
  };
  const sizesOf = ({ link }: ImageJSON, count: number, width: number) =>
    Array.from({ length: count }, (_, index) => `${link}?size=${width}x${index + 10}`);

  test('are all made: 300 of one image', async () => {
    // The wait is as long as a slow machine needs.
    const server = await startServer({}, { limits: { renders: { ...RENDER_WAITING, maxWait: LONG } } });
    try {
      const image = await server.addImage(await picture(1));
      assert.deepEqual(await statusesOf(sizesOf(image, 300, 30)), { 200: 300 });
    } finally {
      await server.close();
    }
  });

  test('are refused beyond the queue, and the others are made', async () => {
    const limits = { renders: { maxWaiting: 40, maxWait: LONG } };
    const server = await startServer({ VITRINE_SIZE_BUDGET: '0' }, { limits });
    try {
      const image = await server.addImage(await picture(2));
      const counts = await statusesOf(sizesOf(image, 300, 30));
      assert.deepEqual(Object.keys(counts), ['200', '429']);
      // 16 in workers and in their queue, and 40 that wait.
      assert.ok((counts[200] ?? 0) >= 56, JSON.stringify(counts));
      assert.equal((await fetch(`${image.link}?size=7x7`)).status, 200);
    } finally {
      await server.close();
    }
  });

  test('are made once for all requests for the same size, also for those that wait', async () => {
    const server = await startServer(
      { VITRINE_SIZE_BUDGET: '90' },
      { limits: { renders: { ...RENDER_WAITING, maxWait: LONG } } },
    );
    try {
      const image = await server.addImage(await picture(3));
      const urls = sizesOf(image, 90, 30);
      // With a charge for each request, the budget of 90 sizes would not suffice.
      assert.deepEqual(await statusesOf([...urls, ...urls, ...urls]), { 200: 270 });
      assert.equal((await fetch(`${image.link}?size=7x7`)).status, 429);
    } finally {
      await server.close();
    }
  });

  test('do not keep another address waiting for its turn among them', async () => {
    const server = await startServer(
      { VITRINE_SIZE_BUDGET: '0', VITRINE_TRUST_PROXY: '1', VITRINE_RATE_LIMIT: '0' },
      { limits: { renders: { ...RENDER_WAITING, maxWait: LONG } } },
    );
    try {
      const [flooded, other] = [
        await server.addImage(await picture(4)),
        await server.addImage(await picture(5)),
      ];
      let made = 0;
      const flood = sizesOf(flooded, 400, 30).map(async (url) => {
        const response = await fetch(url, { headers: { 'x-forwarded-for': '203.0.113.1' } });
        await response.arrayBuffer();
        made += 1;
        return response.status;
      });
      while (made === 0) await settle();
      const response = await fetch(`${other.link}?size=31x31`, {
        headers: { 'x-forwarded-for': '203.0.113.2' },
      });
      assert.equal(response.status, 200);
      await response.arrayBuffer();
      const before = made;
      const statuses = await Promise.all(flood);
      assert.ok(before < 400, 'the other address did not wait for all of them');
      assert.deepEqual([...new Set(statuses)], [200]);
    } finally {
      await server.close();
    }
  });
});
