/**
 * Owns the metrics of one process, and how they are written for Prometheus. Counts in plain numbers; the library that
 * knows the text format and the metrics of the process itself is loaded by the first look, since it takes longer to load
 * than a start may. Refuses to know what is measured: the table does.
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
import { Counts, Distributions, type Reading, Watched } from './metric-values.ts';
import type { Count, CounterName, DurationName, GaugeName, Labels, Step } from './telemetry.ts';

/** Milliseconds between two looks at how far the event loop is behind. */
const LOOP_PRECISION = 20;

type MetricType = 'counter' | 'gauge' | 'histogram';

interface Kept {
  readonly type: MetricType;
  readonly definition: Definition;
  read(): Reading[];
}

export interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

export class Metrics {
  readonly #counters = byName(COUNTERS, () => new Counts());
  readonly #gauges = byName(GAUGES, () => new Watched());
  readonly #durations = byName(DURATIONS, ({ bounds }) => new Distributions(bounds));
  readonly #ingestedBytes = new Counts();
  readonly #build: Reading;
  #inFlight = 0;
  #registry: Promise<Registry> | undefined;
  #writing: Promise<MetricsText> | undefined;

  /** @param version of this program. */
  constructor(version: string) {
    this.#build = { suffix: '', labels: { version, node: process.versions.node }, value: 1 };
  }

  counter(name: CounterName, labels: Labels): Count {
    return this.#counters[name].of(labels);
  }

  watch(name: GaugeName, labels: Labels, read: () => number): void {
    this.#gauges[name].add(labels, read);
  }

  duration(name: DurationName, labels: Labels, seconds: number): void {
    this.#durations[name].add(labels, seconds);
  }

  /** @param outcome `ok`, or the code of the error. */
  step(step: Step, outcome: string, seconds: number): void {
    this.#durations[step.kind].add(labelsOf(step, outcome), seconds);
    if (step.kind === 'ingest' && outcome === 'ok') {
      this.#ingestedBytes.of({ operation: step.operation }).value += step.bytes;
    }
  }

  requestBegan(): void {
    this.#inFlight += 1;
  }

  requestEnded(labels: Labels, seconds: number): void {
    this.#inFlight -= 1;
    this.counter('requests', labels).value += 1;
    this.duration('requestDuration', labels, seconds);
  }

  /** All of them, as Prometheus reads them. Who asks while they are being written gets the same. */
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
    for (const kept of this.#all()) {
      const { type, definition } = kept;
      const { name, help } = definition;
      const metric = {
        name,
        help,
        type,
        get: async () => ({ name, help, type, aggregator: 'sum', values: kept.read().map(asValue(name)) }),
      };
      // Of a metric the registry only asks its name and what `get` says; the library's own would count all over again.
      registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0]);
    }
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_PRECISION });
    return registry;
  }

  #all(): Kept[] {
    const one = (type: MetricType, definition: Definition, read: () => Reading[]): Kept => ({
      type,
      definition,
      read,
    });
    const several = <N extends string>(
      type: MetricType,
      definitions: Readonly<Record<N, Definition>>,
      kept: Readonly<Record<N, { read(): Reading[] }>>,
    ) => namesOf(definitions).map((name) => one(type, definitions[name], () => kept[name].read()));
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
  }: Reading): MetricObjectWithValues<MetricValueWithName<string>>['values'][number] => ({
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
