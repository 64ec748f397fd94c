/**
 * Owns how a run over a whole library shows how far it is: a bar on a terminal, a line now and then elsewhere. And the
 * outcome that something is wrong. Refuses to know what is done.
 */
import { counting, SHARED, startBar } from '../terminal/progress-bar.ts';
import type { Surroundings } from './session.ts';

/** The run is done, and found something that is not as it should be; it has said what. */
export class FoundWrong extends Error {}

/** Where there is no bar, a line stands for as many steps. */
const STEPS_A_LINE = 1_000;

export interface StepsOptions {
  /** What is counted, in the plural. */
  readonly what: string;
  /** How many steps there will be, as far as that is known. */
  readonly total?: number;
  /** What there is of something else, such as bytes: then the run is shown as a share of that. */
  readonly size?: number;
  /** No lines for people, where there is no bar. */
  readonly json: boolean;
}

export interface Steps {
  /** One more is done. */
  step(): void;
  /** So much of `size` is done. */
  reach(amount: number): void;
  /** Writes whole lines, above the bar if there is one. */
  tell(lines: string): void;
  end(): void;
}

export async function startSteps(surroundings: Surroundings, options: StepsOptions): Promise<Steps> {
  const { what, total = 0, size, json } = options;
  const bar = await startBar(surroundings, size ?? total, size === undefined ? counting(what) : SHARED);
  const speaks = !json && !surroundings.screen.isTTY;
  let [steps, reached] = [0, 0];
  const line = () => {
    if (size === undefined) return `${steps} of ${Math.max(steps, total)} ${what}\n`;
    return `${steps} ${what}, ${Math.floor((100 * reached) / Math.max(1, size))} %\n`;
  };
  return {
    step() {
      steps += 1;
      if (size === undefined) bar.add(1);
      if (speaks && steps % STEPS_A_LINE === 0) surroundings.write(line());
    },
    reach(amount) {
      reached = amount;
      bar.reach(amount);
    },
    tell: (lines) => bar.tell(lines),
    end: () => bar.end(),
  };
}
