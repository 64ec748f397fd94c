/**
 * The metrics of one process in the text format of Prometheus. The first scrape loads prom-client, which
 * would make a start too slow. It adds the metrics of the process and of Node.
 */
import type { MetricObjectWithValues, MetricValueWithName, Registry } from 'prom-client';
import {
  BUILD,
  COUNTERS,
  type Definition,
  DURATIONS,
  GAUGES,
  IN_FLIGHT,
  INGESTED_BYTES,
} from './metric-definitions.ts';
import { Counters, Gauges, Histograms, type Sample } from './metric-values.ts';
import type { Count, CounterName, DurationName, GaugeName, Labels, Step } from './telemetry.ts';

/** The interval at which the event loop lag is measured, in milliseconds. */
const LOOP_PRECISION = 20;

type MetricType = 'counter' | 'gauge' | 'histogram';

interface Metric {
  readonly type: MetricType;
  readonly definition: Definition;
  read(): Sample[];
}

export interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

export class Metrics {
  readonly #counters = byName(COUNTERS, () => new Counters());
  readonly #gauges = byName(GAUGES, () => new Gauges());
  readonly #durations = byName(DURATIONS, ({ bounds }) => new Histograms(bounds));
  readonly #ingestedBytes = new Counters();
  readonly #build: Sample;
  #inFlight = 0;
  #registry: Promise<Registry> | undefined;
  #writing: Promise<MetricsText> | undefined;

  /** @param version of Vitrine. */
  constructor(version: string) {
    this.#build = { suffix: '', labels: { version, node: process.versions.node }, value: 1 };
  }

  counter(name: CounterName, labels: Labels): Count {
    return this.#counters[name].get(labels);
  }

  addGauge(name: GaugeName, labels: Labels, read: () => number): void {
    this.#gauges[name].add(labels, read);
  }

  recordDuration(name: DurationName, labels: Labels, seconds: number): void {
    this.#durations[name].add(labels, seconds);
  }

  /** @param outcome `ok` or the error code. */
  recordStep(step: Step, outcome: string, seconds: number): void {
    this.#durations[step.kind].add(labelsOf(step, outcome), seconds);
    if (step.kind === 'ingest' && outcome === 'ok') {
      this.#ingestedBytes.get({ operation: step.operation }).value += step.bytes;
    }
  }

  startRequest(): void {
    this.#inFlight += 1;
  }

  endRequest(labels: Labels, seconds: number): void {
    this.#inFlight -= 1;
    this.counter('requests', labels).value += 1;
    this.recordDuration('requestDuration', labels, seconds);
  }

  /** All metrics in the text format of Prometheus. Concurrent calls share one result. */
  write(): Promise<MetricsText> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<MetricsText> {
    this.#registry ??= this.#register();
    const registry = await this.#registry;
    return { contentType: registry.contentType, text: await registry.metrics() };
  }

  async #register(): Promise<Registry> {
    const { collectDefaultMetrics, Registry } = await import('prom-client');
    const registry = new Registry();
    for (const { type, definition, read } of this.#listMetrics()) {
      const { name, help } = definition;
      const metric = {
        name,
        help,
        type,
        get: async () => ({ name, help, type, aggregator: 'sum', values: read().map(asValue(name)) }),
      };
      // The registry uses only the name and `get` of a metric. The metric classes of prom-client would count
      // again.
      registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
    }
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_PRECISION });
    return registry;
  }

  #listMetrics(): Metric[] {
    const one = (type: MetricType, definition: Definition, read: () => Sample[]): Metric => ({
      type,
      definition,
      read,
    });
    const several = <N extends string>(
      type: MetricType,
      definitions: Readonly<Record<N, Definition>>,
      values: Readonly<Record<N, { read(): Sample[] }>>,
    ) => namesOf(definitions).map((name) => one(type, definitions[name], () => values[name].read()));
    return [
      one('gauge', BUILD, () => [this.#build]),
      ...several('counter', COUNTERS, this.#counters),
      ...several('histogram', DURATIONS, this.#durations),
      ...several('gauge', GAUGES, this.#gauges),
      one('gauge', IN_FLIGHT, () => [{ suffix: '', labels: {}, value: this.#inFlight }]),
      one('counter', INGESTED_BYTES, () => this.#ingestedBytes.read()),
    ];
  }
}

function labelsOf(step: Step, outcome: string): Labels {
  switch (step.kind) {
    case 'receive':
    case 'decode':
      return { outcome };
    case 'ingest':
    case 'database':
    case 'blob':
      return { operation: step.operation, outcome };
    case 'render':
      return { from: step.from, format: step.format, outcome };
  }
}

function asValue(name: string) {
  return ({
    suffix,
    labels,
    value,
  }: Sample): MetricObjectWithValues<MetricValueWithName<string>>['values'][number] => ({
    metricName: name + suffix,
    labels,
    value,
  });
}

function namesOf<N extends string>(table: Readonly<Record<N, unknown>>): N[] {
  return Object.keys(table) as N[];
}

function byName<N extends string, D, T>(table: Readonly<Record<N, D>>, make: (definition: D) => T) {
  return Object.fromEntries(namesOf(table).map((name) => [name, make(table[name])])) as Record<N, T>;
}
