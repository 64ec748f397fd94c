/**
 * One SQLite connection in a thread of its own. Owns opening the file, its settings, and running statements; the only
 * file that imports node:sqlite. Refuses to know what statements are for, whose turn it is, and what errors mean.
 *
 * Started by sqlite-thread.ts, with its settings as workerData. Imports nothing but Node: a thread loads all of it anew.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Answer, ConnectionSettings, Fault, Request, Result, Statement } from './messages.ts';

// Statements are few, but a list of digests has a statement for each length.
const MAX_PREPARED = 256;

// The longest pause between two attempts to change to WAL, in milliseconds.
const LONGEST_PAUSE = 20;

// Primary result codes of SQLite; an extended code has its primary one in the low byte.
const BUSY = 5;
const FULL = 13;
const CANTOPEN = 14;

interface Prepared {
  readonly statement: StatementSync;
  /** Whether it gives rows; which columns these have may change with the schema. */
  readonly returns: boolean;
}

/** Opens the file with the first statement, so that what keeps it from being opened fails statements, not the thread. */
class Connection {
  readonly #settings: ConnectionSettings;
  readonly #prepared = new Map<string, Prepared>();
  #database: DatabaseSync | undefined;

  constructor(settings: ConnectionSettings) {
    this.#settings = settings;
  }

  run({ sql, parameters, within }: Statement): Result {
    const database = this.#open();
    if (within && !database.isTransaction) {
      // After a failed statement SQLite may have rolled back by itself.
      if (sql === 'rollback') return { columns: [], rows: [], changes: 0 };
      throw new Error('The transaction is no longer open.');
    }
    const { statement, returns } = this.#prepare(database, sql);
    const values = parameters as SQLInputValue[];
    if (!returns) {
      return { columns: [], rows: [], changes: Number(statement.run(...values).changes) };
    }
    // With setReturnArrays, which the types do not know.
    const rows = statement.all(...values) as unknown as unknown[][];
    // Asked after the rows: if the schema has changed, only running the statement tells.
    return { columns: statement.columns().map(({ name }) => name), rows, changes: 0 };
  }

  close(): void {
    this.#prepared.clear();
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): DatabaseSync {
    this.#database ??= opened(this.#settings);
    return this.#database;
  }

  #prepare(database: DatabaseSync, sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear();
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    const prepared = { statement, returns: statement.columns().length > 0 };
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

function opened({ path, busyTimeout, readOnly }: ConnectionSettings): DatabaseSync {
  if (!readOnly && path !== ':memory:') createPrivately(path);
  const database = new DatabaseSync(path, {
    enableForeignKeyConstraints: true,
    timeout: busyTimeout,
    readOnly,
  });
  try {
    if (!readOnly) {
      changeToWal(database, busyTimeout);
      // Without FULL, a commit in WAL mode is not yet durable against a loss of power.
      database.exec('pragma synchronous = full');
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Makes the file, and its folder, where they are absent, for nobody but this user: SQLite itself would let everyone
 * read it. The files that it puts beside the database get the same permissions. What exists stays as it is.
 */
function createPrivately(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // In one go: to close a file that another connection of this process has opened would undo its locks.
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    // As SQLite would have said it, had it made the file.
    throw Object.assign(error as Error, { errcode: code === 'ENOSPC' ? FULL : CANTOPEN });
  }
}

/** Needs the file for itself for a moment, and SQLite does not wait for that on its own. */
function changeToWal(database: DatabaseSync, busyTimeout: number): void {
  const patience = Date.now() + busyTimeout;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      database.exec('pragma journal_mode = wal');
      return;
    } catch (error) {
      if (((errcodeOf(error) ?? 0) & 0xff) !== BUSY || Date.now() >= patience) throw error;
    }
    // Chance keeps two processes from asking in step.
    Atomics.wait(pause, 0, 0, 1 + Math.random() * LONGEST_PAUSE);
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
    // Nothing is left to listen to, so the thread ends.
    port.close();
  });
}

if (parentPort === null) throw new Error('This file is the entry of a thread.');
serve(parentPort, new Connection(workerData as ConnectionSettings));
