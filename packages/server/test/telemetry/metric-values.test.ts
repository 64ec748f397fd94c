import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Counts, Distributions, Watched } from '../../src/telemetry/metric-values.ts';

test('counts with the same labels are the same count', () => {
  const counts = new Counts();
  counts.of({ a: 'x' }).value += 1;
  counts.of({ a: 'x' }).value += 2;
  counts.of({ a: 'y' });
  assert.deepEqual(counts.read(), [
    { suffix: '', labels: { a: 'x' }, value: 3 },
    { suffix: '', labels: { a: 'y' }, value: 0 },
  ]);
});

test('what is watched is read at each look', () => {
  const watched = new Watched();
  let value = 1;
  watched.add({}, () => value);
  assert.equal(watched.read()[0]?.value, 1);
  value = 2;
  assert.equal(watched.read()[0]?.value, 2);
});

test('the buckets of a distribution hold what is at most their bound, and the last holds all', () => {
  const bounds = [0.1, 1, 10];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...bounds), fc.double({ min: 0, max: 100, noNaN: true }))),
      (values) => {
        const distributions = new Distributions(bounds);
        for (const value of values) distributions.add({ of: 'it' }, value);
        const read = distributions.read();
        if (values.length === 0) return assert.deepEqual(read, []);
        const buckets = read.filter(({ suffix }) => suffix === '_bucket');
        assert.deepEqual(
          buckets.map(({ labels, value }) => [labels.le, value]),
          [...bounds, Number.POSITIVE_INFINITY].map((bound) => [
            bound === Number.POSITIVE_INFINITY ? '+Inf' : bound,
            values.filter((value) => value <= bound).length,
          ]),
        );
        const sum = values.reduce((all, value) => all + value, 0);
        assert.deepEqual(read.slice(-2), [
          { suffix: '_sum', labels: { of: 'it' }, value: sum },
          { suffix: '_count', labels: { of: 'it' }, value: values.length },
        ]);
      },
    ),
  );
});
