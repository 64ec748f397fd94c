/**
 * Owns one worker process: its start, its one task at a time, its deadline and its end, and what that end means.
 * Refuses to know queues, retries and the errors that callers see; and pixels, which only the worker itself knows.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Answer, Task, WorkerMessage } from '../worker/messages.ts';

/** How a task ended: by the worker's answer, or by the end of the worker. */
export type Outcome =
  | Answer
  /** Killed because the task ran longer than its deadline. */
  | { readonly kind: 'deadline' }
  /** Ended because it held more memory than its limit; `rss` in bytes. */
  | { readonly kind: 'memory'; readonly rss: number }
  /** Ended for any other reason; `how` is written for the log. */
  | { readonly kind: 'crashed'; readonly how: string };

/** How the process ended, whatever it was doing. */
export interface End {
  /** Written for the log. */
  readonly how: string;
  /** True if SIGKILL ended it and its parent did not send that: nothing about it was wrong. Other signals it may have caused itself. */
  readonly taken: boolean;
}

export interface ChildOptions {
  /** Resident bytes above which the worker ends itself. */
  readonly memoryLimitBytes: number;
  /** Milliseconds from the start of the process until it must be ready for tasks. */
  readonly startDeadlineMs: number;
}

/** A JavaScript heap far above what header walks need: pictures live outside of it. */
const HEAP_MEGABYTES = 128;

/** A tenth of the cores when others want all of them: figures in docs/adr/0040. */
const NICENESS = 10;

/** How much of what a worker wrote to stderr is kept to explain its end. */
const STDERR_CHARACTERS = 2_000;

interface Running {
  readonly settle: (outcome: Outcome) => void;
  readonly deadline: NodeJS.Timeout;
}

/** One worker process. Nothing it does throws or emits into the parent. */
export class Child {
  /** Resolves once: true when it can take tasks, false if it ended before. */
  readonly ready: Promise<boolean>;
  /** Resolves once, when the process is gone and everything it said was heard. */
  readonly ended: Promise<End>;

  readonly #process: ChildProcess;
  #running: Running | undefined;
  #killed: Outcome | undefined;
  #stderr = '';
  #usable = true;

  /** Throws what `fork` throws when the system has no room for another process. */
  constructor(options: ChildOptions) {
    const path = fileURLToPath(new URL(`../worker/main${extname(import.meta.url)}`, import.meta.url));
    this.#process = fork(path, [String(options.memoryLimitBytes)], {
      // Not the server's environment: a decoder has no business with its secrets.
      // Two malloc arenas keep freed picture memory from being held once per thread.
      env: { MALLOC_ARENA_MAX: '2', VIPS_BLOCK_UNTRUSTED: '1' },
      // Not the parent's flags either: its inspector port or test mode.
      execArgv: [`--max-old-space-size=${HEAP_MEGABYTES}`, '--disable-warning=ExperimentalWarning'],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    if (this.#process.pid !== undefined) giveWay(this.#process.pid);
    const { promise: ready, resolve: settleReady } = Promise.withResolvers<boolean>();
    const { promise: ended, resolve: settleEnded } = Promise.withResolvers<End>();
    this.ready = ready;
    this.ended = ended;
    const startDeadline = setTimeout(() => this.kill(), options.startDeadlineMs);

    const end = (how: string, taken: boolean): void => {
      clearTimeout(startDeadline);
      this.#usable = false;
      settleReady(false);
      this.#settle(this.#killed ?? { kind: 'crashed', how });
      settleEnded({ how, taken });
    };
    this.#process.on('message', (message) => {
      // Only ever our own worker speaks on this channel.
      const said = message as WorkerMessage;
      if (said.kind === 'ready') {
        clearTimeout(startDeadline);
        settleReady(true);
      } else if (said.kind === 'answer') {
        this.#settle(said.answer);
      } else {
        this.#killWith({ kind: 'memory', rss: said.rss });
      }
    });
    // 'close' and not 'exit': by then the last messages were read too, and one of them may say why it ended.
    this.#process.on('close', (code, signal) => {
      const how = signal === null ? `exit code ${String(code)}` : `signal ${signal}`;
      end(this.#stderr === '' ? how : `${how}: ${this.#stderr}`, signal === 'SIGKILL' && this.#usable);
    });
    this.#process.on('error', (error) => {
      this.kill();
      // A process that never started has no 'close' to wait for.
      if (this.#process.pid === undefined) end(error.message, false);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_CHARACTERS);
    });
  }

  /** Undefined if the process never started. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** False once it has ended or is about to. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Runs one task; only when ready, and one at a time. Counts `deadlineMs` from now. Never rejects. */
  run(task: Task, deadlineMs: number): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#running = {
      settle: resolve,
      deadline: setTimeout(() => this.#killWith({ kind: 'deadline' }), deadlineMs),
    };
    // A channel that is closed means that the process is ending: 'close' settles the task.
    this.#process.send(task, () => {});
    return promise;
  }

  /** Ends the process at once, whatever it does. */
  kill(): void {
    this.#usable = false;
    // Not SIGTERM: workers ignore it, so that the signals of a terminal do not end what a shutdown waits for.
    this.#process.kill('SIGKILL');
  }

  /** Whether this process keeps the parent's event loop alive. */
  hold(held: boolean): void {
    const method = held ? 'ref' : 'unref';
    this.#process[method]();
    this.#process.channel?.[method]();
    const stderr = this.#process.stderr;
    if (stderr !== null && 'unref' in stderr && typeof stderr.unref === 'function') stderr.unref();
  }

  #killWith(outcome: Outcome): void {
    this.#killed ??= outcome;
    this.kill();
  }

  #settle(outcome: Outcome): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    clearTimeout(running.deadline);
    running.settle(outcome);
  }
}

/** A process that renders for seconds gives way to the one that answers in microseconds; its threads inherit it. */
function giveWay(pid: number): void {
  try {
    setPriority(pid, NICENESS);
  } catch {
    // It has ended already, or the system has no such thing: it renders all the same.
  }
}
