/**
 * The Processor on worker processes. Owns which worker gets a task, how long tasks may wait, what is tried again, and
 * the AppError that each ending becomes. Refuses to know pixels (worker.ts), the order of those who wait (queue.ts)
 * and the care of one process (child.ts).
 *
 * Why processes: a decoder that crashes, hangs or swells takes nothing with it, and sharp's decodes would
 * otherwise hold libuv's threads, and with them the file and DNS calls of the whole server.
 */
import { availableParallelism } from 'node:os';
import { AppError, type RejectionReason } from '../../errors.ts';
import type { WarnLog } from '../../telemetry/log.ts';
import { type Telemetry, UNOBSERVED } from '../../telemetry/telemetry.ts';
import type { Plan } from '../plan.ts';
import type { Ingested, Processor, RenderOptions, Rendition } from '../processor.ts';
import type { Task } from '../worker/messages.ts';
import { ingestCost, renderCost } from './cost.ts';
import { isLarge, TaskQueue } from './queue.ts';
import { Child, type ChildOptions, type Outcome } from './worker-process.ts';

export interface PoolOptions {
  /** Worker processes at most. Default: one for each core that this process may use. */
  readonly size?: number;
  /** Milliseconds a task may run, not counting its wait in the queue. */
  readonly deadlineMs?: number;
  /** Milliseconds from the start of a worker until it must be ready. */
  readonly startDeadlineMs?: number;
  /** Resident bytes a worker may hold. */
  readonly memoryLimitBytes?: number;
  /** Tasks that may wait; one more is refused as `unavailable`. */
  readonly maxWaiting?: number;
  /** Milliseconds a task may wait for a worker, by kind; then it is refused as `unavailable`. */
  readonly maxWaitMs?: Partial<Readonly<Record<Task['kind'], number>>>;
  readonly log?: WarnLog;
  readonly telemetry?: Telemetry;
}

/** The pool's own view of itself, for metrics and tests. */
export interface Pool extends Processor {
  /** The process ids of the workers that are alive, idle or not. */
  workerPids(): number[];
  /** Tasks that wait for a worker. */
  waiting(): number;
  /** What the tasks that wait are estimated to cost, in milliseconds of one worker. */
  waitingCost(): number;
  /** Tasks that a worker has. */
  running(): number;
  /**
   * Resolves if there is a worker that is ready or at work, or else once one has started: a start loads the decoder, so it
   * says whether pictures can be decoded. Does not wait behind tasks. @throws AppError `unavailable`; `cancelled`.
   */
  check(signal?: AbortSignal): Promise<void>;
}

const DEADLINE_MS = 15_000;

/** Node and sharp idle, the decode budget of limits.ts, a file twice, an alpha channel, a rendition; and some. */
const MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024;

const MAX_WAITING = 256;

/** Estimated milliseconds of work that may wait, for each worker. */
const MAX_WAITING_COST = 120_000;

/** A browser that waited this long for a picture has better things to do. Who uploads wants to be done. */
const MAX_WAIT_MS: Readonly<Record<Task['kind'], number>> = { render: 5_000, ingest: 60_000 };

/** A worker is ready in a fraction of a second; this is for a machine in trouble. */
const START_DEADLINE_MS = 30_000;

/**
 * After as many workers in a row that ended before they were ready, those who wait are told. Not counting those that
 * SIGKILL ended, and not from us: a worker that starts holds nobody's picture, so its end is to cost nobody anything but
 * time, and how long a task waits is bounded anyway.
 */
const MAX_START_FAILURES = 3;

const SHUTTING_DOWN = 'The server is shutting down';
const NO_WORKERS = 'Pictures cannot be processed at the moment';
const TOO_MANY = 'Too many pictures are waiting to be processed';

