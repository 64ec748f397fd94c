/**
 * Measures bytes at equal quality, which is the SSIM to an exact rendition of the same original.
 *
 * The peer renders with its defaults. The server's quality is chosen so that its rendition has the same SSIM.
 */
import sharp from 'sharp';
import { check, type Measure } from '../bench.ts';
import { formatNumber, median, type Row, type Skipped } from '../numbers.ts';
import type { OriginalFile } from '../originals.ts';
import { startImgproxy } from '../peers/imgproxy.ts';
import { startLibvips } from '../peers/libvips.ts';
import { formatName, type Resizer } from '../peers/resizer.ts';
import { startVitrineResizer } from '../peers/vitrine.ts';
import { luma, ssim } from '../ssim.ts';

const SIDES = [400, 800];
/** The same format on both sides, and `browser`: the format that each side chooses for a browser. */
const OUTPUTS = ['jpeg', 'webp', 'browser'] as const;
type Output = (typeof OUTPUTS)[number];

interface Point {
  readonly bytes: number;
  readonly similarity: number;
}

/** One original at one size, with the luma of the exact rendition. */
interface Subject {
  readonly original: OriginalFile;
  readonly side: number;
  readonly exact: Float64Array;
}

export const measureBytes: Measure = async (bench) => {
  const rows: (Row | Skipped)[] = [];
  let isSubstitute = false;
  const originals = bench.originals.filter(({ format }) => format === 'jpeg');
  const subjects: Subject[] = [];
  for (const original of originals)
    for (const side of SIDES) subjects.push({ original, side, exact: await renderExactLuma(original, side) });
  const vitrine = await startVitrineResizer(bench.originalsFolder, originals);
  check(typeof vitrine !== 'string', 'the server did not start');
  try {
    for (const [name, start] of [
      ['imgproxy', startImgproxy],
      ['Go + libvips', startLibvips],
    ] as const) {
      const peer = await start(bench.originalsFolder, originals);
      if (typeof peer === 'string') {
        rows.push({ work: `bytes at equal SSIM, against ${name}`, reason: peer });
        isSubstitute = name === 'imgproxy';
        continue;
      }
      try {
        for (const output of OUTPUTS) {
          if (output === 'browser' && peer.renderForBrowser === undefined) continue;
          bench.log(`bytes: ${output} against ${name}`);
          rows.push(await compare(vitrine, peer, subjects, output, isSubstitute));
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
  isSubstitute: boolean,
): Promise<Row | Skipped> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const similarities: number[] = [];
  // Subjects whose similarity the server cannot reach have no ratio. The note of the row shows their number.
  let unreached = 0;
  for (const subject of subjects) {
    const reference = await measurePoint(peer, subject, output, undefined);
    const bytes = await findBytes(reference.similarity, (quality) =>
      measurePoint(vitrine, subject, output, quality),
    );
    if (bytes === undefined) {
      unreached += 1;
      continue;
    }
    similarities.push(reference.similarity);
    theirs.push(reference.bytes);
    ours.push(bytes);
  }
  const format = output === 'browser' ? 'what a browser is given' : output.toUpperCase();
  const work = `bytes at equal SSIM, ${format} (${SIDES.join(' and ')} pixels)`;
  if (ours.length === 0) return { work, reason: 'no quality of the server reaches the similarity' };
  return {
    work,
    reference: peer.name === 'imgproxy' ? formatName(peer) : `${peer.name} at imgproxy's defaults`,
    unit: 'B',
    compare: 'ratio',
    ours,
    theirs,
    ...((peer.name === 'imgproxy' || isSubstitute) && unreached === 0 && { target: { atMost: 0.9 } }),
    note: `one round for each original and size; median SSIM ${formatNumber(median(similarities))} against an exact rendition${unreached === 0 ? '' : `; ${unreached} of ${subjects.length} not reached at any quality, so the row has no target`}`,
  };
}

/**
 * Finds the bytes of a similarity, interpolated between the two nearest qualities.
 * Returns undefined if no quality reaches the similarity.
 */
async function findBytes(
  similarity: number,
  measure: (quality: number) => Promise<Point>,
): Promise<number | undefined> {
  let low = 1;
  let high = 100;
  let below = await measure(low);
  let above = await measure(high);
  if (above.similarity < similarity) return undefined;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const point = await measure(middle);
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

async function measurePoint(
  resizer: Resizer,
  { original, side, exact }: Subject,
  output: Output,
  quality: number | undefined,
): Promise<Point> {
  const job = { original, width: side, height: side, quality };
  const bytes = await (output === 'browser'
    ? resizer.renderForBrowser?.(job)
    : resizer.render({ ...job, format: output }));
  check(bytes !== undefined, `${resizer.name} does not choose formats for browsers`);
  const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  check(
    info.width === side && info.height === side && info.channels === 3,
    `${resizer.name} made ${info.width}x${info.height} instead of ${side}x${side}`,
  );
  return { bytes: bytes.length, similarity: ssim(luma(data), exact, side) };
}

/** The luma of a rendition that is decoded at full size and then scaled, without shrink-on-load. */
async function renderExactLuma({ bytes }: OriginalFile, side: number): Promise<Float64Array> {
  const whole = await sharp(bytes).autoOrient().raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = whole.info;
  const data = await sharp(whole.data, { raw: { width, height, channels } })
    .resize(side, side, { fit: 'cover', kernel: 'lanczos3' })
    .removeAlpha()
    .raw()
    .toBuffer();
  return luma(data);
}
