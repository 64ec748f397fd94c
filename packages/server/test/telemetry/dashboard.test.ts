/**
 * The dashboard and the alerts ask for nothing that is not there: every query is parsed by Prometheus's own grammar, and
 * every metric and label in it is one that a real server has.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { parser } from '@prometheus-io/lezer-promql';
import {
  BUILD,
  COUNTERS,
  type Definition,
  DURATIONS,
  GAUGES,
  IN_FLIGHT,
  INGESTED_BYTES,
} from '../../src/telemetry/metric-definitions.ts';
import { readMetrics } from '../support/metrics.ts';
import { startServer } from '../support/server.ts';

const OPS = new URL('../../../../ops/', import.meta.url);

/** What Prometheus adds to whatever it scrapes. */
const ADDED_LABELS = ['instance', 'job'];
const ADDED_METRICS = ['up'];

interface Query {
  readonly metrics: readonly string[];
  readonly labels: readonly string[];
}

/** The names in an expression of PromQL; fails if it is none. */
function read(expression: string): Query {
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter({ type, from, to }) {
      assert.equal(type.isError, false, `${expression}: at ${from}`);
      const text = expression.slice(from, to);
      if (type.name === 'Identifier') metrics.push(text);
      if (type.name === 'LabelName') labels.push(text);
    },
  });
  assert.ok(metrics.length > 0, expression);
  return { metrics, labels };
}

async function dashboardQueries(): Promise<string[]> {
  const dashboard = JSON.parse(await readFile(new URL('grafana/vitrine.json', OPS), 'utf8')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  // What Grafana puts in their places.
  return dashboard.panels
    .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((expr) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*'));
}

async function alertQueries(): Promise<string[]> {
  const rules = await readFile(new URL('prometheus/vitrine.rules.yml', OPS), 'utf8');
  const alerts = rules.match(/- alert: /g)?.length;
  const expressions = [...rules.matchAll(/^ {8}expr: (.+)$/gm)].map(([, expression = '']) => expression);
  assert.equal(expressions.length, alerts);
  return expressions;
}

describe('every query', () => {
  /** The metrics that a real server tells of, by the names of their series. */
  const there = new Map<string, readonly string[] | undefined>();
  before(async () => {
    const server = await startServer();
    const { text } = await readMetrics(server);
    await server.close();
    const definitions: readonly Definition[] = [
      ...Object.values(COUNTERS),
      ...Object.values(GAUGES),
      ...Object.values(DURATIONS),
      INGESTED_BYTES,
      IN_FLIGHT,
      BUILD,
    ];
    const labels = new Map(definitions.map((definition) => [definition.name, definition.labels]));
    for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      const names =
        type === 'histogram' ? ['_bucket', '_sum', '_count'].map((suffix) => name + suffix) : [name];
      for (const each of names)
        there.set(each, labels.get(name)?.concat(each.endsWith('_bucket') ? ['le'] : []));
    }
    for (const { name } of definitions) assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'm'));
  });

  for (const [place, queries] of [
    ['the dashboard', dashboardQueries],
    ['the alerts', alertQueries],
  ] as const) {
    test(`of ${place} asks for metrics and labels that there are`, async () => {
      for (const query of await queries()) {
        const { metrics, labels } = read(query);
        const known = new Set(ADDED_LABELS);
        for (const metric of metrics) {
          assert.ok(there.has(metric) || ADDED_METRICS.includes(metric), `${metric} in ${query}`);
          for (const label of there.get(metric) ?? []) known.add(label);
        }
        for (const label of labels) assert.ok(known.has(label), `${label} in ${query}`);
      }
    });
  }

  test('would be noticed if it were wrong', () => {
    assert.throws(() => read('sum by ('), /at/);
    assert.deepEqual(read('sum by (a) (rate(m{b="c"}[5m]))'), { metrics: ['m'], labels: ['a', 'b'] });
  });

  test('together they show every metric of our own', async () => {
    const asked = (await dashboardQueries()).join('\n');
    const own = [...there.keys()].filter(
      (name) => name.startsWith('vitrine_') && !/_(sum|count|bucket)$/.test(name),
    );
    for (const name of own.concat(Object.values(DURATIONS).map(({ name }) => name))) {
      assert.ok(asked.includes(name), name);
    }
  });
});
