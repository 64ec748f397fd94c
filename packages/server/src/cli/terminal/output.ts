/**
 * The output formats of all commands: tables for lists, lines for one record, and JSON for scripts.
 */

/** A column of a table: its heading, and the text of its cell for a record. */
export type Column<T> = readonly [heading: string, cell: (record: T) => string | undefined];

export function formatJSON(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A table whose columns are as wide as their longest text, or `emptyText` without records. */
export function formatTable<T>(
  records: readonly T[],
  columns: readonly Column<T>[],
  emptyText: string,
): string {
  if (records.length === 0) return `${emptyText}\n`;
  const rows = [
    columns.map(([heading]) => heading),
    ...records.map((record) => columns.map(([, cell]) => sanitizeLine(cell(record) ?? '-'))),
  ];
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => lengthOf(row[column]))));
  return rows.map((row) => `${padCells(row, widths)}\n`).join('');
}

/** A number with its noun, such as "1 original" and "2 originals". */
export function formatCount(number: number, singular: string, plural = `${singular}s`): string {
  return `${number} ${number === 1 ? singular : plural}`;
}

/** One record, with a line for each field. Undefined fields have no line. */
export function formatRecord(fields: Readonly<Record<string, string | number | undefined>>): string {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${sanitizeLine(String(value))}\n`).join('');
}

/** The text on one line, without control characters and without marks that change the reading direction. */
export function sanitizeLine(text: string): string {
  return text.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '').replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}

function padCells(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((text, column) => text + ' '.repeat(Math.max(0, (widths[column] ?? 0) - lengthOf(text))))
    .join('  ')
    .trimEnd();
}

function lengthOf(text = ''): number {
  return [...text].length;
}
