/**
 * Writes the results of a run: a table for the terminal, and a dated Markdown file with a chart.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { renderChart } from './chart.ts';
import { formatNumber, formatTarget, type Row, type Skipped, type Spread, summarise } from './numbers.ts';
import type { OriginalFile } from './originals.ts';

export interface RunFacts {
  readonly start: Date;
  readonly rounds: number;
  /** True if the originals come from photographs, false if they are generated. */
  readonly photographs: boolean;
  readonly originals: readonly OriginalFile[];
}

const HEADINGS = ['work', 'Vitrine', 'reference', '', 'compared', 'target', ''];

export function formatTable(results: readonly (Row | Skipped)[]): string {
  const cells = [HEADINGS, ...results.map(buildCells)];
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  const notes = results.flatMap((row) => ('note' in row && row.note ? [`${row.work}: ${row.note}`] : []));
  return `\n${lines.map((line) => line.trimEnd()).join('\n')}\n${notes.map((note) => `\n${note}`).join('')}\n`;
}

/** Writes `<time>.md` and `<time>.svg`. Returns the path of the Markdown file. */
export async function writeResults(
  folder: string,
  results: readonly (Row | Skipped)[],
  facts: RunFacts,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const name = facts.start.toISOString().slice(0, 16).replace('T', '-').replace(':', '');
  const rows = results.filter((row) => 'ours' in row);
  const title = `Vitrine against its targets, ${facts.start.toISOString().slice(0, 10)}`;
  await writeFile(join(folder, `${name}.svg`), renderChart(rows, title));
  const path = join(folder, `${name}.md`);
  await writeFile(path, formatMarkdown(results, facts, title, name));
  return path;
}

function formatMarkdown(
  results: readonly (Row | Skipped)[],
  facts: RunFacts,
  title: string,
  name: string,
): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const notes = results.flatMap((row) => ('note' in row && row.note ? [`- ${row.work}: ${row.note}`] : []));
  return `# ${title}

![The rows that have a target](${name}.svg)

${[line(HEADINGS), line(HEADINGS.map(() => '---')), ...results.map((row) => line(buildCells(row)))].join('\n')}

Medians of interleaved rounds (${facts.rounds}, or twice that for uploads and starts), quartiles in brackets.
[How to read and repeat it](../../docs/benchmarks.md).
${notes.length === 0 ? '' : `\n${notes.join('\n')}\n`}
## The machine

- ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}
- Node ${process.versions.node}, sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}
- Originals ${facts.photographs ? 'made of photographs' : 'generated'}: ${facts.originals
    .map(
      ({ format, width, height, bytes }) =>
        `${format} ${width}x${height} ${(bytes.length / 1e6).toFixed(1)} MB`,
    )
    .join(', ')}
`;
}

function buildCells(row: Row | Skipped): string[] {
  if ('reason' in row) return [row.work, 'skipped', row.reason, '', '', '', ''];
  const { ours, theirs, compared, met } = summarise(row);
  const sign = row.compare === 'ratio' ? 'x' : ` ${row.unit}`;
  return [
    row.work,
    `${formatNumber(ours.median)} ${row.unit}`,
    row.reference,
    theirs === undefined ? '' : `${formatNumber(theirs.median)} ${row.unit}`,
    `${formatNumber(compared.median)}${sign} ${formatRange(compared)}`,
    formatTarget(row),
    met === undefined ? '' : met ? 'met' : 'MISSED',
  ];
}

function formatRange({ low, high }: Spread): string {
  return `(${formatNumber(low)}–${formatNumber(high)})`;
}
