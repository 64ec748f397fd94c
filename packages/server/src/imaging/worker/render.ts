/**
 * From a picture file to pixels, and from pixels to a rendition: the steps that all renditions share. Runs in
 * worker processes only, because the bytes of pictures are not trusted.
 */
import type { OutputInfo, Sharp } from 'sharp';
import type { CheckedPicture, PictureFacts } from '../formats/limits.ts';
import { withoutDensity } from '../formats/png-chunk.ts';
import { isLosslessWebp, withAlphaFlag } from '../formats/webp.ts';
import type { Plan } from '../plan.ts';
import type { Rendition } from '../processor.ts';
import type { Size } from '../size.ts';
import { convertColour } from './colour.ts';
import { encode, encodeGraphic, type UnscaledOriginal } from './encode.ts';
import { openPicture, runPipeline } from './picture.ts';

const WHITE = { r: 255, g: 255, b: 255 };

/** Makes the rendition of the plan from the picture of a file: the original, or the rung of the plan. */
export async function render(picture: CheckedPicture, plan: Plan): Promise<Rendition> {
  checkRegion(plan, picture.facts);
  const prepare = (opened: Sharp) => {
    const upright = plan.animated ? opened : opened.autoOrient();
    return scaleAndCrop(plan.region === undefined ? upright : upright.extract(plan.region), plan);
  };
  let image = picture.facts.ownColour
    ? await convertColour(picture, prepare)
    : prepare(openPicture(picture, { animated: plan.animated }));
  if (plan.flatten) image = image.flatten({ background: WHITE });
  image = image.toColourspace('srgb');
  if (plan.content === 'graphic' && !plan.animated) {
    const { data, info } = await runPipeline(picture, image.raw({ depth: 'uchar' }));
    const bytes = await encodeGraphic({ ...info, data }, plan, unscaledOriginal(picture, plan));
    return checkOutput(plan, bytes, info);
  }
  const { data, info } = await runPipeline(picture, encode(image, plan));
  return checkOutput(plan, data, info);
}

function unscaledOriginal(
  { bytes, format, facts }: CheckedPicture,
  plan: Plan,
): UnscaledOriginal | undefined {
  const shown = shownSize(facts);
  const isWhole = plan.fit === 'fill' && plan.region === undefined;
  if (!isWhole || shown.width !== plan.width || shown.height !== plan.height) return undefined;
  return { bytes: bytes.length, lossless: format === 'png' || (format === 'webp' && isLosslessWebp(bytes)) };
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
  let bytes = output;
  if (plan.format === 'png') bytes = withoutDensity(output);
  if (plan.format === 'webp' && plan.animated) bytes = withAlphaFlag(output);
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
