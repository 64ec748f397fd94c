/**
 * One thread with an SQLite connection. It runs statements in the order of their arrival.
 * When the thread ends, all its pending statements fail, and it is never restarted.
 */
import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { unavailable } from '../dialect.ts';
import type { Answer, ConnectionSettings, Fault, Request, Result, Statement } from './messages.ts';

/** An error that was thrown in the thread, by SQLite or by Node. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';
  /** The error code of Node. */
  readonly code: string | undefined;
  /** The extended result code of SQLite; undefined for other errors. */
  readonly errcode: number | undefined;

  constructor({ message, stack, code, errcode }: Fault) {
    super(message);
    // The stack inside the thread is more useful than the stack of this constructor.
    if (stack !== undefined) this.stack = stack;
    this.code = code;
    this.errcode = errcode;
  }
}

interface Pending {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The caller must make another thread when this one is not usable. A thread without a statement lets the
 * process end.
 */
export class SqliteThread {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #lastID = 0;
  #isUsable = true;
  #cause: unknown;

  /** Starts the thread. Its first statement opens the file. @throws AppError `unavailable`. */
  constructor(settings: ConnectionSettings) {
    const path = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    try {
      this.#worker = new Worker(path, {
        name: 'sqlite',
        workerData: settings,
        // The environment of the server has secrets. The thread needs only the compile cache.
        env: compileCacheEnv(),
        execArgv: [],
      });
    } catch (error) {
      throw unavailable(error);
    }
    this.#worker.unref();
    this.#ended = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (answer: Answer) => this.#settle(answer));
    this.#worker.on('error', (error) => {
      this.#cause ??= error;
    });
    // At this event, all messages of the thread have arrived.
    this.#worker.once('exit', (code) => {
      this.#isUsable = false;
      const cause = this.#cause ?? new Error(`the database thread ended with code ${code}`);
      for (const { reject } of this.#pending.values()) reject(unavailable(cause));
      this.#pending.clear();
    });
  }

  /** False when the thread has ended or is about to end. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Runs a statement after all earlier ones.
   * @throws SqliteError; AppError `unavailable` if the thread ends before it answers. Then the statement may
   * have taken effect or not.
   */
  run(statement: Statement): Promise<Result> {
    if (!this.#isUsable) return Promise.reject(unavailable(new Error('the database thread has ended')));
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#lastID += 1;
    const id = this.#lastID;
    try {
      this.#worker.postMessage({ kind: 'run', id, statement } satisfies Request);
    } catch (error) {
      // A parameter cannot be cloned.
      return Promise.reject(error);
    }
    if (this.#pending.size === 0) this.#worker.ref();
    this.#pending.set(id, { resolve, reject });
    return promise;
  }

  /** Waits for pending statements, closes the file and ends the thread. */
  async close(): Promise<void> {
    if (this.#isUsable) {
      this.#isUsable = false;
      this.#worker.ref();
      this.#worker.postMessage({ kind: 'close' } satisfies Request);
    }
    await this.#ended;
  }

  /**
   * Ends the thread without closing the file. SQLite rolls back its open transaction.
   * It waits for the running statement, which cannot be interrupted.
   */
  async kill(cause: unknown): Promise<void> {
    this.#isUsable = false;
    this.#cause ??= cause;
    await this.#worker.terminate();
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0 && this.#isUsable) this.#worker.unref();
    if ('fault' in answer) pending.reject(new SqliteError(answer.fault));
    else pending.resolve(answer.result);
  }
}

function compileCacheEnv(): NodeJS.ProcessEnv {
  // Node adds a folder for its version to the path of the variable, and returns the path with that folder.
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}
