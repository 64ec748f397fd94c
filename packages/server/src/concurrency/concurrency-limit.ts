/**
 * How much of something scarce each name holds at this moment, and no more than its share. Pure logic; refuses to know
 * what it is that is held, and for how long.
 */
export class Shares {
  readonly #most: number;
  readonly #held = new Map<string, number>();

  /** @param most that one name may hold at once. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Takes one; undefined if the name holds its share already. What comes back gives it back, once. */
  take(name: string): (() => void) | undefined {
    const held = this.#held.get(name) ?? 0;
    if (held >= this.#most) return undefined;
    this.#held.set(name, held + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      const left = (this.#held.get(name) ?? 1) - 1;
      if (left > 0) this.#held.set(name, left);
      else this.#held.delete(name);
    };
  }

  /** Names that hold something. */
  get size(): number {
    return this.#held.size;
  }
}
