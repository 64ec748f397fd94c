/** One request with the method PURGE for each image. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { httpPurgeTarget } from '../../src/events/http-purge.ts';
import { startCache } from '../system/purge/cache-server.ts';

describe('a purge by HTTP', () => {
  test('reports each picture that the cache did not drop', async (t) => {
    const statuses: Record<string, number> = { a: 200, b: 204, c: 404, d: 410, e: 301, f: 403, g: 500 };
    const cache = await startCache((publicID) => statuses[publicID] ?? 405);
    t.after(() => cache.close());
    const { signal } = new AbortController();
    const target = httpPurgeTarget(cache.purgeURL);
    const failures = await target.purge(Object.keys(statuses), signal);
    assert.deepEqual([...failures.keys()].toSorted(), ['e', 'f', 'g']);
    assert.match(failures.get('g')?.message ?? '', /answers a purge with 500/);
    assert.equal(cache.purges.length, 7);
    assert.equal((await target.purge([], signal)).size, 0);
    const many = Array.from({ length: 60 }, (_, i) => `many-${i}`);
    assert.equal((await httpPurgeTarget('http://127.0.0.1:1/{publicID}').purge(many, signal)).size, 60);
  });
});
