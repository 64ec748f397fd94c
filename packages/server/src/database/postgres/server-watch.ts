/**
 * Tells a server that hangs from a slow statement. A statement that waits for long makes a probe ask the
 * server over a new connection. Without an answer, all waiting statements are given up at once.
 *
 * The probe also finds a single connection that is dead, for example after a failover that moved an address.
 * The server that answers the probe then does not work on its statement.
 */
import { AnswerTimeoutError, startTimer, withDeadline } from '../../concurrency/watchdog.ts';
import type { Client } from './client.ts';
import { sqlState } from './errors.ts';

export interface WatchLimits {
  /** Milliseconds without an answer after which the server is probed; then again after each such time. */
  readonly suspicion: number;
  /** Milliseconds of a probe: a new connection and one statement. */
  readonly probe: number;
}

/** A statement, or the start of a connection, that waits for the server. */
export interface Wait {
  /** The process of the server that works on it; undefined while a connection starts. */
  readonly pid: number | undefined;
  /** Milliseconds until `onTimeout`; undefined: no limit. */
  readonly timeout?: number | undefined;
  /** Ends the wait for a server that works, but takes too long. */
  onTimeout?(): void;
  /** Ends the wait for a server or a connection that is dead. */
  giveUp(error: Error): void;
}

/** What a probe found: the processes that work on a statement; undefined if it could not see them. */
type Activity = ReadonlySet<number> | undefined;

/** The server accepts no connection in time, or does not answer on it. */
export class ServerHangsError extends Error {
  override readonly name = 'ServerHangsError';
}

/** The connection is dead: the server refuses new ones, or answers on others. */
export class LostConnectionError extends Error {
  override readonly name = 'LostConnectionError';
}

// A pooler has process numbers of its own, so the two would differ.
const PROBE = `select pg_backend_pid() as own,
  array(select pid from pg_stat_activity where state <> 'idle' and state <> 'idle in transaction') as active`;

export class ServerWatch {
  readonly #connect: () => Client;
  readonly #limits: WatchLimits;
  readonly #waits = new Set<Wait>();
  #probing: Promise<Activity> | undefined;

  /** @param connect makes a client for a probe. */
  constructor(connect: () => Client, limits: WatchLimits) {
    this.#connect = connect;
    this.#limits = limits;
  }

  /** Watches a wait. @returns a function that ends the watch. */
  begin(wait: Wait): () => void {
    this.#waits.add(wait);
    const stopTimer = this.#startTimer(wait, wait.timeout ?? Number.POSITIVE_INFINITY);
    return () => {
      this.#waits.delete(wait);
      stopTimer();
    };
  }

  /** @param left milliseconds until the timeout of the wait. */
  #startTimer(wait: Wait, left: number): () => void {
    const { suspicion } = this.#limits;
    let stop = startTimer(Math.min(suspicion, left), async () => {
      if (left <= suspicion) {
        if (this.#waits.delete(wait)) wait.onTimeout?.();
        return;
      }
      const startedAt = performance.now();
      const activity = await this.#probe().catch((error: Error) => {
        this.#giveUpAll(error);
        return undefined;
      });
      if (!this.#waits.has(wait)) return;
      if (isLost(wait, activity)) this.#giveUp(wait, new LostConnectionError('the connection is dead'));
      else stop = this.#startTimer(wait, left - suspicion - (performance.now() - startedAt));
    });
    return () => stop();
  }

  #giveUp(wait: Wait, error: Error): void {
    if (this.#waits.delete(wait)) wait.giveUp(error);
  }

  #giveUpAll(error: Error): void {
    for (const wait of this.#waits) this.#giveUp(wait, error);
  }

  #probe(): Promise<Activity> {
    this.#probing ??= this.#ask().finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  /** Rejects if the server cannot be reached or does not answer. */
  async #ask(): Promise<Activity> {
    const client = this.#connect();
    try {
      const activity = await withDeadline(async () => {
        await client.connect();
        const { rows } = await client.query<{ own: number; active: number[] }>(PROBE);
        const [row] = rows;
        return row?.own === client.pid ? new Set(row?.active) : undefined;
      }, this.#limits.probe);
      void client.end();
      return activity;
    } catch (error) {
      client.destroy();
      // For example "too many connections". A server that refuses the probe does not hang.
      const state = sqlState(error);
      if (state !== undefined && !state.startsWith('08')) return undefined;
      if (error instanceof AnswerTimeoutError) {
        throw new ServerHangsError('the server does not answer', { cause: error });
      }
      throw new LostConnectionError('the server cannot be reached', { cause: error });
    }
  }
}

/** True if the server works on nothing for this wait. A start of a connection is slower than the probe. */
function isLost({ pid }: Wait, activity: Activity): boolean {
  return pid === undefined || (activity !== undefined && !activity.has(pid));
}
