/**
 * Tells graphics from photographs by their pixels. Figures: docs/adr/0054.
 *
 * The picture is looked at in blocks of 8 x 8 pixels. In a graphic, many blocks are exactly flat, and the
 * others have hard edges. In a photograph, almost every neighbour differs a little.
 */
import type { Analysis } from '../image.ts';
import type { Size } from './size.ts';

/** 8-bit pixels, row by row, without padding. */
export interface PixelBlock extends Size {
  readonly data: Uint8Array;
  readonly channels: 1 | 2 | 3 | 4;
}

/** What the blocks of a picture look like. All values are shares from 0 to 1. */
export interface Texture {
  /** Blocks in which all neighbours are equal. */
  readonly flat: number;
  /** Among the blocks that are not flat: those in which two thirds of the neighbours differ. */
  readonly rough: number;
  /** Among the neighbours that differ: those that differ by more than `HARD` levels. */
  readonly hard: number;
  /** Among the neighbours that differ: those that differ by at most `SOFT` levels. */
  readonly soft: number;
}

const BLOCK = 8;
/** Pairs of neighbours in a block: to the right and below. */
const PAIRS = 2 * BLOCK * BLOCK;
/** Blocks that are looked at, spread evenly. More would change no decision on the corpus. */
const MAX_BLOCKS = 4_096;
const SOFT = 8;
const HARD = 40;
/** A block is rough if fewer of its pairs are equal. */
const ROUGH_EQUAL_PAIRS = 45;
/** The smallest share of flat blocks in a graphic that has soft differences. */
export const MIN_FLAT = 0.03;

/**
 * `graphic`: a drawing, a logo, a screenshot, text, a chart, one-bit art. `photo`: everything else, also
 * gradients and noisy scans, for which lossy formats are right.
 */
export function decide({ flat, rough, hard, soft }: Texture): Analysis['content'] {
  // Pixel art and small palettes: nothing is smooth, so nothing was photographed.
  if (soft < 0.04 && rough < 0.2) return 'graphic';
  // The rougher the busy blocks are, the more hard edges are demanded: a product on white has few.
  return flat >= MIN_FLAT && rough < 0.55 && hard >= 0.06 + 0.3 * Math.max(0, rough - 0.3)
    ? 'graphic'
    : 'photo';
}

/**
 * Measures at most `MAX_BLOCKS` blocks, in 2 to 4 ms for any size. A picture smaller than a block counts as
 * one flat block. Scaling makes hard edges soft, so scale the pixels as little as possible.
 */
export function measureTexture({ data, width, height, channels }: PixelBlock): Texture {
  // The last column and row are the neighbours of the blocks before them.
  const columns = Math.floor((width - 1) / BLOCK);
  const blocks = columns * Math.floor((height - 1) / BLOCK);
  if (blocks <= 0) return { flat: 1, rough: 0, hard: 0, soft: 0 };
  const step = Math.max(1, blocks / MAX_BLOCKS);
  const row = width * channels;
  let [looked, flat, rough, softPairs, hardPairs, differing] = [0, 0, 0, 0, 0, 0];
  for (let next = 0; next < blocks; next += step) {
    const block = Math.floor(next);
    const left = (block % columns) * BLOCK;
    const top = Math.floor(block / columns) * BLOCK;
    let equal = 0;
    for (let y = top; y < top + BLOCK; y += 1) {
      let at = (y * width + left) * channels;
      for (let x = 0; x < BLOCK; x += 1, at += channels) {
        const right = distance(data, at, at + channels, channels);
        const below = distance(data, at, at + row, channels);
        if (right === 0) equal += 1;
        else if (right <= SOFT) softPairs += 1;
        else if (right > HARD) hardPairs += 1;
        if (below === 0) equal += 1;
        else if (below <= SOFT) softPairs += 1;
        else if (below > HARD) hardPairs += 1;
      }
    }
    looked += 1;
    differing += PAIRS - equal;
    if (equal === PAIRS) flat += 1;
    else if (equal < ROUGH_EQUAL_PAIRS) rough += 1;
  }
  return {
    flat: flat / looked,
    rough: rough / Math.max(1, looked - flat),
    hard: hardPairs / Math.max(1, differing),
    soft: softPairs / Math.max(1, differing),
  };
}

/** The largest difference of a channel. Two pixels that are fully transparent are equal. */
function distance(data: Uint8Array, a: number, b: number, channels: number): number {
  if (channels % 2 === 0 && data[a + channels - 1] === 0 && data[b + channels - 1] === 0) return 0;
  let most = 0;
  for (let channel = 0; channel < channels; channel += 1) {
    const difference = Math.abs((data[a + channel] as number) - (data[b + channel] as number));
    if (difference > most) most = difference;
  }
  return most;
}
