/**
 * Looks at the pixels of an upload once: the kind of the picture, a blurred preview and the average colour.
 */
import type { Sharp } from 'sharp';
import { rgbaToThumbHash } from 'thumbhash';
import type { Analysis } from '../../image.ts';
import { decide, measureTexture } from '../content.ts';
import { openPixels, type Pixels, readPixels } from './pixels.ts';

/** The longest side of the pixels that a thumbhash is computed from. The library accepts no longer one. */
const PREVIEW_SIDE = 100;

/**
 * @param pixels of the whole picture, which may be scaled down.
 * @param readUnscaled reads pixels as they are stored. Scaling makes the hard edges of small print soft.
 * Absent or undefined: the scaled pixels decide.
 */
export async function analyse(
  pixels: Pixels,
  readUnscaled?: (flat: number) => Promise<Pixels | undefined>,
): Promise<Analysis> {
  const texture = measureTexture(pixels);
  const unscaled = await readUnscaled?.(texture.flat);
  return {
    ...(await previewOf(openPixels(pixels))),
    content: decide(unscaled ? measureTexture(unscaled) : texture),
  };
}

/** For a picture that costs too much to decode in full size. It counts as a photograph. */
export async function analyseRoughly(image: Sharp): Promise<Analysis> {
  return { ...(await previewOf(image.autoOrient())), content: 'photo' };
}

async function previewOf(image: Sharp): Promise<Omit<Analysis, 'content'>> {
  const { width, height, data } = await readPixels(
    image
      .resize(PREVIEW_SIDE, PREVIEW_SIDE, { fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
      .ensureAlpha(),
  );
  return {
    placeholder: Buffer.from(rgbaToThumbHash(width, height, data)).toString('base64'),
    color: averageColor(data),
  };
}

/** The mean of the sRGB values, weighted by alpha. White if all pixels are transparent. */
function averageColor(rgba: Buffer): string {
  let [red, green, blue, weight] = [0, 0, 0, 0];
  for (let i = 0; i < rgba.length; i += 4) {
    const alpha = rgba[i + 3] ?? 0;
    red += (rgba[i] ?? 0) * alpha;
    green += (rgba[i + 1] ?? 0) * alpha;
    blue += (rgba[i + 2] ?? 0) * alpha;
    weight += alpha;
  }
  if (weight === 0) return '#ffffff';
  const hex = (sum: number) =>
    Math.round(sum / weight)
      .toString(16)
      .padStart(2, '0');
  return `#${hex(red)}${hex(green)}${hex(blue)}`;
}
