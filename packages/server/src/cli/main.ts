/**
 * The `vitrine` command: an entry of its own, beside main.ts the only file that reads process.env. Owns the exit codes.
 * Refuses to know what any command does.
 */
import type { VitrineError } from '@vitrine/client';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { type ErrorCode, isAppError } from '../errors.ts';
import { addAccountCommands } from './admin/accounts.ts';
import { addAuditCommand } from './admin/audit.ts';
import { addDoctorCommand } from './admin/doctor.ts';
import { addKeyCommands } from './admin/keys.ts';
import { addMaintenanceCommands } from './admin/maintenance.ts';
import type { Surroundings } from './admin/session.ts';
import { FoundWrong } from './admin/steps.ts';
import { addVerifyCommand } from './admin/verify.ts';
import { addExportCommand } from './remote/export.ts';
import { addImageCommands } from './remote/images.ts';
import { addImportCommand } from './remote/import.ts';
import { addLoginCommands } from './remote/login.ts';
import { addProductCommands } from './remote/products.ts';
import { OnlyRenditions, PartlyDone } from './remote/progress.ts';
import { addUploadCommand } from './remote/upload.ts';
import { Interrupted } from './terminal/interruption.ts';
import { plain } from './terminal/output.ts';

/** What a script can tell apart. 0 is success. */
const EXIT = { failed: 1, usage: 2, notFound: 3, refused: 4, partly: 5, renditions: 6 } as const;

const EXIT_CODES = `
Exit codes:
  0  done
  1  failed: the server or the database cannot be reached, or a defect; or verify or doctor found something wrong
  2  wrong arguments, or wrong VITRINE_ variables
  3  there is no such account, key, image, product or profile
  4  refused: by the server, or because the state does not allow it
  5  done in part: some files or images were not, and the output says which
  6  done, but some pictures are renditions, because the server gives no originals
  130, 143  interrupted, by Ctrl-C or SIGTERM

serve, accounts, keys, audit, verify, gc, backup, restore and doctor work on the data that the VITRINE_ variables name
(docs/config.md, docs/operations.md), beside a server that runs on it. All others speak to a server, as "vitrine login" says (docs/cli.md).`;

/** Whether the command is the server, which ends by itself. */
let served = false;

/** Runs one command line. @returns the exit code. */
async function run(words: readonly string[], surroundings: Surroundings): Promise<number> {
  const program = new Command('vitrine')
    .description('Vitrine, the image library server: itself, its administration, and a client.')
    .addHelpText('after', EXIT_CODES)
    .exitOverride()
    .configureOutput({ writeOut: surroundings.write, writeErr: surroundings.complain });
  program
    .command('serve')
    .description('start the server, as "npm start" does')
    .action(async () => {
      served = true;
      await import('../main.ts');
    });
  addAccountCommands(program, surroundings);
  addKeyCommands(program, surroundings);
  addAuditCommand(program, surroundings);
  addVerifyCommand(program, surroundings);
  addMaintenanceCommands(program, surroundings);
  addDoctorCommand(program, surroundings);
  addLoginCommands(program, surroundings);
  addUploadCommand(program, surroundings);
  addImageCommands(program, surroundings);
  addProductCommands(program, surroundings);
  addExportCommand(program, surroundings);
  addImportCommand(program, surroundings);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return 0;
  } catch (error) {
    // Commander has said already what it has to say.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT.usage;
    const { isVitrineError } = await import('@vitrine/client');
    const refusal = isVitrineError(error) ? error : undefined;
    surroundings.complain(`${refusal ? plain(refusal.message) : explain(error)}\n`);
    return refusal ? exitCodeOfRefusal(refusal) : exitCodeOf(error);
  }
}

/** What is the operator's to mend is a sentence; anything else a stack. */
function explain(error: unknown): string {
  if (error instanceof ConfigError || isAppError(error) || isReport(error)) return error.message;
  // A folder that cannot be written, a full disk.
  if (error instanceof Error && 'syscall' in error) return error.message;
  return (error instanceof Error && error.stack) || String(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage;
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof PartlyDone) return EXIT.partly;
  if (error instanceof OnlyRenditions) return EXIT.renditions;
  const codes: Partial<Record<ErrorCode, number>> = {
    'invalid-request': EXIT.usage,
    'not-found': EXIT.notFound,
    conflict: EXIT.refused,
    forbidden: EXIT.refused,
    'too-large': EXIT.refused,
  };
  return (isAppError(error) ? codes[error.code] : undefined) ?? EXIT.failed;
}

/** What the server answered; without an answer it is a failure that may pass. */
function exitCodeOfRefusal(error: VitrineError): number {
  const status = 'status' in error && error.name !== 'ResponseValidationError' ? error.status : 0;
  if (status === 404) return EXIT.notFound;
  return status >= 400 && status < 500 && status !== 429 ? EXIT.refused : EXIT.failed;
}

function isReport(error: unknown): error is Error {
  return [PartlyDone, OnlyRenditions, FoundWrong, Interrupted].some((report) => error instanceof report);
}

/** Ends the process once everything that was written has left it. */
async function leave(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that has gone away fails the write, and that is no failure.
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
  process.exit(code);
}

// Whoever reads only the first lines closes the pipe, and that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
const code = await run(process.argv.slice(2), {
  env: process.env,
  write: (text) => {
    process.stdout.write(text);
  },
  complain: (text) => {
    process.stderr.write(text);
  },
  // Looked at only by who reads from it.
  get input() {
    return process.stdin;
  },
  screen: process.stderr,
  isTerminal: process.stdout.isTTY === true,
});
// A command that is done must not be held up by a connection that is kept alive, or by an input that nobody ends. The
// server alone goes on.
if (!served) await leave(code);
