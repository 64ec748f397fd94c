/**
 * Compares the encoder settings of the first release with those of this server, on the corpus.
 *
 * It prints bytes, CPU time and SSIMULACRA2 for each picture and size, and whether flat colours changed. It
 * also prints the bytes of a WebP by imgproxy's settings that has the same score.
 *
 * `npm run quality -- --sizes own,400 --photos FOLDER`
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp, { type Sharp } from 'sharp';
import { decide, measureTexture } from '../../packages/server/src/imaging/content.ts';
import { isLosslessWebp } from '../../packages/server/src/imaging/formats/webp.ts';
import { rungsOf } from '../../packages/server/src/imaging/ladder.ts';
import { MAX_SIDE } from '../../packages/server/src/imaging/size.ts';
import type { UnscaledOriginal } from '../../packages/server/src/imaging/worker/encode.ts';
import { openPixels, type Pixels, readPixels } from '../../packages/server/src/imaging/worker/pixels.ts';
import { makeCorpus, type Picture } from './corpus.ts';
import { unpackPackages } from './packages.ts';
import { startScorer } from './score.ts';
import { asFirstRelease, asServer, type Content, type Format, imgproxyWebp, type Job } from './settings.ts';

const HERE = import.meta.dirname;
/** Larger renditions are not scored: it takes too long. */
const MAX_SCORED_PIXELS = 400_000;
const IMGPROXY_QUALITY = 79;
const IMGPROXY_QUALITIES = [40, 60, 79, 90, 96, 100];

interface Outcome {
  readonly bytes: number;
  readonly milliseconds: number;
  readonly score?: number;
  /** Share of the flat pixels that are off by more than one level. */
  readonly flatOff: number;
}

interface Row {
  readonly picture: Picture;
  readonly size: string;
  readonly content: Content;
  readonly before: Outcome;
  readonly after: Outcome;
  /** Bytes of imgproxy's settings at its default, and at the score of each side. */
  readonly imgproxy?: {
    readonly bytes: number;
    readonly score: number;
    readonly before: number;
    readonly after: number;
  };
}

/** The picture with its long edge scaled down to `side`, or as it is if that is no longer. */
async function pixelsAt({ bytes }: Picture, side: number): Promise<{ pixels: Pixels; scaled: boolean }> {
  const image = sharp(bytes).autoOrient();
  const { autoOrient } = await image.metadata();
  const scaled = Math.max(autoOrient.width, autoOrient.height) > side;
  if (scaled) image.resize(side, side, { fit: 'inside', fastShrinkOnLoad: false });
  return { pixels: await readPixels(image.toColourspace('srgb')), scaled };
}

/** The pixels that ingest has: those of the largest rung, or of an original without rungs. */
async function ingestPixels(picture: Picture): Promise<Pixels> {
  const { autoOrient } = await sharp(picture.bytes).metadata();
  const source = { ...autoOrient, format: picture.format, frames: 1, transparent: false };
  const [rung] = rungsOf(source);
  return (await pixelsAt(picture, rung === undefined ? MAX_SIDE : Math.max(rung.width, rung.height))).pixels;
}

/** The original, for a rendition that is not scaled. */
function unscaled({ bytes, format }: Picture): UnscaledOriginal {
  return {
    bytes: bytes.length,
    lossless: format === 'png' || (format === 'webp' && isLosslessWebp(bytes)),
  };
}

