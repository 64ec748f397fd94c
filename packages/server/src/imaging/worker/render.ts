/**
 * Owns the way from a picture file to pixels, and from pixels to a rendition: one list of steps for all of them.
 * Runs in worker processes only. Refuses to know tasks, and trusts no byte of the pictures it reads.
 */
import { open } from 'node:fs/promises';
import sharp, { type OutputInfo, type Sharp, type SharpOptions } from 'sharp';
import { FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';
import { MAX_PIXELS, type PictureFacts, Refusal, type Walked } from '../formats/limits.ts';
import { walkPicture } from '../formats/walk.ts';
import type { Plan } from '../plan.ts';
import type { Rendition } from '../processor.ts';

const WHITE = { r: 255, g: 255, b: 255 };

/** A picture that passed the header walk, and the size of its file in bytes. */
export interface PictureFile {
  readonly picture: Walked;
  readonly size: number;
}

/** Reads and walks a file that may hold anything. Throws a Refusal, or the error of the file system. */
export async function readPicture(path: string): Promise<PictureFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > MAX_ORIGINAL_BYTES)
      throw new Refusal(`it has ${size} bytes: at most ${MAX_ORIGINAL_BYTES} are accepted`);
    return { picture: walkPicture(await handle.readFile()), size };
  } finally {
    await handle.close();
  }
}

export function openPicture(picture: Walked, options: SharpOptions): Sharp {
  return sharp(picture.bytes, { ...options, limitInputPixels: MAX_PIXELS, failOn: 'warning' });
}

/** Makes the rendition that the plan describes from a picture file. */
export async function render(path: string, plan: Plan): Promise<Rendition> {
  const { picture } = await readPicture(path);
  checkRegion(plan, picture.facts);
  let image = openPicture(picture, { animated: plan.animated });
  if (!plan.animated) image = image.autoOrient();
  if (plan.region !== undefined) image = image.extract(plan.region);
  const { data, info } = await run(picture, renditionOf(image, plan));
  return checked(plan, data, info);
}

/** Makes the rendition that the plan describes from pixels: those of the whole picture, upright. */
export async function renderPixels(pixels: Sharp, plan: Plan): Promise<Rendition> {
  const { data, info } = await renditionOf(pixels, plan).toBuffer({ resolveWithObject: true });
  return checked(plan, data, info);
}

/** The steps behind a plan, once its picture is upright and its region taken. */
function renditionOf(image: Sharp, plan: Plan): Sharp {
  let steps = scaleAndCrop(image, plan);
  if (plan.flatten) steps = steps.flatten({ background: WHITE });
  return encode(steps.toColourspace('srgb'), plan);
}

function scaleAndCrop(image: Sharp, { width, height, fit, scaled, position }: Plan): Sharp {
  // The decoders' own scaling may only do a part of it: its last halving costs 5 dB and more on some photographs.
  const fastShrinkOnLoad = false;
  if (scaled === undefined || position !== 'center') {
    return image.resize(width, height, { fit, position, fastShrinkOnLoad });
  }
  return image
    .resize(scaled.width, scaled.height, { fit: 'fill', fastShrinkOnLoad })
    .extract({ left: scaled.left, top: scaled.top, width, height });
}

function checked(plan: Plan, bytes: Buffer, info: OutputInfo): Rendition {
  const height = plan.animated ? (info.pageHeight ?? info.height) : info.height;
  if (info.width !== plan.width || height !== plan.height) {
    throw new Error(`planned ${plan.width} x ${plan.height}, but it became ${info.width} x ${height}`);
  }
  return { bytes, format: plan.format, width: plan.width, height: plan.height };
}

/** A plan of another picture is the server's mistake, not the picture's. */
function checkRegion({ region }: Plan, facts: PictureFacts): void {
  if (region === undefined) return;
  const { width, height } = shownSize(facts);
  if (region.left + region.width > width || region.top + region.height > height) {
    throw new Error(`the plan's region is outside of a picture of ${width} x ${height}`);
  }
}

/** The size after the EXIF orientation is applied. */
export function shownSize({ width, height, orientation }: PictureFacts): { width: number; height: number } {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

function encode(image: Sharp, plan: Plan): Sharp {
  switch (plan.format) {
    case 'webp':
      // Half the time of effort 4 for a twelfth more bytes at equal similarity: docs/adr/0021.
      return image.webp({ quality: plan.quality, effort: 2 });
    case 'jpeg':
      // mozjpeg would save 3 % of the bytes at equal similarity for seven times the time.
      return image.jpeg({ quality: plan.quality });
    case 'png':
      // Filters save a fifth of the bytes of photographs.
      return image.png({ compressionLevel: 6, adaptiveFiltering: true });
    case 'avif':
      // At the default effort a large one takes longer than any client waits.
      return image.avif({ quality: plan.quality, effort: 2 });
  }
}

/** Runs the pipeline. Whatever libvips throws while it works on a walked picture is the picture's fault. */
export async function run(picture: Walked, image: Sharp): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    return await image.toBuffer({ resolveWithObject: true });
  } catch (error) {
    throw new Refusal(`the ${FORMATS[picture.format].name} data is damaged: it does not decode completely`, {
      cause: error,
    });
  }
}
