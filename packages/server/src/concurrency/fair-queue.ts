/**
 * Whose turn it is: so many at once, in the order of asking; but of those who wait, each name in turn, so that one who
 * asks for much is served between the others and not before them. Refuses to know what is done in a turn.
 */
import { AppError } from '../errors.ts';

export interface TurnRules {
  /** How many have a turn at the same time. */
  readonly atOnce: number;
  /** How many may wait for one; absent: however many. */
  readonly waiting?: number;
  /** Makes the error for a caller that cannot wait or has waited too long. Absent: a general one. */
  readonly unavailable?: (cause: Error) => AppError;
}

export interface Turn {
  /** Passes the turn on; before it has come, gives up the place of who waits. Again is nothing. */
  end(): void;
}

export interface Patience {
  /** Who asks; those without a name are one. */
  readonly name?: string;
  /** Milliseconds to wait for the turn; absent: for as long as it takes. */
  readonly patience?: number | undefined;
  /** Gives up the place when it fires. */
  readonly signal?: AbortSignal | undefined;
}

function queueUnavailable(cause: Error): AppError {
  return new AppError('unavailable', 'The server has too much to do. Try again.', { cause, retryAfter: 1 });
}

export class Turns {
  readonly #atOnce: number;
  readonly #most: number;
  readonly #unavailable: (cause: Error) => AppError;
  #taken = 0;
  #waiting = 0;
  /** By name; the name whose turn is next comes first. */
  readonly #queues = new Map<string, Set<() => void>>();
  #onIdle: (() => void) | undefined;

  constructor({ atOnce, waiting = Number.POSITIVE_INFINITY, unavailable = queueUnavailable }: TurnRules) {
    this.#atOnce = atOnce;
    this.#most = waiting;
    this.#unavailable = unavailable;
  }

  /** Nobody has a turn, so nobody waits either. */
  get free(): boolean {
    return this.#taken === 0;
  }

  /**
   * Asks for a turn, and calls `begin` when it comes: within this call if it can, and not after the turn was ended.
   * @throws AppError `unavailable` if too many wait already.
   */
  ask(begin: () => void, name = ''): Turn {
    let had = false;
    if (this.#taken < this.#atOnce) {
      had = true;
      this.#taken += 1;
      begin();
    } else if (this.#waiting >= this.#most) {
      throw this.#unavailable(new Error('Too many wait for the database.'));
    }
    const come = () => {
      had = true;
      begin();
    };
    if (!had) this.#enqueue(name, come);
    let over = false;
    return {
      end: () => {
        if (over) return;
        over = true;
        if (had) this.#pass();
        else this.#leave(name, come);
      },
    };
  }

  /** Resolves when the turn has come. @throws AppError `unavailable` when patience is over; `cancelled` by the signal. */
  async take({ name, patience, signal }: Patience = {}): Promise<Turn> {
    const cancelled = () => new AppError('cancelled', 'Nobody waits for it any more.');
    if (signal?.aborted) throw cancelled();
    const { promise: come, resolve, reject } = Promise.withResolvers<void>();
    const turn = this.ask(resolve, name);
    const giveUp = () => reject(this.#unavailable(new Error('The turn did not come in time.')));
    const timer = patience === undefined ? undefined : setTimeout(giveUp, patience);
    const onAbort = () => reject(cancelled());
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await come;
      return turn;
    } catch (error) {
      turn.end();
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Resolves once nobody has a turn, or waits for one. For one caller, after which nobody asks. */
  idle(): Promise<void> {
    if (this.free) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = resolve;
    return promise;
  }

  #enqueue(name: string, come: () => void): void {
    const queue = this.#queues.get(name);
    if (queue === undefined) this.#queues.set(name, new Set([come]));
    else queue.add(come);
    this.#waiting += 1;
  }

  #leave(name: string, come: () => void): void {
    const queue = this.#queues.get(name);
    if (queue?.delete(come) !== true) return;
    this.#waiting -= 1;
    if (queue.size === 0) this.#queues.delete(name);
  }

  #pass(): void {
    const [next] = this.#queues;
    if (next === undefined) {
      this.#taken -= 1;
      if (this.free) this.#onIdle?.();
      return;
    }
    const [name, queue] = next;
    const [come] = queue;
    // Whoever has just had a turn comes behind all others.
    this.#queues.delete(name);
    if (come === undefined) return;
    queue.delete(come);
    this.#waiting -= 1;
    if (queue.size > 0) this.#queues.set(name, queue);
    come();
  }
}
