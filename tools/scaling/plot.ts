/** Draws how much of its limit each part uses, by the size of the library, as SVG text. */
import { computeNeeds, LOADS } from './model.ts';

const WIDTH = 960;
const HEIGHT = 560;
const PLOT = { left: 70, right: 600, top: 60, bottom: 510 };
/** Powers of ten: images from 100 thousand to 10 billion, and shares from 0.1 % to 100 times the limit. */
const IMAGES = { low: 5, high: 10 };
const SHARES = { low: -3, high: 2 };
const COLOURS = ['#b4472f', '#1f5fa8', '#2a7f4f', '#8a5aab', '#c98a1b', '#1b8f93', '#666', '#c2478e', '#222'];
const NAMES = ['100 k', '1 M', '10 M', '100 M', '1 G', '10 G'];

export function renderPlot(): string {
  const x = (power: number) => scale(power, IMAGES, PLOT.left, PLOT.right);
  const y = (power: number) => scale(power, SHARES, PLOT.bottom, PLOT.top);
  const columns = range(IMAGES).map(
    (power, index) => `
  <line x1="${x(power)}" y1="${PLOT.top}" x2="${x(power)}" y2="${PLOT.bottom}" stroke="#ddd"/>
  <text x="${x(power)}" y="${PLOT.bottom + 18}" text-anchor="middle">${NAMES[index] ?? ''}</text>`,
  );
  const lines = range(SHARES).map(
    (power) => `
  <line x1="${PLOT.left}" y1="${y(power)}" x2="${PLOT.right}" y2="${y(power)}" stroke="${power === 0 ? '#222' : '#ddd'}"/>
  <text x="${PLOT.left - 8}" y="${y(power) + 4}" text-anchor="end">${Number(`1e${power + 2}`)} %</text>`,
  );
  const curves = LOADS.map(({ part, use }, index) => {
    const colour = COLOURS[index % COLOURS.length];
    const points: string[] = [];
    for (let step = IMAGES.low * 50; step <= IMAGES.high * 50; step += 1) {
      const power = step / 50;
      const share = Math.log10(use(computeNeeds(10 ** power)));
      if (share >= SHARES.low && share <= SHARES.high) points.push(`${round(x(power))},${round(y(share))}`);
    }
    const row = PLOT.top + 10 + index * 24;
    return `
  <polyline points="${points.join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>
  <line x1="${PLOT.right + 24}" y1="${row}" x2="${PLOT.right + 48}" y2="${row}" stroke="${colour}" stroke-width="3"/>
  <text x="${PLOT.right + 56}" y="${row + 4}">${part.replaceAll('`', '')}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#222">
  <title>What three nodes and one PostgreSQL use of their limits</title>
  <rect width="100%" height="100%" fill="#fff"/>
  <text x="16" y="24" font-size="15" font-weight="600">What three nodes and one PostgreSQL use of their limits</text>
  <text x="16" y="42" fill="#666">Computed by npm run scaling. Both scales are logarithmic. 100 % is the limit.</text>${columns.join('')}${lines.join('')}${curves.join('')}
  <text x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 38}" text-anchor="middle">images</text>
</svg>
`;
}

interface Range {
  readonly low: number;
  readonly high: number;
}

function scale(power: number, { low, high }: Range, start: number, end: number): number {
  return round(start + ((power - low) / (high - low)) * (end - start));
}

function range({ low, high }: Range): number[] {
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
