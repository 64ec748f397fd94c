/**
 * Single flight: work that several callers want at once is done once. Pure logic; refuses to know what the work is.
 */
import { AppError } from '../errors.ts';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  /** True once the work has ended: then there is nothing to stop. */
  over: boolean;
}

export class Flights<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** How many pieces of work are under way. */
  get size(): number {
    return this.#flights.size;
  }

  /** True while the work under this key is under way. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Does the work, or joins who does it already under this key. A caller whose signal fires stops waiting; the
   * work itself is only told to stop when nobody waits for it any more.
   * @throws what the work throws, to everyone who waits; AppError `cancelled` to a caller whose signal fires.
   */
  async run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) throw cancelled();
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiting += 1;
    const { promise: left, reject: leave } = Promise.withResolvers<never>();
    const onAbort = () => leave(cancelled());
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await (signal ? Promise.race([flight.result, left]) : flight.result);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        // Whoever comes now must not join what is being stopped.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        if (!flight.over) flight.controller.abort();
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const flight: Flight<T> = { result: work(controller.signal), controller, waiting: 0, over: false };
    this.#flights.set(key, flight);
    const done = () => {
      flight.over = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.result.then(done, done);
    return flight;
  }
}

function cancelled(): AppError {
  return new AppError('cancelled', 'the request was cancelled');
}
