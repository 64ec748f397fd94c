/**
 * The Processor on worker processes. Owns the queue, which worker gets which task, what is tried again, and the
 * AppError that each ending becomes. Refuses to know pixels (worker.ts) and the care of one process (child.ts).
 *
 * Why processes: a decoder that crashes, hangs or swells takes nothing with it, and sharp's decodes would
 * otherwise hold libuv's threads, and with them the file and DNS calls of the whole server.
 */
import { availableParallelism } from 'node:os';
import { AppError } from '../errors.ts';
import { Child, type ChildOptions, type Outcome } from './child.ts';
import type { Task } from './messages.ts';
import type { Plan } from './plan.ts';
import type { Inspection, Processor, Rendition } from './processor.ts';

/** The one method of a logger that the pool uses, as pino has it. */
export interface PoolLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface PoolOptions {
  /** Worker processes at most. Default: one for each core that this process may use. */
  readonly size?: number;
  /** Milliseconds a task may run, not counting its wait in the queue. */
  readonly deadlineMs?: number;
  /** Resident bytes a worker may hold. */
  readonly memoryLimitBytes?: number;
  /** Tasks that may wait; one more is refused as `unavailable`. */
  readonly maxWaiting?: number;
  readonly log?: PoolLog;
}

/** The pool's own view of itself, for metrics and tests. */
export interface Pool extends Processor {
  /** The process ids of the workers that are alive, idle or not. */
  workerPids(): number[];
  /** Tasks that wait for a worker. */
  waiting(): number;
  /** Tasks that a worker has. */
  running(): number;
}

const DEADLINE_MS = 15_000;

/** Node and sharp idle, the decode budget of limits.ts, a file twice, an alpha channel, a rendition; and some. */
const MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024;

const MAX_WAITING = 256;

/** A worker is ready in a fraction of a second; this is for a machine in trouble. */
const START_DEADLINE_MS = 30_000;

/** After as many workers in a row that ended before they were ready, those who wait are told. */
const MAX_START_FAILURES = 3;

const SHUTTING_DOWN = 'The server is shutting down';
const NO_WORKERS = 'Pictures cannot be processed at the moment';

interface Job {
  readonly task: Task;
  readonly resolve: (result: Inspection | Rendition) => void;
  readonly reject: (error: AppError) => void;
  /** True once a worker crashed on it. */
  retried: boolean;
  /** True once its caller has an answer. */
  settled: boolean;
}

interface Slot {
  readonly child: Child;
  state: 'starting' | 'idle' | 'busy';
  /** True until its first task. */
  fresh: boolean;
}

/** Starts one worker in the background and the others when they are needed. */
export function createPool(options: PoolOptions = {}): Pool {
  return new ProcessPool(options);
}

