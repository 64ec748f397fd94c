/**
 * Makes the originals of the bench: pictures of 12 to 24 megapixels in three formats.
 * They come from a folder of photographs or, without one, from generated noise.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** The largest file that the server accepts. */
const MAX_FILE = 16 * 1024 * 1024;
/** The least pixels of a photograph. A smaller one, once enlarged, would not represent a camera picture. */
const MIN_PHOTO_PIXELS = 2_000_000;

export type SourceFormat = 'jpeg' | 'png' | 'webp';
export const SOURCE_FORMATS: readonly SourceFormat[] = ['jpeg', 'png', 'webp'];

const LARGE = { width: 6_000, height: 4_000 };
const MEDIUM = { width: 4_160, height: 3_120 };

export interface OriginalFile {
  readonly name: string;
  readonly path: string;
  readonly format: SourceFormat;
  readonly width: number;
  readonly height: number;
  readonly bytes: Buffer;
}

/**
 * Makes `count` originals of each format in `folder`. JPEG files have 24 megapixels and about 5 MB. PNG and
 * WebP files have 13 megapixels. `photos` is a folder of photographs; undefined means generated pictures.
 */
export async function makeOriginals(
  folder: string,
  photos: string | undefined,
  count: number,
): Promise<OriginalFile[]> {
  await mkdir(folder, { recursive: true });
  const sources = photos === undefined ? [] : await listOpaquePhotos(photos);
  if (photos !== undefined && sources.length === 0)
    throw new Error(`${photos} has no opaque photograph of at least ${MIN_PHOTO_PIXELS} pixels`);
  const originals: OriginalFile[] = [];
  for (let index = 0; index < count; index += 1) {
    const source = sources.length === 0 ? await generatePicture(index) : sources[index % sources.length];
    if (source === undefined) continue;
    // If there are too few photographs, they are used again, flipped.
    const flip = sources.length > 0 && index >= sources.length;
    for (const format of SOURCE_FORMATS) {
      const bytes = await encode(source, flip, format);
      const { width = 0, height = 0 } = await sharp(bytes).metadata();
      const name = `original-${index}.${format}`;
      const path = join(folder, name);
      await writeFile(path, bytes);
      originals.push({ name, path, format, width, height, bytes });
    }
  }
  return originals;
}

async function listOpaquePhotos(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!/\.(jpe?g|png|webp)$/i.test(name)) continue;
    const path = join(folder, name);
    const { width = 0, height = 0, hasAlpha } = await sharp(path).metadata();
    if (!hasAlpha && width * height >= MIN_PHOTO_PIXELS) paths.push(path);
  }
  return paths;
}

async function encode(source: string | Buffer, flip: boolean, format: SourceFormat): Promise<Buffer> {
  const resize = ({ width, height }: typeof LARGE): Sharp =>
    sharp(source)
      .autoOrient()
      .flip(flip)
      .resize(width, height, { fit: 'cover', kernel: 'mitchell' })
      .toColourspace('srgb');
  if (format === 'jpeg') return encodeJpeg(5_000_000, await addGrain(resize(LARGE), LARGE));
  if (format === 'webp') return resize(MEDIUM).webp({ quality: 90 }).toBuffer();
  // A PNG of this size is below the upload limit only if it is smooth.
  for (const sigma of [0, 0.7, 1.2, 2, 3, 5, 8]) {
    const picture = sigma === 0 ? resize(MEDIUM) : resize(MEDIUM).blur(sigma);
    const bytes = await picture.png({ compressionLevel: 6, adaptiveFiltering: true }).toBuffer();
    if (bytes.length <= MAX_FILE) return bytes;
  }
  throw new Error(`every PNG is larger than ${MAX_FILE} bytes`);
}

/** Adds fine sensor noise, which enlarging removes. */
async function addGrain(picture: Sharp, size: typeof LARGE): Promise<Sharp> {
  const grain = await sharp({
    create: { ...size, channels: 3, background: '#808080', noise: { type: 'gaussian', mean: 128, sigma: 9 } },
  })
    .png({ compressionLevel: 1 })
    .toBuffer();
  const { data, info } = await picture
    .composite([{ input: grain, blend: 'soft-light' }])
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return sharp(data, { raw: { width: info.width, height: info.height, channels: 3 } });
}

/** Encodes the JPEG whose length in bytes is closest to `length`. */
async function encodeJpeg(length: number, picture: Sharp): Promise<Buffer> {
  let low = 30;
  let high = 98;
  let best = await picture.clone().jpeg({ quality: 80 }).toBuffer();
  while (low <= high) {
    const quality = Math.floor((low + high) / 2);
    const bytes = await picture.clone().jpeg({ quality }).toBuffer();
    if (Math.abs(bytes.length - length) < Math.abs(best.length - length)) best = bytes;
    if (bytes.length < length) low = quality + 1;
    else high = quality - 1;
  }
  return best;
}

/** Generates noise in octaves: large shapes, smaller shapes and fine detail. */
async function generatePicture(seed: number): Promise<Buffer> {
  const width = 2_400;
  const height = 1_600;
  const octave = async (cell: number, sigma: number) =>
    sharp(
      await sharp({
        create: {
          width: Math.ceil(width / cell),
          height: Math.ceil(height / cell),
          channels: 3,
          background: '#808080',
          noise: { type: 'gaussian', mean: 128, sigma },
        },
      })
        .png()
        .toBuffer(),
    )
      .resize(width, height, { fit: 'fill', kernel: 'cubic' })
      .png({ compressionLevel: 1 })
      .toBuffer();
  const layers = await Promise.all([150, 40, 12, 4].map((cell, index) => octave(cell, 60 / (index + 1))));
  return sharp({ create: { width, height, channels: 3, background: { r: 120, g: 90 + seed * 20, b: 100 } } })
    .composite(layers.map((input) => ({ input, blend: 'overlay' as const })))
    .removeAlpha()
    .jpeg({ quality: 95 })
    .toBuffer();
}

/** Makes a different file of the same JPEG: a comment segment holds the number. */
export function makeVariant(jpeg: Uint8Array, number: number): Uint8Array[] {
  return [jpeg.subarray(0, 2), makeComment(Buffer.from(`${process.pid}-${number}`)), jpeg.subarray(2)];
}

/** Encodes the picture at the best quality below the upload limit, and fills the file up with comments. */
export async function enlarge(jpeg: Buffer): Promise<Buffer> {
  let best = jpeg;
  for (let quality = 80; quality <= 100; quality += 2) {
    const bytes = await sharp(jpeg).jpeg({ quality, chromaSubsampling: '4:4:4' }).toBuffer();
    if (bytes.length < MAX_FILE - 256) best = bytes;
  }
  const comments: Buffer[] = [];
  for (let free = MAX_FILE - 256 - best.length; free > 4; ) {
    const length = Math.min(60_000, free - 4);
    comments.push(makeComment(Buffer.alloc(length, 0x20)));
    free -= length + 4;
  }
  return Buffer.concat([best.subarray(0, 2), ...comments, best.subarray(2)]);
}

/** Makes a JPEG comment segment. */
function makeComment(text: Uint8Array): Buffer {
  const head = Buffer.from([0xff, 0xfe, 0, 0]);
  head.writeUInt16BE(text.byteLength + 2, 2);
  return Buffer.concat([head, text]);
}