/** The share of the pixels inside exactly flat 8 x 8 blocks that are off by more than one level. */
async function flatColoursOff(pixels: Pixels, encoded: Buffer): Promise<number> {
  const onWhite = (image: Sharp) =>
    image.flatten({ background: '#fff' }).toColourspace('srgb').removeAlpha().raw().toBuffer();
  const { width, height } = pixels;
  const want = await onWhite(openPixels(pixels));
  const got = await onWhite(sharp(encoded));
  const planes = want.length / (width * height);
  const planesGot = got.length / (width * height);
  let [flat, off] = [0, 0];
  for (let top = 0; top + 8 <= height; top += 8)
    for (let left = 0; left + 8 <= width; left += 8) {
      const first = (top * width + left) * planes;
      const inBlock = (y: number, x: number) => ((top + y) * width + left + x) * planes;
      let equal = true;
      for (let y = 0; y < 8 && equal; y += 1)
        for (let at = inBlock(y, 0), x = 0; x < 8 * planes; x += 1)
          if (want[at + x] !== want[first + (x % planes)]) equal = false;
      if (!equal) continue;
      for (let y = 2; y < 6; y += 1)
        for (let x = 2; x < 6; x += 1) {
          flat += 1;
          const at = (top + y) * width + left + x;
          for (let plane = 0; plane < planesGot; plane += 1) {
            const difference =
              (got[at * planesGot + plane] ?? 0) - (want[at * planes + (plane % planes)] ?? 0);
            if (Math.abs(difference) <= 1) continue;
            off += 1;
            break;
          }
        }
    }
  return flat === 0 ? 0 : off / flat;
}

/** Bytes at the score, between the two nearest qualities. The best quality if none reaches the score. */
function bytesAt(curve: readonly { bytes: number; score: number }[], score: number): number {
  const sorted = curve.toSorted((a, b) => a.score - b.score);
  const above = sorted.findIndex((point) => point.score >= score);
  const [low, high] = [sorted[above - 1], sorted[above]];
  if (high === undefined) return sorted.at(-1)?.bytes ?? Number.NaN;
  if (low === undefined) return high.bytes;
  return low.bytes + ((high.bytes - low.bytes) * (score - low.score)) / (high.score - low.score);
}

