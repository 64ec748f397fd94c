/**
 * What a server tells at /metrics, as numbers: reads Prometheus's text format as far as these tests need it.
 */
import assert from 'node:assert/strict';
import type { TestServer } from './server.ts';

export interface Readings {
  readonly text: string;
  /** The value of the series with this name and exactly these labels; 0 if it is not there. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
  /** All series of this name, as `labels value`. */
  all(name: string): string[];
}

export async function readMetrics(server: TestServer): Promise<Readings> {
  const response = await fetch(new URL('/metrics', server.url));
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
  return readingsOf(await response.text());
}

export function readingsOf(text: string): Readings {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, labels = '', value] = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? [];
    assert.ok(name !== undefined && value !== undefined, line);
    const key = `${name}{${labels}}`;
    assert.ok(!series.has(key), `${key} is there once`);
    series.set(key, Number(value));
  }
  return {
    text,
    value(name, labels = {}) {
      const each = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      return series.get(`${name}{${each.join()}}`) ?? 0;
    },
    all: (name) =>
      [...series].filter(([key]) => key.startsWith(`${name}{`)).map(([key, value]) => `${key} ${value}`),
  };
}
