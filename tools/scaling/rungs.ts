/**
 * Measures rungs: their bytes, the time of a rendition from them, and how close it is to a rendition of the
 * original. The figures decide the format of rungs: docs/adr/0066.
 *
 * Usage: npm run rungs -- PHOTO...
 */
import { readFile } from 'node:fs/promises';
import sharp, { type Sharp } from 'sharp';
import { startScorer } from '../quality/score.ts';

const EDGES = [2_048, 1_024];
/** The renditions of each rung: long edges that it suffices for. */
const RENDITIONS: Readonly<Record<number, readonly number[]>> = { 2048: [800, 1_200], 1024: [400] };
const RUNS = 5;

/** The kinds of rungs. The first is the one that the server makes. */
const KINDS: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  'JPEG 95, 4:4:4': (image) => image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }),
  'JPEG 92, 4:4:4': (image) => image.jpeg({ quality: 92, chromaSubsampling: '4:4:4' }),
  'JPEG 90, 4:4:4': (image) => image.jpeg({ quality: 90, chromaSubsampling: '4:4:4' }),
  'JPEG 90, 4:2:0': (image) => image.jpeg({ quality: 90, chromaSubsampling: '4:2:0' }),
  'JPEG 85, 4:2:0': (image) => image.jpeg({ quality: 85, chromaSubsampling: '4:2:0' }),
  'WebP 90': (image) => image.webp({ quality: 90, effort: 2 }),
  'WebP 95': (image) => image.webp({ quality: 95, effort: 2 }),
};

interface Row {
  bytes: number;
  times: number[];
  losses: number[];
  encode: number;
}

async function main(paths: readonly string[]): Promise<void> {
  sharp.concurrency(1);
  sharp.cache(false);
  const scorer = await startScorer();
  const rows = new Map<string, Row>();
  let originals = 0;
  for (const path of paths) {
    const original = await readFile(path);
    originals += original.length;
    await measure(original, rows, scorer.score);
  }
  scorer.stop();
  const [first] = rows.values();
  if (first === undefined) throw new Error('name at least one photograph');
  process.stdout.write('| rung | bytes of originals | encode | rendition | worst loss | mean loss |\n');
  process.stdout.write('|---|---:|---:|---:|---:|---:|\n');
  for (const [kind, { bytes, times, losses, encode }] of rows) {
    const ratio = mean(times.map((time, index) => time / (first.times[index] ?? time)));
    const cells = [
      `${Math.round((100 * bytes) / originals)} %`,
      (encode / first.encode).toFixed(2),
      ratio.toFixed(2),
      Math.max(...losses).toFixed(2),
      mean(losses).toFixed(2),
    ];
    process.stdout.write(`| ${kind} | ${cells.join(' | ')} |\n`);
  }
}

async function measure(
  original: Buffer,
  rows: Map<string, Row>,
  score: (reference: Buffer, distorted: Buffer) => Promise<number>,
): Promise<void> {
  const upright = await sharp(original)
    .autoOrient()
    .toColourspace('srgb')
    .png({ compressionLevel: 1 })
    .toBuffer();
  const scaled = (source: Buffer, edge: number) =>
    sharp(source).resize(edge, edge, { fit: 'inside', withoutEnlargement: true, fastShrinkOnLoad: false });
  for (const edge of EDGES) {
    const pixels = await scaled(upright, edge).png({ compressionLevel: 1 }).toBuffer();
    for (const size of RENDITIONS[edge] ?? []) {
      const reference = await scaled(upright, size).png({ compressionLevel: 1 }).toBuffer();
      const { width, height } = await sharp(reference).metadata();
      // A rung may be a pixel off in its proportions.
      const exactly = (source: Buffer) =>
        sharp(source).resize(width, height, { fit: 'fill', fastShrinkOnLoad: false });
      // The default of JPEG renditions. The best that any rung can reach.
      const best = await score(reference, await rendition(exactly(upright)));
      for (const [kind, encode] of Object.entries(KINDS)) {
        const row = rows.get(kind) ?? { bytes: 0, times: [], losses: [], encode: 0 };
        rows.set(kind, row);
        const startedAt = performance.now();
        const rung = await encode(sharp(pixels)).toBuffer();
        if (size === RENDITIONS[edge]?.[0]) {
          row.bytes += rung.length;
          row.encode += performance.now() - startedAt;
        }
        row.losses.push(best - (await score(reference, await rendition(exactly(rung)))));
        row.times.push(await fastest(() => rendition(exactly(rung))));
      }
    }
  }
}

function rendition(image: Sharp): Promise<Buffer> {
  return image.jpeg({ quality: 80 }).toBuffer();
}

/** Milliseconds of the fastest of several runs: other work on the machine only adds to a time. */
async function fastest(work: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run += 1) {
    const startedAt = performance.now();
    await work();
    least = Math.min(least, performance.now() - startedAt);
  }
  return least;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

await main(process.argv.slice(2));
