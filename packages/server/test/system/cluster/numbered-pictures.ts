/**
 * Pictures that show their own number, as a grid of light and dark squares. So a rendition tells its
 * original, in any size and format.
 */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { pngChunk, pngHeader, pngOf } from '../../support/pictures.ts';
import type { PictureSet, TestPicture } from '../crash/pictures.ts';

/** Squares in a row and in a column. */
const GRID = 5;
const NUMBER_BITS = 20;
const CHECK_BITS = GRID * GRID - NUMBER_BITS;
/** The whole number of pictures. */
export const MAX_NUMBER = 2 ** NUMBER_BITS - 1;

const DARK = [40, 60, 80] as const;
const LIGHT = [220, 210, 190] as const;
/** Grain makes a photograph of it; without grain the server treats it as a graphic. */
const GRAIN = 8;

/** Sides in pixels. The largest has a rung. */
const SHAPES = [
  { side: 160, hasGrain: false },
  { side: 100, hasGrain: true },
  { side: 320, hasGrain: false },
  { side: 1_400, hasGrain: false },
] as const;

export function createNumberedPictures(): PictureSet {
  return { get: createPicture };
}

function createPicture(number: number): TestPicture {
  const shape = SHAPES[number % SHAPES.length];
  if (shape === undefined || number > MAX_NUMBER) throw new RangeError(`no picture ${number}`);
  const { side, hasGrain } = shape;
  const bits = encode(number);
  const rows = Array.from({ length: GRID }, (_, row) => createRow(bits.slice(row * GRID), side));
  const stride = side * 3 + 1;
  const pixels = Buffer.alloc(stride * side);
  for (let y = 0; y < side; y += 1) {
    const row = rows[Math.floor((y * GRID) / side)];
    row?.copy(pixels, y * stride + 1);
  }
  if (hasGrain) {
    for (let at = 0; at < pixels.length; at += 1) {
      if (at % stride === 0) continue;
      const grain = ((Math.imul(at + 1, 2_654_435_761) >>> 16) % (2 * GRAIN + 1)) - GRAIN;
      pixels[at] = (pixels[at] ?? 0) + grain;
    }
  }
  const bytes = pngOf(
    pngHeader(side, side),
    // Reports read it without decoding.
    pngChunk('tEXt', Buffer.from(`n\0number ${number};`)),
    pngChunk('IDAT', deflateSync(pixels, { level: 1 })),
  );
  const light = bits.filter(Boolean).length / bits.length;
  const mean = (channel: 0 | 1 | 2) => DARK[channel] + (LIGHT[channel] - DARK[channel]) * light;
  const digest = createHash('sha256').update(bytes).digest('hex');
  return { number, bytes, digest, colour: [mean(0), mean(1), mean(2)] };
}

function createRow(bits: readonly boolean[], side: number): Buffer {
  const row = Buffer.alloc(side * 3);
  for (let x = 0; x < side; x += 1) {
    row.set(bits[Math.floor((x * GRID) / side)] ? LIGHT : DARK, x * 3);
  }
  return row;
}

/**
 * Decodes every pixel of a square rendition.
 * @returns the number of its picture, or undefined if it shows no such picture
 * @throws Error if it is truncated or damaged
 */
export async function readNumber(rendition: Buffer): Promise<number | undefined> {
  const { data, info } = await sharp(rendition, { failOn: 'warning' })
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const middle = (DARK[1] + LIGHT[1]) / 2;
  const bits = Array.from({ length: GRID * GRID }, (_, index) => {
    const x = Math.floor((((index % GRID) + 0.5) * width) / GRID);
    const y = Math.floor(((Math.floor(index / GRID) + 0.5) * height) / GRID);
    return (data[(y * width + x) * channels] ?? 0) > middle;
  });
  return decode(bits);
}

function encode(number: number): boolean[] {
  const value = number * 2 ** CHECK_BITS + checkOf(number);
  return Array.from({ length: GRID * GRID }, (_, bit) => Math.floor(value / 2 ** bit) % 2 === 1);
}

function decode(bits: readonly boolean[]): number | undefined {
  const value = bits.reduce((sum, bit, index) => sum + (bit ? 2 ** index : 0), 0);
  const number = Math.floor(value / 2 ** CHECK_BITS);
  return checkOf(number) === value % 2 ** CHECK_BITS ? number : undefined;
}

/** Differs for numbers that differ in few bits. */
function checkOf(number: number): number {
  return Math.imul(number + 1, 2_654_435_761) >>> (32 - CHECK_BITS);
}
