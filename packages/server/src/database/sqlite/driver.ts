/**
 * Owns which connection a statement of Kysely goes to, and whose turn it is to write. Refuses to know node:sqlite, which
 * lives in the threads, and what errors mean.
 *
 * One thread writes, because SQLite lets only one write at a time; another looks up, because in WAL mode readers wait for
 * nobody; a third searches, because what takes long must not hold up what does not. So a commit that waits for a slow disk
 * holds up other writes only, a search other searches only, and nothing holds up the event loop.
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
import { answered, SqliteReader } from './reader.ts';
import { SqliteError, type SqliteThread } from './thread.ts';

/**
 * Lookups that the thread has at once, so that it need not wait for us between two; few, because they can no longer be given
 * up there. And how many may wait: in the time that anybody waits, a thread answers more.
 */
const LOOKUPS = { slots: 8, maxWaiting: 4_096 };

/** Searches, one by one. Who searches for whom, and how many may wait, is settled before (searches.ts). */
const SEARCHES = { slots: 1 };

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
  /** The same records, for statements that may take long: what they read holds up nobody who looks something up. */
  readonly searching: Kysely<Schema>;
  /** Waits for what runs, then ends the threads. */
  close(): Promise<void>;
}

export function kyselyOver(threads: Threads): KyselyOverThreads {
  const router = new Router(threads);
  const over = (reads: Reads) =>
    new Kysely<Schema>({
      dialect: {
        createAdapter: () => new Adapter(),
        createDriver: () => new SqliteDriver(router, reads),
        createIntrospector: (introspected) => new SqliteIntrospector(introspected),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
  return { kysely: over('lookups'), searching: over('searches'), close: () => router.close() };
}

/** What the statements that only read are: it decides which thread they go to. */
type Reads = 'lookups' | 'searches';

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

/** Kysely may use any number of its connections at once: what must not meet takes turns behind them. */
class SqliteDriver implements Driver {
  readonly #router: Router;
  readonly #reads: Reads;

  constructor(router: Router, reads: Reads) {
    this.#router = router;
    this.#reads = reads;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Lease> {
    return new Lease(this.#router, this.#reads);
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

  /** The threads are not its own: there is another one over them. */
  async destroy(): Promise<void> {}
}

/** The threads, and which of them a statement goes to. */
class Router {
  readonly #patience: number;
  readonly #newWriter: () => SqliteThread;
  readonly #writes = new FairQueue({ slots: 1, unavailable });
  readonly #readers: Readonly<Record<Reads, SqliteReader>> | undefined;
  #writer: SqliteThread;
  #closing: Promise<void> | undefined;

  constructor({ writer, newWriter, newReader, patience }: Threads) {
    this.#writer = writer;
    this.#newWriter = newWriter;
    this.#patience = patience;
    if (newReader === undefined) return;
    const reader = (rules: FairQueueOptions) =>
      new SqliteReader({ newThread: newReader, patience, ...rules });
    this.#readers = { lookups: reader(LOOKUPS), searches: reader(SEARCHES) };
  }

  /** Waits for everyone who has a turn, or waits for one. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** The thread that writes, for as long as the turn is held. @throws AppError `unavailable`. */
  async acquireWriter(): Promise<{ slot: Slot; writer: SqliteThread }> {
    if (this.#closing !== undefined) throw closed();
    const slot = await this.#writes.acquire({ timeout: this.#patience });
    try {
      return { slot, writer: this.#usableWriter() };
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  /** Runs a statement that is no part of a transaction and may change something. */
  async write(statement: Statement): Promise<Result> {
    const { slot, writer } = await this.acquireWriter();
    try {
      return await writer.run(statement);
    } finally {
      slot.release();
    }
  }

  /** Runs a statement that changes nothing, and is no part of a transaction. */
  async read(statement: Statement, reads: Reads): Promise<Result> {
    if (this.#closing !== undefined) throw closed();
    // As long as nobody had to wait, there is one thread for writing and lookups: a command, or a server with little to do,
    // needs no more. A search may take long, and would hold up who writes.
    const alone = reads === 'lookups' && this.#readers?.lookups.started !== true && this.#writes.isIdle;
    if (this.#readers !== undefined && !alone) return this.#readers[reads].run(statement);
    return answered(this.#writes, this.#patience, async () => this.#usableWriter().run(statement));
  }

  #usableWriter(): SqliteThread {
    if (!this.#writer.usable) this.#writer = this.#newWriter();
    return this.#writer;
  }

  async #close(): Promise<void> {
    await this.#writes.whenIdle();
    // The last connection to close is the one that writes the log back into the database.
    await Promise.all([this.#readers?.lookups.close(), this.#readers?.searches.close()]);
    await this.#writer.close();
  }
}

/** What Kysely takes for a connection: one statement, or the statements of one transaction. */
class Lease implements DatabaseConnection {
  readonly #router: Router;
  readonly #reads: Reads;
  /** The thread of the transaction, while this has the turn to write. */
  #transaction: { readonly slot: Slot; readonly writer: SqliteThread } | undefined;

  constructor(router: Router, reads: Reads) {
    this.#router = router;
    this.#reads = reads;
  }

  async executeQuery<R>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
    try {
      const writer = this.#transaction?.writer;
      if (writer !== undefined) return resultOf(await writer.run({ sql, parameters, within: true }));
      const statement = { sql, parameters, within: false };
      if (query.kind !== 'SelectQueryNode') return resultOf(await this.#router.write(statement));
      return resultOf(await this.#router.read(statement, this.#reads));
    } catch (error) {
      throw asCalledFrom(error);
    }
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield; nobody streams.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('Streaming is not supported.');
  }

  async begin(): Promise<void> {
    this.#transaction = await this.#router.acquireWriter();
    // Immediate: whoever reads first and writes later would be refused if another had written in between.
    await this.#transaction.writer.run({ sql: 'begin immediate', parameters: [], within: false });
  }

  async end(sql: 'commit' | 'rollback'): Promise<void> {
    await this.#transaction?.writer.run({ sql, parameters: [], within: true });
  }

  /** Never throws: whatever led here tells more. */
  async rollback(): Promise<void> {
    try {
      await this.end('rollback');
    } catch (error) {
      // Who comes next would find this transaction open.
      await this.#transaction?.writer.kill(error);
    }
  }

  release(): void {
    this.#transaction?.slot.release();
    this.#transaction = undefined;
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
