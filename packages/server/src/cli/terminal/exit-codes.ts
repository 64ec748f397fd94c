/**
 * The exit codes of the `vitrine` command, and the errors that end a command with one of them.
 * Scripts rely on the codes.
 */

/** 0 is success. A process that a signal interrupts ends with 128 plus the number of the signal. */
export const EXIT = { failed: 1, usage: 2, notFound: 3, rejected: 4, partial: 5, renditions: 6 } as const;

/** The command has ended without full success, and has printed the details. `message` is its last line. */
export abstract class CommandFailure extends Error {
  abstract readonly exitCode: number;
}

/** `verify` or `doctor` found at least one problem. */
export class ProblemsFound extends CommandFailure {
  readonly exitCode = EXIT.failed;
}

/** Some items failed; the others are done. */
export class PartialFailure extends CommandFailure {
  readonly exitCode = EXIT.partial;
}
