/**
 * The queries of the dashboard and the alerts. The grammar of Prometheus parses each query, and a real server
 * must have each of its metrics and labels.
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

/** Labels and metrics that Prometheus adds to every scrape. */
const ADDED_LABELS = ['instance', 'job'];
const ADDED_METRICS = ['up'];

interface Query {
  readonly metrics: readonly string[];
  readonly labels: readonly string[];
}

/** The metrics and labels of a PromQL expression. Fails if the expression is invalid. */
function parseQuery(expression: string): Query {
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
  // Grafana replaces these variables in the same way.
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
  /** The labels of each series that a real server exports, by the name of the series. */
  const exported = new Map<string, readonly string[] | undefined>();
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
        exported.set(each, labels.get(name)?.concat(each.endsWith('_bucket') ? ['le'] : []));
    }
    for (const { name } of definitions) assert.match(text, new RegExp(`^# HELP ${name} \\S`, 'm'));
  });

  for (const [place, queries] of [
    ['the dashboard', dashboardQueries],
    ['the alerts', alertQueries],
  ] as const) {
    test(`of ${place} uses metrics and labels that exist`, async () => {
      for (const query of await queries()) {
        const { metrics, labels } = parseQuery(query);
        const validLabels = new Set(ADDED_LABELS);
        for (const metric of metrics) {
          assert.ok(exported.has(metric) || ADDED_METRICS.includes(metric), `${metric} in ${query}`);
          for (const label of exported.get(metric) ?? []) validLabels.add(label);
        }
        for (const label of labels) assert.ok(validLabels.has(label), `${label} in ${query}`);
      }
    });
  }

  test('is rejected if it is invalid', () => {
    assert.throws(() => parseQuery('sum by ('), /at/);
    assert.deepEqual(parseQuery('sum by (a) (rate(m{b="c"}[5m]))'), { metrics: ['m'], labels: ['a', 'b'] });
  });

  test('appears in the dashboard for each metric of Vitrine', async () => {
    const queries = (await dashboardQueries()).join('\n');
    const own = [...exported.keys()].filter(
      (name) => name.startsWith('vitrine_') && !/_(sum|count|bucket)$/.test(name),
    );
    for (const name of own.concat(Object.values(DURATIONS).map(({ name }) => name))) {
      assert.ok(queries.includes(name), name);
    }
  });
});
