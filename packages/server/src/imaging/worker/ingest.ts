/**
 * How a worker reads an upload: it decodes every pixel, which shows whether the picture is complete. The same
 * pixels become the ladder and the default renditions.
 */
import sharp, { type Sharp } from 'sharp';
import { MIN_FLAT } from '../content.ts';
import type { CheckedPicture, PictureFacts } from '../formats/limits.ts';
import { walkPicture } from '../formats/walk.ts';
import { defaultPlans, type Rung, rungFor, rungsOf } from '../ladder.ts';
import type { PlanSource } from '../plan.ts';
import type { IngestResult, Inspection } from '../processor.ts';
import type { Size } from '../size.ts';
import { analyse, analyseRoughly } from './analysis.ts';
import { convertColour } from './colour.ts';
import {
  checkPixels,
  openForCheck,
  openPicture,
  readPicture,
  runPipeline,
  withoutWarnings,
} from './picture.ts';
import { openPixels, type Pixels, readPixels, scale } from './pixels.ts';
import { render, shownSize } from './render.ts';

/**
 * A picture whose check took more milliseconds is accepted without a ladder: it is not decoded a second time.
 */
const MAX_CHECK_MS = 4_000;

/** CMYK costs 80 ms a megapixel. A CMYK picture with more pixels is accepted without a ladder. */
const MAX_CMYK_PIXELS = 40_000_000;

/** A larger picture is judged by its scaled pixels: another decode of it would take seconds. */
const MAX_LOOK_PIXELS = 40_000_000;

/** Pixels of the band that is looked at unscaled. They take at most 64 MB. */
const MAX_BAND_PIXELS = 16_000_000;

type Ladder = Pick<IngestResult, 'rungs' | 'renditions'>;

const NO_LADDER: Ladder = { rungs: [], renditions: [] };

/**
 * Checks the picture in this local file and makes its ladder. A picture whose ladder fails is accepted
 * without one.
 * @throws Refusal if the picture is not accepted; the error of the file system.
 */
export async function ingest(path: string): Promise<IngestResult> {
  return withoutWarnings(await readPicture(path), (picture) => {
    const { facts } = picture;
    return facts.alpha || facts.frames > 1 ? ingestInTwoDecodes(picture) : ingestInOneDecode(picture);
  });
}

/** For an opaque still picture: one decode checks the pixels and makes the ladder. */
async function ingestInOneDecode(picture: CheckedPicture): Promise<IngestResult> {
  const inspection = inspectionOf(picture, false);
  if (!hasLadder(picture.facts)) {
    await checkPixels(picture);
    return acceptWithoutLadder(
      picture,
      inspection,
      `a CMYK picture of more than ${MAX_CMYK_PIXELS} pixels takes too long to convert`,
    );
  }
  let pixels: Pixels;
  try {
    pixels = await decode(picture, largestSize(inspection));
  } catch (error) {
    // Either the colours or the pixels are wrong. Only wrong pixels make this check fail too.
    await checkPixels(picture);
    return acceptWithoutLadder(picture, inspection, messageOf(error));
  }
  return acceptWithLadder(picture, inspection, pixels);
}

/** For animations and pictures with alpha: the first decode checks all frames and every alpha value. */
async function ingestInTwoDecodes(picture: CheckedPicture): Promise<IngestResult> {
  const start = performance.now();
  let transparent = false;
  if (picture.facts.alpha) transparent = await hasTransparentPixel(picture);
  else await checkPixels(picture);
  const inspection = inspectionOf(picture, transparent);
  if (performance.now() - start > MAX_CHECK_MS) {
    return acceptWithoutLadder(
      picture,
      inspection,
      `the check of the pixels took longer than ${MAX_CHECK_MS} ms`,
    );
  }
  try {
    const pixels = await decode(picture, largestSize(inspection), transparent);
    return await acceptWithLadder(picture, inspection, pixels);
  } catch (error) {
    return acceptWithoutLadder(picture, inspection, messageOf(error));
  }
}

async function acceptWithLadder(
  picture: CheckedPicture,
  facts: Inspection,
  pixels: Pixels,
): Promise<IngestResult> {
  const analysis = await analyse(pixels, (flat) => readUnscaled(picture, pixels, flat));
  const inspection = { ...facts, analysis };
  return { inspection, ...(await tryMakeLadder(picture, pixels, inspection)) };
}

/**
 * The pixels as stored, or a band of them, to tell what the picture is. Undefined if the scaled ones suffice:
 * for photographs, which have almost no flat areas, another decode would be too dear.
 * @param flat the share of flat blocks in the scaled pixels
 */
async function readUnscaled(
  picture: CheckedPicture,
  scaled: Pixels,
  flat: number,
): Promise<Pixels | undefined> {
  const { format, facts } = picture;
  const { width, height } = facts;
  const size = width * height;
  if (size === scaled.width * scaled.height || size > MAX_LOOK_PIXELS || format === 'jpeg') return undefined;
  const image = openPicture(picture, { ignoreIcc: true });
  try {
    const { isPalette, bitsPerSample = 8 } = await image.metadata();
    if (flat < MIN_FLAT && !isPalette && bitsPerSample >= 8) return undefined;
    const band = Math.min(height, Math.ceil(MAX_BAND_PIXELS / width));
    const top = Math.floor((height - band) / 2);
    return await readPixels(image.extract({ left: 0, top, width, height: band }).toColourspace('srgb'));
  } catch {
    return undefined;
  }
}

