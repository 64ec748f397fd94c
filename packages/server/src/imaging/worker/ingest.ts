/**
 * How a worker reads an upload: it decodes every pixel, which shows whether the picture is complete. The same
 * pixels become the ladder and the default renditions.
 */
import sharp, { type Sharp } from 'sharp';
import { type CheckedPicture, MAX_PIXELS } from '../formats/limits.ts';
import { defaultPlans, type LadderSource, type Rung, rungFor, rungsOf } from '../ladder.ts';
import type { IngestResult, Inspection } from '../processor.ts';
import type { Size } from '../size.ts';
import {
  openPicture,
  type PictureFile,
  readPicture,
  renderPixels,
  runPipeline,
  shownSize,
} from './render.ts';

/** Side in pixels of the thumbnail to which a full decode is scaled when only its errors matter. */
const CHECK_SIDE = 16;

/**
 * A picture whose check took more milliseconds is accepted without a ladder: it is not decoded a second time.
 */
const MAX_CHECK_MS = 4_000;

/** CMYK costs 80 ms a megapixel. A CMYK picture with more pixels is accepted without a ladder. */
const MAX_CMYK_PIXELS = 40_000_000;

/** 8-bit sRGB pixels, upright. */
interface Pixels {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

type Ladder = Pick<IngestResult, 'rungs' | 'renditions'>;

const NO_LADDER: Ladder = { rungs: [], renditions: [] };

/**
 * Checks the picture in this local file and makes its ladder. A picture whose ladder fails is accepted
 * without one.
 * @throws Refusal if the picture is not accepted; the error of the file system.
 */
export async function ingest(path: string): Promise<IngestResult> {
  const file = await readPicture(path);
  const { facts } = file.picture;
  return facts.alpha || facts.frames > 1 ? ingestInTwoDecodes(file) : ingestInOneDecode(file);
}

/** For an opaque still picture: one decode checks the pixels and makes the ladder. */
async function ingestInOneDecode({ picture, size }: PictureFile): Promise<IngestResult> {
  const inspection = inspectionOf(picture, false);
  const original = { ...inspection, size };
  const { facts } = picture;
  if (facts.cmyk && facts.width * facts.height > MAX_CMYK_PIXELS) {
    await checkPixels(picture);
    const ladderError = `a CMYK picture of more than ${MAX_CMYK_PIXELS} pixels takes too long to convert`;
    return { inspection, ...NO_LADDER, ladderError };
  }
  let pixels: Pixels;
  try {
    pixels = await decode(picture, largestSize(original));
  } catch (error) {
    // Either the colours or the pixels are wrong. Only wrong pixels make this check fail too.
    await checkPixels(picture);
    return { inspection, ...NO_LADDER, ladderError: messageOf(error) };
  }
  return { inspection, ...(await tryMakeLadder(pixels, original)) };
}

/** For animations and pictures with alpha: the first decode checks all frames and every alpha value. */
async function ingestInTwoDecodes({ picture, size }: PictureFile): Promise<IngestResult> {
  const start = performance.now();
  let transparent = false;
  if (picture.facts.alpha) transparent = await hasTransparentPixel(picture);
  else await checkPixels(picture);
  const inspection = inspectionOf(picture, transparent);
  if (performance.now() - start > MAX_CHECK_MS) {
    return {
      inspection,
      ...NO_LADDER,
      ladderError: `the check of the pixels took longer than ${MAX_CHECK_MS} ms`,
    };
  }
  const original = { ...inspection, size };
  try {
    const pixels = await decode(picture, largestSize(original), transparent);
    return { inspection, ...(await tryMakeLadder(pixels, original)) };
  } catch (error) {
    return { inspection, ...NO_LADDER, ladderError: messageOf(error) };
  }
}

async function tryMakeLadder(
  pixels: Pixels,
  original: LadderSource,
): Promise<Ladder & { ladderError?: string }> {
  try {
    return await makeLadder(pixels, original);
  } catch (error) {
    return { ...NO_LADDER, ladderError: messageOf(error) };
  }
}

async function makeLadder(pixels: Pixels, original: LadderSource): Promise<Ladder> {
  const rungs = rungsOf(original);
  if (rungs.length > 0) return makeRungs(pixels, rungs, original);
  return { rungs: [], renditions: await renderDefaults(pixels, undefined, original) };
}

/** Makes each rung from the next larger one. Encodes one rung while it scales the next, if a core is free. */
async function makeRungs(larger: Pixels, rungs: readonly Rung[], original: LadderSource): Promise<Ladder> {
  const [rung, ...smaller] = rungs;
  if (rung === undefined) return NO_LADDER;
  const pixels = await scale(larger, rung);
  const [bytes, renditions, below] = await Promise.all([
    encodeRung(pixels, rung),
    renderDefaults(pixels, rung, original),
    makeRungs(pixels, smaller, original),
  ]);
  return {
    rungs: [{ rung, bytes }, ...below.rungs],
    renditions: [...renditions, ...below.renditions],
  };
}

/**
 * Renders the default plans that delivery would render from this rung. It takes the pixels from before their
 * compression. If there are rungs, a plan that needs the original is left out: it would cost another decode.
 */
function renderDefaults(
  pixels: Pixels,
  rung: Rung | undefined,
  original: LadderSource,
): Promise<IngestResult['renditions'][number][]> {
  const plans = defaultPlans(original).filter((plan) => rungFor(plan, original)?.name === rung?.name);
  return Promise.all(
    plans.map(async (plan) => ({ plan, rendition: await renderPixels(openPixels(pixels), plan) })),
  );
}

/**
 * Decodes every pixel of the first frame, scales them, and then converts the colours and turns the picture
 * upright. Before the scaling, the colours of a photograph would cost three times its decode. The turn would
 * hold all of the picture in memory.
 */
async function decode(picture: CheckedPicture, size: Size, alpha = false): Promise<Pixels> {
  const { width, height, orientation } = picture.facts;
  const swapsSides = orientation >= 5;
  const { icc, space } = await openPicture(picture, {}).metadata();
  // sharp converts other kinds of pixels when it scales. The profile would then no longer match them.
  const convertsLater = icc !== undefined && space === 'srgb';
  const scaled = openPicture(picture, { ignoreIcc: convertsLater })
    // Without the extract libjpeg would decode only a fraction of the pixels and miss errors in the others.
    .extract({ left: 0, top: 0, width, height })
    .resize(swapsSides ? size.height : size.width, swapsSides ? size.width : size.height, { fit: 'fill' });
  const converted = convertsLater
    ? sharp(await scaled.keepIccProfile().png({ compressionLevel: 0 }).toBuffer())
    : scaled;
  const image = converted.toColourspace('srgb');
  const stored = await readPixels(alpha ? image : image.removeAlpha());
  return orientation === 1 ? stored : readPixels(turnUpright(openPixels(stored), orientation));
}

/** Applies an EXIF orientation. sharp mirrors before it rotates, in any order of the calls. */
function turnUpright(image: Sharp, orientation: number): Sharp {
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
  return readPixels(openPixels(pixels).resize(width, height, { fit: 'fill' }));
}

function encodeRung(pixels: Pixels, { format }: Rung): Promise<Buffer> {
  const image = openPixels(pixels);
  return format === 'png'
    ? image.png({ compressionLevel: 1 }).toBuffer()
    : image.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
}

function openPixels({ data, width, height, channels }: Pixels): Sharp {
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: MAX_PIXELS });
}

