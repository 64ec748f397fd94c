/**
 * The interface between a run and its measurements, and the order of rounds.
 */
import type { Row, Skipped } from './numbers.ts';
import type { OriginalFile } from './originals.ts';

export interface Bench {
  /** A temporary folder, removed after the run. */
  readonly folder: string;
  /** The folder with the files of `originals`. */
  readonly originalsFolder: string;
  readonly originals: readonly OriginalFile[];
  readonly rounds: number;
  /** The database of the rows about records. */
  readonly database: 'sqlite' | 'postgres';
  /** Fewer and smaller rounds, to check that the bench works. */
  readonly quick: boolean;
  /** Prints progress to the terminal. */
  log(text: string): void;
}

export type Measure = (bench: Bench) => Promise<(Row | Skipped)[]>;

/**
 * Runs the tasks one after the other in each round, and reverses the order every other round: A B, B A, A B.
 * Returns the results of each task by round. A warm-up round before the first is not recorded.
 */
export async function interleave<K extends string>(
  rounds: number,
  tasks: Readonly<Record<K, (round: number) => Promise<number>>>,
  { warmUp = true }: { warmUp?: boolean } = {},
): Promise<Record<K, number[]>> {
  const names = Object.keys(tasks) as K[];
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, number[]>;
  for (let round = warmUp ? -1 : 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const value = await tasks[name](round);
      if (round >= 0) results[name].push(value);
    }
  }
  return results;
}

/** Ends the run if a result is wrong, because figures of wrong results mean nothing. */
export function check(correct: boolean, problem: string): asserts correct {
  if (!correct) throw new Error(`wrong result: ${problem}`);
}
