/**
 * Numbers with labels, kept as plain numbers: what is counted between two looks costs an addition. Pure; refuses to know
 * names, formats and who looks.
 */
import type { Count, Labels } from './telemetry.ts';

/** A number and what it is about. `suffix` tells the parts of a histogram apart. */
export interface Reading {
  readonly suffix: '' | '_bucket' | '_sum' | '_count';
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** Counts by labels. */
export class Counts {
  readonly #counts = new Map<string, { readonly labels: Labels; readonly count: Count }>();

  /** The count with these labels, from 0; the same one every time. */
  of(labels: Labels): Count {
    const key = keyOf(labels);
    const known = this.#counts.get(key);
    if (known) return known.count;
    const count = { value: 0 };
    this.#counts.set(key, { labels, count });
    return count;
  }

  read(): Reading[] {
    return [...this.#counts.values()].map(({ labels, count }) => ({
      suffix: '',
      labels,
      value: count.value,
    }));
  }
}

/** Numbers that others keep, by labels. */
export class Watched {
  readonly #readers = new Map<string, { readonly labels: Labels; readonly read: () => number }>();

  /** The last reader of the same labels stays. */
  add(labels: Labels, read: () => number): void {
    this.#readers.set(keyOf(labels), { labels, read });
  }

  read(): Reading[] {
    return [...this.#readers.values()].map(({ labels, read }) => ({ suffix: '', labels, value: read() }));
  }
}

interface Distribution {
  readonly labels: Labels;
  /** How many fell into each bucket alone, and above the last. */
  readonly counts: number[];
  sum: number;
}

/** How values are distributed, by labels. */
export class Distributions {
  readonly #bounds: readonly number[];
  readonly #distributions = new Map<string, Distribution>();

  /** @param bounds the upper bounds of the buckets, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
  }

  add(labels: Labels, value: number): void {
    const key = keyOf(labels);
    let distribution = this.#distributions.get(key);
    if (!distribution) {
      distribution = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
      this.#distributions.set(key, distribution);
    }
    let index = 0;
    while (index < this.#bounds.length && value > (this.#bounds[index] ?? 0)) index += 1;
    distribution.counts[index] = (distribution.counts[index] ?? 0) + 1;
    distribution.sum += value;
  }

  read(): Reading[] {
    return [...this.#distributions.values()].flatMap(({ labels, counts, sum }) => {
      let total = 0;
      const buckets = counts.map((count, index): Reading => {
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
