import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { computeNeeds, LOADS } from './model.ts';
import { fillPage, findStale, formatAmount } from './scaling.ts';

describe('docs/scaling.md', () => {
  test('has the tables and the plot of the model', async () => {
    const stale = await findStale();
    assert.deepEqual(
      stale.map(({ path }) => path.pathname),
      [],
      'npm run scaling writes them',
    );
  });

  test('gets a new table between its markers, and the rest stays', () => {
    const page = 'a\n\n<!-- t: npm run scaling -->\n\nold\n\n<!-- end of t -->\n\nb\n';
    assert.equal(fillPage(page, { t: 'new' }), page.replace('old', 'new'));
    assert.throws(() => fillPage('a', { t: 'new' }), /has no markers of the table t/);
  });

  test('has amounts of two digits', () => {
    assert.deepEqual([1.2e9, 999_999, 95, 0.041, 0].map(formatAmount), ['1.2 G', '1 M', '95', '0.041', '0']);
  });
});

describe('the model', () => {
  test('needs never less for more images', () => {
    const sizes = [1e5, 1e6, 1e7, 1e8, 1e9].map(computeNeeds);
    for (const [index, larger] of sizes.entries()) {
      const smaller = sizes[index - 1];
      if (smaller === undefined) continue;
      for (const key of Object.keys(larger) as (keyof typeof larger)[])
        assert.ok(larger[key] >= smaller[key], `${key} of ${larger.images} images`);
      for (const { part, use } of LOADS) assert.ok(use(larger) >= use(smaller), part);
    }
  });

  test('counts the bytes and requests that a hand counts', () => {
    const { database, originals, absorbed, views, origin, objects } = computeNeeds(1e6);
    assert.equal(database, 1e6 * (328 + 821 + 1.5 * 246 + 300 + 150));
    assert.equal(originals, 3e12);
    assert.equal(objects, 3e6);
    assert.ok(Math.abs(views - (2e6 * 3) / 86_400) < 1e-9);
    assert.ok(Math.abs(absorbed + origin - views) < 1e-9);
  });
});