interface Job {
  readonly task: Task;
  readonly cost: number;
  readonly original: string | undefined;
  readonly resolve: (result: Ingested | Rendition) => void;
  readonly reject: (error: AppError) => void;
  /** True once a worker crashed on it. */
  retried: boolean;
  /** True once its caller has an answer. */
  settled: boolean;
  /** When it was handed in, in milliseconds of a clock that does not jump. */
  readonly since: number;
  /** Milliseconds that it waited for a worker, once it has one. */
  waited: number;
  /** Ends its wait. */
  readonly patience: NodeJS.Timeout;
}

interface Slot {
  readonly child: Child;
  state: 'starting' | 'idle' | 'busy';
  /** True until its first task. */
  fresh: boolean;
  /** What it has to do while it is busy. */
  job?: Job;
  /** True once its end was counted. */
  counted?: true;
}

/** Starts one worker in the background and the others when they are needed. */
export function createPool(options: PoolOptions = {}): Pool {
  return new ProcessPool(options);
}

class ProcessPool implements Pool {
  readonly #size: number;
  readonly #deadlineMs: number;
  readonly #childOptions: ChildOptions;
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
    this.#childOptions = {
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
    // After what the caller still does on the way to its first answer.
    setImmediate(() => this.#keepOneWarm());
  }

