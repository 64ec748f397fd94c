/**
 * The encoders: from the pixels of a rendition to its bytes. A graphic is encoded in more than one way, and
 * the best result is sent. Figures: docs/adr/0021 for photographs, docs/adr/0054 for graphics.
 */
import sharp, { type Sharp } from 'sharp';
import type { Plan } from '../plan.ts';
import { openPixels, type Pixels } from './pixels.ts';

/** Sets the encoder of a photograph or of an animation. */
export function encode(image: Sharp, { format, quality }: Plan): Sharp {
  switch (format) {
    case 'webp':
      // Half the time of effort 4 for a twelfth more bytes at equal similarity.
      return image.webp({ quality, effort: 2 });
    case 'jpeg':
      // mozjpeg would save 3 % of the bytes at equal similarity for seven times the time.
      return image.jpeg({ quality });
    case 'png':
      // Filters save a fifth of the bytes of photographs.
      return image.png({ compressionLevel: 6, adaptiveFiltering: true });
    case 'avif':
      // At the default effort a large rendition takes longer than the timeout of any client.
      return image.avif({ quality, effort: 2 });
  }
}

/** The original, if the rendition has exactly its pixels. */
export interface UnscaledOriginal {
  readonly bytes: number;
  readonly lossless: boolean;
}

/**
 * Encodes a graphic. Unless that is impossible, the result is not heavier than the original.
 * @param original absent: the pixels are scaled or cropped.
 */
export async function encodeGraphic(
  pixels: Pixels,
  plan: Plan,
  original: UnscaledOriginal | undefined,
): Promise<Buffer> {
  switch (plan.format) {
    case 'webp':
      return encodeWebp(pixels, plan, original);
    case 'png':
      return encodePng(pixels, original);
    case 'jpeg':
      // With less chroma, thin coloured lines lose their colour.
      return openPixels(pixels).jpeg({ quality: plan.quality, chromaSubsampling: '4:4:4' }).toBuffer();
    case 'avif':
      return encode(openPixels(pixels), plan).toBuffer();
  }
}

/**
 * A lossless rendition may have this many times the bytes of a lossy one. To look as good as a palette, lossy
 * WebP needs 1.5 to 2 times its bytes. `flatColours`: for a palette, if the lossy one changes flat colours.
 */
const WORTH = { exact: 2, palette: 1.25, flatColours: 2.5 } as const;

/** Lossless WebP needs at least this share of the bytes of the same palette as PNG. */
const WEBP_TO_PNG = 0.75;

/** From this quality on, a client wants no reduced palette. */
const EXACT_QUALITY = 95;

async function encodeWebp(
  pixels: Pixels,
  { quality }: Plan,
  original: UnscaledOriginal | undefined,
): Promise<Buffer> {
  const lossy = await lossyWebp(pixels, quality, original?.bytes);
  if (original?.lossless || quality >= EXACT_QUALITY) {
    let exact = await losslessWebp(openPixels(pixels));
    if (original?.lossless && exact.length > original.bytes)
      exact = await losslessWebp(openPixels(pixels), 6);
    if (exact.length <= WORTH.exact * lossy.length) return exact;
  }
  if (quality >= EXACT_QUALITY) return lossy;
  const limit = WORTH.flatColours * lossy.length;
  const palette = await reducedPalette(pixels);
  const isHeavy = palette !== undefined && WEBP_TO_PNG * palette.length > limit;
  const flat = palette && !isHeavy ? await losslessWebp(sharp(palette)) : undefined;
  if (flat !== undefined && flat.length <= WORTH.palette * lossy.length) return flat;
  if (await keepsFlatColours(lossy, pixels)) return lossy;
  if (flat !== undefined && flat.length <= limit) return flat;
  const near = await nearLosslessWebp(pixels);
  return near.length <= limit ? near : lossy;
}

