/**
 * Owns the messages between the server and a thread that holds an SQLite connection: plain data, fit for structured
 * cloning. Refuses to know who sends them and how, and what errors mean.
 */

/** What a thread is started with. */
export interface ConnectionSettings {
  /** The database file, or `:memory:`. */
  readonly path: string;
  /** Milliseconds to wait for other connections, of this process or another, before SQLITE_BUSY. */
  readonly busyTimeout: number;
  /** True: the file exists, and this connection may not change it. */
  readonly readOnly: boolean;
}

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /**
   * True: part of a transaction, and refused if none is open. So what is left of a transaction that SQLite took back, or
   * whose thread has ended, can not be done on its own.
   */
  readonly within: boolean;
}

export type Request =
  | { readonly kind: 'run'; readonly id: number; readonly statement: Statement }
  /** The last one: whatever was asked before it is answered, then the thread ends. */
  | { readonly kind: 'close' };

/** Rows are lists of values in the order of `columns`: names are not repeated, which halves the time of a long page. */
export interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** Rows that the statement changed. */
  readonly changes: number;
}

/** An error, as far as it can cross. */
export interface Fault {
  readonly message: string;
  readonly stack: string | undefined;
  /** Node's name for it. */
  readonly code: string | undefined;
  /** SQLite's extended result code. */
  readonly errcode: number | undefined;
}

export type Answer =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly fault: Fault };
