/**
 * Options that several commands share, and the parsers of their values.
 */
import { type Command, InvalidArgumentError } from 'commander';

/** Adds the paging options of every `list` command. They work like the query parameters of the API. */
export function addPagingOptions(command: Command): Command {
  return command
    .option('--skip <number>', 'number of entries to skip', parseWholeNumber, 0)
    .option('--count <number>', 'maximum number of entries to show', parseWholeNumber, 200);
}

/** Parses a whole number of at most nine digits. @throws InvalidArgumentError. */
function parseWholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/** Parses a duration such as 90m. @returns seconds. @throws InvalidArgumentError. */
export function parseDuration(text: string): number {
  const [, number, unit = ''] = /^(\d{1,7})([smhd])?$/.exec(text) ?? [];
  if (number === undefined) {
    throw new InvalidArgumentError(
      'It must be a number of seconds, or a duration such as 30s, 90m, 24h or 7d.',
    );
  }
  return Number(number) * (SECONDS[unit] ?? 1);
}
