/**
 * The Processor on worker processes. It distributes tasks to workers, retries a task once after a crash, and
 * turns each failure into an AppError.
 *
 * Processes isolate the server from a decoder that crashes, hangs or takes too much memory. In the server's
 * own process, sharp would also block the threads of libuv, which file and DNS calls need.
 */
import { availableParallelism } from 'node:os';
import { AppError, cancellation, type RejectionReason, throwIfFired } from '../../errors.ts';
import type { WarnLog } from '../../telemetry/log.ts';
import { type Telemetry, UNOBSERVED } from '../../telemetry/telemetry.ts';
import type { Plan } from '../plan.ts';
import type { IngestResult, Processor, RenderOptions, Rendition } from '../processor.ts';
import type { Task } from '../worker/messages.ts';
import { ingestCost, renderCost } from './cost.ts';
import { isLarge, TaskQueue } from './queue.ts';
import { type Outcome, type WorkerOptions, WorkerProcess } from './worker-process.ts';

export interface PoolOptions {
  /** The most worker processes. Default: one for each core that this process may use. */
  readonly size?: number;
  /** Milliseconds that a task may run. Its wait in the queue does not count. */
  readonly deadlineMs?: number;
  /** Milliseconds from the start of a worker until it must be ready for tasks. */
  readonly startDeadlineMs?: number;
  /** Resident bytes that a worker may hold. */
  readonly memoryLimitBytes?: number;
  /** Tasks that may wait. One more is rejected with `unavailable`. */
  readonly maxWaiting?: number;
  /** Milliseconds that a task of each kind may wait for a worker. It is then rejected with `unavailable`. */
  readonly maxWaitMs?: Partial<Readonly<Record<Task['kind'], number>>>;
  readonly log?: WarnLog;
  readonly telemetry?: Telemetry;
}

/** The Processor with its state, for metrics and readiness checks. */
export interface Pool extends Processor {
  /** The process IDs of all live workers, idle and busy. */
  workerPids(): number[];
  /** The number of tasks that wait for a worker. */
  waiting(): number;
  /** The estimated cost of all waiting tasks, in milliseconds of one worker. */
  waitingCost(): number;
  /** The number of tasks that run in a worker. */
  running(): number;
  /**
   * Resolves when at least one worker is idle or busy. A worker loads the decoder at its start, so this shows
   * whether pictures can be decoded. Does not wait for tasks in the queue.
   * @throws AppError `unavailable`, `cancelled`
   */
  check(signal?: AbortSignal): Promise<void>;
}

const DEADLINE_MS = 15_000;

/**
 * Idle Node and sharp, the decode budget of formats/limits.ts, two copies of the file, an alpha channel, a
 * rendition, and a reserve.
 */
const MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024;

const MAX_WAITING = 256;

/** Estimated cost of the tasks that may wait, in milliseconds for each worker. */
const MAX_WAITING_COST = 120_000;

/** After this wait a page no longer needs its rendition. A client still needs the answer to its upload. */
const MAX_WAIT_MS: Readonly<Record<Task['kind'], number>> = { render: 5_000, ingest: 60_000 };

/** An ordinary start takes a fraction of a second. The limit is for an overloaded machine. */
const START_DEADLINE_MS = 30_000;

/**
 * After this number of failed starts in a row, all waiting tasks are rejected. A start that an external
 * SIGKILL ended does not count: it affects no task, and the wait of a task is limited anyway.
 */
const MAX_START_FAILURES = 3;

const SHUTTING_DOWN = 'The server is shutting down';
const NO_WORKERS = 'Pictures cannot be processed now: no worker process could be started';
const TOO_MANY = 'Too many pictures are waiting to be processed';

interface Job {
  readonly task: Task;
  readonly cost: number;
  readonly original: string | undefined;
  readonly resolve: (result: IngestResult | Rendition) => void;
  readonly reject: (error: AppError) => void;
  /** True after a worker crashed on it. */
  retried: boolean;
  /** True after its promise is settled. */
  settled: boolean;
  /** When it was submitted, in milliseconds of the monotonic clock. */
  readonly submittedAt: number;
  /** Milliseconds that it waited for a worker. 0 until it has one. */
  waitMs: number;
  /** Rejects it when its wait is too long. */
  readonly waitTimer: NodeJS.Timeout;
}

