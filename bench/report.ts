/**
 * Owns how a run is shown: a table for the terminal, a dated Markdown file with a chart. Refuses to measure.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { chart } from './chart.ts';
import { brief, type Row, type Skipped, type Spread, summarise, targetText } from './numbers.ts';
import type { OriginalFile } from './originals.ts';

export interface RunFacts {
  readonly begun: Date;
  readonly rounds: number;
  /** True if the originals were made of photographs that were given. */
  readonly photographs: boolean;
  readonly originals: readonly OriginalFile[];
}

const HEADINGS = ['work', 'Vitrine', 'reference', '', 'compared', 'target', ''];

export function terminalTable(results: readonly (Row | Skipped)[]): string {
  const cells = [HEADINGS, ...results.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  const notes = results.flatMap((row) => ('note' in row && row.note ? [`${row.work}: ${row.note}`] : []));
  return `\n${lines.map((line) => line.trimEnd()).join('\n')}\n${notes.map((note) => `\n${note}`).join('')}\n`;
}

/** Writes `<time>.md` and `<time>.svg` and returns the path of the first. */
export async function writeResults(
  folder: string,
  results: readonly (Row | Skipped)[],
  facts: RunFacts,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const name = facts.begun.toISOString().slice(0, 16).replace('T', '-').replace(':', '');
  const rows = results.filter((row) => 'ours' in row);
  const title = `Vitrine against its targets, ${facts.begun.toISOString().slice(0, 10)}`;
  await writeFile(join(folder, `${name}.svg`), chart(rows, title));
  const path = join(folder, `${name}.md`);
  await writeFile(path, markdown(results, facts, title, name));
  return path;
}

function markdown(results: readonly (Row | Skipped)[], facts: RunFacts, title: string, name: string): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const notes = results.flatMap((row) => ('note' in row && row.note ? [`- ${row.work}: ${row.note}`] : []));
  return `# ${title}

![The rows that have a target](${name}.svg)

${[line(HEADINGS), line(HEADINGS.map(() => '---')), ...results.map((row) => line(cellsOf(row)))].join('\n')}

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

function cellsOf(row: Row | Skipped): string[] {
  if ('why' in row) return [row.work, 'skipped', row.why, '', '', '', ''];
  const { ours, theirs, compared, met } = summarise(row);
  const sign = row.compare === 'ratio' ? 'x' : ` ${row.unit}`;
  return [
    row.work,
    `${brief(ours.median)} ${row.unit}`,
    row.reference,
    theirs === undefined ? '' : `${brief(theirs.median)} ${row.unit}`,
    `${brief(compared.median)}${sign} ${between(compared)}`,
    targetText(row),
    met === undefined ? '' : met ? 'met' : 'MISSED',
  ];
}

function between({ low, high }: Spread): string {
  return `(${brief(low)}–${brief(high)})`;
}
