/**
 * Owns how a run over a whole library shows how far it is: a bar on a terminal, a line now and then elsewhere. And the
 * outcome that something is wrong. Refuses to know what is done.
 */
import { startProgress } from './progress.ts';
import type { Surroundings } from './session.ts';

/** The run is done, and found something that is not as it should be; it has said what. */
export class FoundWrong extends Error {}

/** Where there is no bar, a line stands for as many steps. */
const STEPS_A_LINE = 1_000;

export interface Steps {
  /** One more is done. */
  readonly step: () => void;
  readonly end: () => void;
}

/** @param total how many there will be, as far as that is known. @param what they are, in the plural. */
export async function startSteps(
  surroundings: Surroundings,
  total: number,
  what: string,
  json: boolean,
): Promise<Steps> {
  // Its lines are for things that each deserve one.
  const bar = await startProgress(surroundings, Math.max(1, total), true);
  const speaks = !json && !surroundings.screen.isTTY;
  let steps = 0;
  return {
    step() {
      steps += 1;
      bar.done('');
      if (speaks && steps % STEPS_A_LINE === 0) surroundings.write(`${steps} of ${total} ${what}\n`);
    },
    end: () => bar.end(),
  };
}
