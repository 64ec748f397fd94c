/**
 * The entry of the `vitrine` command: defines the commands, and turns errors into messages and exit codes.
 * Only this file and src/main.ts read process.env.
 */
import { createRequire } from 'node:module';
import type { VitrineError } from '@vitrine/client';
import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config.ts';
import { type ErrorCode, isAppError } from '../errors.ts';
import { addAccountCommands } from './admin/accounts.ts';
import { addAuditCommand } from './admin/audit.ts';
import { addDoctorCommand } from './admin/doctor.ts';
import { addKeyCommands } from './admin/keys.ts';
import { addMaintenanceCommands } from './admin/maintenance.ts';
import { addMigrateCommand } from './admin/migrate.ts';
import { addVerifyCommand } from './admin/verify.ts';
import { addDownloadCommand } from './remote/download.ts';
import { addExportCommand } from './remote/export.ts';
import { addImageCommands } from './remote/images.ts';
import { addImportCommand } from './remote/import.ts';
import { addLoginCommands } from './remote/login.ts';
import { addProductCommands } from './remote/products.ts';
import { addUploadCommand } from './remote/upload.ts';
import { addWhoamiCommands } from './remote/whoami.ts';
import type { CommandContext } from './terminal/context.ts';
import { maskPublicIDs, unmaskArguments, unmaskText } from './terminal/dashes.ts';
import { CommandFailure, EXIT } from './terminal/exit-codes.ts';
import { Interrupted } from './terminal/interruption.ts';
import { formatJSON, sanitizeLine } from './terminal/output.ts';
import { errorStylesFor, hasColors, stylesFor } from './terminal/style.ts';

const HELP = `
Exit codes:
  0  success
  1  failure: no answer from the server or the database, or an internal error; verify or doctor found
     problems, or migrate --check found pending migrations
  2  wrong arguments or wrong VITRINE_ variables
  3  the account, key, image, product, profile or library does not exist
  4  rejected by the server, or not possible in the current state
  5  partial success: some files or images failed; the output lists them
  6  success, but some pictures are renditions, because the server does not give originals
  130, 143  interrupted by Ctrl-C or SIGTERM

The commands serve, accounts, keys, audit, migrate, verify, gc, backup, restore and doctor work on the local
data.
With --profile or --server, accounts and keys work on a server.
The VITRINE_ variables select the data: see docs/config.md, docs/accounts.md and docs/operations.md.
All of them except restore work while a server runs on the same data.
All other commands are clients of a server: with a profile that "vitrine login" made, or with the credentials
in VITRINE_SERVER, VITRINE_KEY and VITRINE_SECRET. See docs/cli.md.`;

const DASH_HINT =
  'Write -- before arguments that begin with a hyphen, such as: vitrine alt IMAGE -- "-50 %"\n';

/** Whether the command is `serve`. The server ends the process itself. */
let isServer = false;

/** Runs one command line. @returns the exit code. */
async function run(words: readonly string[], context: CommandContext): Promise<number> {
  const { bold, cyan } = stylesFor(context);
  const paintError = errorStylesFor(context).red;
  const program = new Command('vitrine')
    .description('The image library server Vitrine: the server, its administration and a client.')
    .addHelpText('after', HELP)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout(text),
      // The message may repeat a masked argument.
      writeErr: (text) => context.stderr(unmaskText(text)),
      outputError: (text, write) => write(paintError(text)),
      getOutHasColors: () => hasColors(context.env, context.stdoutIsTTY),
      getErrHasColors: () => hasColors(context.env, context.terminal.isTTY === true),
    })
    .configureHelp({ styleTitle: bold, styleCommandText: cyan, styleOptionText: cyan })
    .option('-V, --version', 'print the version; with --json also that of Node')
    // Otherwise the program would take the options of its commands.
    .enablePositionalOptions();
  const isVersionAsked = words.every((word) => ['-V', '--version', '--json'].includes(word));
  if (isVersionAsked && words.some((word) => word !== '--json')) {
    printVersion(context, words.includes('--json'));
    return 0;
  }
  unmaskArguments(program);
  program
    .command('serve')
    .description('start the server, like "npm start"')
    .action(async () => {
      isServer = true;
      await import('../main.ts');
    });
  addAccountCommands(program, context);
  addKeyCommands(program, context);
  addAuditCommand(program, context);
  addMigrateCommand(program, context);
  addVerifyCommand(program, context);
  addMaintenanceCommands(program, context);
  addDoctorCommand(program, context);
  addLoginCommands(program, context);
  addWhoamiCommands(program, context);
  addUploadCommand(program, context);
  addImageCommands(program, context);
  addDownloadCommand(program, context);
  addProductCommands(program, context);
  addExportCommand(program, context);
  addImportCommand(program, context);
  await addCompletionCommand(program, context, words[0]);
  try {
    await program.parseAsync(maskPublicIDs(words, program), { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed the message already.
      if (/unknown option '(?!--[a-z-]+')/.test(error.message)) context.stderr(DASH_HINT);
      return error.exitCode === 0 ? 0 : EXIT.usage;
    }
    const { isVitrineError } = await import('@vitrine/client');
    const clientError = isVitrineError(error) ? error : undefined;
    const message = clientError ? sanitizeLine(clientError.message) : messageOf(error);
    context.stderr(`${error instanceof Interrupted ? message : paintError(message)}\n`);
    return clientError ? exitCodeOfClientError(clientError) : exitCodeOf(error);
  }
}

