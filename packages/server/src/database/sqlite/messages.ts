/**
 * The messages between the server and a thread with an SQLite connection. They are plain data, because
 * structured cloning copies them.
 */

/** The settings of a new thread. */
export interface ConnectionSettings {
  /** The database file, or `:memory:`. */
  readonly path: string;
  /** Milliseconds to wait for connections of this process or another one, before SQLITE_BUSY. */
  readonly busyTimeout: number;
  /** True: the file must exist, and this connection cannot change it. */
  readonly readOnly: boolean;
}

export interface Statement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
  /**
   * True: part of a transaction, and refused if none is open. SQLite may have rolled the transaction back, or
   * its thread may have ended. Then its remaining statements must not run on their own.
   */
  readonly inTransaction: boolean;
}

export type Request =
  | { readonly kind: 'run'; readonly id: number; readonly statement: Statement }
  /** The last request. The thread answers the earlier requests and then ends. */
  | { readonly kind: 'close' };

/**
 * Rows are lists of values in the order of `columns`. Without repeated names, a long page takes half the
 * time.
 */
export interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** The number of rows that the statement changed. */
  readonly changes: number;
}

/** The parts of an error that cross the thread boundary. */
export interface Fault {
  readonly message: string;
  readonly stack: string | undefined;
  /** The error code of Node. */
  readonly code: string | undefined;
  /** The extended result code of SQLite. */
  readonly errcode: number | undefined;
}

export type Answer =
  | { readonly id: number; readonly result: Result }
  | { readonly id: number; readonly fault: Fault };
