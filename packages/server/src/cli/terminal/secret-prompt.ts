/**
 * Asks for texts, and reads a secret key: from a prompt without echo, standard input, a named variable or the
 * command line. No secret is printed.
 */
import { createInterface, type Interface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { CommandContext } from './context.ts';
import { Interrupted } from './interruption.ts';

export interface SecretOptions {
  readonly secret?: string;
  readonly secretEnv?: string;
}

/** The longest secret key, in characters. It stops the read when standard input is a wrong, large file. */
const MAX_LENGTH = 4_096;

/** Adds the options for the secret key to a command. */
export function addSecretOptions(command: Command): Command {
  return command
    .option('--secret-env <name>', 'name of the environment variable that has the secret key')
    .option('--secret <key>', 'the secret key; it stays in the history of your shell')
    .addHelpText(
      'after',
      '\nWithout --secret-env and --secret, the command asks for the secret key and does not show it.' +
        '\nWithout a terminal, the first line of standard input is the secret key.',
    );
}

/**
 * @throws AppError `invalid-request` if the secret key is missing, empty or longer than 4 096 characters;
 * Interrupted on Ctrl-C.
 */
export async function readSecret(
  { secret, secretEnv }: SecretOptions,
  { env, stdin, terminal }: CommandContext,
): Promise<string> {
  if (secret !== undefined) return checkSecret(secret, '--secret');
  if (secretEnv !== undefined) return checkSecret(env[secretEnv], `the variable ${secretEnv}`);
  if (!stdin.isTTY) return checkSecret(await readFirstLine(stdin), 'standard input');
  // readline echoes the typed characters to its output. This output drops them.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output, terminal: true });
  // The prompt must come after createInterface, which turns off the echo of the terminal itself.
  terminal.write('Secret key: ');
  try {
    const line = await new Promise<string>((resolve, reject) => {
      lines.question('', resolve);
      onEnd(lines, reject, 'the secret key is missing');
    });
    return checkSecret(line, 'the prompt');
  } finally {
    lines.close();
    terminal.write('\n');
  }
}

/**
 * Asks for a text on a terminal, with echo.
 * @throws AppError `invalid-request` if the user ends the input; Interrupted on Ctrl-C.
 */
export async function ask(label: string, { stdin, terminal }: CommandContext): Promise<string> {
  const lines = createInterface({ input: stdin, output: terminal, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.question(`${label}: `, (answer) => resolve(answer.trim()));
      onEnd(lines, reject, `${label}: there is no answer`);
    });
  } finally {
    lines.close();
  }
}

/**
 * Rejects when the user ends the input. readline turns off the signal of Ctrl-C and emits an event instead.
 */
function onEnd(lines: Interface, reject: (error: Error) => void, message: string): void {
  lines.once('SIGINT', () => reject(new Interrupted('SIGINT', message)));
  lines.once('close', () => reject(new AppError('invalid-request', message)));
}

async function readFirstLine(input: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of input) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_LENGTH) break;
  }
  return text.split('\n')[0] ?? '';
}

/** @param source names the source of the text in the error message. */
function checkSecret(text: string | undefined, source: string): string {
  const secret = text?.trim() ?? '';
  if (secret !== '' && secret.length <= MAX_LENGTH) return secret;
  throw new AppError('invalid-request', `${source} must have a secret key of 1 to ${MAX_LENGTH} characters`);
}
