/**
 * Owns one thread with an SQLite connection: its start, its statements in the order they were given, its end, and what
 * that means for those who wait. Refuses to know whose turn it is, and what the errors of SQLite mean.
 */
import { getCompileCacheDir } from 'node:module';
import { dirname, extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { unavailable } from '../dialect.ts';
import type { Answer, ConnectionSettings, Fault, Request, Result, Statement } from './messages.ts';

/** An error of SQLite, or of running it, that was thrown in the thread. */
export class SqliteError extends Error {
  override readonly name = 'SqliteError';
  /** Node's name for it. */
  readonly code: string | undefined;
  /** SQLite's extended result code; undefined if it is not SQLite's. */
  readonly errcode: number | undefined;

  constructor({ message, stack, code, errcode }: Fault) {
    super(message);
    // Where it was thrown tells more than where it arrived.
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
 * One thread, for one life: whoever finds it not usable makes another. It keeps the process alive only while a
 * statement runs.
 */
export class SqliteThread {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #pending = new Map<number, Pending>();
  #lastID = 0;
  #usable = true;
  #cause: unknown;

  /** Starts the thread, which opens the file with its first statement. @throws AppError `unavailable`. */
  constructor(settings: ConnectionSettings) {
    const path = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    try {
      this.#worker = new Worker(path, {
        name: 'sqlite',
        workerData: settings,
        // Not the server's environment, which has secrets; but what was compiled before need not be compiled again.
        env: compileCache(),
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
    // What the thread said before it ended has been heard by now.
    this.#worker.once('exit', (code) => {
      this.#usable = false;
      const cause = this.#cause ?? new Error(`The thread of the database ended with code ${code}.`);
      for (const { reject } of this.#pending.values()) reject(unavailable(cause));
      this.#pending.clear();
    });
  }

  /** False once it has ended or is about to. */
  get usable(): boolean {
    return this.#usable;
  }

  /**
   * Runs a statement after those that were given before.
   * @throws SqliteError; AppError `unavailable` if the thread ends before it answers: what it did may have been done.
   */
  run(statement: Statement): Promise<Result> {
    if (!this.#usable) return Promise.reject(unavailable(new Error('The thread of the database has ended.')));
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#lastID += 1;
    const id = this.#lastID;
    try {
      this.#worker.postMessage({ kind: 'run', id, statement } satisfies Request);
    } catch (error) {
      // A parameter that cannot be cloned.
      return Promise.reject(error);
    }
    if (this.#pending.size === 0) this.#worker.ref();
    this.#pending.set(id, { resolve, reject });
    return promise;
  }

  /** Answers what was asked, closes the file, and ends the thread. */
  async close(): Promise<void> {
    if (this.#usable) {
      this.#usable = false;
      this.#worker.ref();
      this.#worker.postMessage({ kind: 'close' } satisfies Request);
    }
    await this.#ended;
  }

  /**
   * Ends the thread without closing the file properly: SQLite takes back what was not committed. Waits for the statement
   * that it runs, which nothing can cut short.
   */
  async kill(cause: unknown): Promise<void> {
    this.#usable = false;
    this.#cause ??= cause;
    await this.#worker.terminate();
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (pending === undefined) return;
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0 && this.#usable) this.#worker.unref();
    if ('fault' in answer) pending.reject(new SqliteError(answer.fault));
    else pending.resolve(answer.result);
  }
}

function compileCache(): NodeJS.ProcessEnv {
  // It is told with a folder for this version of Node in it, and asked for without.
  const folder = getCompileCacheDir();
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) };
}
