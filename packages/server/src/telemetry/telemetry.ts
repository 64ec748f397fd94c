/**
 * The Telemetry port: what the rest of the server tells those who watch it. Owns the vocabulary: which work is worth
 * measuring, and what is counted. Refuses to know who listens, and how: Prometheus and OpenTelemetry are adapters.
 *
 * Guarantees to every caller:
 * - Work that is measured is done exactly once, at once, and its result or its error comes back unchanged.
 * - Telling never fails, and costs next to nothing where nobody listens.
 *
 * To every caller's own care: labels come from code, never from clients, so that their number is bounded. Nothing that
 * names an account, a key, an image or a product is told.
 */

/** Work that is measured, and a span of a trace where somebody traces. */
export type Step =
  /** From the first byte of an uploaded file to its last: mostly the client's time. */
  | { readonly kind: 'receive' }
  /** What becomes of a received file, of `bytes`, until it is stored or refused. */
  | { readonly kind: 'ingest'; readonly operation: 'upload' | 'update'; readonly bytes: number }
  /** The full decode of an upload, with its ladder, and the wait for a worker. */
  | { readonly kind: 'decode' }
  /** The making of a rendition, with the wait for a worker. */
  | { readonly kind: 'render'; readonly from: 'rung' | 'original'; readonly format: string }
  /** A call of the MetadataStore, such as `images.insert`. */
  | { readonly kind: 'database'; readonly operation: string }
  /** A call of the BlobDriver, such as `put`. */
  | { readonly kind: 'blob'; readonly operation: string };

export type Labels = Readonly<Record<string, string>>;

/** A number to be counted up in place: nothing is cheaper to tell. */
export interface Count {
  value: number;
}

export type CounterName = 'requests' | 'errors' | 'deliveries' | 'workerEnds' | 'malformed';
export type GaugeName = 'tasksWaiting' | 'costWaiting' | 'tasksRunning' | 'workers' | 'cacheBytes';
export type DurationName = 'requestDuration' | 'taskWait';

/** A request that goes through the routes. */
export interface ObservedRequest {
  /** As W3C Trace Context has it; undefined where nobody traces. */
  readonly traceID: string | undefined;
  /** Runs a part of the request's work, so that the spans of what it does belong to this request. */
  within<T>(work: () => T): T;
  /**
   * It fails for a reason that is not the client's request. `reason` is a code of ours: why it was shed, else its error
   * code, else `internal`.
   */
  failed(reason: string, error: unknown): void;
  /** It was answered, or its client went away (then `status` is 499). `route` is the pattern, never a path. */
  ended(answer: { readonly method: string; readonly route: string; readonly status: number }): void;
}

export interface Telemetry {
  step<T>(step: Step, work: () => Promise<T>): Promise<T>;
  request(begun: {
    readonly method: string;
    readonly route: string;
    readonly requestID: string;
    readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  }): ObservedRequest;
  /** The count with these labels; the same one every time. */
  counter(name: CounterName, labels: Labels): Count;
  /** Has a number read whenever somebody looks. */
  watch(name: GaugeName, labels: Labels, read: () => number): void;
  duration(name: DurationName, labels: Labels, seconds: number): void;
}

const UNOBSERVED_REQUEST: ObservedRequest = {
  traceID: undefined,
  within: (work) => work(),
  failed: () => undefined,
  ended: () => undefined,
};

/** Where nobody watches. */
export const UNOBSERVED: Telemetry = {
  step: async (_step, work) => work(),
  request: () => UNOBSERVED_REQUEST,
  counter: () => ({ value: 0 }),
  watch: () => undefined,
  duration: () => undefined,
};
