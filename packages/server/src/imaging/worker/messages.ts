/**
 * The messages between the pool and its worker processes: plain data, sent with structured cloning. A message
 * has no task ID, because a worker runs one task at a time.
 */
import type { Plan, PlanSource } from '../plan.ts';
import type { IngestResult, Rendition } from '../processor.ts';

/** A request of the pool to a worker. `path` is a local file. */
export type Task =
  | { readonly kind: 'ingest'; readonly path: string }
  | {
      readonly kind: 'render';
      readonly path: string;
      readonly plan: Plan;
      /** Present: the file is this original. Absent: it is the rung of the plan. */
      readonly original?: PlanSource;
    };

/** The result of a task that the worker itself reports. */
export type Answer =
  | { readonly kind: 'done'; readonly result: IngestResult | Rendition }
  /** The picture is the cause. The reason is written for the client. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** The picture is not the cause. The message is written for the log. */
  | { readonly kind: 'failed'; readonly message: string };

/** A message of a worker to the pool. */
export type WorkerMessage =
  /** Sent once, when the worker can take tasks. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** The worker holds more than its memory limit and ends itself next. `rss` is in bytes. */
  | { readonly kind: 'memory'; readonly rss: number };