/**
 * The script of the package needs the package bash-completion, and it cannot be read twice in one shell.
 */
const BEFORE_BASH_SCRIPT = `if ! declare -F __vitrine_complete >/dev/null; then
if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        cur=\${COMP_WORDS[COMP_CWORD]}
        prev=\${COMP_WORDS[COMP_CWORD-1]}
        words=("\${COMP_WORDS[@]}")
        cword=$COMP_CWORD
    }
fi
`;

/** The script of the package turns off the names of files, which `upload` and others need. */
const AFTER_BASH_SCRIPT = `fi
__vitrine_complete_or_files() {
    __vitrine_complete
    if [[ \${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default
    fi
}
complete -F __vitrine_complete_or_files vitrine
`;

/**
 * Adds `vitrine completion`, and the hidden command `complete` that the shells call. Their package is loaded
 * only for them.
 */
async function addCompletionCommand(
  program: Command,
  { stdout }: CommandContext,
  name: string | undefined,
): Promise<void> {
  const completionCommandName = 'completion';
  if (name === completionCommandName || name === 'complete') {
    const { default: addCompletion } = await import('@bomb.sh/tab/commander');
    addCompletion(program, { completionCommandName });
    const command = program.commands.find((each) => each.name() === completionCommandName);
    const isBash = (run: Command) => run.args[0] === 'bash';
    command?.hook('preAction', (run) => (isBash(run) ? stdout(BEFORE_BASH_SCRIPT) : undefined));
    command?.hook('postAction', (run) => (isBash(run) ? stdout(AFTER_BASH_SCRIPT) : undefined));
    return;
  }
  program
    .command(completionCommandName)
    .description('print the script that completes commands and options in a shell')
    .argument('<shell>', 'bash, zsh, fish or powershell');
}

/** Prints the version of this package. */
function printVersion({ stdout }: CommandContext, json: boolean): void {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  stdout(json ? formatJSON({ version, node: process.versions.node }) : `${version}\n`);
}

/** Errors that the operator can fix print one line. Other errors print a stack. */
function messageOf(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (isAppError(error) || error instanceof CommandFailure) return sanitizeLine(error.message);
  // System errors, such as a missing permission or a full disk.
  if (error instanceof Error && 'syscall' in error) return error.message;
  return (error instanceof Error && error.stack) || String(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigError) return EXIT.usage;
  if (error instanceof CommandFailure) return error.exitCode;
  const codes: Partial<Record<ErrorCode, number>> = {
    'invalid-request': EXIT.usage,
    'not-found': EXIT.notFound,
    conflict: EXIT.rejected,
    forbidden: EXIT.rejected,
    'too-large': EXIT.rejected,
  };
  return (isAppError(error) ? codes[error.code] : undefined) ?? EXIT.failed;
}

/** 4xx are rejections. No answer, 429 and 5xx are failures, because a retry may succeed. */
function exitCodeOfClientError(error: VitrineError): number {
  const status = 'status' in error && error.name !== 'ResponseValidationError' ? error.status : 0;
  if (status === 404) return EXIT.notFound;
  return status >= 400 && status < 500 && status !== 429 ? EXIT.rejected : EXIT.failed;
}

/** Ends the process after both streams have written everything. */
async function exit(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    // The write fails if the reader has closed the pipe. That is not an error.
    await new Promise<void>((resolve) => stream.write('', () => resolve()));
  }
  process.exit(code);
}

// A reader that needs only the first lines, such as head, closes the pipe. That is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});
const code = await run(process.argv.slice(2), {
  env: process.env,
  stdout: (text) => {
    process.stdout.write(text);
  },
  stderr: (text) => {
    process.stderr.write(text);
  },
  // A getter, because the first access to process.stdin opens it.
  get stdin() {
    return process.stdin;
  },
  terminal: process.stderr,
  stdoutIsTTY: process.stdout.isTTY === true,
  // A getter, because the width of a terminal may change.
  get stdoutColumns() {
    return process.stdout.columns;
  },
});
// Kept-alive connections and an open standard input would delay the end of the process. Only the server
// continues.
if (!isServer) await exit(code);
