/**
 * From a picture file to pixels, and from pixels to a rendition: the steps that all renditions share. Runs in
 * worker processes only, because the bytes of pictures are not trusted.
 */
import { open } from 'node:fs/promises';
import sharp, { type OutputInfo, type Sharp, type SharpOptions } from 'sharp';
import { FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';
import { type CheckedPicture, MAX_PIXELS, type PictureFacts, Refusal } from '../formats/limits.ts';
import { withoutDensity } from '../formats/png-chunk.ts';
import { walkPicture } from '../formats/walk.ts';
import type { Plan } from '../plan.ts';
import type { Rendition } from '../processor.ts';
import type { Size } from '../size.ts';

const WHITE = { r: 255, g: 255, b: 255 };

export interface PictureFile {
  readonly picture: CheckedPicture;
  /** Bytes of the file before the header walk. */
  readonly size: number;
}

/**
 * Reads an untrusted file and runs the header walk.
 * @throws Refusal; the error of the file system.
 */
export async function readPicture(path: string): Promise<PictureFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > MAX_ORIGINAL_BYTES)
      throw new Refusal(`the file has ${size} bytes: the limit is ${MAX_ORIGINAL_BYTES} bytes`);
    return { picture: walkPicture(await handle.readFile()), size };
  } finally {
    await handle.close();
  }
}

export function openPicture(picture: CheckedPicture, options: SharpOptions): Sharp {
  return sharp(picture.bytes, { ...options, limitInputPixels: MAX_PIXELS, failOn: 'warning' });
}

/** Makes the rendition of the plan from a picture file. */
export async function render(path: string, plan: Plan): Promise<Rendition> {
  const { picture } = await readPicture(path);
  checkRegion(plan, picture.facts);
  let image = openPicture(picture, { animated: plan.animated });
  if (!plan.animated) image = image.autoOrient();
  if (plan.region !== undefined) image = image.extract(plan.region);
  const { data, info } = await runPipeline(picture, applyPlan(image, plan));
  return checkOutput(plan, data, info);
}

/** Makes the rendition of the plan from the upright pixels of the whole picture. */
export async function renderPixels(pixels: Sharp, plan: Plan): Promise<Rendition> {
  const { data, info } = await applyPlan(pixels, plan).toBuffer({ resolveWithObject: true });
  return checkOutput(plan, data, info);
}

/** @param image that is upright and cropped to the region of the plan. */
function applyPlan(image: Sharp, plan: Plan): Sharp {
  let steps = scaleAndCrop(image, plan);
  if (plan.flatten) steps = steps.flatten({ background: WHITE });
  return encode(steps.toColourspace('srgb'), plan);
}

function scaleAndCrop(image: Sharp, { width, height, fit, scaled, position }: Plan): Sharp {
  // The decoder may do only a part of the scaling: its last halving costs 5 dB and more on some photographs.
  const fastShrinkOnLoad = false;
  if (scaled === undefined || position !== 'center') {
    return image.resize(width, height, { fit, position, fastShrinkOnLoad });
  }
  return image
    .resize(scaled.width, scaled.height, { fit: 'fill', fastShrinkOnLoad })
    .extract({ left: scaled.left, top: scaled.top, width, height });
}

function checkOutput(plan: Plan, output: Buffer, info: OutputInfo): Rendition {
  const height = plan.animated ? (info.pageHeight ?? info.height) : info.height;
  if (info.width !== plan.width || height !== plan.height) {
    throw new Error(
      `the rendition is ${info.width} x ${height} pixels, but the plan is ${plan.width} x ${plan.height}`,
    );
  }
  const bytes = plan.format === 'png' ? withoutDensity(output) : output;
  return { bytes, format: plan.format, width: plan.width, height: plan.height };
}

/** Throws a plain Error and no Refusal: a plan of another picture is a defect of the server. */
function checkRegion({ region }: Plan, facts: PictureFacts): void {
  if (region === undefined) return;
  const { width, height } = shownSize(facts);
  if (region.left + region.width > width || region.top + region.height > height) {
    throw new Error(`the region of the plan is outside of the picture of ${width} x ${height} pixels`);
  }
}

/** The size after the EXIF orientation is applied. */
export function shownSize({ width, height, orientation }: PictureFacts): Size {
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
      // At the default effort a large rendition takes longer than the timeout of any client.
      return image.avif({ quality: plan.quality, effort: 2 });
  }
}

/**
 * Runs the pipeline on a picture that passed the header walk.
 * @throws Refusal for every error of libvips: the picture is then the cause.
 */
export async function runPipeline(
  picture: CheckedPicture,
  image: Sharp,
): Promise<{ data: Buffer; info: OutputInfo }> {
  try {
    return await image.toBuffer({ resolveWithObject: true });
  } catch (error) {
    throw new Refusal(
      `the ${FORMATS[picture.format].name} data is damaged: it cannot be decoded completely`,
      { cause: error },
    );
  }
}
