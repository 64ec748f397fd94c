/**
 * Bytes at equal quality: what imgproxy gives for its defaults, and what the server needs to come as near to an exact
 * rendition of the same original. Both are compared with the same exact one.
 */
import sharp from 'sharp';
import { check, type Measure } from '../bench.ts';
import { brief, median, type Row, type Skipped } from '../numbers.ts';
import type { OriginalFile } from '../originals.ts';
import { startImgproxy } from '../peers/imgproxy.ts';
import { startLibvips } from '../peers/libvips.ts';
import { fullName, type Resizer } from '../peers/resizer.ts';
import { startVitrineResizer } from '../peers/vitrine.ts';
import { luma, ssim } from '../ssim.ts';

const SIDES = [400, 800];
/** The same format on both sides; and what a browser is given by each, at its defaults. */
const OUTPUTS = ['jpeg', 'webp', 'browser'] as const;
type Output = (typeof OUTPUTS)[number];

interface Point {
  readonly bytes: number;
  readonly similarity: number;
}

/** One original at one size, and what it should look like. */
interface Subject {
  readonly original: OriginalFile;
  readonly side: number;
  readonly exact: Float64Array;
}

export const measureBytes: Measure = async (bench) => {
  const rows: (Row | Skipped)[] = [];
  let standsIn = false;
  const originals = bench.originals.filter(({ format }) => format === 'jpeg');
  const subjects: Subject[] = [];
  for (const original of originals)
    for (const side of SIDES) subjects.push({ original, side, exact: await exactLuma(original, side) });
  const vitrine = await startVitrineResizer(bench.originalsFolder, originals);
  check(typeof vitrine !== 'string', 'no server');
  try {
    for (const [name, start] of [
      ['imgproxy', startImgproxy],
      ['Go + libvips', startLibvips],
    ] as const) {
      const peer = await start(bench.originalsFolder, originals);
      if (typeof peer === 'string') {
        rows.push({ work: `bytes at equal SSIM, against ${name}`, why: peer });
        standsIn = name === 'imgproxy';
        continue;
      }
      try {
        for (const output of OUTPUTS) {
          if (output === 'browser' && peer.renderForBrowser === undefined) continue;
          bench.say(`bytes: ${output} against ${name}`);
          rows.push(await compare(vitrine, peer, subjects, output, standsIn));
        }
      } finally {
        await peer.stop();
      }
    }
  } finally {
    await vitrine.stop();
  }
  return rows;
};

async function compare(
  vitrine: Resizer,
  peer: Resizer,
  subjects: readonly Subject[],
  output: Output,
  standsIn: boolean,
): Promise<Row | Skipped> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const similarities: number[] = [];
  // Without a figure there is no ratio; left out of the median, and said.
  let unreached = 0;
  for (const subject of subjects) {
    const reference = await pointOf(peer, subject, output, undefined);
    const bytes = await bytesFor(reference.similarity, (quality) =>
      pointOf(vitrine, subject, output, quality),
    );
    if (bytes === undefined) {
      unreached += 1;
      continue;
    }
    similarities.push(reference.similarity);
    theirs.push(reference.bytes);
    ours.push(bytes);
  }
  const given = output === 'browser' ? 'what a browser is given' : output.toUpperCase();
  const work = `bytes at equal SSIM, ${given} (${SIDES.join(' and ')} pixels)`;
  if (ours.length === 0) return { work, why: 'no quality of ours reaches the similarity' };
  return {
    work,
    reference: peer.name === 'imgproxy' ? fullName(peer) : `${peer.name} at imgproxy's defaults`,
    unit: 'B',
    compare: 'ratio',
    ours,
    theirs,
    ...((peer.name === 'imgproxy' || standsIn) && unreached === 0 && { target: { atMost: 0.9 } }),
    note: `one round for each original and size; median SSIM ${brief(median(similarities))} against an exact rendition${unreached === 0 ? '' : `; ${unreached} of ${subjects.length} not reached at any quality, so no verdict`}`,
  };
}

/** The bytes that reach the similarity, undefined if no quality does: between the last quality below it and the first above, in proportion. */
async function bytesFor(
  similarity: number,
  at: (quality: number) => Promise<Point>,
): Promise<number | undefined> {
  let low = 1;
  let high = 100;
  let below = await at(low);
  let above = await at(high);
  if (above.similarity < similarity) return undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const point = await at(middle);
    if (point.similarity < similarity) {
      low = middle;
      below = point;
    } else {
      high = middle;
      above = point;
    }
  }
  const share = (similarity - below.similarity) / (above.similarity - below.similarity);
  return below.bytes + (above.bytes - below.bytes) * Math.min(1, Math.max(0, share));
}

async function pointOf(
  resizer: Resizer,
  { original, side, exact }: Subject,
  output: Output,
  quality: number | undefined,
): Promise<Point> {
  const job = { original, width: side, height: side, quality };
  const bytes = await (output === 'browser'
    ? resizer.renderForBrowser?.(job)
    : resizer.render({ ...job, format: output }));
  check(bytes !== undefined, `${resizer.name} knows no browsers`);
  const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  check(
    info.width === side && info.height === side && info.channels === 3,
    `${resizer.name}: ${info.width}x${info.height}`,
  );
  return { bytes: bytes.length, similarity: ssim(luma(data), exact, side) };
}

/** Decoded at full size, and only then scaled: no shortcut of the JPEG decoder. */
async function exactLuma({ bytes }: OriginalFile, side: number): Promise<Float64Array> {
  const whole = await sharp(bytes).autoOrient().raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = whole.info;
  const data = await sharp(whole.data, { raw: { width, height, channels } })
    .resize(side, side, { fit: 'cover', kernel: 'lanczos3' })
    .removeAlpha()
    .raw()
    .toBuffer();
  return luma(data);
}
