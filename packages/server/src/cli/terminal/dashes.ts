/**
 * Arguments that begin with a hyphen. A public ID may begin with one, and would be taken for options. Such a
 * word is masked before commander reads the command line, and unmasked before a command gets it.
 */
import type { Command } from 'commander';

/** The form of a public ID that begins with a hyphen: 21 URL-safe characters. */
const PUBLIC_ID = /^-[A-Za-z0-9_-]{20}$/;

/** Replaces the hyphen. No word of a command line can contain it. */
const MASK = '\0';

/** Masks the words that are public IDs and no options of any command. Words after `--` are no options. */
export function maskPublicIDs(words: readonly string[], program: Command): string[] {
  const flags = longFlags(program);
  const end = words.indexOf('--');
  return words.map((word, index) => {
    const isOperand = end !== -1 && index > end;
    return !isOperand && PUBLIC_ID.test(word) && !flags.has(word) ? MASK + word.slice(1) : word;
  });
}

/** Makes every command of the program unmask its arguments and the values of its options. */
export function unmaskArguments(program: Command): void {
  program.hook('preAction', (_program, command) => {
    command.processedArgs = command.processedArgs.map(unmask);
    command.args = command.args.map((word) => unmask(word) as string);
    for (const [name, value] of Object.entries(command.opts())) {
      command.setOptionValueWithSource(name, unmask(value), command.getOptionValueSource(name) ?? '');
    }
  });
}

/** A text with the hyphens that were masked. */
export function unmaskText(text: string): string {
  return text.replaceAll(MASK, '-');
}

function unmask(value: unknown): unknown {
  if (typeof value === 'string') return unmaskText(value);
  return Array.isArray(value) ? value.map(unmask) : value;
}

function longFlags(command: Command): Set<string> {
  const own = command.options.flatMap(({ long }) => long ?? []);
  return new Set([...own, ...command.commands.flatMap((each) => [...longFlags(each)])]);
}
