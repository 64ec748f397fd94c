/**
 * Cleans up after Ctrl-C and similar signals. Only commands that need a clean-up use it: the system ends all
 * others, with the same exit codes.
 */
import { constants } from 'node:os';
import { AppError, isAppError } from '../../errors.ts';
import type { CommandContext } from './context.ts';
import { CommandFailure } from './exit-codes.ts';

/** Ctrl-C, the stop of a service, and a terminal that was closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Signal = (typeof SIGNALS)[number];

/** A signal interrupted the command, and the command has cleaned up. */
export class Interrupted extends CommandFailure {
  /** The exit code that shells report for a process that the signal ended. */
  readonly exitCode: number;

  /** @param state the state that the command left behind. */
  constructor(signal: Signal, state: string) {
    super(`interrupted by ${signal}: ${state}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * Runs `work` with an AbortSignal that fires on the first signal to the process. A second signal ends the
 * process at once.
 * @param describeState called after `work` has cleaned up and thrown AppError `cancelled`.
 * @throws Interrupted; and errors of `work`. If `work` finishes in spite of the signal, its result counts.
 */
export async function runInterruptible<T>(
  { terminal }: Pick<CommandContext, 'terminal'>,
  work: (signal: AbortSignal) => Promise<T>,
  describeState: () => string,
): Promise<T> {
  const controller = new AbortController();
  let receivedSignal: Signal | undefined;
  const onSignal = (name: Signal) => {
    removeListeners();
    receivedSignal = name;
    // Replaces the line of the progress bar. The bar continues on the next line.
    if (terminal.isTTY)
      terminal.write(`\r\u001b[2K${name}: cleaning up; a second signal ends at once\n\u001b7`);
    controller.abort(new AppError('cancelled', `interrupted by ${name}`));
  };
  const removeListeners = () => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (receivedSignal === undefined || !isAppError(error, 'cancelled')) throw error;
    throw new Interrupted(receivedSignal, describeState());
  } finally {
    removeListeners();
  }
}
