/**
 * Owns what every measurement is given and gives back, and the order of rounds. Refuses to know the measurements.
 */
import type { Row, Skipped } from './numbers.ts';
import type { OriginalFile } from './originals.ts';

export interface Bench {
  /** For whatever is written; removed at the end. */
  readonly folder: string;
  /** Where the originals lie. */
  readonly originalsFolder: string;
  readonly originals: readonly OriginalFile[];
  readonly rounds: number;
  /** Fewer and smaller, to see that it works. */
  readonly quick: boolean;
  /** Tells the terminal what is going on. */
  say(text: string): void;
}

export type Measure = (bench: Bench) => Promise<(Row | Skipped)[]>;

/**
 * Does one thing after the other, round after round, every other round backwards: A B, B A, A B. Returns what each
 * gave in each round. A round ahead of the first warms up and is forgotten, unless it is turned off.
 */
export async function interleave<K extends string>(
  rounds: number,
  things: Readonly<Record<K, (round: number) => Promise<number>>>,
  { warmUp = true }: { warmUp?: boolean } = {},
): Promise<Record<K, number[]>> {
  const names = Object.keys(things) as K[];
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, number[]>;
  for (let round = warmUp ? -1 : 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const value = await things[name](round);
      if (round >= 0) results[name].push(value);
    }
  }
  return results;
}

/** The bench measures only what is right: throws with what is not. */
export function check(right: boolean, what: string): asserts right {
  if (!right) throw new Error(`wrong: ${what}`);
}
