/**
 * Owns the names, the meanings and the labels of all metrics, as data: what is told, what /metrics shows and what
 * docs/metrics.md says are made from the same table. Refuses to know how they are kept and written.
 */
import type { CounterName, DurationName, GaugeName, Step } from './telemetry.ts';

export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** With the upper bounds of its buckets, in seconds. */
export interface DurationDefinition extends Definition {
  readonly bounds: readonly number[];
}

/** From what is in memory to what is given up on. */
const REQUEST_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const WORK_BOUNDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];
const STORE_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5];

export const COUNTERS: Readonly<Record<CounterName, Definition>> = {
  requests: {
    name: 'vitrine_http_requests_total',
    help: 'Requests that were answered, by method, pattern of the route and class of the status; those from memory included. 4xx includes clients that went away before their answer.',
    labels: ['method', 'route', 'status'],
  },
  errors: {
    name: 'vitrine_http_errors_total',
    help: 'Requests that were answered with 429 or 5xx, by status and reason: why a good request was turned away, or the code of the failure.',
    labels: ['status', 'reason'],
  },
  malformed: {
    name: 'vitrine_http_malformed_total',
    help: 'Requests that never came as far as a route: not HTTP, too large or too slow in their headers, or without a host.',
    labels: [],
  },
  deliveries: {
    name: 'vitrine_deliveries_total',
    help: 'Renditions that were sent, by where they came from: warm (memory, ahead of the router), memory, disk, rung and original (rendered). 304 are not among them.',
    labels: ['from'],
  },
  workerEnds: {
    name: 'vitrine_worker_ends_total',
    help: 'Decoding processes that ended and had not been told to, by reason: crash, deadline, memory, start (it never became ready).',
    labels: ['reason'],
  },
};

export const GAUGES: Readonly<Record<GaugeName, Definition>> = {
  tasksWaiting: {
    name: 'vitrine_tasks_waiting',
    help: 'Tasks that wait for a decoding process.',
    labels: [],
  },
  costWaiting: {
    name: 'vitrine_tasks_waiting_cost_seconds',
    help: 'What the waiting tasks are estimated to take one decoding process.',
    labels: [],
  },
  tasksRunning: {
    name: 'vitrine_tasks_running',
    help: 'Tasks that a decoding process works on.',
    labels: [],
  },
  workers: { name: 'vitrine_workers', help: 'Decoding processes that are alive.', labels: [] },
  cacheBytes: {
    name: 'vitrine_cache_bytes',
    help: 'Bytes of renditions that are kept, by tier: memory, disk.',
    labels: ['tier'],
  },
};

const OUTCOME = 'the outcome is ok, or the code of the error';

export const DURATIONS: Readonly<Record<DurationName | Step['kind'], DurationDefinition>> = {
  requestDuration: {
    name: 'vitrine_http_request_duration_seconds',
    help: 'From the headers of a request to the last byte of its answer, as vitrine_http_requests_total but for answers ahead of the router, which take microseconds.',
    labels: ['method', 'route', 'status'],
    bounds: REQUEST_BOUNDS,
  },
  receive: {
    name: 'vitrine_upload_receive_duration_seconds',
    help: `From the first byte of an uploaded file to its last; ${OUTCOME}.`,
    labels: ['outcome'],
    bounds: WORK_BOUNDS,
  },
  ingest: {
    name: 'vitrine_ingest_duration_seconds',
    help: `From the last byte of an uploaded file until it is stored or refused; ${OUTCOME}, such as duplicate or invalid-image.`,
    labels: ['operation', 'outcome'],
    bounds: WORK_BOUNDS,
  },
  decode: {
    name: 'vitrine_decode_duration_seconds',
    help: `The full decode of an upload with its ladder, the wait for a decoding process included; ${OUTCOME}.`,
    labels: ['outcome'],
    bounds: WORK_BOUNDS,
  },
  render: {
    name: 'vitrine_render_duration_seconds',
    help: `The making of a rendition from a rung or the original, the wait for a decoding process included; ${OUTCOME}.`,
    labels: ['from', 'format', 'outcome'],
    bounds: WORK_BOUNDS,
  },
  taskWait: {
    name: 'vitrine_task_wait_duration_seconds',
    help: 'How long tasks waited for a decoding process.',
    labels: ['task'],
    bounds: WORK_BOUNDS,
  },
  database: {
    name: 'vitrine_database_duration_seconds',
    help: `Calls of the database, each with all its statements and its transaction; ${OUTCOME}.`,
    labels: ['operation', 'outcome'],
    bounds: STORE_BOUNDS,
  },
  blob: {
    name: 'vitrine_blob_duration_seconds',
    help: `Calls of the blob storage; of open, until the first byte can be read; ${OUTCOME}.`,
    labels: ['operation', 'outcome'],
    bounds: STORE_BOUNDS,
  },
};

/** Counted along with the durations of `ingest`. */
export const INGESTED_BYTES: Definition = {
  name: 'vitrine_ingested_bytes_total',
  help: 'Bytes of uploaded files that were stored.',
  labels: ['operation'],
};

export const IN_FLIGHT: Definition = {
  name: 'vitrine_http_requests_in_flight',
  help: 'Requests that a route is answering.',
  labels: [],
};

export const BUILD: Definition = {
  name: 'vitrine_build_info',
  help: 'Always 1; the labels say which version of Vitrine runs on which Node.',
  labels: ['version', 'node'],
};