async function compareAll(
  corpus: readonly Picture[],
  sizes: readonly string[],
  format: Format,
): Promise<Row[]> {
  const scorer = await startScorer();
  const rows: Row[] = [];
  try {
    for (const picture of corpus) {
      const content = decide(measureTexture(await ingestPixels(picture)));
      for (const size of sizes) {
        const { pixels, scaled } = await pixelsAt(picture, size === 'own' ? MAX_SIDE : Number(size));
        if (size !== 'own' && !scaled) continue;
        const job: Job = {
          pixels,
          content,
          format,
          ...(!scaled && { original: unscaled(picture) }),
        };
        const isScored = pixels.width * pixels.height <= MAX_SCORED_PIXELS;
        const reference = await openPixels(pixels).png({ compressionLevel: 1 }).toBuffer();
        const measure = async (settings: (job: Job) => Promise<Buffer>): Promise<Outcome> => {
          const start = process.cpuUsage();
          const encoded = await settings(job);
          const { user, system } = process.cpuUsage(start);
          return {
            bytes: encoded.length,
            milliseconds: (user + system) / 1_000,
            flatOff: await flatColoursOff(pixels, encoded),
            ...(isScored && { score: await scorer.score(reference, encoded) }),
          };
        };
        const before = await measure(asFirstRelease);
        const after = content === 'photo' ? before : await measure(asServer);
        let imgproxy: Row['imgproxy'];
        if (format === 'webp' && before.score !== undefined && after.score !== undefined) {
          const curve: { quality: number; bytes: number; score: number }[] = [];
          for (const quality of IMGPROXY_QUALITIES) {
            const encoded = await imgproxyWebp(pixels, quality);
            curve.push({ quality, bytes: encoded.length, score: await scorer.score(reference, encoded) });
          }
          const plain = curve.find(({ quality }) => quality === IMGPROXY_QUALITY);
          if (plain !== undefined)
            imgproxy = {
              bytes: plain.bytes,
              score: plain.score,
              before: bytesAt(curve, before.score),
              after: bytesAt(curve, after.score),
            };
        }
        rows.push({ picture, size, content, before, after, ...(imgproxy && { imgproxy }) });
        process.stderr.write(`${picture.name} ${size}\n`);
      }
    }
  } finally {
    await scorer.stop();
  }
  process.stderr.write(`SSIMULACRA2 took ${scorer.seconds().toFixed(0)} s\n`);
  return rows;
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function medianScore(scores: readonly (number | undefined)[]): string {
  return median(scores.filter((score) => score !== undefined)).toFixed(0);
}

const COLUMNS = [
  'label',
  'size',
  'pictures',
  'bytes against the first release',
  'first release against imgproxy, equal score',
  'now against imgproxy, equal score',
  'first score',
  'score now',
  'flat colours off, first',
  'flat colours off, now',
  'CPU ms, first',
  'CPU ms, now',
];

/** One line for each label and size, and one for each picture. */
function writeTables(rows: readonly Row[]): string {
  const lines = [
    `| ${COLUMNS.join(' | ')} |`,
    `|${COLUMNS.map((_, index) => (index < 2 ? '---' : '---:')).join('|')}|`,
  ];
  for (const label of ['graphic', 'photo'] as const)
    for (const size of new Set(rows.map((row) => row.size))) {
      const group = rows.filter((row) => row.picture.label === label && row.size === size);
      if (group.length === 0) continue;
      const scored = group.flatMap(({ before, after, imgproxy }) =>
        imgproxy ? [{ before, after, imgproxy }] : [],
      );
      const share = (pick: (row: Row) => Outcome) => group.filter((row) => pick(row).flatOff > 0.001).length;
      lines.push(
        `| ${[
          label,
          size,
          group.length,
          geometricMean(group.map(({ before, after }) => after.bytes / before.bytes)).toFixed(2),
          geometricMean(scored.map(({ before, imgproxy }) => before.bytes / imgproxy.before)).toFixed(2),
          geometricMean(scored.map(({ after, imgproxy }) => after.bytes / imgproxy.after)).toFixed(2),
          medianScore(group.map(({ before }) => before.score)),
          medianScore(group.map(({ after }) => after.score)),
          share((row) => row.before),
          share((row) => row.after),
          median(group.map(({ before }) => before.milliseconds)).toFixed(0),
          median(group.map(({ after }) => after.milliseconds)).toFixed(0),
        ].join(' | ')} |`,
      );
    }
  lines.push(
    '',
    '| picture | kind | label | class | size | original | before | score | after | score | imgproxy | score |',
    '|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|',
  );
  const score = (value: number | undefined) => (value === undefined ? '' : value.toFixed(0));
  for (const { picture, content, size, before, after, imgproxy } of rows)
    lines.push(
      `| ${[
        picture.name,
        picture.kind,
        picture.label,
        content,
        size,
        picture.bytes.length,
        before.bytes,
        score(before.score),
        after.bytes,
        score(after.score),
        imgproxy?.bytes ?? '',
        score(imgproxy?.score),
      ].join(' | ')} |`,
    );
  return lines.join('\n');
}

/** One line for each picture: what the classification measured. */
async function writeClasses(corpus: readonly Picture[]): Promise<string> {
  const lines = [
    '| picture | kind | label | class | flat | rough | hard | soft |',
    '|---|---|---|---|---:|---:|---:|---:|',
  ];
  for (const picture of corpus) {
    const pixels = await ingestPixels(picture);
    const texture = measureTexture(pixels);
    const { flat, rough, hard, soft } = texture;
    const values = [flat, rough, hard, soft].map((value) => value.toFixed(3));
    lines.push(`| ${[picture.name, picture.kind, picture.label, decide(texture), ...values].join(' | ')} |`);
  }
  return lines.join('\n');
}

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: 'own,400' },
    format: { type: 'string', default: 'webp' },
    only: { type: 'string' },
    photos: { type: 'string' },
    save: { type: 'string' },
    classes: { type: 'boolean', default: false },
  },
});
sharp.concurrency(1);
const packages = await unpackPackages(join(HERE, 'pictures.txt'));
const all = await makeCorpus(packages, values.photos);
if (values.save !== undefined) {
  await mkdir(values.save, { recursive: true });
  for (const { name, format, bytes } of all) await writeFile(join(values.save, `${name}.${format}`), bytes);
}
const format = (['webp', 'png', 'jpeg'] as const).find((name) => name === values.format);
if (format === undefined) throw new Error('--format must be webp, png or jpeg');
const names = values.only?.split(',');
const corpus = names === undefined ? all : all.filter(({ name }) => names.includes(name));
const text = values.classes
  ? await writeClasses(corpus)
  : writeTables(await compareAll(corpus, values.sizes.split(','), format));
process.stdout.write(`${text}\n`);
