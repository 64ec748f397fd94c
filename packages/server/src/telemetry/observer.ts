/**
 * The Telemetry that a server has: metrics always, spans where an SDK is registered. Owns how the two are told of the
 * same thing. Refuses to know how either is kept.
 */
import { isAppError } from '../errors.ts';
import { Metrics, type MetricsText } from './metrics.ts';
import type { ObservedRequest, Step, Telemetry } from './telemetry.ts';
import { openTraces, type Traces } from './traces.ts';

export interface Observer extends Telemetry {
  /** The metrics, as Prometheus reads them. */
  metrics(): Promise<MetricsText>;
}

/** Methods that have a label of their own; there are dozens more. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** @param version of this program. */
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
    const began = performance.now();
    let outcome = 'ok';
    try {
      return await (this.#traces ? this.#traces.step(step, work) : work());
    } catch (error) {
      outcome = isAppError(error) ? error.code : 'internal';
      throw error;
    } finally {
      this.#metrics.step(step, outcome, secondsSince(began));
    }
  }

  request(begun: Parameters<Telemetry['request']>[0]): ObservedRequest {
    const metrics = this.#metrics;
    const traces = this.#traces;
    const traced = traces?.request(begun);
    const began = performance.now();
    metrics.requestBegan();
    let reason: string | undefined;
    let failure: unknown;
    return {
      traceID: traced?.span.spanContext().traceId,
      within: (work) => (traces && traced ? traces.within(traced, work) : work()),
      failed(why, error) {
        reason = why;
        failure = error;
      },
      ended({ method, route, status }) {
        const known = METHODS.has(method) ? method : 'other';
        const labels = { method: known, route, status: `${Math.floor(status / 100)}xx` };
        metrics.requestEnded(labels, secondsSince(began));
        // Whose client went away meanwhile was told nothing.
        const told = status === 429 || status >= 500;
        if (reason !== undefined && told)
          metrics.counter('errors', { status: String(status), reason }).value += 1;
        if (traces && traced) traces.answered(traced, status, failure);
      },
    };
  }

  counter(...call: Parameters<Telemetry['counter']>): ReturnType<Telemetry['counter']> {
    return this.#metrics.counter(...call);
  }

  watch(...call: Parameters<Telemetry['watch']>): void {
    this.#metrics.watch(...call);
  }

  duration(...call: Parameters<Telemetry['duration']>): void {
    this.#metrics.duration(...call);
  }
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1_000;
}
