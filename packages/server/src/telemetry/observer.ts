/**
 * The Telemetry of a server: metrics always, and spans if an OpenTelemetry SDK is registered.
 */
import { isAppError } from '../errors.ts';
import { Metrics, type MetricsText } from './metrics.ts';
import type { ObservedRequest, Step, Telemetry } from './telemetry.ts';
import { openTraces, type Traces } from './traces.ts';

export interface Observer extends Telemetry {
  /** All metrics in the text format of Prometheus. */
  metrics(): Promise<MetricsText>;
}

/** The values of the label `method`. All other methods have the value `other`. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** @param version of Vitrine. */
export async function openTelemetry(version: string): Promise<Observer> {
  return new MetricsAndTraces(new Metrics(version), await openTraces(version));
}

class MetricsAndTraces implements Observer {
  readonly #metrics: Metrics;
  readonly #traces: Traces | undefined;

  constructor(metrics: Metrics, traces: Traces | undefined) {
    this.#metrics = metrics;
    this.#traces = traces;
  }

  metrics(): Promise<MetricsText> {
    return this.#metrics.write();
  }

  async step<T>(step: Step, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    let outcome = 'ok';
    try {
      return await (this.#traces ? this.#traces.step(step, work) : work());
    } catch (error) {
      outcome = isAppError(error) ? error.code : 'internal';
      throw error;
    } finally {
      this.#metrics.recordStep(step, outcome, secondsSince(start));
    }
  }

  request(head: Parameters<Telemetry['request']>[0]): ObservedRequest {
    const metrics = this.#metrics;
    const traces = this.#traces;
    const active = traces?.startRequest(head);
    const start = performance.now();
    metrics.startRequest();
    let failure: { readonly reason: string; readonly error: unknown } | undefined;
    return {
      traceID: active?.span.spanContext().traceId,
      within: (work) => (traces && active ? traces.within(active, work) : work()),
      failed(reason, error) {
        failure = { reason, error };
      },
      ended({ method, route, status }) {
        const labels = {
          method: METHODS.has(method) ? method : 'other',
          route,
          status: `${Math.floor(status / 100)}xx`,
        };
        metrics.endRequest(labels, secondsSince(start));
        // A client that disconnected received no error.
        const isError = status === 429 || status >= 500;
        if (failure && isError)
          metrics.counter('errors', { status: String(status), reason: failure.reason }).value += 1;
        if (traces && active) traces.endRequest(active, status, failure?.error);
      },
    };
  }

  counter(...call: Parameters<Telemetry['counter']>): ReturnType<Telemetry['counter']> {
    return this.#metrics.counter(...call);
  }

  addGauge(...call: Parameters<Telemetry['addGauge']>): void {
    this.#metrics.addGauge(...call);
  }

  recordDuration(...call: Parameters<Telemetry['recordDuration']>): void {
    this.#metrics.recordDuration(...call);
  }
}

/** @param start milliseconds, from `performance.now()`. */
function secondsSince(start: number): number {
  return (performance.now() - start) / 1_000;
}
