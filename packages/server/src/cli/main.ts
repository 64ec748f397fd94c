/**
 * The `vitrine` command: an entry of its own, beside main.ts the only file that reads process.env. Owns the exit codes.
 * Refuses to know what any command does.
 */
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { type ErrorCode, isAppError } from '../errors.ts';
import { addAccountCommands } from './accounts.ts';
import { addAuditCommand } from './audit.ts';
import { addKeyCommands } from './keys.ts';
import type { Surroundings } from './session.ts';

/** What a script can tell apart. 0 is success. */
const EXIT = { failed: 1, usage: 2, notFound: 3, refused: 4 } as const;

const EXIT_CODES = `
Exit codes:
  0  done
  1  failed: the database cannot be reached, or a defect
  2  wrong arguments, or wrong VITRINE_ variables
  3  there is no such account or key
  4  refused: the state does not allow it

It works on the data that the VITRINE_ variables name (docs/config.md), beside a server that runs on it.`;

/** Runs one command line. @returns the exit code. */
async function run(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const program = new Command('vitrine')
    .description('Vitrine, the image library server, and its administration.')
    .addHelpText('after', EXIT_CODES)
    .exitOverride()
    .configureOutput({ writeOut: surroundings.write, writeErr: surroundings.complain });
  program
    .command('serve')
    .description('start the server, as "npm start" does')
    .action(async () => {
      await import('../main.ts');
    });
  addAccountCommands(program, surroundings);
  addKeyCommands(program, surroundings);
  addAuditCommand(program, surroundings);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has said already what it has to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    surroundings.complain(`${explain(error)}\n`);
    return exitCodeOf(error);
  }
}

/** What is the operator's to mend is a sentence; anything else a stack. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || isAppError(error)) return error.message;
  return (error instanceof Error && error.stack) || String(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage;
  const codes: Partial<Record<ErrorCode, number>> = {
    'invalid-request': EXIT.usage,
    'not-found': EXIT.notFound,
    conflict: EXIT.refused,
    forbidden: EXIT.refused,
  };
  return (isAppError(error) ? codes[error.code] : undefined) ?? EXIT.failed;
}

// Whoever reads only the first lines closes the pipe, and that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  write: (text) => {
    process.stdout.write(text);
  },
  complain: (text) => {
    process.stderr.write(text);
  },
});
