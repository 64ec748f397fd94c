/**
 * Owns what becomes of a command that is told to end while it has something to clean up: it ends what it is at, leaves
 * nothing half-made, and says so. Refuses to know what the command does.
 *
 * Commands that need no cleaning up have no part in this: the system ends them, with the same codes as a shell sees them.
 */
import { constants } from 'node:os';
import { AppError, isAppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';

/** Ctrl-C, the end of a service, and a terminal that was closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Signal = (typeof SIGNALS)[number];

/** The command was told to end, and has; `message` says what is left. */
export class Interrupted extends Error {
  /** What shells say of a process that the signal ended. */
  readonly exitCode: number;

  constructor(by: Signal, what: string) {
    super(`interrupted by ${by}: ${what}`);
    this.exitCode = 128 + constants.signals[by];
  }
}

/**
 * Runs `work`, whose signal fires when the process is told to end. The same again ends the process at once.
 * @param left what to say then, once the work has cleaned up and thrown AppError `cancelled`.
 * @throws Interrupted; what else the work throws. Work that comes to its end all the same is done.
 */
export async function interruptible<T>(
  { screen }: Pick<Surroundings, 'screen'>,
  work: (signal: AbortSignal) => Promise<T>,
  left: () => string,
): Promise<T> {
  const controller = new AbortController();
  let by: Signal | undefined;
  const onSignal = (name: Signal) => {
    leave();
    by = name;
    // Whoever sits there must know that it was heard. It takes the line of the bar, which goes on below.
    if (screen.isTTY) screen.write(`\r\u001b[2K${name}: ending in order; again ends at once\n\u001b7`);
    controller.abort(new AppError('cancelled', `interrupted by ${name}`));
  };
  const leave = () => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (by === undefined || !isAppError(error, 'cancelled')) throw error;
    throw new Interrupted(by, left());
  } finally {
    leave();
  }
}
