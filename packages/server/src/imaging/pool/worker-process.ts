/**
 * One worker process: its start, its tasks, its deadlines, and the meaning of its end. The worker gets
 * neither the environment nor the flags of the server.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, Task, WorkerMessage } from '../worker/messages.ts';

/** The result of a task: the answer of the worker, or the end of the worker. */
export type Outcome =
  | Answer
  /** Killed because the task ran longer than its deadline. */
  | { readonly kind: 'deadline' }
  /** Ended because the worker held more memory than its limit. `rss` is in bytes. */
  | { readonly kind: 'memory'; readonly rss: number }
  /** Ended for any other reason. `how` is written for the log. */
  | { readonly kind: 'crashed'; readonly how: string };

/** The end of a worker process, with or without a task. */
export interface ProcessEnd {
  /** Written for the log. */
  readonly how: string;
  /**
   * True if a SIGKILL from outside of the server ended the process, so that the process itself had no fault.
   * It may have caused any other signal itself.
   */
  readonly killedExternally: boolean;
}

export interface WorkerOptions {
  /** The worker ends itself when it holds more resident bytes. */
  readonly memoryLimitBytes: number;
  /** Milliseconds from the start of the process until it must be ready for tasks. */
  readonly startDeadlineMs: number;
}

/** JavaScript heap of a worker. Header walks need far less, and pictures are outside of the heap. */
const HEAP_MEGABYTES = 128;

/** Gives workers a tenth of the cores when other processes want all of them: figures in docs/adr/0040. */
const NICENESS = 10;

/** The last characters of stderr that are logged with the end of a worker. */
const STDERR_CHARACTERS = 2_000;

interface RunningTask {
  readonly settle: (outcome: Outcome) => void;
  readonly deadline: NodeJS.Timeout;
}

/** One worker process. Its errors never throw or emit into the parent. */
export class WorkerProcess {
  /** Resolves once: true when the worker can take tasks, false if it ended before. */
  readonly ready: Promise<boolean>;
  /** Resolves once, when the process has ended and all its messages are read. */
  readonly ended: Promise<ProcessEnd>;

  readonly #process: ChildProcess;
  #task: RunningTask | undefined;
  #killOutcome: Outcome | undefined;
  #stderr = '';
  #usable = true;

  /** Throws the error of `fork` if the system has no room for another process. */
  constructor(options: WorkerOptions) {
    const path = fileURLToPath(new URL(`../worker/main${extname(import.meta.url)}`, import.meta.url));
    this.#process = fork(path, [String(options.memoryLimitBytes)], {
      // The environment of the server has secrets, which a decoder must not see.
      // Two malloc arenas prevent that each thread holds freed picture memory.
      env: { MALLOC_ARENA_MAX: '2', VIPS_BLOCK_UNTRUSTED: '1' },
      // The flags of the server may set an inspector port or the test mode.
      execArgv: [`--max-old-space-size=${HEAP_MEGABYTES}`, '--disable-warning=ExperimentalWarning'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    if (this.#process.pid !== undefined) lowerPriority(this.#process.pid);
    const { promise: ready, resolve: settleReady } = Promise.withResolvers<boolean>();
    const { promise: ended, resolve: settleEnded } = Promise.withResolvers<ProcessEnd>();
    this.ready = ready;
    this.ended = ended;
    const startDeadline = setTimeout(() => this.kill(), options.startDeadlineMs);

    const finish = (how: string, killedExternally: boolean): void => {
      clearTimeout(startDeadline);
      this.#usable = false;
      settleReady(false);
      this.#settle(this.#killOutcome ?? { kind: 'crashed', how });
      settleEnded({ how, killedExternally });
    };
    this.#process.on('message', (data) => {
      // Only our own worker sends messages on this channel, so the cast is safe.
      const message = data as WorkerMessage;
      if (message.kind === 'ready') {
        clearTimeout(startDeadline);
        settleReady(true);
      } else if (message.kind === 'answer') {
        this.#settle(message.answer);
      } else {
        this.#killWith({ kind: 'memory', rss: message.rss });
      }
    });
    // 'close' and not 'exit': it fires after the last messages, and one of them may give the reason of the
    // end.
    this.#process.on('close', (code, signal) => {
      const how = signal === null ? `exit code ${String(code)}` : `signal ${signal}`;
      finish(this.#stderr === '' ? how : `${how}: ${this.#stderr}`, signal === 'SIGKILL' && this.#usable);
    });
    this.#process.on('error', (error) => {
      this.kill();
      // A process that never started emits no 'close'.
      if (this.#process.pid === undefined) finish(error.message, false);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
  }

  /** Undefined if the process never started. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** False from the moment of a kill or of the end. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Runs one task. Call it only after `ready`, and for one task at a time. Never rejects. */
  run(task: Task, deadlineMs: number): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#task = {
      settle: resolve,
      deadline: setTimeout(() => this.#killWith({ kind: 'deadline' }), deadlineMs),
    };
    // If the channel is closed, the process is ending, and 'close' settles the task.
    this.#process.send(task, () => {});
    return promise;
  }

  /** Ends the process at once, with or without a task. */
  kill(): void {
    this.#usable = false;
    // Not SIGTERM: workers ignore it, so that a terminal does not end tasks that a shutdown waits for.
    this.#process.kill('SIGKILL');
  }

  /**
   * Decides whether this process keeps the event loop of the parent alive. A killed process always does, so
   * that a shutdown waits for its end.
   */
  keepParentAlive(keep: boolean): void {
    const method = keep || !this.#usable ? 'ref' : 'unref';
    this.#process[method]();
    this.#process.channel?.[method]();
    // 'close' waits for the end of this pipe too. Without a reference, a shutdown could end before it.
    (this.#process.stderr as Socket | null)?.[method]();
  }

  #killWith(outcome: Outcome): void {
    this.#killOutcome ??= outcome;
    this.kill();
  }

  #settle(outcome: Outcome): void {
    const task = this.#task;
    if (task === undefined) return;
    this.#task = undefined;
    clearTimeout(task.deadline);
    task.settle(outcome);
  }
}

/**
 * A worker computes for seconds, and the server must answer in microseconds. Threads inherit the priority.
 */
function lowerPriority(pid: number): void {
  try {
    setPriority(pid, NICENESS);
  } catch {
    // The process has ended already, or the system has no priorities. The worker works without.
  }
}