/** @param limit of the bytes, which a lower quality keeps if one step down is enough. */
async function lossyWebp(pixels: Pixels, quality: number, limit = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const encodeWith = (quality: number) =>
    openPixels(pixels).webp({ quality, effort: 2, smartSubsample: true }).toBuffer();
  const usual = await encodeWith(quality);
  return usual.length <= limit ? usual : encodeWith(Math.ceil(quality * 0.8));
}

/** On most graphics, more effort saves no bytes. */
function losslessWebp(image: Sharp, effort = 2): Promise<Buffer> {
  return image.webp({ lossless: true, effort, quality: 75 }).toBuffer();
}

/** Keeps flat areas, and moves the values of busy ones by a few levels. */
function nearLosslessWebp(pixels: Pixels): Promise<Buffer> {
  return openPixels(pixels).webp({ nearLossless: true, effort: 2, quality: 40 }).toBuffer();
}

async function encodePng(pixels: Pixels, original: UnscaledOriginal | undefined): Promise<Buffer> {
  const reduced = () => reducedPalette(pixels);
  if (!original?.lossless) return (await reduced()) ?? losslessPng(pixels);
  const exact = await losslessPng(pixels);
  if (exact.length <= original.bytes) return exact;
  const palette = await reduced();
  return palette && palette.length < exact.length ? palette : exact;
}

/** With a palette if the colours fit into one. Otherwise with the filters that give fewer bytes. */
async function losslessPng(pixels: Pixels): Promise<Buffer> {
  const colours = countColours(pixels);
  if (colours <= MAX_PALETTE) {
    // The encoder has 1, 2, 4 or 8 bits for each pixel.
    const size = [2, 4, 16].find((size) => colours <= size) ?? MAX_PALETTE;
    const png = await openPixels(pixels)
      .png({ palette: true, colours: size, quality: 100, dither: 0, effort: 4, compressionLevel: 9 })
      .toBuffer();
    if ((await errorsOf(png, pixels)).mean === 0) return png;
  }
  const plain = await openPixels(pixels).png({ compressionLevel: 9 }).toBuffer();
  const filtered = await openPixels(pixels).png({ compressionLevel: 9, adaptiveFiltering: true }).toBuffer();
  return plain.length <= filtered.length ? plain : filtered;
}

const MAX_PALETTE = 256;

/** The number of different colours; more than `MAX_PALETTE` counts as one more. */
function countColours({ data, channels }: Pixels): number {
  const colours = new Set<number>();
  for (let at = 0; at < data.length && colours.size <= MAX_PALETTE; at += channels) {
    let colour = 0;
    for (let channel = 0; channel < channels; channel += 1) colour = colour * 256 + (data[at + channel] ?? 0);
    colours.add(colour);
  }
  return colours.size;
}

/**
 * What a reduced palette may change. `mean`: of all values. `flat`: in flat areas. `lines`: the share of
 * pixels in lines of one colour that are off by more. The smooth edges of drawings have such lines by chance.
 */
const MAX_PALETTE_ERROR = { mean: 1, flat: 1, lines: 0.005 } as const;

/** The lower quality has fewer colours, and moves those of flat areas on some pictures. */
const PALETTE_QUALITIES = [80, 100] as const;

/** A PNG of at most 256 colours. Undefined if they are too few for this picture. */
async function reducedPalette(pixels: Pixels): Promise<Buffer | undefined> {
  for (const quality of PALETTE_QUALITIES) {
    const png = await openPixels(pixels)
      .png({ palette: true, quality, dither: 0, effort: 4, compressionLevel: 9 })
      .toBuffer();
    const { mean, flat, lines } = await errorsOf(png, pixels);
    if (mean > MAX_PALETTE_ERROR.mean) return undefined;
    if (flat <= MAX_PALETTE_ERROR.flat && lines <= MAX_PALETTE_ERROR.lines) return png;
  }
  return undefined;
}

