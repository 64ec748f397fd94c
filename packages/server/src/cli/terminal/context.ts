/**
 * The environment, streams and terminal that the process gives to a command. Tests replace them.
 */

/** Environment variables, by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface CommandContext {
  readonly env: Environment;
  /** Writes the results of a command to standard output. */
  readonly stdout: (text: string | Uint8Array) => void;
  /** Writes error messages to standard error. */
  readonly stderr: (text: string) => void;
  /** Standard input: secrets, and files named `-`. */
  readonly stdin: NodeJS.ReadStream;
  /** Shows prompts and progress bars. It is standard error, so that standard output has only results. */
  readonly terminal: NodeJS.WriteStream;
  /** Whether standard output is a terminal, and not a file or a pipe. */
  readonly stdoutIsTTY: boolean;
  /** The width of the terminal of standard output, in columns. Undefined or 0: unknown. */
  readonly stdoutColumns?: number | undefined;
}
