/**
 * Owns how images look on the wire within what shows them, and what shows them within their usage.
 * Refuses to know routes.
 */
import type { components } from '@vitrine/client';
import type { ShownImages } from '../../catalog/catalog.ts';
import { type ImageUsage, isInUse } from '../../images/usage.ts';

type ImageJSON = components['schemas']['ProductImageMetadata'];

/** The images of a list, as the contract has them; no field where there are none. */
export function shownJSON(
  imageIDs: readonly string[],
  images: ShownImages,
  baseURL: string,
): { images?: ImageJSON[] } {
  if (imageIDs.length === 0) return {};
  const shown = imageIDs.flatMap((imageID): ImageJSON[] => {
    const image = images.get(imageID);
    if (image === undefined) return [];
    const { altText, publicID } = image;
    const link = `${baseURL}/images/${publicID}`;
    return [{ imageID, ...(altText !== undefined && { altText }), link, publicID }];
  });
  return { images: shown };
}

/** An ImageUsage as the contract has it. */
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
