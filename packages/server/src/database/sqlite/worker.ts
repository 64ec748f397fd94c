/**
 * The code of a thread with one SQLite connection: it opens the file and runs statements. Only this file
 * imports node:sqlite. thread.ts starts it, with the settings as workerData. It imports only Node modules,
 * because each thread loads its imports again.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Answer, ConnectionSettings, Fault, Request, Result, Statement } from './messages.ts';

// The server has few statements, but a statement with a list has one form for each length of the list.
const MAX_PREPARED = 256;

// The longest pause between two attempts to change to WAL, in milliseconds.
const MAX_PAUSE = 20;

// Primary result codes of SQLite. An extended code has its primary one in the low byte.
const BUSY = 5;
const FULL = 13;
const CANTOPEN = 14;

interface Prepared {
  readonly statement: StatementSync;
  /** True if the statement returns rows. Their columns may change with the schema. */
  readonly returnsRows: boolean;
}

/**
 * Opens the file with the first statement. If it cannot be opened, that statement fails and the thread
 * continues.
 */
class Connection {
  readonly #settings: ConnectionSettings;
  readonly #prepared = new Map<string, Prepared>();
  #database: DatabaseSync | undefined;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
  }

  run({ sql, parameters, inTransaction }: Statement): Result {
    const database = this.#open();
    if (inTransaction && !database.isTransaction) {
      // After some errors SQLite has already rolled back.
      if (sql === 'rollback') return { columns: [], rows: [], changes: 0 };
      throw new Error('The transaction is no longer open.');
    }
    const { statement, returnsRows } = this.#prepare(database, sql);
    const values = parameters as SQLInputValue[];
    if (!returnsRows) {
      return { columns: [], rows: [], changes: Number(statement.run(...values).changes) };
    }
    // Rows are arrays because of setReturnArrays, which the types ignore.
    const rows = statement.all(...values) as unknown as unknown[][];
    // Read after the rows, because a statement notices a changed schema only when it runs.
    return { columns: statement.columns().map(({ name }) => name), rows, changes: 0 };
  }

  close(): void {
    this.#prepared.clear();
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): DatabaseSync {
    this.#database ??= openDatabase(this.#settings);
    return this.#database;
  }

  #prepare(database: DatabaseSync, sql: string): Prepared {
    const cached = this.#prepared.get(sql);
    if (cached !== undefined) return cached;
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear();
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    const prepared = { statement, returnsRows: statement.columns().length > 0 };
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

function openDatabase({ path, busyTimeout, readOnly }: ConnectionSettings): DatabaseSync {
  if (!readOnly && path !== ':memory:') createPrivateFile(path);
  const database = new DatabaseSync(path, {
    enableForeignKeyConstraints: true,
    timeout: busyTimeout,
    readOnly,
  });
  try {
    if (!readOnly) {
      changeToWal(database, busyTimeout);
      // In WAL mode, only FULL makes a commit durable against a loss of power.
      database.exec('pragma synchronous = full');
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Makes the file and its folder if they are absent, readable only by this user. SQLite alone would make a
 * file that other users can read. SQLite gives the same permissions to its files next to the database.
 */
function createPrivateFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // `wx` opens no existing file. Closing a file that another connection of this process uses would release
    // its locks.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    // The result code that SQLite itself would have given.
    throw Object.assign(error as Error, { errcode: code === 'ENOSPC' ? FULL : CANTOPEN });
  }
}

/** Changes to WAL mode. That needs an exclusive lock, for which SQLite itself does not wait. */
function changeToWal(database: DatabaseSync, busyTimeout: number): void {
  const deadline = Date.now() + busyTimeout;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      database.exec('pragma journal_mode = wal');
      return;
    } catch (error) {
      if (((errcodeOf(error) ?? 0) & 0xff) !== BUSY || Date.now() >= deadline) throw error;
    }
    // A random pause, so that two processes do not retry at the same times.
    Atomics.wait(pause, 0, 0, 1 + Math.random() * MAX_PAUSE);
  }
}

function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) {
    return { message: String(error), stack: undefined, code: undefined, errcode: undefined };
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return { message: error.message, stack: error.stack, code, errcode: errcodeOf(error) };
}

function errcodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

function serve(port: MessagePort, connection: Connection): void {
  const answer = (id: number, statement: Statement): Answer => {
    try {
      return { id, result: connection.run(statement) };
    } catch (error) {
      return { id, fault: faultOf(error) };
    }
  };
  port.on('message', (request: Request) => {
    if (request.kind === 'run') {
      port.postMessage(answer(request.id, request.statement));
      return;
    }
    connection.close();
    // Without an open port, the thread ends.
    port.close();
  });
}

if (parentPort === null) throw new Error('worker.ts must be started as a worker thread');
serve(parentPort, new Connection(workerData as ConnectionSettings));