/** How a PNG differs from pixels. The colours of transparent pixels do not count. */
interface Errors {
  /** The mean of all values, weighted by alpha. */
  readonly mean: number;
  /** The largest difference in a pixel whose four neighbours are equal to it. */
  readonly flat: number;
  /** Of the pixels whose left neighbour is equal: the share that is off by more than flat areas may be. */
  readonly lines: number;
}

async function errorsOf(png: Buffer, { data, width, channels }: Pixels): Promise<Errors> {
  const shown = await decodeTo(channels, png);
  const row = width * channels;
  let [sum, flat, linePixels, linesOff] = [0, 0, 0, 0];
  for (let at = 0; at < data.length; at += channels) {
    const weight = channels === 4 ? (data[at + 3] ?? 0) / 255 : 1;
    let largest = 0;
    for (let channel = 0; channel < channels; channel += 1) {
      const value = data[at + channel] ?? 0;
      const difference = Math.abs(value - (shown[at + channel] ?? 0)) * (channel === 3 ? 1 : weight);
      sum += difference;
      if (difference > largest) largest = difference;
    }
    if (!isEqual(data, at, at - channels, channels)) continue;
    linePixels += 1;
    if (largest > MAX_PALETTE_ERROR.flat) linesOff += 1;
    if (largest <= flat || !isEqual(data, at, at + channels, channels)) continue;
    if (isEqual(data, at, at - row, channels) && isEqual(data, at, at + row, channels)) flat = largest;
  }
  return { mean: sum / data.length, flat, lines: linesOff / Math.max(1, linePixels) };
}

/** False if one of the places is outside of the pixels. */
function isEqual(data: Uint8Array, a: number, b: number, channels: number): boolean {
  for (let channel = 0; channel < channels; channel += 1)
    if (data[a + channel] !== data[b + channel]) return false;
  return true;
}

/** Side in pixels of the blocks that count as flat if all of their pixels are equal. */
const FLAT_BLOCK = 8;

/** `levels`: by which a flat colour may be off. `share`: of the flat blocks, that may be off by more. */
const FLAT_TOLERANCE = { levels: 1, share: 0.01 } as const;

/**
 * Whether an encoded picture shows the flat colours of these pixels. It looks at the middle of each flat
 * block, because near edges every lossy encoder is off. Transparent blocks do not count.
 */
async function keepsFlatColours(
  encoded: Buffer,
  { data, width, height, channels }: Pixels,
): Promise<boolean> {
  const shown = await decodeTo(channels, encoded);
  let [flat, off] = [0, 0];
  for (let top = 0; top + FLAT_BLOCK <= height; top += FLAT_BLOCK) {
    for (let left = 0; left + FLAT_BLOCK <= width; left += FLAT_BLOCK) {
      if (!isFlat(data, (top * width + left) * channels, width * channels, channels)) continue;
      const middle = ((top + FLAT_BLOCK / 2) * width + left + FLAT_BLOCK / 2) * channels;
      if (channels === 4 && data[middle + 3] === 0) continue;
      flat += 1;
      const isOff = (value: number, channel: number) =>
        Math.abs(value - (shown[middle + channel] ?? 0)) > FLAT_TOLERANCE.levels;
      if (data.subarray(middle, middle + channels).some(isOff)) off += 1;
    }
  }
  return off <= FLAT_TOLERANCE.share * flat;
}

function isFlat(data: Uint8Array, start: number, row: number, channels: number): boolean {
  for (let y = 0; y < FLAT_BLOCK; y += 1) {
    const line = start + y * row;
    for (let at = line; at < line + FLAT_BLOCK * channels; at += 1)
      if (data[at] !== data[start + ((at - line) % channels)]) return false;
  }
  return true;
}

/** The pixels of an encoded picture: RGB or RGBA, as the pixels that it was encoded from. */
function decodeTo(channels: Pixels['channels'], encoded: Buffer): Promise<Buffer> {
  const image = sharp(encoded).toColourspace('srgb');
  return (channels === 4 ? image.ensureAlpha() : image.removeAlpha()).raw({ depth: 'uchar' }).toBuffer();
}
