import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Counters, Gauges, Histograms } from '../../src/telemetry/metric-values.ts';

test('counters return the same count for the same labels', () => {
  const counters = new Counters();
  counters.get({ a: 'x' }).value += 1;
  counters.get({ a: 'x' }).value += 2;
  counters.get({ a: 'y' });
  assert.deepEqual(counters.read(), [
    { suffix: '', labels: { a: 'x' }, value: 3 },
    { suffix: '', labels: { a: 'y' }, value: 0 },
  ]);
});

test('gauges read their source at each scrape', () => {
  const gauges = new Gauges();
  let value = 1;
  gauges.add({}, () => value);
  assert.equal(gauges.read()[0]?.value, 1);
  value = 2;
  assert.equal(gauges.read()[0]?.value, 2);
});

test('a histogram bucket counts the values up to its bound, and the last bucket counts all', () => {
  const bounds = [0.1, 1, 10];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...bounds), fc.double({ min: 0, max: 100, noNaN: true }))),
      (values) => {
        const histograms = new Histograms(bounds);
        for (const value of values) histograms.add({ of: 'it' }, value);
        const samples = histograms.read();
        if (values.length === 0) return assert.deepEqual(samples, []);
        const buckets = samples.filter(({ suffix }) => suffix === '_bucket');
        assert.deepEqual(
          buckets.map(({ labels, value }) => [labels.le, value]),
          [...bounds, Number.POSITIVE_INFINITY].map((bound) => [
            bound === Number.POSITIVE_INFINITY ? '+Inf' : bound,
            values.filter((value) => value <= bound).length,
          ]),
        );
        const sum = values.reduce((all, value) => all + value, 0);
        assert.deepEqual(samples.slice(-2), [
          { suffix: '_sum', labels: { of: 'it' }, value: sum },
          { suffix: '_count', labels: { of: 'it' }, value: values.length },
        ]);
      },
    ),
  );
});
