/**
 * The pool of connections to PostgreSQL. Only this folder imports pg.
 */
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import type pg from 'pg';
import { translateConnectionError } from './errors.ts';

/** Milliseconds. */
const CONNECTION_TIMEOUT = 3_000;

/** The type of counters and times. */
const INT8 = 20;

/** A pg pool that translates errors of connections into AppErrors, and does not reuse a broken connection. */
export class TranslatingPool implements PostgresPool {
  readonly options = {};
  readonly #pool: pg.Pool;

  constructor(driver: typeof pg, settings: pg.PoolConfig) {
    this.#pool = new driver.Pool({
      ...settings,
      application_name: 'vitrine',
      connectionTimeoutMillis: CONNECTION_TIMEOUT,
      keepAlive: true,
      types: {
        // Read as a number, because counters and milliseconds stay far below 2^53.
        getTypeParser: ((oid: number, format: 'text' | 'binary' = 'text') =>
          oid === INT8 && format === 'text'
            ? Number
            : driver.types.getTypeParser(oid, format as 'text')) as typeof driver.types.getTypeParser,
      },
    });
    // When an idle connection ends, the next call makes another one. Without a listener the event ends the
    // process.
    this.#pool.on('error', () => {});
    // The same for a connection in use. Its query is rejected as well, and reports the error.
    this.#pool.on('connect', (client) => client.on('error', () => {}));
  }

  async connect(): Promise<PostgresPoolClient> {
    try {
      return new TranslatingClient(await this.#pool.connect());
    } catch (error) {
      throw translateConnectionError(error);
    }
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}

class TranslatingClient implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  #fault: unknown;

  constructor(client: pg.PoolClient) {
    this.#client = client;
  }

  query<R>(sql: string, parameters: ReadonlyArray<unknown>): Promise<R>;
  query<R>(cursor: R): R;
  async query(sql: unknown, parameters: ReadonlyArray<unknown> = []): Promise<unknown> {
    // After a query without an answer, a rollback would get none either. Closing the connection also rolls
    // back.
    if (this.#fault !== undefined) throw this.#fault;
    try {
      return await this.#client.query(String(sql), [...parameters]);
    } catch (error) {
      const translated = translateConnectionError(error);
      if (translated !== error) this.#fault = translated;
      throw translated;
    }
  }

  release(destroy = false): void {
    this.#client.release(destroy || this.#fault !== undefined);
  }
}
