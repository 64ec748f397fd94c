/**
 * Writes the tables of docs/scaling.md between their markers, and its plot docs/scaling.svg.
 * With `--check` it writes nothing and exits with 1 if one of them differs.
 *
 * Usage: npm run scaling [-- --check]
 */
import { readFile, writeFile } from 'node:fs/promises';
import { computeNeeds, INPUTS, LOADS, type Needs, SIZES, spaced } from './model.ts';
import { renderPlot } from './plot.ts';

const PAGE = new URL('../../docs/scaling.md', import.meta.url);
const PLOT = new URL('../../docs/scaling.svg', import.meta.url);

const UNITS = ['', ' k', ' M', ' G', ' T', ' P'];

/** Two significant digits with a prefix: `1.9 G`. Below 1000 without a prefix, and from 0.01. */
export function formatAmount(value: number): string {
  if (value === 0) return '0';
  const rounded = Number(value.toPrecision(2));
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(rounded) / 3)));
  return `${Number((rounded / 1_000 ** power).toPrecision(2))}${UNITS[power]}`;
}

const bytes = (value: number) => `${formatAmount(value)}B`;
const rate = (value: number) => `${formatAmount(value)}/s`;
const count = (value: number) => formatAmount(value);
const whole = (value: number) => String(Math.round(value));
const time = (seconds: number) => {
  if (seconds < 60) return `${formatAmount(seconds)} s`;
  return seconds < 5_400 ? `${formatAmount(seconds / 60)} min` : `${formatAmount(seconds / 3_600)} h`;
};
const percent = (share: number) => {
  if (share < 0.001) return '< 0.1 %';
  const text = Number((share * 100).toPrecision(2));
  return share >= 1 ? `**${text} %**` : `${text} %`;
};

type Line = readonly [string, (needs: Needs) => string];

const STORAGE: readonly Line[] = [
  ['rows in PostgreSQL', ({ rows }) => count(rows)],
  ['bytes in PostgreSQL', ({ database }) => bytes(database)],
  ['of these, indexes of images', ({ indexes }) => bytes(indexes)],
  ['of these, the index of public IDs', ({ linkIndex }) => bytes(linkIndex)],
  ['copy of the database to another machine', ({ restore }) => time(restore)],
  ['originals in S3', ({ originals }) => bytes(originals)],
  ['rungs in S3', ({ rungs }) => bytes(rungs)],
  ['objects in S3', ({ objects }) => count(objects)],
  ['PUT in 30 days', ({ puts }) => count(puts)],
  ['GET of rungs in 30 days', ({ gets }) => count(gets)],
  ['LIST of the sweep in 30 days', ({ lists }) => count(lists)],
];

const TRAFFIC: readonly Line[] = [
  ['link requests', ({ views }) => rate(views)],
  ['answered by the CDN', ({ absorbed }) => rate(absorbed)],
  ['reach the nodes', ({ origin }) => rate(origin)],
  ['of these, rendered', ({ renders }) => rate(renders)],
  ['bytes to visitors', ({ traffic }) => `${bytes(traffic)}/s`],
  ['bytes from the nodes', ({ originTraffic }) => `${bytes(originTraffic)}/s`],
  ['uploads', ({ uploads }) => rate(uploads)],
  ['replacements', ({ replaces }) => rate(replaces)],
  ['cores at work', ({ cores }) => formatAmount(cores)],
  ['nodes, one of them spare', ({ nodes }) => whole(nodes)],
  ['connections to PostgreSQL', ({ connections }) => whole(connections)],
];

/** The tables by the name of their markers. */
export function renderTables(): Readonly<Record<string, string>> {
  const needs = SIZES.map(computeNeeds);
  const heads = needs.map(({ images }) => `${formatAmount(images)} images`);
  const bySize = (head: string, lines: readonly Line[]) =>
    table(
      [head, ...heads],
      '---:',
      lines.map(([name, format]) => [name, ...needs.map(format)]),
    );
  return {
    inputs: table(
      ['figure', 'value', 'source'],
      '---',
      Object.values(INPUTS).map(({ name, value, unit, source }) => [name, formatInput(value, unit), source]),
    ),
    storage: bySize('what', STORAGE),
    traffic: bySize('at the peak', TRAFFIC),
    limits: table(
      ['part', 'limit', ...heads, 'before it is reached'],
      '---',
      LOADS.map(({ part, limit, remedy, use }) => [
        part,
        limit,
        ...needs.map((each) => percent(use(each))),
        remedy,
      ]),
    ),
    first: table(
      ['library', 'first bottleneck', 'then'],
      '---',
      needs.map((each, index) => {
        const parts = [...LOADS].sort((one, other) => other.use(each) - one.use(each));
        const [first = '', second = ''] = parts.map(({ part, use }) => `${part}: ${percent(use(each))}`);
        return [heads[index] ?? '', first, second];
      }),
    ),
  };
}

function formatInput(value: number, unit: string): string {
  if (unit.startsWith('bytes') && value >= 1e6) return `${bytes(value)}${unit.slice('bytes'.length)}`;
  const digits = spaced(value);
  return unit === '' ? digits : `${digits} ${unit}`;
}

function table(heads: readonly string[], align: string, rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const rule = `|${heads.map((_, column) => (column === 0 ? '---' : align)).join('|')}|`;
  return [line(heads), rule, ...rows.map(line)].join('\n');
}

/** The page with new tables. @throws Error if the markers of a table are missing. */
export function fillPage(page: string, tables: Readonly<Record<string, string>>): string {
  return Object.entries(tables).reduce((text, [name, content]) => {
    const begin = `<!-- ${name}: npm run scaling -->\n`;
    const end = `\n<!-- end of ${name} -->`;
    const start = text.indexOf(begin);
    const stop = text.indexOf(end, start);
    if (start < 0 || stop < 0) throw new Error(`docs/scaling.md has no markers of the table ${name}`);
    return `${text.slice(0, start + begin.length)}\n${content}\n${text.slice(stop)}`;
  }, page);
}

/** The files that differ from what they should be, with their right content. */
export async function findStale(): Promise<{ readonly path: URL; readonly content: string }[]> {
  const page = await readFile(PAGE, 'utf8');
  const plot = await readFile(PLOT, 'utf8').catch(() => '');
  const files = [
    { path: PAGE, old: page, content: fillPage(page, renderTables()) },
    { path: PLOT, old: plot, content: renderPlot() },
  ];
  return files.filter(({ old, content }) => old !== content);
}

if (import.meta.main) {
  const stale = await findStale();
  if (process.argv.includes('--check')) {
    for (const { path } of stale) process.stderr.write(`${path.pathname} is stale: npm run scaling\n`);
    if (stale.length > 0) process.exitCode = 1;
  } else for (const { path, content } of stale) await writeFile(path, content);
}
