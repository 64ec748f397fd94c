/**
 * Shows the progress of a long command: a bar on a terminal, and lines elsewhere. The bar is on standard
 * error, and the lines are on standard output.
 */
import type { CommandContext } from './context.ts';
import { sanitizeLine } from './output.ts';

export interface ProgressOptions {
  /** The name of the items, in the plural. */
  readonly what: string;
  /** The expected number of items. The actual number may be larger. */
  readonly total?: number;
  /** The total of another measure, such as bytes. The progress is then a percentage of it. */
  readonly size?: number;
  /** Whether standard output is JSON. Only `print` writes to it then. */
  readonly json: boolean;
}

export interface Progress {
  /** Counts one finished item. Without a bar, prints a line after each 1 000 items. */
  countItem(): void;
  /**
   * Counts one finished item and prints its result.
   * @param isNotable whether the line appears even next to a bar. Other lines appear only where the reader
   * sees no bar.
   */
  reportItem(line: string, isNotable: boolean): void;
  /** Sets the finished part of `size`. */
  setAmount(amount: number): void;
  /** Prints whole lines to standard output, above the bar. */
  print(lines: string): void;
  /** Prints a message for the user to standard error, above the bar. */
  warn(message: string): void;
  /** Removes the bar. */
  end(): void;
}

interface Bar {
  /** A value above the total raises the total. */
  setValue(value: number): void;
  print(lines: string): void;
  warn(line: string): void;
  end(): void;
}

/** Without a bar, one line is printed for this number of items. */
const ITEMS_PER_LINE = 1_000;

export async function startProgress(
  context: CommandContext,
  { what, total = 0, size, json }: ProgressOptions,
): Promise<Progress> {
  const { stdout, stderr, terminal, stdoutIsTTY } = context;
  const barText = size === undefined ? `{value} of {total} ${what}` : '{percentage} %';
  const bar = terminal.isTTY ? await startBar(context, size ?? total, barText) : undefined;
  const print = bar?.print ?? stdout;
  let [items, amount] = [0, 0];

  const addItem = () => {
    items += 1;
    if (size === undefined) bar?.setValue(items);
  };
  const countText = () => {
    if (size === undefined) return `${items} of ${Math.max(items, total)} ${what}`;
    return `${items} ${what}, ${Math.floor((100 * amount) / Math.max(1, size))} %`;
  };
  return {
    countItem() {
      addItem();
      if (!bar && !json && items % ITEMS_PER_LINE === 0) stdout(`${countText()}\n`);
    },
    reportItem(line, isNotable) {
      addItem();
      const isBarVisible = bar !== undefined && stdoutIsTTY;
      if (!json && (isNotable || !isBarVisible)) print(`${sanitizeLine(line)}\n`);
    },
    setAmount(value) {
      amount = value;
      bar?.setValue(value);
    },
    print,
    warn(message) {
      const line = `${sanitizeLine(message)}\n`;
      if (bar) bar.warn(line);
      else stderr(line);
    },
    end: () => bar?.end(),
  };
}

/** @param text the words next to the bar, in the format of cli-progress. */
async function startBar(
  { stdout, stderr, terminal, stdoutIsTTY }: CommandContext,
  total: number,
  text: string,
): Promise<Bar> {
  const { SingleBar } = await import('cli-progress');
  const bar = new SingleBar({
    stream: terminal,
    format: `{bar} ${text}, {eta_formatted} left`,
    clearOnComplete: true,
    // An interrupted command must leave the terminal unchanged.
    hideCursor: false,
    linewrap: true,
    gracefulExit: false,
  });
  let largest = Math.max(1, total);
  bar.start(largest, 0);
  const writeAbove = (write: (lines: string) => void, lines: string) => {
    terminal.write('\r\u001b[2K');
    write(lines);
    // cli-progress redraws the bar at the saved cursor position. This saves the position below the lines.
    terminal.write('\u001b7');
    bar.render();
  };
  return {
    setValue(value) {
      if (value > largest) {
        largest = value;
        bar.setTotal(largest);
      }
      bar.update(value);
    },
    print(lines) {
      // Lines that go to a file or a pipe do not disturb the bar.
      if (!stdoutIsTTY) return stdout(lines);
      writeAbove(stdout, lines);
    },
    warn: (line) => writeAbove(stderr, line),
    end: () => bar.stop(),
  };
}
