/**
 * How a worker opens a picture file. The bytes are not trusted: every file passes the header walk first.
 */
import { open } from 'node:fs/promises';
import sharp, { type OutputInfo, type Sharp, type SharpOptions } from 'sharp';
import { FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';
import { withoutPadding } from '../formats/jpeg.ts';
import { type CheckedPicture, MAX_PIXELS, Refusal } from '../formats/limits.ts';
import { walkPicture } from '../formats/walk.ts';

/** Side in pixels of the thumbnail to which a full decode is scaled when only its errors matter. */
const CHECK_SIDE = 16;

/**
 * Reads an untrusted file and runs the header walk.
 * @throws Refusal; the error of the file system.
 */
export async function readPicture(path: string): Promise<CheckedPicture> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    if (size > MAX_ORIGINAL_BYTES)
      throw new Refusal(`the file has ${size} bytes: the limit is ${MAX_ORIGINAL_BYTES} bytes`);
    return walkPicture(await handle.readFile());
  } finally {
    await handle.close();
  }
}

export function openPicture(picture: CheckedPicture, options: SharpOptions): Sharp {
  return sharp(picture.bytes, { ...options, limitInputPixels: MAX_PIXELS, failOn: 'warning' });
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

/**
 * Does the work with the picture of a file. If the pixels of a JPEG do not decode, it tries again without
 * padding. The decoder itself cannot tell padding from damage: docs/adr/0046.
 * @throws what the work throws.
 */
export async function withoutWarnings<T>(
  picture: CheckedPicture,
  work: (picture: CheckedPicture) => Promise<T>,
): Promise<T> {
  try {
    return await work(picture);
  } catch (error) {
    if (!(error instanceof Refusal) || picture.format !== 'jpeg') throw error;
    for (const bytes of withoutPadding(picture.bytes)) {
      const trimmed = { ...picture, bytes };
      const isWhole = await checkPixels(trimmed).then(
        () => true,
        () => false,
      );
      if (isWhole) return work(trimmed);
    }
    throw error;
  }
}

/**
 * For a decode that looks for errors and transparency. It does not convert colours, which would cost more.
 */
export function openForCheck(picture: CheckedPicture): Sharp {
  const image = openPicture(picture, { animated: picture.facts.frames > 1, ignoreIcc: true });
  return picture.facts.cmyk ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image;
}

/**
 * Decodes every pixel of every frame.
 * @throws Refusal if a pixel does not decode.
 */
export async function checkPixels(picture: CheckedPicture): Promise<void> {
  const { width, height, frames } = picture.facts;
  const image = openForCheck(picture);
  // Without the extract libjpeg would decode only a fraction of the pixels and miss errors in the others.
  if (frames === 1) image.extract({ left: 0, top: 0, width, height });
  await runPipeline(picture, image.resize(CHECK_SIDE, CHECK_SIDE, { fit: 'fill' }).raw());
}
