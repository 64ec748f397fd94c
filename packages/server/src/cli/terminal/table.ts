/**
 * Tables of records. On a terminal they are as wide as the terminal, and longer texts are cut. Elsewhere
 * nothing is cut, so that scripts get whole values.
 */
import type { CommandContext } from './context.ts';
import { sanitizeLine } from './output.ts';
import { stylesFor } from './style.ts';

/**
 * A column of a table: its heading, and the text of its cell for a record. The texts of a `long` column are
 * cut before those of other columns, such as IDs, which are useless when cut.
 */
export type Column<T> = readonly [
  heading: string,
  cell: (record: T) => string | undefined,
  kind?: 'long' | undefined,
];

const GAP = '  ';

/** The narrowest width of a `long` column, and of every other column, that still tells something. */
const MIN_LONG_WIDTH = 8;
const MIN_WIDTH = 4;

/** A table with one line for each record, or `emptyText` without records. */
export async function formatTable<T>(
  context: Pick<CommandContext, 'env' | 'stdoutIsTTY' | 'stdoutColumns'>,
  records: readonly T[],
  columns: readonly Column<T>[],
  emptyText: string,
): Promise<string> {
  if (records.length === 0) return `${emptyText}\n`;
  // Loaded on demand, because most commands print no table.
  const { default: stringWidth } = await import('string-width');
  const cells = columns.map(([heading, cell]) => [
    heading,
    ...records.map((record) => sanitizeLine(cell(record) ?? '-')),
  ]);
  const widths = cells.map((column) => Math.max(...column.map((text) => stringWidth(text))));
  if (context.stdoutIsTTY && context.stdoutColumns) {
    const isLong = columns.map(([, , kind]) => kind === 'long');
    const available = context.stdoutColumns - GAP.length * (columns.length - 1);
    narrow(widths, available, (index) => (isLong[index] ? MIN_LONG_WIDTH : Number.POSITIVE_INFINITY));
    // The first column has the ID that other commands need, so it is cut last.
    narrow(widths, available, (index) => (index === 0 ? Number.POSITIVE_INFINITY : MIN_WIDTH));
    narrow(widths, available, () => MIN_WIDTH);
  }
  const { bold } = stylesFor(context);
  const rows = Array.from({ length: records.length + 1 }, (_, row) =>
    cells
      .map((column, index) => fit(column[row] ?? '', widths[index] ?? 0, stringWidth))
      .join(GAP)
      .trimEnd(),
  );
  return rows.map((row, index) => `${index === 0 ? bold(row) : row}\n`).join('');
}

/** Reduces the widest columns until all fit or have their least width. */
function narrow(widths: number[], available: number, least: (index: number) => number): void {
  let excess = widths.reduce((sum, width) => sum + width, 0) - available;
  for (; excess > 0; excess -= 1) {
    let widest: number | undefined;
    widths.forEach((width, index) => {
      if (width > least(index) && width > (widest === undefined ? 0 : (widths[widest] ?? 0))) widest = index;
    });
    if (widest === undefined) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}

/** The text with exactly this width: filled up with spaces, or cut with an ellipsis. */
function fit(text: string, width: number, stringWidth: (text: string) => number): string {
  const length = stringWidth(text);
  if (length <= width) return text + ' '.repeat(width - length);
  let [cut, cutWidth] = ['', 0];
  // Graphemes, because an emoji or a letter with its marks has several code points.
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    const segmentWidth = stringWidth(segment);
    if (cutWidth + segmentWidth > width - 1) break;
    cut += segment;
    cutWidth += segmentWidth;
  }
  return `${cut}…${' '.repeat(Math.max(0, width - 1 - cutWidth))}`;
}
