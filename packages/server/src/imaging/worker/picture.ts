/**
 * How a worker opens a picture file. The bytes are not trusted: every file passes the header walk first.
 */
import { open } from 'node:fs/promises';
import sharp, { type OutputInfo, type Sharp, type SharpOptions } from 'sharp';
import { FORMATS, MAX_ORIGINAL_BYTES } from '../../image.ts';
import { type CheckedPicture, MAX_PIXELS, Refusal } from '../formats/limits.ts';
import { walkPicture } from '../formats/walk.ts';

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
