/**
 * Owns the bar that shows on a terminal how far a run is, and how lines come above it. Where there is no terminal there is
 * no bar, and lines are lines. Refuses to know what is done.
 */
import type { Surroundings } from '../admin/session.ts';

export interface Bar {
  /** So much more is done. */
  add(amount: number): void;
  /** So much is done in all. */
  reach(amount: number): void;
  /** Writes whole lines, above the bar. */
  tell(lines: string): void;
  /** Takes the bar away. */
  end(): void;
}

/** What a bar of a share says beside itself; cli-progress fills in the names. */
export const SHARED = '{percentage} %, {eta_formatted} left';

/** What a bar that counts says. @param what it counts, in the plural */
export function counting(what: string): string {
  return `{value} of {total} ${what}, {eta_formatted} left`;
}

/** @param total what there is to do, as far as that is known; what comes beyond it makes it larger. */
export async function startBar(
  { write, screen, isTerminal }: Surroundings,
  total: number,
  words: string,
): Promise<Bar> {
  if (!screen.isTTY)
    return { add: () => undefined, reach: () => undefined, tell: write, end: () => undefined };
  const { SingleBar } = await import('cli-progress');
  const bar = new SingleBar({
    stream: screen,
    format: `{bar} ${words}`,
    clearOnComplete: true,
    // A run that is interrupted must leave the terminal as it was.
    hideCursor: false,
    linewrap: true,
    gracefulExit: false,
  });
  let [reached, largest] = [0, Math.max(1, total)];
  bar.start(largest, 0);
  const reach = (amount: number) => {
    reached = amount;
    if (reached > largest) {
      largest = reached;
      bar.setTotal(largest);
    }
    bar.update(reached);
  };
  return {
    add: (amount) => reach(reached + amount),
    reach,
    tell(lines) {
      // Lines for a file or pipe do not disturb the bar.
      if (!isTerminal) return write(lines);
      screen.write('\r\u001b[2K');
      write(lines);
      // The bar goes back at its end to where it began: that is here now.
      screen.write('\u001b7');
      bar.render();
    },
    end: () => bar.stop(),
  };
}
