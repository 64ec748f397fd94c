/**
 * The connections of one store. Callers wait for a connection in a fair queue: transactions and searches
 * leave some connections free for lookups. While the server hangs, a circuit refuses all of them.
 */
import { Kysely, type Transaction } from 'kysely';
import type pg from 'pg';
import { Circuit } from '../../concurrency/circuit.ts';
import { FairQueue, type Slot } from '../../concurrency/fair-queue.ts';
import type { WarnLog } from '../../telemetry/log.ts';
import { unavailable } from '../dialect.ts';
import type { Schema } from '../schema/tables.ts';
import { type Client, createClientClass } from './client.ts';
import { LibraryDialect } from './dialect.ts';
import { translateConnectionError } from './errors.ts';
import { Lease, type LeaseLimits, reportFailure } from './lease.ts';
import { ServerWatch, type WatchLimits } from './server-watch.ts';
import { Statements } from './statements.ts';

export interface PoolLimits extends WatchLimits {
  /**
   * Milliseconds that a caller waits for a connection while the server answers. While it hangs, the circuit
   * ends the wait.
   */
  readonly wait: number;
}

/** The most callers that wait for a connection. */
const MAX_WAITING = 1_000;
/** The pause between two trials while the server is away, in milliseconds. */
const TRIAL_PAUSE = 1_000;
/** The shortest time between two replacements of all connections, in milliseconds. */
const RENEW_INTERVAL = 1_000;

export interface PoolOptions {
  readonly url: string;
  /** The most connections, without the one of a probe. */
  readonly size: number;
  readonly limits: PoolLimits;
  readonly log?: WarnLog | undefined;
}

/** How a connection is used. */
export interface Use extends LeaseLimits {
  /** Uses of different names take turns. */
  readonly name: string;
  /** True: some connections stay free for other uses. */
  readonly isLong: boolean;
}

/** The connections that only lookups may use: one of five. */
const reservedOf = (size: number) => Math.max(1, Math.floor(size / 5));

export class ConnectionPool {
  readonly statements = new Statements();
  readonly #pool: pg.Pool;
  readonly #limits: PoolLimits;
  readonly #circuit: Circuit;
  readonly #watch: ServerWatch;
  readonly #slots: FairQueue;
  readonly #longSlots: FairQueue;
  readonly #clients = new Set<Client>();
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(driver: typeof pg, { url, size, limits, log }: PoolOptions) {
    this.#limits = limits;
    this.#circuit = new Circuit({
      message: unavailable(undefined).message,
      maxPause: TRIAL_PAUSE,
      onChange: (state, err) =>
        log?.warn(
          { ...(err !== undefined && { err }) },
          state === 'open' ? 'the database hangs: calls fail at once' : 'the database answers again',
        ),
    });
    const Prober = createClientClass(driver);
    this.#watch = new ServerWatch(() => new Prober({ connectionString: url }), limits);
    this.#pool = new driver.Pool({
      connectionString: url,
      max: size,
      Client: createClientClass(driver, (giveUp) =>
        this.#watch.begin({ pid: undefined, giveUp }),
      ) as NonNullable<pg.PoolConfig['Client']>,
    });
    // When an idle connection ends, the next call makes another one. Without a listener the event ends the
    // process.
    this.#pool.on('error', () => undefined);
    this.#pool.on('connect', (client) => this.#clients.add(client as unknown as Client));
    this.#pool.on('remove', (client) => this.#clients.delete(client as unknown as Client));
    this.#slots = new FairQueue({ slots: size, maxWaiting: MAX_WAITING, unavailable });
    const slots = Math.max(1, size - reservedOf(size));
    this.#longSlots = new FairQueue({ slots, maxWaiting: MAX_WAITING, unavailable });
  }

  /** A Kysely whose connections serve one use. */
  kyselyFor(use: Use): Kysely<Schema> {
    return kyselyOver(() => this.connect(use));
  }

  /**
   * Runs `work` in one transaction. Transactions with different keys take turns.
   *
   * The lock of an account and garbage collection rely on READ COMMITTED: a statement that waited for a lock
   * sees what its last holder wrote. An operator may have set another default.
   */
  async transact<T>(
    use: Use,
    key: string | undefined,
    work: (trx: Transaction<Schema>) => Promise<T>,
  ): Promise<T> {
    const lease = await this.connect(use, key);
    return kyselyOver(async () => lease)
      .transaction()
      .setIsolationLevel('read committed')
      .execute(work);
  }

  /**
   * Waits for a connection. Callers with different keys take turns.
   * @throws AppError `unavailable`.
   */
  async connect(use: Use, key = use.name): Promise<Lease> {
    this.#circuit.check();
    const startedAt = performance.now();
    const held: Slot[] = [];
    const release = () => {
      for (const slot of held.splice(0)) slot.release();
    };
    try {
      const queues = use.isLong ? [this.#longSlots, this.#slots] : [this.#slots];
      for (const queue of queues) {
        held.push(queue.isFull ? await this.#waitFor(queue, startedAt, key) : queue.request(ignore));
      }
      const permit = this.#circuit.enter();
      try {
        return new Lease({
          client: await this.#take(),
          permit,
          watch: this.#watch,
          statements: this.statements,
          limits: use,
          onStale: () => this.#renew(),
          onRelease: (client, isBroken) => {
            if (isBroken) client.destroy();
            (client as unknown as pg.PoolClient).release(!client.isUsable);
            release();
          },
        });
      } catch (error) {
        reportFailure(permit, error);
        throw error;
      }
    } catch (error) {
      release();
      throw translateConnectionError(error);
    }
  }

  async close(): Promise<void> {
    if (!this.#pool.ending) await this.#pool.end();
  }

  #waitFor(queue: FairQueue, startedAt: number, key: string): Promise<Slot> {
    const left = this.#limits.wait - (performance.now() - startedAt);
    return queue.acquire({ timeout: Math.max(0, left), key });
  }

  /** A connection that may be used. It may have been given up since its last use. */
  async #take(): Promise<Client> {
    for (;;) {
      const client = await this.#pool.connect();
      const own = client as unknown as Client;
      if (own.isUsable) return own;
      client.release(true);
    }
  }

  /**
   * Replaces all connections, because one of them reached a server that is not the primary. So nothing needs
   * a restart after a failover.
   */
  #renew(): void {
    const now = performance.now();
    if (now - this.#renewedAt < RENEW_INTERVAL) return;
    this.#renewedAt = now;
    for (const client of this.#clients) client.isUsable = false;
  }
}

function ignore(): void {}

/** Kysely over connections that are managed here. It is made in less than a microsecond. */
function kyselyOver(connect: () => Promise<Lease>): Kysely<Schema> {
  const pool = { options: {}, connect, end: async () => undefined };
  return new Kysely<Schema>({ dialect: new LibraryDialect({ pool }) });
}
