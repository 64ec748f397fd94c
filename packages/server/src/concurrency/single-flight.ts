/**
 * Single flight: callers that need the same work at the same time share one run of it.
 * Results are not cached: a call after the end of the run starts the work again.
 */
import { cancellation } from '../errors.ts';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  waiting: number;
  isDone: boolean;
}

export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** True while the work under this key runs. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Runs the work, or joins the run under the same key. A caller whose signal fires stops waiting. The signal
   * of the work fires only when no caller waits any more.
   * @throws what the work throws, to each waiting caller; AppError `cancelled` when the caller's signal
   * fires.
   */
  async run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) throw cancellation(signal);
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    flight.waiting += 1;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => signal && reject(cancellation(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await (signal ? Promise.race([flight.result, aborted]) : flight.result);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      flight.waiting -= 1;
      if (flight.waiting === 0) {
        // A new caller must not join a run that is being cancelled.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        if (!flight.isDone) flight.controller.abort();
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const flight: Flight<T> = { result: work(controller.signal), controller, waiting: 0, isDone: false };
    this.#flights.set(key, flight);
    const onDone = () => {
      flight.isDone = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    flight.result.then(onDone, onDone);
    return flight;
  }
}
