/**
 * Owns the pictures that are measured with: originals of 12 to 24 megapixels in three formats, from a folder of
 * photographs or, so that the bench always runs, from noise shaped like one. Refuses to know what is done to them.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';

/** The largest file that the server accepts. */
const MAX_FILE = 16 * 1024 * 1024;
/** Photographs with fewer pixels than this would be blown up too much to stand for one from a camera. */
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
 * Makes `count` originals of each format in `folder`: JPEG of 24 megapixels and about 5 MB, PNG and WebP of 13
 * megapixels. `photos` is a folder of photographs; undefined: generated ones.
 */
export async function makeOriginals(
  folder: string,
  photos: string | undefined,
  count: number,
): Promise<OriginalFile[]> {
  await mkdir(folder, { recursive: true });
  const sources = photos === undefined ? [] : await opaquePhotos(photos);
  if (photos !== undefined && sources.length === 0) throw new Error(`no photograph of use in ${photos}`);
  const originals: OriginalFile[] = [];
  for (let index = 0; index < count; index += 1) {
    const source = sources.length === 0 ? await generated(index) : sources[index % sources.length];
    if (source === undefined) continue;
    // A photograph that is used again is used upside down.
    const turned = sources.length > 0 && index >= sources.length;
    for (const format of SOURCE_FORMATS) {
      const bytes = await encode(source, turned, format);
      const { width = 0, height = 0 } = await sharp(bytes).metadata();
      const name = `original-${index}.${format}`;
      const path = join(folder, name);
      await writeFile(path, bytes);
      originals.push({ name, path, format, width, height, bytes });
    }
  }
  return originals;
}

async function opaquePhotos(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!/\.(jpe?g|png|webp)$/i.test(name)) continue;
    const path = join(folder, name);
    const { width = 0, height = 0, hasAlpha } = await sharp(path).metadata();
    if (!hasAlpha && width * height >= MIN_PHOTO_PIXELS) paths.push(path);
  }
  return paths;
}

async function encode(source: string | Buffer, turned: boolean, format: SourceFormat): Promise<Buffer> {
  const enlarged = ({ width, height }: typeof LARGE): Sharp =>
    sharp(source)
      .autoOrient()
      .flip(turned)
      .resize(width, height, { fit: 'cover', kernel: 'mitchell' })
      .toColourspace('srgb');
  if (format === 'jpeg') return nearest(5_000_000, await withGrain(enlarged(LARGE), LARGE));
  if (format === 'webp') return enlarged(MEDIUM).webp({ quality: 90 }).toBuffer();
  // A PNG of that size fits the limit only if it is smooth.
  for (const sigma of [0, 0.7, 1.2, 2, 3, 5, 8]) {
    const picture = sigma === 0 ? enlarged(MEDIUM) : enlarged(MEDIUM).blur(sigma);
    const bytes = await picture.png({ compressionLevel: 6, adaptiveFiltering: true }).toBuffer();
    if (bytes.length <= MAX_FILE) return bytes;
  }
  throw new Error('no PNG fits the limit');
}

/** Raw pixels with the fine noise of a sensor, which enlarging took away. */
async function withGrain(picture: Sharp, size: typeof LARGE): Promise<Sharp> {
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

/** The JPEG nearest to a length in bytes. */
async function nearest(length: number, picture: Sharp): Promise<Buffer> {
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

/** Noise in octaves: large shapes, smaller ones on them, fine ones on those. */
async function generated(seed: number): Promise<Buffer> {
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

/** The same JPEG as another file: a comment after its first marker holds the number. */
export function numbered(jpeg: Uint8Array, number: number): Uint8Array[] {
  return [jpeg.subarray(0, 2), comment(Buffer.from(`${process.pid}-${number}`)), jpeg.subarray(2)];
}

/** The same picture at the best quality that fits, filled up with comments to just below the limit. */
export async function enlarged(jpeg: Buffer): Promise<Buffer> {
  let best = jpeg;
  for (let quality = 80; quality <= 100; quality += 2) {
    const bytes = await sharp(jpeg).jpeg({ quality, chromaSubsampling: '4:4:4' }).toBuffer();
    if (bytes.length < MAX_FILE - 256) best = bytes;
  }
  const filling: Buffer[] = [];
  for (let room = MAX_FILE - 256 - best.length; room > 4; ) {
    const length = Math.min(60_000, room - 4);
    filling.push(comment(Buffer.alloc(length, 0x20)));
    room -= length + 4;
  }
  return Buffer.concat([best.subarray(0, 2), ...filling, best.subarray(2)]);
}

/** A JPEG's comment segment. */
function comment(text: Uint8Array): Buffer {
  const head = Buffer.from([0xff, 0xfe, 0, 0]);
  head.writeUInt16BE(text.byteLength + 2, 2);
  return Buffer.concat([head, text]);
}
