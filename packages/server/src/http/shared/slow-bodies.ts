/**
 * The slow request bodies of each address. A slow body is accepted, because slow connections exist. Their
 * number is limited, because each holds a connection and an unfinished file (docs/adr/0048).
 */
import { AppError } from '../../errors.ts';

/** Seconds after which a client may try again. */
const RETRY_AFTER = 10;

export interface SlowBody {
  /** Bytes per second in the last window. */
  readonly rate: number;
  /** Ends the body with this error. */
  destroy(error: Error): void;
}

export class SlowBodies {
  readonly #max: number;
  readonly #bodies = new Map<string, Set<SlowBody>>();

  /** @param max the most slow bodies of one address. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Adds a body, which may be in the list already. Beyond the limit, the slowest body of the address ends
   * with `rate-limited`. So a client with a slow connection wins over one that sends as slowly as it may. Of
   * equally slow bodies, the newest ends.
   */
  add(address: string, body: SlowBody): void {
    const bodies = this.#bodies.get(address) ?? new Set();
    this.#bodies.set(address, bodies.add(body));
    if (bodies.size <= this.#max) return;
    let slowest = body;
    for (const other of bodies) if (other.rate <= slowest.rate) slowest = other;
    this.remove(address, slowest);
    const text = `one address may have at most ${this.#max} slow request bodies at once: send fewer at a time`;
    const options = { retryAfter: RETRY_AFTER, rejection: 'slow-bodies' } as const;
    slowest.destroy(new AppError('rate-limited', text, options));
  }

  remove(address: string, body: SlowBody): void {
    const bodies = this.#bodies.get(address);
    if (!bodies?.delete(body) || bodies.size > 0) return;
    this.#bodies.delete(address);
  }
}
