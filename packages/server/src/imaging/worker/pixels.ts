/** Decoded pixels in memory, and their way into and out of sharp. */
import sharp, { type Sharp } from 'sharp';
import { MAX_PIXELS } from '../formats/limits.ts';
import type { Size } from '../size.ts';

/** 8-bit sRGB pixels, upright, row by row. */
export interface Pixels extends Size {
  readonly data: Buffer;
  readonly channels: 1 | 2 | 3 | 4;
}

export function openPixels({ data, width, height, channels }: Pixels): Sharp {
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS });
}

export async function readPixels(image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

/** Scales to exactly this size. */
export function scale(pixels: Pixels, { width, height }: Size): Pixels | Promise<Pixels> {
  if (pixels.width === width && pixels.height === height) return pixels;
  return readPixels(openPixels(pixels).resize(width, height, { fit: 'fill' }));
}
