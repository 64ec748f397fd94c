/**
 * The Server-Timing header of a delivery: the source of the bytes and the duration of each step.
 */

/** Measures consecutive steps. */
export class ServerTiming {
  #last = performance.now();
  #entries = '';

  /** Ends a step. It began when the previous one ended. */
  mark(name: string): void {
    const now = performance.now();
    this.#entries += entry(name, now - this.#last);
    this.#last = now;
  }

  /**
   * The value of the header.
   * @param from the source of the bytes, one word of letters.
   * @param times durations that were measured elsewhere, in milliseconds by name.
   */
  of(from: string, times: Readonly<Record<string, number | undefined>> = {}): string {
    let value = `cache;desc=${from}${this.#entries}`;
    for (const [name, time] of Object.entries(times)) if (time !== undefined) value += entry(name, time);
    return value;
  }
}

/** One decimal of a millisecond: finer clocks help timing attacks. */
function entry(name: string, milliseconds: number): string {
  return `, ${name};dur=${milliseconds.toFixed(1)}`;
}
