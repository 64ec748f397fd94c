/**
 * Owns what a worker does with an upload: every pixel is decoded once, which shows what the picture is and whether it
 * is whole, and gives the pixels of the ladder and of the default renditions. Refuses to know where they are stored.
 */
import sharp, { type Sharp } from 'sharp';
import { MAX_PIXELS, type Walked } from '../formats/limits.ts';
import { defaultPlans, type LadderSource, type Rung, rungFor, rungsOf } from '../ladder.ts';
import type { Ingested, Inspection } from '../processor.ts';
import { openPicture, type PictureFile, readPicture, renderPixels, run, shownSize } from './render.ts';

/** Side of the thumbnail that a full decode is funnelled into. */
const FUNNEL = 16;

/** A picture whose check took longer than this, in milliseconds, is accepted without a second decode. */
const LADDER_PATIENCE_MS = 4_000;

/** Inks cost 80 ms a megapixel. A larger picture of them is accepted without a ladder. */
const MAX_INK_PIXELS = 40_000_000;

/** 8-bit sRGB pixels, upright. */
interface Pixels {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

type Made = Pick<Ingested, 'rungs' | 'renditions'>;

const NOTHING: Made = { rungs: [], renditions: [] };

/** Throws a Refusal if the picture is not accepted. A ladder that cannot be made is no reason. */
export async function ingest(path: string): Promise<Ingested> {
  const file = await readPicture(path);
  const { facts } = file.picture;
  return facts.alpha || facts.frames > 1 ? ingestInTwo(file) : ingestInOne(file);
}

/** An opaque still picture: the decode that makes the ladder is the one that checks it. */
async function ingestInOne({ picture, size }: PictureFile): Promise<Ingested> {
  const inspection = inspectionOf(picture, false);
  const original = { ...inspection, size };
  const { facts } = picture;
  if (facts.cmyk && facts.width * facts.height > MAX_INK_PIXELS) {
    await decodeAll(picture);
    return { inspection, ...NOTHING, ladderFault: 'its inks take too long to become colours' };
  }
  let pixels: Pixels;
  try {
    pixels = await decode(picture, largestOf(original));
  } catch (error) {
    // What is wrong may be its colours, which do not count, or its pixels, which refuse it here.
    await decodeAll(picture);
    return { inspection, ...NOTHING, ladderFault: messageOf(error) };
  }
  return { inspection, ...(await madeOf(pixels, original)) };
}

/** All frames, or the exact transparency, are seen in a decode of their own. */
async function ingestInTwo({ picture, size }: PictureFile): Promise<Ingested> {
  const started = performance.now();
  const transparent = picture.facts.alpha ? await hasTransparentPixel(picture) : await decodeAll(picture);
  const inspection = inspectionOf(picture, transparent);
  if (performance.now() - started > LADDER_PATIENCE_MS) {
    return { inspection, ...NOTHING, ladderFault: 'it takes too long to decode' };
  }
  const original = { ...inspection, size };
  try {
    return {
      inspection,
      ...(await madeOf(await decode(picture, largestOf(original), transparent), original)),
    };
  } catch (error) {
    return { inspection, ...NOTHING, ladderFault: messageOf(error) };
  }
}

async function madeOf(pixels: Pixels, original: LadderSource): Promise<Made & { ladderFault?: string }> {
  try {
    return await climbDown(pixels, original);
  } catch (error) {
    return { ...NOTHING, ladderFault: messageOf(error) };
  }
}

async function climbDown(pixels: Pixels, original: LadderSource): Promise<Made> {
  const rungs = rungsOf(original);
  if (rungs.length > 0) return descend(pixels, rungs, original);
  return { rungs: [], renditions: await renderAt(pixels, undefined, original) };
}

/** Makes every rung from the next larger one. Encoding goes on beside the next scaling, where there is a core for it. */
async function descend(larger: Pixels, rungs: readonly Rung[], original: LadderSource): Promise<Made> {
  const [rung, ...smaller] = rungs;
  if (rung === undefined) return NOTHING;
  const pixels = await scale(larger, rung);
  const [bytes, renditions, below] = await Promise.all([
    encodeRung(pixels, rung),
    renderAt(pixels, rung, original),
    descend(pixels, smaller, original),
  ]);
  return {
    rungs: [{ rung, bytes }, ...below.rungs],
    renditions: [...renditions, ...below.renditions],
  };
}

/**
 * The default renditions that would be rendered from this rung, from its pixels before they were compressed. Where
 * there are rungs, what needs the original is not made: that would cost another decode.
 */
function renderAt(
  pixels: Pixels,
  rung: Rung | undefined,
  original: LadderSource,
): Promise<Ingested['renditions'][number][]> {
  const plans = defaultPlans(original).filter((plan) => rungFor(plan, original)?.name === rung?.name);
  return Promise.all(
    plans.map(async (plan) => ({ plan, rendition: await renderPixels(open(pixels), plan) })),
  );
}

/**
 * Decodes every pixel of the first frame, scales to the size, and only then gives it the colours of sRGB and turns it
 * upright: before, the colours of a photograph would cost three times its decode, and the turn hold all of it in memory.
 */
async function decode(picture: Walked, size: Size, alpha = false): Promise<Pixels> {
  const { width, height, orientation } = picture.facts;
  const lying = orientation >= 5;
  const { icc, space } = await openPicture(picture, {}).metadata();
  // Of other kinds of pixels the profile would no longer fit what sharp makes of them.
  const colourLater = icc !== undefined && space === 'srgb';
  const scaled = openPicture(picture, { ignoreIcc: colourLater })
    // Without the extract libjpeg would decode to a fraction of the size and not see what is wrong in between.
    .extract({ left: 0, top: 0, width, height })
    .resize(lying ? size.height : size.width, lying ? size.width : size.height, { fit: 'fill' });
  const coloured = colourLater
    ? sharp(await scaled.keepIccProfile().png({ compressionLevel: 0 }).toBuffer())
    : scaled;
  const image = coloured.toColourspace('srgb');
  const stored = await pixelsOf(alpha ? image : image.removeAlpha());
  return orientation === 1 ? stored : pixelsOf(turned(open(stored), orientation));
}

/** EXIF's eight ways to lie. sharp mirrors before it rotates, whatever the order of the calls. */
function turned(image: Sharp, orientation: number): Sharp {
  switch (orientation) {
    case 2:
      return image.flop();
    case 3:
      return image.rotate(180);
    case 4:
      return image.flip();
    case 5:
      return image.rotate(270).flop();
    case 6:
      return image.rotate(90);
    case 7:
      return image.rotate(90).flop();
    case 8:
      return image.rotate(270);
    default:
      return image;
  }
}

function scale(pixels: Pixels, { width, height }: Size): Pixels | Promise<Pixels> {
  if (pixels.width === width && pixels.height === height) return pixels;
  return pixelsOf(open(pixels).resize(width, height, { fit: 'fill' }));
}

function encodeRung(pixels: Pixels, { format }: Rung): Promise<Buffer> {
  const image = open(pixels);
  return format === 'png'
    ? image.png({ compressionLevel: 1 }).toBuffer()
    : image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
}

function open({ data, width, height, channels }: Pixels): Sharp {
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS });
}

