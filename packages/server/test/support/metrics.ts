/**
 * Reads /metrics as numbers. Parses only the part of Prometheus's text format that these tests need.
 */
import assert from 'node:assert/strict';
import type { TestClient } from './client.ts';

export interface MetricValues {
  readonly text: string;
  /** The value of the series with this name and exactly these labels; 0 if there is no such series. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
  /** All series of this name, as `labels value`. */
  all(name: string): string[];
}

export async function readMetrics({ url }: Pick<TestClient, 'url'>): Promise<MetricValues> {
  const response = await fetch(new URL('/metrics', url));
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  return parseMetrics(await response.text());
}

export function parseMetrics(text: string): MetricValues {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels = '', value] = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
    assert.ok(name !== undefined && value !== undefined, line);
    const key = `${name}{${labels}}`;
    assert.ok(!series.has(key), `${key} appears once`);
    series.set(key, Number(value));
  }
  return {
    text,
    value(name, labels = {}) {
      const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      return series.get(`${name}{${pairs.join()}}`) ?? 0;
    },
    all: (name) =>
      [...series].filter(([key]) => key.startsWith(`${name}{`)).map(([key, value]) => `${key} ${value}`),
  };
}