  async ingest(path: string, signal?: AbortSignal, size?: number): Promise<Ingested> {
    const task = { kind: 'ingest', path } as const;
    return (await this.#submit(task, { cost: ingestCost(size), signal })) as Ingested;
  }

  async render(path: string, plan: Plan, options: RenderOptions = {}): Promise<Rendition> {
    const { signal, source, original } = options;
    const task = { kind: 'render', path, plan } as const;
    return (await this.#submit(task, { cost: renderCost(plan, source), signal, original })) as Rendition;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rejectWaiting(SHUTTING_DOWN, 'stopping');
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

  waitingCost(): number {
    return this.#queue.cost;
  }

  running(): number {
    return this.#count('busy');
  }

  async check(signal?: AbortSignal): Promise<void> {
    if (this.#closed) throw unavailable(SHUTTING_DOWN, 'stopping');
    if (signal?.aborted) throw cancelled();
    const { promise: gone, resolve: leave } = Promise.withResolvers<'gone'>();
    signal?.addEventListener('abort', () => leave('gone'), { once: true });
    while (this.#count('idle') + this.#count('busy') === 0) {
      if (this.#slots.size === 0 && !this.#start()) throw unavailable(NO_WORKERS, 'no-workers');
      const ready = await Promise.race([gone, ...[...this.#slots].map(({ child }) => child.ready)]);
      if (ready === 'gone') throw cancelled();
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
  ): Promise<Ingested | Rendition> {
    if (signal?.aborted === true) return Promise.reject(cancelled());
    if (this.#closed) return Promise.reject(unavailable(SHUTTING_DOWN, 'stopping'));
    const { promise, resolve, reject } = Promise.withResolvers<Ingested | Rendition>();
    const settle = (): boolean => {
      if (job.settled) return false;
      job.settled = true;
      clearTimeout(job.patience);
      signal?.removeEventListener('abort', abort);
      return true;
    };
    const giveUp = (error: AppError): void => {
      this.#queue.remove(job);
      job.reject(error);
    };
    // A task that runs is left to end: most have less to go than a new worker takes to start.
    const abort = (): void => giveUp(cancelled());
    const job: Job = {
      task,
      cost,
      original,
      resolve: (result) => settle() && resolve(result),
      reject: (error) => settle() && reject(error),
      retried: false,
      settled: false,
      since: performance.now(),
      waited: 0,
      patience: setTimeout(() => giveUp(unavailable(TOO_MANY, 'queue-wait')), this.#maxWaitMs[task.kind]),
    };
    signal?.addEventListener('abort', abort, { once: true });
    if (this.#queue.add(job)) this.#dispatch();
    else job.reject(unavailable(TOO_MANY, 'queue-full'));
    return promise;
  }

  /** Gives waiting jobs to idle workers, and starts workers for the others. */
  #dispatch(): void {
    if (this.#closed) return;
    for (const slot of this.#slots) {
      if (slot.state !== 'idle' || !slot.child.usable) continue;
      const job = this.#queue.take({
        fresh: slot.fresh,
        large: this.#mayTakeLarge(),
        sated: this.#sated(),
      });
      if (job !== undefined) void this.#run(slot, job);
    }
    while (this.#queue.length > this.#count('starting') && this.#slots.size < this.#size) {
      if (this.#start()) continue;
      if (this.#slots.size === 0) this.#rejectWaiting(NO_WORKERS, 'no-workers');
      return;
    }
  }

  /** One worker is kept for what is not large, if there is more than one. */
  #mayTakeLarge(): boolean {
    let large = 0;
    for (const { job } of this.#slots) if (job !== undefined && isLarge(job)) large += 1;
    return large < Math.max(1, this.#size - 1);
  }

  /**
   * Originals that have as many workers as one may have: all but one, if there is more than one. However many sizes of a
   * picture are asked for, there is a worker for the others; and a core for the server, which would otherwise wait
   * for its turn behind those who render (figures in docs/adr/0040).
   */
  #sated(): ReadonlySet<string> {
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
    clearTimeout(job.patience);
    job.waited = performance.now() - job.since;
    this.#telemetry.duration('taskWait', { task: job.task.kind }, job.waited / 1_000);
    const began = performance.now();
    slot.child.hold(true);
    const outcome = await slot.child.run(job.task, this.#deadlineMs);
    slot.child.hold(false);
    slot.state = 'idle';
    delete slot.job;
    if (outcome.kind === 'crashed') this.#ended(slot, 'crash');
    else if (outcome.kind === 'deadline' || outcome.kind === 'memory') this.#ended(slot, outcome.kind);
    this.#conclude(job, outcome, performance.now() - began);
    this.#dispatch();
  }

  #conclude(job: Job, outcome: Outcome, workMs: number): void {
    if (outcome.kind === 'done') {
      job.resolve({ ...outcome.result, times: { waitMs: job.waited, workMs } });
      return;
    }
    if (outcome.kind !== 'refused' && !this.#closed) {
      this.#log?.warn({ task: job.task.kind, outcome }, 'an imaging task did not end well');
    }
    if (outcome.kind === 'crashed' && !job.retried && !job.settled && !this.#closed) {
      // The picture may be innocent: the system may have taken the memory, or the task before left damage behind.
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
        // At render the picture was accepted before, so the server or the rendition is the cause.
        return task.kind === 'ingest'
          ? invalidImage(`it takes longer than ${this.#deadlineMs / 1_000} s to decode`)
          : unavailable('Rendering the picture took too long', 'worker-deadline');
      case 'memory':
        return task.kind === 'ingest'
          ? invalidImage('it takes too much memory to decode')
          : unavailable('Rendering the picture took too much memory', 'worker-memory');
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
    void child.ended.then(({ how, taken }) => {
      this.#slots.delete(slot);
      if (this.#closed) return;
      this.#ended(slot, slot.state === 'starting' ? 'start' : 'crash');
      if (slot.state !== 'starting') this.#keepOneWarm();
      else if (taken) this.#log?.warn({ how }, 'an imaging worker was killed before it had started');
      else this.#startFailed(how);
      this.#dispatch();
    });
    return true;
  }

  /** Counts the end of a worker once, by the first that knows why. */
  #ended(slot: Slot, reason: 'crash' | 'deadline' | 'memory' | 'start'): void {
    if (this.#closed || slot.counted) return;
    slot.counted = true;
    this.#telemetry.counter('workerEnds', { reason }).value += 1;
  }

  #startFailed(how: string): void {
    this.#startFailures += 1;
    this.#log?.warn({ how, failures: this.#startFailures }, 'an imaging worker did not start');
    // Those who wait get an answer instead of an endless row of attempts; whoever comes next tries anew.
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

function cancelled(): AppError {
  return new AppError('cancelled', 'The request was cancelled');
}

function invalidImage(reason: string): AppError {
  return new AppError('invalid-image', `The picture is not accepted: ${reason}`, {
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
