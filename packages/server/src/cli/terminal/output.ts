/**
 * Owns how records look in a terminal: tables for lists, lines for one record, and JSON for scripts.
 * Refuses to know what the records are.
 */
import { type Command, InvalidArgumentError } from 'commander';

/** A column of a table: its heading, and what of a record stands in it. */
export type Column<T> = readonly [heading: string, cell: (record: T) => string | undefined];

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A table, as wide as its texts; `nothing` if there are no records. */
export function table<T>(records: readonly T[], columns: readonly Column<T>[], nothing: string): string {
  if (records.length === 0) return `${nothing}\n`;
  const rows = [
    columns.map(([heading]) => heading),
    ...records.map((record) => columns.map(([, cell]) => plain(cell(record) ?? '-'))),
  ];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => lengthOf(row[column]))));
  return rows.map((row) => `${padded(row, widths)}\n`).join('');
}

/** A number of things in words, such as "1 original" and "2 originals". */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** One record, a line for each field that it has. */
export function lines(fields: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(...given.map(([name]) => name.length));
  return given.map(([name, value]) => `${name.padEnd(width)}  ${plain(String(value))}\n`).join('');
}

/** A text on one line, without what would steer a terminal or turn the order of what is read. */
export function plain(text: string): string {
  return text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '').replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}

function padded(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((text, column) => text + ' '.repeat(Math.max(0, (widths[column] ?? 0) - lengthOf(text))))
    .join('  ')
    .trimEnd();
}

function lengthOf(text = ''): number {
  return [...text].length;
}

/** The options of every command that lists: like the query of the API. */
export function paged(command: Command): Command {
  return command
    .option('--skip <number>', 'how many to pass over', wholeNumber, 0)
    .option('--count <number>', 'how many to show at most', wholeNumber, 200);
}

/** Reads an option that is a whole number. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
