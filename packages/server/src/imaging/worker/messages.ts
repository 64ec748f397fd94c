/**
 * Owns the messages between the pool and its worker processes: plain data, fit for IPC with structured cloning.
 * A worker runs one task at a time, so messages carry no identity. Refuses to know who sends them and how.
 */
import type { Plan } from '../plan.ts';
import type { Ingested, Rendition } from '../processor.ts';

/** What the pool asks of a worker. The path names a local file. */
export type Task =
  | { readonly kind: 'ingest'; readonly path: string }
  | { readonly kind: 'render'; readonly path: string; readonly plan: Plan };

/** How a task may end by the worker's own account. */
export type Answer =
  | { readonly kind: 'done'; readonly result: Ingested | Rendition }
  /** The picture is the cause; the reason is written for the client. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Anything else is the cause; the message is written for the log. */
  | { readonly kind: 'failed'; readonly message: string };

/** What a worker says. */
export type WorkerMessage =
  /** Once, when it can take tasks. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** It passed its memory limit and is about to end itself; `rss` in bytes. */
  | { readonly kind: 'memory'; readonly rss: number };
