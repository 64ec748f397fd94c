/**
 * Owns which connection a statement of Kysely goes to, and whose turn it is to write. Refuses to know node:sqlite, which
 * lives in the threads, and what errors mean.
 *
 * One thread writes, because SQLite lets only one write at a time; another reads, because in WAL mode readers wait for
 * nobody. So a commit that waits for a slow disk holds up other writes only, and nothing holds up the event loop.
 */
import {
  type AbortableOperationOptions,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { unavailable } from './database.ts';
import type { Schema } from './schema.ts';
import type { Result, Statement } from './sqlite-messages.ts';
import { SqliteError, type SqliteThread } from './sqlite-thread.ts';

export interface Threads {
  /** The first one; it has opened the file. */
  readonly writer: SqliteThread;
  /** Makes another, after that one has ended. */
  readonly newWriter: () => SqliteThread;
  /** Undefined if only the writer can see the records: they are in its memory. */
  readonly newReader: (() => SqliteThread) | undefined;
  /** Milliseconds that a statement waits for its turn to write, and one that only reads for its answer. */
  readonly patience: number;
}

export interface KyselyOverThreads {
  readonly kysely: Kysely<Schema>;
  /** Waits for what runs, then ends the threads. */
  close(): Promise<void>;
}

export function kyselyOver(threads: Threads): KyselyOverThreads {
  const driver = new SqliteDriver(threads);
  const kysely = new Kysely<Schema>({
    dialect: {
      createAdapter: () => new Adapter(),
      createDriver: () => driver,
      createIntrospector: (introspected) => new SqliteIntrospector(introspected),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  const close = async () => {
    await kysely.destroy();
    // Kysely destroys only what it has used.
    await driver.destroy();
  };
  return { kysely, close };
}

/** Says what Kysely may expect. */
class Adapter extends SqliteAdapter {
  /** True: a lease for everyone. Were it false, Kysely would let one wait for the other, reader or writer. */
  override get supportsMultipleConnections(): boolean {
    return true;
  }

  /** True, so that migrations run in one transaction. As that is immediate, it is their lock too. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** Kysely may use any number of its connections at once: what must not meet takes turns here. */
class SqliteDriver implements Driver {
  readonly #threads: Threads;
  readonly #turns = new Turns();
  #writer: SqliteThread;
  #reader: SqliteThread | undefined;
  #closing: Promise<void> | undefined;

  constructor(threads: Threads) {
    this.#threads = threads;
    this.#writer = threads.writer;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Lease> {
    return new Lease(this);
  }

  async beginTransaction(lease: Lease): Promise<void> {
    await lease.begin();
  }

  async commitTransaction(lease: Lease): Promise<void> {
    await lease.end('commit');
  }

  async rollbackTransaction(lease: Lease): Promise<void> {
    await lease.rollback();
  }

  async releaseConnection(lease: Lease): Promise<void> {
    lease.release();
  }

  /** Waits for everyone who has a turn, or waits for one. */
  destroy(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The thread that writes, for as long as the turn is held. @throws AppError `unavailable`. */
  async takeTurn(): Promise<SqliteThread> {
    if (this.#closing !== undefined) throw closed();
    await this.#turns.take(this.#threads.patience);
    try {
      if (!this.#writer.usable) this.#writer = this.#threads.newWriter();
      return this.#writer;
    } catch (error) {
      this.#turns.pass();
      throw error;
    }
  }

  passTurn(): void {
    this.#turns.pass();
  }

  /** Runs a statement that is no part of a transaction and may change something. */
  async write(statement: Statement): Promise<Result> {
    const writer = await this.takeTurn();
    try {
      return await writer.run(statement);
    } finally {
      this.passTurn();
    }
  }

  /** Runs a statement that changes nothing, and is no part of a transaction. */
  async read(statement: Statement): Promise<Result> {
    if (this.#closing !== undefined) throw closed();
    const { newReader, patience } = this.#threads;
    // As long as nobody had to wait, there is one thread: a command, or a server with little to do, needs no more.
    const alone = newReader === undefined || (this.#reader === undefined && this.#turns.free);
    if (alone) return inTime(this.write(statement), patience);
    if (this.#reader?.usable !== true) this.#reader = newReader();
    return inTime(this.#reader.run(statement), patience);
  }

  async #close(): Promise<void> {
    await this.#turns.take();
    // The last connection to close is the one that writes the log back into the database.
    await this.#reader?.close();
    await this.#writer.close();
  }
}

/** What Kysely takes for a connection: one statement, or the statements of one transaction. */
class Lease implements DatabaseConnection {
  readonly #driver: SqliteDriver;
  /** The thread of the transaction, while this has the turn to write. */
  #writer: SqliteThread | undefined;

  constructor(driver: SqliteDriver) {
    this.#driver = driver;
  }

  async executeQuery<R>(query: CompiledQuery, options?: AbortableOperationOptions): Promise<QueryResult<R>> {
    const { sql, parameters } = query;
    const statement = { sql, parameters, within: this.#writer !== undefined };
    const reads = this.#writer === undefined && query.query.kind === 'SelectQueryNode';
    try {
      if (this.#writer !== undefined) return resultOf(await this.#writer.run(statement));
      return resultOf(await (reads ? this.#driver.read(statement) : this.#driver.write(statement)));
    } catch (error) {
      // Nobody listens any more; but Kysely would write it to the terminal.
      if (reads && options?.signal?.aborted) return { rows: [] };
      throw asCalledFrom(error);
    }
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield; nobody streams.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('Streaming is not supported.');
  }

  async begin(): Promise<void> {
    const writer = await this.#driver.takeTurn();
    this.#writer = writer;
    // Immediate: whoever reads first and writes later would be refused if another had written in between.
    await writer.run({ sql: 'begin immediate', parameters: [], within: false });
  }

  async end(sql: 'commit' | 'rollback'): Promise<void> {
    await this.#writer?.run({ sql, parameters: [], within: true });
  }

  /** Never throws: whatever led here tells more. */
  async rollback(): Promise<void> {
    try {
      await this.end('rollback');
    } catch (error) {
      // Who comes next would find this transaction open.
      await this.#writer?.kill(error);
    }
  }

  release(): void {
    if (this.#writer === undefined) return;
    this.#writer = undefined;
    this.#driver.passTurn();
  }
}

/** Whose turn it is, in the order of asking. */
class Turns {
  #free = true;
  readonly #waiting = new Set<() => void>();

  get free(): boolean {
    return this.#free;
  }

  /** Resolves when the turn is the caller's, until it passes it on. @throws AppError `unavailable` after `patience` ms. */
  take(patience?: number): Promise<void> {
    if (this.#free) {
      this.#free = false;
      return Promise.resolve();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = () => {
      this.#waiting.delete(begin);
      reject(unavailable(new Error('Too many wait to write.')));
    };
    const timer = patience === undefined ? undefined : setTimeout(giveUp, patience);
    const begin = () => {
      clearTimeout(timer);
      resolve();
    };
    this.#waiting.add(begin);
    return promise;
  }

  pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#free = true;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/** The answer, if it comes in time; a late one is of no use, as nothing was changed. */
async function inTime<T>(answer: Promise<T>, patience: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(unavailable(new Error('The database took too long.'))), patience);
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Rows as Kysely wants them. */
function resultOf<R>({ columns, rows, changes }: Result): QueryResult<R> {
  if (columns.length === 0) return { numAffectedRows: BigInt(changes), rows: [] };
  const named = rows.map((values) => {
    const row: Record<string, unknown> = {};
    columns.forEach((column, index) => {
      row[column] = values[index];
    });
    return row;
  });
  return { rows: named as R[] };
}

function closed(): Error {
  return new Error('The database is closed.');
}

/** The error with the stack of who asked, which the thread cannot know, before the thread's own. */
function asCalledFrom(error: unknown): unknown {
  if (!(error instanceof SqliteError)) return error;
  const { stack } = error;
  Error.captureStackTrace(error, asCalledFrom);
  error.stack += `\nin the thread of the database: ${stack}`;
  return error;
}
