/**
 * The names, help texts and labels of all metrics. `/metrics` and docs/metrics.md are made from these tables.
 */
import type { CounterName, DurationName, GaugeName, Step } from './telemetry.ts';

export interface Definition {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface DurationDefinition extends Definition {
  /** The upper bounds of the buckets, in seconds. */
  readonly bounds: readonly number[];
}

/** From answers out of memory to timeouts. */
const REQUEST_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const WORK_BOUNDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60];
const STORE_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5];

export const COUNTERS: Readonly<Record<CounterName, Definition>> = {
  requests: {
    name: 'vitrine_http_requests_total',
    help: 'Answered requests, by method, route pattern and status class. Answers from memory ahead of the router are included. 4xx includes requests whose client disconnected before the answer.',
    labels: ['method', 'route', 'status'],
  },
  errors: {
    name: 'vitrine_http_errors_total',
    help: 'Requests answered with 429 or 5xx, by status and reason. The reason says why a valid request was rejected, or is the error code of a failure.',
    labels: ['status', 'reason'],
  },
  malformed: {
    name: 'vitrine_http_malformed_total',
    help: 'Requests that did not reach a route: not HTTP, without a Host header, or with headers that are too large or too slow.',
    labels: [],
  },
  deliveries: {
    name: 'vitrine_deliveries_total',
    help: 'Renditions sent, by source: warm (memory, ahead of the router), memory, disk, rung and original (rendered from it). Answers with 304 are not included.',
    labels: ['from'],
  },
  workerEnds: {
    name: 'vitrine_worker_ends_total',
    help: 'Worker processes that ended unexpectedly, by reason: crash, deadline, memory, start (it never became ready).',
    labels: ['reason'],
  },
  purges: {
    name: 'vitrine_purges_total',
    help: 'Images that the cache in front was asked to drop, by outcome: sent, failed (it is tried again).',
    labels: ['outcome'],
  },
};

export const GAUGES: Readonly<Record<GaugeName, Definition>> = {
  ready: {
    name: 'vitrine_ready',
    help: 'For reads and writes, 0 while the server stops and if the last probe of /readyz found a dependency that failed; otherwise 1. Reading this value checks nothing.',
    labels: ['for'],
  },
  tasksWaiting: {
    name: 'vitrine_tasks_waiting',
    help: 'Tasks that wait for a worker process.',
    labels: [],
  },
  costWaiting: {
    name: 'vitrine_tasks_waiting_cost_seconds',
    help: 'Estimated time that one worker process needs for all waiting tasks.',
    labels: [],
  },
  tasksRunning: {
    name: 'vitrine_tasks_running',
    help: 'Tasks that run in a worker process.',
    labels: [],
  },
  workers: { name: 'vitrine_workers', help: 'Worker processes that are alive.', labels: [] },
  cacheBytes: {
    name: 'vitrine_cache_bytes',
    help: 'Bytes of cached renditions (tier memory, disk) and of cached files of a remote blob store (blobs).',
    labels: ['tier'],
  },
  changesDelay: {
    name: 'vitrine_changes_delay_seconds',
    help: 'Time since the last proof that changes by other servers are heard: usually below 2. Only with PostgreSQL.',
    labels: [],
  },
};

const OUTCOME = 'The outcome is ok or the error code.';

export const DURATIONS: Readonly<Record<DurationName | Step['kind'], DurationDefinition>> = {
  requestDuration: {
    name: 'vitrine_http_request_duration_seconds',
    help: 'Time from the headers of a request to the last byte of its answer. Answers ahead of the router take microseconds and are not included.',
    labels: ['method', 'route', 'status'],
    bounds: REQUEST_BOUNDS,
  },
  receive: {
    name: 'vitrine_upload_receive_duration_seconds',
    help: `Time from the first byte of an uploaded file to its last. ${OUTCOME}`,
    labels: ['outcome'],
    bounds: WORK_BOUNDS,
  },
  ingest: {
    name: 'vitrine_ingest_duration_seconds',
    help: 'Time from the last byte of an uploaded file until it is stored or rejected. The outcome is ok or the error code, such as duplicate or invalid-image.',
    labels: ['operation', 'outcome'],
    bounds: WORK_BOUNDS,
  },
  decode: {
    name: 'vitrine_decode_duration_seconds',
    help: `Time to decode an upload and to make its ladder, including the wait for a worker process. ${OUTCOME}`,
    labels: ['outcome'],
    bounds: WORK_BOUNDS,
  },
  render: {
    name: 'vitrine_render_duration_seconds',
    help: `Time to render from a rung or the original, including the wait for a worker process. ${OUTCOME}`,
    labels: ['from', 'format', 'outcome'],
    bounds: WORK_BOUNDS,
  },
  taskWait: {
    name: 'vitrine_task_wait_duration_seconds',
    help: 'Time that tasks waited for a worker process.',
    labels: ['task'],
    bounds: WORK_BOUNDS,
  },
  database: {
    name: 'vitrine_database_duration_seconds',
    help: `Time of a database call, with all its statements and its whole transaction. ${OUTCOME}`,
    labels: ['operation', 'outcome'],
    bounds: STORE_BOUNDS,
  },
  blob: {
    name: 'vitrine_blob_duration_seconds',
    help: `Time of a blob storage call. The time of open ends when the first byte can be read. ${OUTCOME}`,
    labels: ['operation', 'outcome'],
    bounds: STORE_BOUNDS,
  },
};

/** Increases together with `ingest` durations whose outcome is ok. */
export const INGESTED_BYTES: Definition = {
  name: 'vitrine_ingested_bytes_total',
  help: 'Bytes of uploaded files that were stored.',
  labels: ['operation'],
};

export const IN_FLIGHT: Definition = {
  name: 'vitrine_http_requests_in_flight',
  help: 'Requests that a route handles now.',
  labels: [],
};

export const BUILD: Definition = {
  name: 'vitrine_build_info',
  help: 'Always 1. The labels are the versions of Vitrine and Node.',
  labels: ['version', 'node'],
};
