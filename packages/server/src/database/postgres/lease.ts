/**
 * The use of one connection: its deadlines, and the end of a connection whose state is unknown.
 *
 * Nothing here depends on settings of the session, so PgBouncer may give each transaction another one.
 * Timeouts of a transaction are set together with its `begin`. A single statement is cancelled from outside.
 */
import type { PostgresPoolClient } from 'kysely';
import type { Permit } from '../../concurrency/circuit.ts';
import { unavailable } from '../dialect.ts';
import type { Client } from './client.ts';
import { sqlState, translateConnectionError } from './errors.ts';
import { LostConnectionError, ServerHangsError, type ServerWatch } from './server-watch.ts';
import type { Statements } from './statements.ts';

export interface LeaseLimits {
  /** Milliseconds for a statement. Absent: no limit. */
  readonly statement?: number;
  /** Milliseconds for a commit. Absent: those for a statement. */
  readonly commit?: number;
  /** Milliseconds for which a transaction may idle between two statements. Absent: no limit. */
  readonly idleInTransaction?: number;
}

export interface LeaseOptions {
  readonly client: Client;
  readonly permit: Permit;
  readonly watch: ServerWatch;
  readonly statements: Statements;
  readonly limits: LeaseLimits;
  /** Called when the connection shows that the pool has connections to a wrong server. */
  readonly onStale: () => void;
  /** @param isBroken true if the connection must be closed at once. */
  readonly onRelease: (client: Client, isBroken: boolean) => void;
}

/** Milliseconds that a server gets beyond its own timeout of a statement. */
const GRACE = 200;

const BEGIN = /^(begin|start transaction)\b/;

export class Lease implements PostgresPoolClient {
  readonly #options: LeaseOptions;
  readonly #timeout: number | undefined;
  /** Set once the state of the connection is unknown. */
  #fault: unknown;
  #isInTransaction = false;
  #cancelling: Promise<void> | undefined;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#timeout = options.limits.statement;
  }

  query<R>(sql: string, parameters: ReadonlyArray<unknown>): Promise<R>;
  query<R>(cursor: R): R;
  async query(statement: unknown, parameters: ReadonlyArray<unknown> = []): Promise<unknown> {
    // After a statement without an answer, a rollback would get none either. Closing the connection also
    // rolls back.
    if (this.#fault !== undefined) throw this.#fault;
    const text = String(statement);
    if (BEGIN.test(text)) {
      this.#isInTransaction = true;
      return this.#run(`${text}; ${this.#settings()}`, []);
    }
    return text === 'commit' ? this.#commit() : this.#run(text, parameters);
  }

  release(destroy = false): void {
    const { client, permit, onRelease } = this.#options;
    permit.released();
    if (this.#cancelling === undefined) onRelease(client, destroy || this.#fault !== undefined);
    else void this.#cancelling.then(() => onRelease(client, true));
  }

  /** The statements that set the timeouts of a transaction. They also replace those of the role. */
  #settings(): string {
    const { idleInTransaction = 0 } = this.#options.limits;
    return (
      `set local statement_timeout = ${this.#timeout ?? 0}; ` +
      `set local idle_in_transaction_session_timeout = ${idleInTransaction}`
    );
  }

  /**
   * Commits. The server warns if an operator has cancelled its wait for a synchronous standby. Then a
   * failover can lose the transaction, so its outcome is unknown.
   */
  async #commit(): Promise<unknown> {
    const { client } = this.#options;
    let warning: Error | undefined;
    const onNotice = (notice: { code?: string | undefined; message?: string | undefined }) => {
      if (notice.code !== '00000') warning = new Error(`a warning during the commit: ${notice.message}`);
    };
    client.on('notice', onNotice);
    try {
      const result = await this.#run('commit', []);
      if (warning !== undefined) throw this.#fail(unavailable(warning));
      return result;
    } finally {
      client.off('notice', onNotice);
    }
  }

  /** @returns the result of pg. */
  async #run(text: string, parameters: ReadonlyArray<unknown>): Promise<unknown> {
    const { client, permit, watch, statements } = this.#options;
    const { promise: ended, reject } = Promise.withResolvers<never>();
    // In a transaction, the timeout of the server comes first.
    const { commit = this.#timeout } = this.#options.limits;
    const limit = text === 'commit' ? commit : this.#timeout;
    const timeout = limit && limit + (this.#isInTransaction ? GRACE : 0);
    const stopWatch = watch.begin({
      pid: client.pid,
      timeout,
      onTimeout: () => {
        // In a transaction, the server has ended all statements but a commit by now. A cancelled commit would
        // no longer wait for its standby.
        if (!this.#isInTransaction) this.#cancelling = client.cancel();
        reject(new StatementTimeoutError(`no answer within ${timeout} ms`));
      },
      giveUp: reject,
    });
    try {
      const answer = statements.run(client, text, parameters, this.#isInTransaction);
      const result = await Promise.race([answer, ended]);
      permit.succeeded();
      return result;
    } catch (error) {
      throw this.#translate(error);
    } finally {
      stopWatch();
    }
  }

  #translate(error: unknown): unknown {
    const { permit, onStale } = this.#options;
    const state = sqlState(error);
    if (error instanceof LostConnectionError || state === '25006') onStale();
    reportFailure(permit, error);
    const translated = translateConnectionError(error);
    // A server that stops sends a last error and closes the connection.
    if (translated !== error || state?.startsWith('57P')) return this.#fail(translated);
    return error;
  }

  #fail(fault: unknown): unknown {
    this.#fault = fault;
    return fault;
  }
}

/** A statement that takes too long, on a server that works. */
class StatementTimeoutError extends Error {
  override readonly name = 'StatementTimeoutError';
}

/**
 * Reports an error to the circuit, which opens only for a server that hangs. A server that refuses costs no
 * time. Without a pause, the first request after its restart succeeds.
 */
export function reportFailure(permit: Permit, error: unknown): void {
  if (error instanceof ServerHangsError) permit.failed('stall', error);
  else if (sqlState(error) === undefined) permit.released();
  else permit.succeeded();
}
