/**
 * The Telemetry port: the measurements of the server. Prometheus and OpenTelemetry are adapters of it.
 *
 * Guarantees to callers:
 * - Measured work runs exactly once, without delay. Its result or error is returned unchanged.
 * - A measurement never fails. Without a listener its cost is negligible.
 *
 * Label values must come from code and never from clients, so that their number is limited. Metrics have no
 * names of accounts, keys, images or products.
 */

/** Work whose duration is measured. With tracing, it is also a span. */
export type Step =
  /** From the first byte of an uploaded file to its last. Depends mostly on the client. */
  | { readonly kind: 'receive' }
  /** From the last byte of an uploaded file, of `bytes`, until it is stored or rejected. */
  | { readonly kind: 'ingest'; readonly operation: 'upload' | 'update'; readonly bytes: number }
  /** The full decode of an upload, with its ladder and the wait for a worker. */
  | { readonly kind: 'decode' }
  /** The render of a rendition, with the wait for a worker. */
  | { readonly kind: 'render'; readonly from: 'rung' | 'original'; readonly format: string }
  /** A call of the MetadataStore, such as `images.insert`. */
  | { readonly kind: 'database'; readonly operation: string }
  /** A call of the BlobDriver, such as `put`. */
  | { readonly kind: 'blob'; readonly operation: string };

export type Labels = Readonly<Record<string, string>>;

/** A counter value. Callers increase it in place, which is the cheapest measurement. */
export interface Count {
  value: number;
}

export type CounterName = 'requests' | 'errors' | 'deliveries' | 'workerEnds' | 'malformed' | 'purges';
export type GaugeName =
  | 'ready'
  | 'tasksWaiting'
  | 'costWaiting'
  | 'tasksRunning'
  | 'workers'
  | 'cacheBytes'
  | 'changesDelay';
export type DurationName = 'requestDuration' | 'taskWait';

/** A request that reached the router. */
export interface ObservedRequest {
  /** The trace ID of W3C Trace Context; undefined without tracing. */
  readonly traceID: string | undefined;
  /** Runs a part of the request, so that its spans become children of the span of the request. */
  within<T>(work: () => T): T;
  /**
   * Records a failure that the client did not cause. `reason` is the rejection reason, else the error code,
   * else `internal`.
   */
  failed(reason: string, error: unknown): void;
  /**
   * Records the end of the answer. `status` is 499 if the client disconnected. `route` is the pattern of the
   * route, never a path.
   */
  ended(answer: { readonly method: string; readonly route: string; readonly status: number }): void;
}

export interface Telemetry {
  step<T>(step: Step, work: () => Promise<T>): Promise<T>;
  request(head: {
    readonly method: string;
    readonly route: string;
    readonly requestID: string;
    readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  }): ObservedRequest;
  /** The count with these labels. Each call returns the same object. */
  counter(name: CounterName, labels: Labels): Count;
  /** Adds a value that is read at each scrape. */
  addGauge(name: GaugeName, labels: Labels, read: () => number): void;
  recordDuration(name: DurationName, labels: Labels, seconds: number): void;
}

const UNOBSERVED_REQUEST: ObservedRequest = {
  traceID: undefined,
  within: (work) => work(),
  failed: () => undefined,
  ended: () => undefined,
};

/** The Telemetry that records nothing. */
export const UNOBSERVED: Telemetry = {
  step: async (_step, work) => work(),
  request: () => UNOBSERVED_REQUEST,
  counter: () => ({ value: 0 }),
  addGauge: () => undefined,
  recordDuration: () => undefined,
};