async function pixelsOf(image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

/** The size of the largest rung, or the picture's own. */
function largestOf(original: LadderSource): Size {
  return rungsOf(original)[0] ?? original;
}

function inspectionOf({ format, facts }: Walked, transparent: boolean): Inspection {
  return { format, ...shownSize(facts), frames: facts.frames, transparent };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For a decode that looks for errors and transparency: what the colours mean is not converted, which costs more. */
function openForInspection(picture: Walked): Sharp {
  const image = openPicture(picture, { animated: picture.facts.frames > 1, ignoreIcc: true });
  return picture.facts.cmyk ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image;
}

/** Decodes every pixel, for the errors in it. An opaque picture, so: false. */
async function decodeAll(picture: Walked): Promise<false> {
  const { width, height, frames } = picture.facts;
  const image = openForInspection(picture);
  // Without the extract libjpeg would decode to a fraction of the size and not see what is wrong in between.
  if (frames === 1) image.extract({ left: 0, top: 0, width, height });
  await run(picture, image.resize(FUNNEL, FUNNEL, { fit: 'fill' }).raw());
  return false;
}

/** Decodes every pixel, for the errors in it and for one that is not fully opaque. */
async function hasTransparentPixel(picture: Walked): Promise<boolean> {
  const image = openForInspection(picture);
  const { data: alpha } = await run(
    picture,
    image.ensureAlpha().extractChannel('alpha').raw({ depth: 'uchar' }),
  );
  const opaque = Buffer.alloc(64 * 1024, 255);
  for (let at = 0; at < alpha.length; at += opaque.length) {
    const part = alpha.subarray(at, at + opaque.length);
    if (part.compare(opaque, 0, part.length) !== 0) return true;
  }
  return false;
}