async function readPixels(image: Sharp): Promise<Pixels> {
  const { data, info } = await image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

/** The size of the largest rung; of the picture itself if it has no rung. */
function largestSize(original: LadderSource): Size {
  return rungsOf(original)[0] ?? original;
}

function inspectionOf({ format, facts }: CheckedPicture, transparent: boolean): Inspection {
  return { format, ...shownSize(facts), frames: facts.frames, transparent };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * For a decode that looks for errors and transparency. It does not convert colours, which would cost more.
 */
function openForCheck(picture: CheckedPicture): Sharp {
  const image = openPicture(picture, { animated: picture.facts.frames > 1, ignoreIcc: true });
  return picture.facts.cmyk ? image.pipelineColourspace('cmyk').toColourspace('cmyk') : image;
}

/**
 * Decodes every pixel of every frame.
 * @throws Refusal if a pixel does not decode.
 */
async function checkPixels(picture: CheckedPicture): Promise<void> {
  const { width, height, frames } = picture.facts;
  const image = openForCheck(picture);
  // Without the extract libjpeg would decode only a fraction of the pixels and miss errors in the others.
  if (frames === 1) image.extract({ left: 0, top: 0, width, height });
  await runPipeline(picture, image.resize(CHECK_SIDE, CHECK_SIDE, { fit: 'fill' }).raw());
}

/**
 * Decodes every pixel of every frame, and looks for one that is not fully opaque.
 * @throws Refusal if a pixel does not decode.
 */
async function hasTransparentPixel(picture: CheckedPicture): Promise<boolean> {
  const image = openForCheck(picture);
  const { data: alpha } = await runPipeline(
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
