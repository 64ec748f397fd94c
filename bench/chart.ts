/**
 * Renders the chart of a run as SVG text: one bar for each row with a target.
 */
import { formatNumber, formatTarget, type Row, summarise } from './numbers.ts';

const WIDTH = 960;
const LABEL = 420;
const LINE = 26;
const TOP = 56;

/**
 * A bar shows a row's score against its target: 1 meets the target, 2 is twice as good. The scale is
 * logarithmic, so half and double have the same distance from the line.
 */
export function renderChart(rows: readonly Row[], title: string): string {
  const bars = rows.flatMap((row) => {
    const { compared, met } = summarise(row);
    const score = computeScore(row, compared.median);
    return score === undefined ? [] : [{ row, score, met, value: compared.median }];
  });
  const range = Math.max(2, ...bars.map(({ score }) => Math.max(score, 1 / score))) ** 1.05;
  const scale = (score: number) =>
    LABEL + ((Math.log(score) / Math.log(range) + 1) / 2) * (WIDTH - LABEL - 130);
  const zero = scale(1);
  const height = TOP + bars.length * LINE + 16;
  const lines = bars.map(({ row, score, met, value }, index) => {
    const y = TOP + index * LINE;
    const end = scale(score);
    const unit = row.compare === 'ratio' ? 'x' : ` ${row.unit}`;
    const label = row.reference === '' ? row.work : `${row.work} : ${row.reference}`;
    return `
  <text x="${LABEL - 10}" y="${y + 14}" text-anchor="end">${escapeXML(label)}</text>
  <rect x="${Math.min(zero, end).toFixed(1)}" y="${y + 3}" width="${Math.max(1, Math.abs(end - zero)).toFixed(1)}" height="15" rx="2" fill="${met ? '#2a7f4f' : '#b4472f'}"/>
  <text x="${(Math.max(zero, end) + 6).toFixed(1)}" y="${y + 14}">${formatNumber(value)}${unit} (${escapeXML(formatTarget(row))})</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">
  <title>${escapeXML(title)}</title>
  <rect width="100%" height="100%" fill="#fff"/>
  <text x="16" y="22" font-size="15" font-weight="600">${escapeXML(title)}</text>
  <text x="16" y="40" fill="#666">Bars to the right of the line meet the target. Logarithmic scale. Each label has the measured number and, in brackets, the target.</text>
  <line x1="${zero.toFixed(1)}" y1="${TOP - 6}" x2="${zero.toFixed(1)}" y2="${height - 10}" stroke="#222"/>${lines.join('')}
</svg>
`;
}

function computeScore({ target }: Row, value: number): number | undefined {
  // A difference can be zero or negative.
  const positive = Math.max(value, 1e-3);
  if (target === undefined) return undefined;
  return 'atLeast' in target ? positive / target.atLeast : target.atMost / positive;
}

function escapeXML(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
