/**
 * Options that several commands share, and the parsers of their values.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';

/** Adds the paging options of every `list` command. They work like the query parameters of the API. */
export function addPagingOptions(command: Command): Command {
  return command
    .option('--skip <number>', 'number of entries to skip', parseWholeNumber, 0)
    .option('--count <number>', 'maximum number of entries to show', parseWholeNumber, 200);
}

/** The page that the paging options select. */
export function pageOf({ skip, count }: { skip: number; count: number }): { skip: number; count: number } {
  return { skip, count };
}

/** Parses a whole number of at most nine digits. @throws InvalidArgumentError. */
export function parseWholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

const SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3_600, d: 86_400 };

/**
 * An option whose value is a duration, in seconds.
 * @param limits `max` is the longest duration, in seconds.
 */
export function durationOption(
  flags: string,
  description: string,
  { defaultValue, max = Number.POSITIVE_INFINITY }: { defaultValue: number; max?: number },
): Option {
  const parse = (text: string) => {
    const seconds = parseDuration(text);
    if (seconds <= max) return seconds;
    throw new InvalidArgumentError(`It must be at most ${formatDuration(max)}.`);
  };
  return new Option(flags, description).argParser(parse).default(defaultValue, formatDuration(defaultValue));
}

/** A duration as a user writes it, such as 1d for 86 400 seconds. */
function formatDuration(seconds: number): string {
  const units = Object.entries(SECONDS).reverse();
  const [unit = 's', length = 1] = units.find(([, each]) => seconds % each === 0) ?? [];
  return `${seconds / length}${unit || 's'}`;
}

/** Parses a duration such as 90m. @returns seconds. @throws InvalidArgumentError. */
function parseDuration(text: string): number {
  const [, number, unit = ''] = /^(\d{1,7})([smhd])?$/.exec(text) ?? [];
  if (number === undefined) {
    throw new InvalidArgumentError(
      'It must be a number of seconds, or a duration such as 30s, 90m, 24h or 7d.',
    );
  }
  return Number(number) * (SECONDS[unit] ?? 1);
}
