/**
 * Metric values in memory: counters, gauges and histograms, each by labels. A count between two scrapes costs
 * one addition.
 */
import type { Count, Labels } from './telemetry.ts';

/** One value of a metric. `suffix` distinguishes the parts of a histogram. */
export interface Sample {
  readonly suffix: '' | '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

export class Counters {
  readonly #counts = new Map<string, { readonly labels: Labels; readonly count: Count }>();

  /** The count with these labels. It starts at 0, and each call returns the same object. */
  get(labels: Labels): Count {
    const key = keyOf(labels);
    const existing = this.#counts.get(key);
    if (existing) return existing.count;
    const count = { value: 0 };
    this.#counts.set(key, { labels, count });
    return count;
  }

  read(): Sample[] {
    return [...this.#counts.values()].map(({ labels, count }) => ({
      suffix: '',
      labels,
      value: count.value,
    }));
  }
}

/** Values that are read from their source at each scrape. */
export class Gauges {
  readonly #gauges = new Map<string, { readonly labels: Labels; readonly read: () => number }>();

  /** Replaces a gauge with the same labels. */
  add(labels: Labels, read: () => number): void {
    this.#gauges.set(keyOf(labels), { labels, read });
  }

  read(): Sample[] {
    return [...this.#gauges.values()].map(({ labels, read }) => ({ suffix: '', labels, value: read() }));
  }
}

interface Histogram {
  readonly labels: Labels;
  /** The number of values in each bucket, not cumulative. The last one is above all bounds. */
  readonly counts: number[];
  sum: number;
}

export class Histograms {
  readonly #bounds: readonly number[];
  readonly #histograms = new Map<string, Histogram>();

  /** @param bounds the upper bounds of the buckets, in ascending order. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
  }

  add(labels: Labels, value: number): void {
    const key = keyOf(labels);
    let histogram = this.#histograms.get(key);
    if (!histogram) {
      histogram = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
      this.#histograms.set(key, histogram);
    }
    let index = 0;
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? 0)) index += 1;
    histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    histogram.sum += value;
  }

  read(): Sample[] {
    return [...this.#histograms.values()].flatMap(({ labels, counts, sum }) => {
      let total = 0;
      const buckets = counts.map((count, index): Sample => {
        total += count;
        return { suffix: '_bucket', labels: { ...labels, le: this.#bounds[index] ?? '+Inf' }, value: total };
      });
      return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }];
    });
  }
}

function keyOf(labels: Labels): string {
  let key = '';
  for (const name in labels) key += `${name}=${labels[name]}\n`;
  return key;
}
