/**
 * Chance that can be repeated: the same seed makes the same choices.
 */
export interface Chance {
  /** From 0 to below 1. */
  next(): number;
  /** A whole number from `from` to `to`, both included. */
  whole(from: number, to: number): number;
  /** One of them, or undefined if there is none. */
  of<T>(choices: readonly T[]): T | undefined;
}

export function chance(seed: number): Chance {
  let state = Math.imul(seed, 2_654_435_761) + 1;
  const next = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  return {
    next,
    whole: (from, to) => from + Math.floor(next() * (to - from + 1)),
    of: (choices) => choices[Math.floor(next() * choices.length)],
  };
}