async function acceptWithoutLadder(
  picture: CheckedPicture,
  facts: Inspection,
  ladderError: string,
): Promise<IngestResult> {
  const analysis = await analyseRoughly(openPicture(picture, { ignoreIcc: true })).catch(() => undefined);
  return { inspection: { ...facts, ...(analysis && { analysis }) }, ...NO_LADDER, ladderError };
}

/**
 * Makes one rung of an original, with the same bytes as in its ladder. Undefined for a picture that has no
 * ladder.
 * @throws Refusal if a pixel does not decode.
 */
export async function makeRung(
  picture: CheckedPicture,
  original: PlanSource,
  wanted: Rung,
): Promise<Buffer | undefined> {
  if (!hasLadder(picture.facts)) return undefined;
  try {
    let pixels = await decode(picture, largestSize(original), original.transparent);
    for (const rung of rungsOf(original)) {
      pixels = await scale(pixels, rung);
      if (rung.name === wanted.name) break;
    }
    return await encodeRung(pixels, wanted);
  } catch {
    // As at ingest: pixels that do not decode are refused, and colours that cannot be converted are not.
    await checkPixels(picture);
    return undefined;
  }
}

function hasLadder({ cmyk, width, height }: PictureFacts): boolean {
  return !cmyk || width * height <= MAX_CMYK_PIXELS;
}

async function tryMakeLadder(
  picture: CheckedPicture,
  pixels: Pixels,
  original: PlanSource,
): Promise<Ladder & { ladderError?: string }> {
  try {
    return await makeLadder(picture, pixels, original);
  } catch (error) {
    return { ...NO_LADDER, ladderError: messageOf(error) };
  }
}

async function makeLadder(picture: CheckedPicture, pixels: Pixels, original: PlanSource): Promise<Ladder> {
  const rungs = rungsOf(original);
  if (rungs.length > 0) return makeRungs(pixels, rungs, original);
  return { rungs: [], renditions: await renderDefaults(picture, undefined, original) };
}

/** Makes each rung from the next larger one. Encodes one rung while it scales the next, if a core is free. */
async function makeRungs(larger: Pixels, rungs: readonly Rung[], original: PlanSource): Promise<Ladder> {
  const [rung, ...smaller] = rungs;
  if (rung === undefined) return NO_LADDER;
  const pixels = await scale(larger, rung);
  const [[bytes, renditions], below] = await Promise.all([
    encodeRung(pixels, rung).then(async (bytes) => {
      return [bytes, await renderDefaults(walkPicture(bytes), rung, original)] as const;
    }),
    makeRungs(pixels, smaller, original),
  ]);
  return {
    rungs: [{ rung, bytes }, ...below.rungs],
    renditions: [...renditions, ...below.renditions],
  };
}

/**
 * Renders the default plans that delivery would render from this rung, or from the original if it has no
 * rungs. The steps are those of delivery, so the bytes are the same. If there are rungs, a plan that needs
 * the original is left out: it would cost another decode.
 */
function renderDefaults(
  picture: CheckedPicture,
  rung: Rung | undefined,
  original: PlanSource,
): Promise<IngestResult['renditions'][number][]> {
  const plans = defaultPlans(original).filter((plan) => rungFor(plan, original)?.name === rung?.name);
  return Promise.all(plans.map(async (plan) => ({ plan, rendition: await render(picture, plan) })));
}

/**
 * Decodes every pixel of the first frame, scales them, and then converts the colours and turns the picture
 * upright. Before the scaling, the colours of a photograph would cost three times its decode. The turn would
 * hold all of the picture in memory.
 */
async function decode(picture: CheckedPicture, size: Size, alpha = false): Promise<Pixels> {
  const { orientation } = picture.facts;
  const image = await openScaled(
    picture,
    orientation >= 5 ? { width: size.height, height: size.width } : size,
  );
  const stored = await readPixels(alpha ? image : image.removeAlpha());
  return orientation === 1 ? stored : readPixels(turnUpright(openPixels(stored), orientation));
}

/** The picture as stored, scaled to this size and then converted to sRGB. */
async function openScaled(picture: CheckedPicture, size: Size): Promise<Sharp> {
  const { width, height } = picture.facts;
  const scaled = (image: Sharp) =>
    image
      // Without the extract libjpeg would decode only a fraction of the pixels and miss errors in the others.
      .extract({ left: 0, top: 0, width, height })
      .resize(size.width, size.height, { fit: 'fill' });
  if (picture.facts.ownColour) return convertColour(picture, scaled);
  const { icc, space } = await openPicture(picture, {}).metadata();
  // sharp converts other kinds of pixels when it scales. The profile would then no longer match them.
  const convertsLater = icc !== undefined && space === 'srgb';
  const image = scaled(openPicture(picture, { ignoreIcc: convertsLater }));
  const converted = convertsLater
    ? sharp(await image.keepIccProfile().png({ compressionLevel: 0 }).toBuffer())
    : image;
  return converted.toColourspace('srgb');
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

function encodeRung(pixels: Pixels, { format }: Rung): Promise<Buffer> {
  const image = openPixels(pixels);
  return format === 'png'
    ? image.png({ compressionLevel: 1 }).toBuffer()
    : image.jpeg({ quality: 90, chromaSubsampling: '4:4:4' }).toBuffer();
}

/** The size of the largest rung; of the picture itself if it has no rung. */
function largestSize(original: PlanSource): Size {
  return rungsOf(original)[0] ?? original;
}

function inspectionOf({ format, facts }: CheckedPicture, transparent: boolean): Inspection {
  return { format, ...shownSize(facts), frames: facts.frames, transparent };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
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
