/**
 * The JSON of images: alone, inside products and line items, and with their usage.
 */
import type { components, ImageMetadata } from '@vitrine/client';
import type { ShownImages } from '../../catalog/catalog.ts';
import type { Image } from '../../image.ts';
import { type ImageUsage, isInUse } from '../../images/usage.ts';

type ShownImageJSON = components['schemas']['ProductImageMetadata'];

/** The JSON of an image. Absent fields are left out. Times are RFC 3339. */
export function imageJSON(image: Image, baseURL: string): ImageMetadata {
  const { width, height, format, size, analysis } = image.original;
  return {
    imageID: image.imageID,
    publicID: image.publicID,
    ...(image.altText !== undefined && { altText: image.altText }),
    ...(image.focalPoint !== undefined && { focalPoint: image.focalPoint }),
    ...(image.fileName !== undefined && { fileName: image.fileName }),
    tags: [...image.tags],
    link: `${baseURL}/images/${image.publicID}`,
    width,
    height,
    format,
    bytes: size,
    version: image.version,
    ...(analysis && { placeholder: analysis.placeholder, color: analysis.color }),
    visibility: image.visibility,
    createdOn: image.createdOn.toISOString(),
    updatedOn: image.updatedOn.toISOString(),
    ...(image.disabledOn && { disabledOn: image.disabledOn.toISOString() }),
  };
}

/** The `images` field of a product, a line item or an option. The field is absent for an empty list. */
export function shownImagesJSON(
  imageIDs: readonly string[],
  images: ShownImages,
  baseURL: string,
): { images?: ShownImageJSON[] } {
  if (imageIDs.length === 0) return {};
  const list = imageIDs.flatMap((imageID): ShownImageJSON[] => {
    const image = images.get(imageID);
    if (image === undefined) return [];
    const { altText, publicID } = image;
    const link = `${baseURL}/images/${publicID}`;
    return [{ imageID, ...(altText !== undefined && { altText }), link, publicID }];
  });
  return { images: list };
}

export function usageJSON(usage: ImageUsage): components['schemas']['ImageUsage'] {
  return {
    imageID: usage.imageID,
    inUse: isInUse(usage),
    products: [...usage.products],
    options: [...usage.options],
    lineItems: usage.lineItems.map((use) => ({ ...use, createdOn: use.createdOn.toISOString() })),
    totals: usage.totals,
  };
}