class ProcessPool implements Pool {
  readonly #size: number;
  readonly #deadlineMs: number;
  readonly #childOptions: ChildOptions;
  readonly #maxWaiting: number;
  readonly #log: PoolLog | undefined;
  readonly #slots = new Set<Slot>();
  /** Jobs that a worker crashed on are at its front, and only for fresh workers. */
  readonly #queue: Job[] = [];
  #startFailures = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#size = options.size ?? availableParallelism();
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#childOptions = {
      memoryLimitBytes: options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES,
      startDeadlineMs: START_DEADLINE_MS,
    };
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING;
    this.#log = options.log;
    // After what the caller still does on the way to its first answer.
    setImmediate(() => this.#keepOneWarm());
  }

  async inspect(path: string, signal?: AbortSignal): Promise<Inspection> {
    return (await this.#submit({ kind: 'inspect', path }, signal)) as Inspection;
  }

  async render(path: string, plan: Plan, signal?: AbortSignal): Promise<Rendition> {
    return (await this.#submit({ kind: 'render', path, plan }, signal)) as Rendition;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectWaiting(SHUTTING_DOWN);
    const slots = [...this.#slots];
    for (const { child } of slots) {
      child.hold(true);
      child.kill();
    }
    await Promise.all(slots.map((slot) => slot.child.ended));
  }

  workerPids(): number[] {
    return [...this.#slots].flatMap(({ child }) =>
      child.pid === undefined || !child.usable ? [] : [child.pid],
    );
  }

  waiting(): number {
    return this.#queue.length;
  }

  running(): number {
    return this.#count('busy');
  }

  #submit(task: Task, signal: AbortSignal | undefined): Promise<Inspection | Rendition> {
    if (signal?.aborted === true) return Promise.reject(cancelled());
    if (this.#closed) return Promise.reject(unavailable(SHUTTING_DOWN));
    if (this.#queue.length >= this.#maxWaiting) {
      return Promise.reject(unavailable('Too many pictures are waiting to be processed'));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Inspection | Rendition>();
    const settle = (): boolean => {
      if (job.settled) return false;
      job.settled = true;
      signal?.removeEventListener('abort', abort);
      return true;
    };
    const job: Job = {
      task,
      resolve: (result) => settle() && resolve(result),
      reject: (error) => settle() && reject(error),
      retried: false,
      settled: false,
    };
    // A task that runs is left to end: most have less to go than a new worker takes to start.
    const abort = (): void => {
      const index = this.#queue.indexOf(job);
      if (index >= 0) this.#queue.splice(index, 1);
      job.reject(cancelled());
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#queue.push(job);
    this.#dispatch();
    return promise;
  }

  /** Gives waiting jobs to idle workers, and starts workers for the others. */
  #dispatch(): void {
    if (this.#closed) return;
    for (const slot of this.#slots) {
      if (slot.state !== 'idle' || !slot.child.usable) continue;
      const index = this.#queue.findIndex((job) => slot.fresh || !job.retried);
      const job = this.#queue[index];
      if (job === undefined) continue;
      this.#queue.splice(index, 1);
      void this.#run(slot, job);
    }
    while (this.#queue.length > this.#count('starting') && this.#slots.size < this.#size) {
      if (this.#start()) continue;
      if (this.#slots.size === 0) this.#rejectWaiting(NO_WORKERS);
      return;
    }
  }

  async #run(slot: Slot, job: Job): Promise<void> {
    slot.state = 'busy';
    slot.fresh = false;
    slot.child.hold(true);
    const outcome = await slot.child.run(job.task, this.#deadlineMs);
    slot.child.hold(false);
    slot.state = 'idle';
    this.#conclude(job, outcome);
    this.#dispatch();
  }

  #conclude(job: Job, outcome: Outcome): void {
    if (outcome.kind === 'done') {
      job.resolve(outcome.result);
      return;
    }
    if (outcome.kind !== 'refused' && !this.#closed) {
      this.#log?.warn({ task: job.task.kind, outcome }, 'an imaging task did not end well');
    }
    if (outcome.kind === 'crashed' && !job.retried && !job.settled && !this.#closed) {
      // The picture may be innocent: the system may have taken the memory, or the task before left damage behind.
      job.retried = true;
      this.#queue.unshift(job);
      return;
    }
    job.reject(this.#closed ? unavailable(SHUTTING_DOWN) : this.#errorFor(job.task, outcome));
  }

  #errorFor(task: Task, outcome: Exclude<Outcome, { kind: 'done' }>): AppError {
    switch (outcome.kind) {
      case 'refused':
        return invalidImage(outcome.reason);
      case 'failed':
        return unavailable('The picture could not be processed', outcome.message);
      case 'crashed':
        return unavailable('The picture could not be processed', outcome.how);
      case 'deadline':
        // At render the picture was accepted before, so the server or the rendition is the cause.
        return task.kind === 'inspect'
          ? invalidImage(`it takes longer than ${this.#deadlineMs / 1_000} s to decode`)
          : unavailable('Rendering the picture took too long');
      case 'memory':
        return task.kind === 'inspect'
          ? invalidImage('it takes too much memory to decode')
          : unavailable('Rendering the picture took too much memory');
    }
  }

  /** False if no process could be started. */
  #start(): boolean {
    let child: Child;
    try {
      child = new Child(this.#childOptions);
    } catch (error) {
      this.#startFailed(error instanceof Error ? error.message : String(error));
      return false;
    }
    const slot: Slot = { child, state: 'starting', fresh: true };
    this.#slots.add(slot);
    void child.ready.then((ready) => {
      if (!ready) return;
      this.#startFailures = 0;
      slot.state = 'idle';
      child.hold(false);
      this.#dispatch();
    });
    void child.ended.then((how) => {
      this.#slots.delete(slot);
      if (this.#closed) return;
      if (slot.state === 'starting') this.#startFailed(how);
      else this.#keepOneWarm();
      this.#dispatch();
    });
    return true;
  }

  #startFailed(how: string): void {
    this.#startFailures += 1;
    this.#log?.warn({ how, failures: this.#startFailures }, 'an imaging worker did not start');
    // Those who wait get an answer instead of an endless row of attempts; whoever comes next tries anew.
    if (this.#startFailures < MAX_START_FAILURES) return;
    this.#startFailures = 0;
    this.#rejectWaiting(NO_WORKERS);
  }

  #keepOneWarm(): void {
    if (!this.#closed && this.#slots.size === 0) this.#start();
  }

  #rejectWaiting(message: string): void {
    for (const job of this.#queue.splice(0)) job.reject(unavailable(message));
  }

  #count(state: Slot['state']): number {
    let count = 0;
    for (const slot of this.#slots) if (slot.state === state) count += 1;
    return count;
  }
}

function cancelled(): AppError {
  return new AppError('cancelled', 'The request was cancelled');
}

function invalidImage(reason: string): AppError {
  return new AppError('invalid-image', `The picture is not accepted: ${reason}`, {
    fields: { image: reason },
  });
}

function unavailable(message: string, cause?: string): AppError {
  return new AppError('unavailable', message, { retryAfter: 1, ...(cause === undefined ? {} : { cause }) });
}