interface Slot {
  readonly worker: WorkerProcess;
  state: 'starting' | 'idle' | 'busy';
  /** True until its first task. */
  fresh: boolean;
  /** Present while the worker is busy. */
  job?: Job;
  /** True after its end is in the metrics. */
  endCounted?: true;
}

/** Starts one worker in the background. Starts the others when they are needed. */
export function createPool(options: PoolOptions = {}): Pool {
  return new ProcessPool(options);
}

class ProcessPool implements Pool {
  readonly #size: number;
  readonly #deadlineMs: number;
  readonly #workerOptions: WorkerOptions;
  readonly #maxWaitMs: Readonly<Record<Task['kind'], number>>;
  readonly #log: WarnLog | undefined;
  readonly #telemetry: Telemetry;
  readonly #slots = new Set<Slot>();
  readonly #queue: TaskQueue<Job>;
  #startFailures = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#size = options.size ?? availableParallelism();
    this.#deadlineMs = options.deadlineMs ?? DEADLINE_MS;
    this.#workerOptions = {
      memoryLimitBytes: options.memoryLimitBytes ?? MEMORY_LIMIT_BYTES,
      startDeadlineMs: options.startDeadlineMs ?? START_DEADLINE_MS,
    };
    this.#maxWaitMs = { ...MAX_WAIT_MS, ...options.maxWaitMs };
    this.#queue = new TaskQueue({
      maxWaiting: options.maxWaiting ?? MAX_WAITING,
      maxCost: MAX_WAITING_COST * this.#size,
    });
    this.#log = options.log;
    this.#telemetry = options.telemetry ?? UNOBSERVED;
    // Deferred, so that the start of a process does not delay the caller.
    setImmediate(() => this.#keepOneWarm());
  }

  async ingest(path: string, signal?: AbortSignal, size?: number): Promise<IngestResult> {
    const task = { kind: 'ingest', path } as const;
    return (await this.#submit(task, { cost: ingestCost(size), signal })) as IngestResult;
  }

  async render(path: string, plan: Plan, options: RenderOptions = {}): Promise<Rendition> {
    const { signal, source, original } = options;
    const task = { kind: 'render', path, plan, ...(source && { original: source }) } as const;
    return (await this.#submit(task, { cost: renderCost(plan, source), signal, original })) as Rendition;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectWaiting(SHUTTING_DOWN, 'stopping');
    const slots = [...this.#slots];
    for (const { worker } of slots) {
      worker.keepParentAlive(true);
      worker.kill();
    }
    await Promise.all(slots.map(({ worker }) => worker.ended));
  }

  workerPids(): number[] {
    return [...this.#slots].flatMap(({ worker }) =>
      worker.pid === undefined || !worker.usable ? [] : [worker.pid],
    );
  }

  waiting(): number {
    return this.#queue.length;
  }

  waitingCost(): number {
    return this.#queue.cost;
  }

  running(): number {
    return this.#count('busy');
  }

  async check(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw unavailable(SHUTTING_DOWN, 'stopping');
    throwIfFired(signal);
    const { promise: aborted, reject: abort } = Promise.withResolvers<never>();
    aborted.catch(() => undefined);
    signal?.addEventListener('abort', () => abort(cancellation(signal)), { once: true });
    while (this.#count('idle') + this.#count('busy') === 0) {
      if (this.#slots.size === 0 && !this.#start()) throw unavailable(NO_WORKERS, 'no-workers');
      const ready = await Promise.race([aborted, ...[...this.#slots].map(({ worker }) => worker.ready)]);
      if (!ready) throw unavailable(NO_WORKERS, 'no-workers');
    }
  }

  #submit(
    task: Task,
    {
      cost,
      signal,
      original,
    }: { cost: number; signal: AbortSignal | undefined; original?: string | undefined },
  ): Promise<IngestResult | Rendition> {
    if (signal?.aborted) return Promise.reject(cancellation(signal));
    if (this.#closed) return Promise.reject(unavailable(SHUTTING_DOWN, 'stopping'));
    const { promise, resolve, reject } = Promise.withResolvers<IngestResult | Rendition>();
    const settle = (): boolean => {
      if (job.settled) return false;
      job.settled = true;
      clearTimeout(job.waitTimer);
      signal?.removeEventListener('abort', onAbort);
      return true;
    };
    const removeAndReject = (error: AppError): void => {
      this.#queue.remove(job);
      job.reject(error);
    };
    // A running task is not ended: most tasks need less time than the start of a new worker.
    const onAbort = (): void => {
      if (signal) removeAndReject(cancellation(signal));
    };
    const job: Job = {
      task,
      cost,
      original,
      resolve: (result) => settle() && resolve(result),
      reject: (error) => settle() && reject(error),
      retried: false,
      settled: false,
      submittedAt: performance.now(),
      waitMs: 0,
      waitTimer: setTimeout(
        () => removeAndReject(unavailable(TOO_MANY, 'queue-wait')),
        this.#maxWaitMs[task.kind],
      ),
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (this.#queue.add(job)) this.#dispatch();
    else job.reject(unavailable(TOO_MANY, 'queue-full'));
    return promise;
  }

  /** Gives waiting jobs to idle workers, and starts workers for the others. */
  #dispatch(): void {
    if (this.#closed) return;
    for (const slot of this.#slots) {
      if (slot.state !== 'idle' || !slot.worker.usable) continue;
      const job = this.#queue.take({
        fresh: slot.fresh,
        large: this.#mayTakeLarge(),
        saturatedOriginals: this.#saturatedOriginals(),
      });
      if (job !== undefined) void this.#run(slot, job);
    }
    while (this.#queue.length > this.#count('starting') && this.#slots.size < this.#size) {
      if (this.#start()) continue;
      if (this.#slots.size === 0) this.#rejectWaiting(NO_WORKERS, 'no-workers');
      return;
    }
  }

  /** Keeps one worker for small tasks, if there is more than one worker. */
  #mayTakeLarge(): boolean {
    let large = 0;
    for (const { job } of this.#slots) if (job !== undefined && isLarge(job)) large += 1;
    return large < Math.max(1, this.#size - 1);
  }

  /**
   * The originals that have the most workers that one original may have: all workers except one. Requests for
   * many sizes of one picture then leave a worker for other pictures, and a core for the server (figures in
   * docs/adr/0040).
   */
  #saturatedOriginals(): ReadonlySet<string> {
    const counts = new Map<string, number>();
    for (const { job } of this.#slots) {
      if (job?.original !== undefined) counts.set(job.original, (counts.get(job.original) ?? 0) + 1);
    }
    const share = Math.max(1, this.#size - 1);
    return new Set([...counts].filter(([, count]) => count >= share).map(([original]) => original));
  }

  async #run(slot: Slot, job: Job): Promise<void> {
    slot.state = 'busy';
    slot.fresh = false;
    slot.job = job;
    clearTimeout(job.waitTimer);
    job.waitMs = performance.now() - job.submittedAt;
    this.#telemetry.recordDuration('taskWait', { task: job.task.kind }, job.waitMs / 1_000);
    const start = performance.now();
    slot.worker.keepParentAlive(true);
    const outcome = await slot.worker.run(job.task, this.#deadlineMs);
    slot.worker.keepParentAlive(false);
    slot.state = 'idle';
    delete slot.job;
    if (outcome.kind === 'crashed') this.#countEnd(slot, 'crash');
    else if (outcome.kind === 'deadline' || outcome.kind === 'memory') this.#countEnd(slot, outcome.kind);
    this.#finish(job, outcome, performance.now() - start);
    this.#dispatch();
  }

  #finish(job: Job, outcome: Outcome, workMs: number): void {
    if (outcome.kind === 'done') {
      job.resolve({ ...outcome.result, times: { waitMs: job.waitMs, workMs } });
      return;
    }
    if (outcome.kind !== 'refused' && !this.#closed) {
      this.#log?.warn({ task: job.task.kind, outcome }, 'imaging task failed');
    }
    if (outcome.kind === 'crashed' && !job.retried && !job.settled && !this.#closed) {
      // The picture may not be the cause: the system may have killed the worker, or the task before may have
      // damaged it.
      job.retried = true;
      this.#queue.putBack(job);
      return;
    }
    job.reject(this.#closed ? unavailable(SHUTTING_DOWN, 'stopping') : this.#errorFor(job.task, outcome));
  }

  #errorFor(task: Task, outcome: Exclude<Outcome, { kind: 'done' }>): AppError {
    switch (outcome.kind) {
      case 'refused':
        return invalidImage(outcome.reason);
      case 'failed':
        return unavailable('The picture could not be processed', undefined, outcome.message);
      case 'crashed':
        return unavailable('The picture could not be processed', 'worker-crash', outcome.how);
      case 'deadline':
        // At render the picture was accepted before, so the picture is not the cause.
        return task.kind === 'ingest'
          ? invalidImage(`the picture takes longer than ${this.#deadlineMs / 1_000} s to decode`)
          : unavailable(
              `Rendering the picture takes longer than ${this.#deadlineMs / 1_000} s`,
              'worker-deadline',
            );
      case 'memory':
        return task.kind === 'ingest'
          ? invalidImage(`the picture takes too much memory to decode: the limit is ${this.#memoryLimit()}`)
          : unavailable(
              `Rendering the picture takes too much memory: the limit is ${this.#memoryLimit()}`,
              'worker-memory',
            );
    }
  }

  #memoryLimit(): string {
    return `${Math.round(this.#workerOptions.memoryLimitBytes / (1024 * 1024))} MiB`;
  }

  /** Returns false if no process could be started. */
  #start(): boolean {
    let worker: WorkerProcess;
    try {
      worker = new WorkerProcess(this.#workerOptions);
    } catch (error) {
      this.#startFailed(error instanceof Error ? error.message : String(error));
      return false;
    }
    const slot: Slot = { worker, state: 'starting', fresh: true };
    this.#slots.add(slot);
    void worker.ready.then((ready) => {
      if (!ready) return;
      this.#startFailures = 0;
      slot.state = 'idle';
      worker.keepParentAlive(false);
      this.#dispatch();
    });
    void worker.ended.then(({ how, killedExternally }) => {
      this.#slots.delete(slot);
      if (this.#closed) return;
      this.#countEnd(slot, slot.state === 'starting' ? 'start' : 'crash');
      if (slot.state !== 'starting') this.#keepOneWarm();
      else if (killedExternally) this.#log?.warn({ how }, 'imaging worker killed before it was ready');
      else this.#startFailed(how);
      this.#dispatch();
    });
    return true;
  }

  /** Counts the end of a worker once, with the first known reason. */
  #countEnd(slot: Slot, reason: 'crash' | 'deadline' | 'memory' | 'start'): void {
    if (this.#closed || slot.endCounted) return;
    slot.endCounted = true;
    this.#telemetry.counter('workerEnds', { reason }).value += 1;
  }

  #startFailed(how: string): void {
    this.#startFailures += 1;
    this.#log?.warn({ how, failures: this.#startFailures }, 'imaging worker failed to start');
    // Waiting tasks get an answer now. The next task starts a new series of attempts.
    if (this.#startFailures < MAX_START_FAILURES) return;
    this.#startFailures = 0;
    this.#rejectWaiting(NO_WORKERS, 'no-workers');
  }

  #keepOneWarm(): void {
    if (!this.#closed && this.#slots.size === 0) this.#start();
  }

  #rejectWaiting(message: string, rejection: RejectionReason): void {
    for (const job of this.#queue.drain()) job.reject(unavailable(message, rejection));
  }

  #count(state: Slot['state']): number {
    let count = 0;
    for (const slot of this.#slots) if (slot.state === state) count += 1;
    return count;
  }
}

function invalidImage(reason: string): AppError {
  return new AppError('invalid-image', `The picture is rejected: ${reason}`, {
    fields: { image: reason },
  });
}

function unavailable(message: string, rejection?: RejectionReason, cause?: string): AppError {
  return new AppError('unavailable', message, {
    retryAfter: 1,
    ...(rejection !== undefined && { rejection }),
    ...(cause !== undefined && { cause }),
  });
}
