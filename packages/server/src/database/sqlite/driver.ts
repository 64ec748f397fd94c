/**
 * The Kysely driver over the SQLite threads: it decides which thread a statement goes to, and queues the
 * writes.
 *
 * One thread writes, because SQLite allows one writer at a time. One runs lookups, because in WAL mode
 * readers do not wait for writers. One runs searches, which take long. So a slow commit delays only writes, a
 * search delays only searches, and nothing blocks the event loop. See ADR 33.
 */
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import { FairQueue, type FairQueueOptions, type Slot } from '../../concurrency/fair-queue.ts';
import { unavailable } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';
import type { Result, Statement } from './messages.ts';
import { readInTurn, SqliteReader } from './reader.ts';
import { SqliteError, type SqliteThread } from './thread.ts';

/**
 * More than one lookup is in the thread, so that it does not wait for this side between two. They are few,
 * because a lookup in the thread cannot be cancelled. A thread can answer 4 096 lookups within the timeout.
 */
const LOOKUPS = { slots: 8, maxWaiting: 4_096 };

/** One search at a time. The queue of `search-limiter.ts` comes before this one. */
const SEARCHES = { slots: 1 };

export interface Threads {
  /** The first writer. It has opened the file. */
  readonly writer: SqliteThread;
  /** Makes another writer, after the previous one has ended. */
  readonly newWriter: () => SqliteThread;
  /** Undefined for a database in memory, which only the writer can see. */
  readonly newReader: (() => SqliteThread) | undefined;
  /** Milliseconds that a write waits for its turn, and that a read waits for its result. */
  readonly timeout: number;
}

export interface KyselyOverThreads {
  /** For lookups and writes. */
  readonly kysely: Kysely<Schema>;
  /** For searches. Its reads run in a separate thread, and do not delay lookups. */
  readonly searching: Kysely<Schema>;
  /** Waits for running statements, then ends the threads. */
  close(): Promise<void>;
}

