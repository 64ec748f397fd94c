/**
 * Owns the Server-Timing header of a delivery: where its bytes came from, and what each part of the way took. Refuses to
 * know the way.
 */

/** Marks the parts of a way as they end, in the order in which they come. */
export class ServerTiming {
  #last = performance.now();
  #marks = '';

  /** A part of this name ended now; it began where the last one ended. */
  mark(name: string): void {
    const now = performance.now();
    this.#marks += entry(name, now - this.#last);
    this.#last = now;
  }

  /**
   * The value of the header.
   * @param from where the bytes came from: a word of letters.
   * @param times milliseconds of parts that somebody else has measured, by name.
   */
  of(from: string, times: Readonly<Record<string, number | undefined>> = {}): string {
    let value = `cache;desc=${from}${this.#marks}`;
    for (const [name, time] of Object.entries(times)) if (time !== undefined) value += entry(name, time);
    return value;
  }
}

/** To a tenth of a millisecond: clocks that are finer tell strangers more than they need to know. */
function entry(name: string, milliseconds: number): string {
  return `, ${name};dur=${milliseconds.toFixed(1)}`;
}
