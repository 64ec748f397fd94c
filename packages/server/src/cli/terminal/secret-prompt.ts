/**
 * Owns how a secret comes to a command: from a prompt without echo, from standard input, from a variable that is named, or,
 * for who insists, from the command line. Refuses to know what it opens.
 */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { AppError } from '../../errors.ts';
import type { Surroundings } from '../admin/session.ts';

export interface SecretOptions {
  readonly secret?: string;
  readonly secretEnv?: string;
}

/** No secret is longer, in characters: a wrong file on standard input is not read to its end. */
const MAX_LENGTH = 4_096;

/** The options of a command that needs a secret. */
export function withSecret(command: Command): Command {
  return command
    .option('--secret-env <name>', 'take the secret key from this environment variable')
    .option('--secret <key>', 'the secret key itself: it stays in the history of your shell')
    .addHelpText(
      'after',
      '\nWithout --secret-env the secret key is asked for, without echo, or is the first line of standard input.',
    );
}

/** @throws AppError `invalid-request` if there is none. */
export async function readSecret(
  { secret, secretEnv }: SecretOptions,
  { env, input, screen }: Surroundings,
): Promise<string> {
  if (secret !== undefined) return checked(secret, '--secret');
  if (secretEnv !== undefined) return checked(env[secretEnv], `the variable ${secretEnv}`);
  if (!input.isTTY) return checked(await firstLine(input), 'standard input');
  // What a terminal shows is what readline writes: here it writes to nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: nowhere, terminal: true });
  // Only now, when the terminal itself shows nothing any more either.
  screen.write('Secret key: ');
  try {
    const line = await new Promise<string>((resolve, reject) => {
      lines.question('', resolve);
      lines.once('SIGINT', () => reject(new AppError('invalid-request', 'no secret key was given')));
      lines.once('close', () => reject(new AppError('invalid-request', 'no secret key was given')));
    });
    return checked(line, 'the prompt');
  } finally {
    lines.close();
    screen.write('\n');
  }
}

async function firstLine(input: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of input) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_LENGTH) break;
  }
  return text.split('\n')[0] ?? '';
}

function checked(given: string | undefined, where: string): string {
  const secret = given?.trim() ?? '';
  if (secret !== '' && secret.length <= MAX_LENGTH) return secret;
  throw new AppError('invalid-request', `${where} holds no secret key`);
}