export function kyselyOver(threads: Threads): KyselyOverThreads {
  const router = new Router(threads);
  const kyselyFor = (lane: ReadLane) =>
    new Kysely<Schema>({
      dialect: {
        createAdapter: () => new Adapter(),
        createDriver: () => new SqliteDriver(router, lane),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
  return {
    kysely: kyselyFor('lookups'),
    searching: kyselyFor('searches'),
    close: () => router.close(),
  };
}

/** The thread for statements that only read. */
type ReadLane = 'lookups' | 'searches';

/** The properties of the database, for Kysely. */
class Adapter extends SqliteAdapter {
  /** True: with false, Kysely would run one statement at a time, and reads would wait for writes. */
  override get supportsMultipleConnections(): boolean {
    return true;
  }

  /** True: migrations run in one transaction. It is immediate, so it is also their lock. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/** Kysely may use any number of connections at once. The router queues their statements. */
class SqliteDriver implements Driver {
  readonly #router: Router;
  readonly #lane: ReadLane;

  constructor(router: Router, lane: ReadLane) {
    this.#router = router;
    this.#lane = lane;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Connection> {
    return new Connection(this.#router, this.#lane);
  }

  async beginTransaction(connection: Connection): Promise<void> {
    await connection.begin();
  }

  async commitTransaction(connection: Connection): Promise<void> {
    await connection.end('commit');
  }

  async rollbackTransaction(connection: Connection): Promise<void> {
    await connection.rollback();
  }

  async releaseConnection(connection: Connection): Promise<void> {
    connection.release();
  }

  /** Does nothing, because the driver of the other lane uses the same threads. */
  async destroy(): Promise<void> {}
}

/** The threads, and the choice of a thread for each statement. */
class Router {
  readonly #timeout: number;
  readonly #newWriter: () => SqliteThread;
  readonly #writes = new FairQueue({ slots: 1, unavailable });
  readonly #readers: Readonly<Record<ReadLane, SqliteReader>> | undefined;
  #writer: SqliteThread;
  #closing: Promise<void> | undefined;

  constructor({ writer, newWriter, newReader, timeout }: Threads) {
    this.#writer = writer;
    this.#newWriter = newWriter;
    this.#timeout = timeout;
    if (newReader === undefined) return;
    const reader = (rules: FairQueueOptions) => new SqliteReader({ newThread: newReader, timeout, ...rules });
    this.#readers = { lookups: reader(LOOKUPS), searches: reader(SEARCHES) };
  }

  /** Waits for running and waiting statements, then ends the threads. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Waits for the write slot. The caller must release it. @throws AppError `unavailable`. */
  async acquireWriter(): Promise<{ slot: Slot; writer: SqliteThread }> {
    if (this.#closing !== undefined) throw closedError();
    const slot = await this.#writes.acquire({ timeout: this.#timeout });
    try {
      return { slot, writer: this.#usableWriter() };
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  /** Runs a statement outside a transaction that may change something. */
  async write(statement: Statement): Promise<Result> {
    const { slot, writer } = await this.acquireWriter();
    try {
      return await writer.run(statement);
    } finally {
      slot.release();
    }
  }

  /** Runs a statement outside a transaction that changes nothing. */
  async read(statement: Statement, lane: ReadLane): Promise<Result> {
    if (this.#closing !== undefined) throw closedError();
    if (this.#readers === undefined || this.#canUseWriter(lane)) {
      return readInTurn(this.#writes, this.#timeout, async () => this.#usableWriter().run(statement));
    }
    return this.#readers[lane].run(statement);
  }

  /**
   * Until a lookup has to wait for the first time, the writer runs lookups too. So a command, or a server
   * with little load, has one thread. A search never uses the writer, because it could delay writes.
   */
  #canUseWriter(lane: ReadLane): boolean {
    return lane === 'lookups' && this.#readers?.lookups.isStarted !== true && this.#writes.isIdle;
  }

  #usableWriter(): SqliteThread {
    if (!this.#writer.isUsable) this.#writer = this.#newWriter();
    return this.#writer;
  }

  async #close(): Promise<void> {
    await this.#writes.whenIdle();
    // The writer closes last, because the last connection writes the log back into the database.
    await Promise.all([this.#readers?.lookups.close(), this.#readers?.searches.close()]);
    await this.#writer.close();
  }
}

/** A connection in the sense of Kysely: it runs one statement, or the statements of one transaction. */
class Connection implements DatabaseConnection {
  readonly #router: Router;
  readonly #lane: ReadLane;
  /** Present while a transaction is open: the write slot and the thread. */
  #transaction: { readonly slot: Slot; readonly writer: SqliteThread } | undefined;

  constructor(router: Router, lane: ReadLane) {
    this.#router = router;
    this.#lane = lane;
  }

  async executeQuery<R>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const writer = this.#transaction?.writer;
      if (writer !== undefined)
        return queryResult(await writer.run({ sql, parameters, inTransaction: true }));
      const statement = { sql, parameters, inTransaction: false };
      if (query.kind !== 'SelectQueryNode') return queryResult(await this.#router.write(statement));
      return queryResult(await this.#router.read(statement, this.#lane));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  // biome-ignore lint/correctness/useYield: streaming is not supported.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('Streaming is not supported.');
  }

  async begin(): Promise<void> {
    this.#transaction = await this.#router.acquireWriter();
    // Immediate, because SQLite refuses the first write of a transaction if another one has written since its
    // first read.
    await this.#transaction.writer.run({ sql: 'begin immediate', parameters: [], inTransaction: false });
  }

  async end(sql: 'commit' | 'rollback'): Promise<void> {
    await this.#transaction?.writer.run({ sql, parameters: [], inTransaction: true });
  }

  /** Never throws, so that the error that caused the rollback is reported. */
  async rollback(): Promise<void> {
    try {
      await this.end('rollback');
    } catch (error) {
      // The next transaction would find this one open, so the thread must end.
      await this.#transaction?.writer.kill(error);
    }
  }

  release(): void {
    this.#transaction?.slot.release();
    this.#transaction = undefined;
  }
}

/** Converts a result to the form of Kysely. */
function queryResult<R>({ columns, rows, changes }: Result): QueryResult<R> {
  if (columns.length === 0) return { numAffectedRows: BigInt(changes), rows: [] };
  const objects = rows.map((values) => {
    const row: Record<string, unknown> = {};
    columns.forEach((column, index) => {
      row[column] = values[index];
    });
    return row;
  });
  return { rows: objects as R[] };
}

function closedError(): Error {
  return new Error('The database is closed.');
}

/** Puts the stack of the caller before the stack of the thread, which does not know the caller. */
function withCallerStack(error: unknown): unknown {
  if (!(error instanceof SqliteError)) return error;
  const { stack } = error;
  Error.captureStackTrace(error, withCallerStack);
  error.stack += `\nin the database thread: ${stack}`;
  return error;
}
