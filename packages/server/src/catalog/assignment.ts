/**
 * Owns the rule of assigning images to products and line items: which may be assigned, where the request named them,
 * and what a refusal says. Refuses to know where images are stored.
 */
import { parseUUID } from '../validation/uuid.ts';
import type { Path, Violations } from '../validation/violations.ts';

/** A list of images has at most this many. */
export const MAX_IMAGES_A_LIST = 20;

/** An image that a request names, and the place in the request where a refusal belongs. */
export interface ImageReference {
  readonly imageID: string;
  readonly path: Path;
}

/** Why an image may not be assigned. An image of another account is unknown. */
export type AssignmentRefusal = 'unknown' | 'disabled';

/** The images of a request that may not be assigned, by imageID. */
export type AssignmentRefusals = ReadonlyMap<string, AssignmentRefusal>;

/**
 * Which of the images may not be assigned.
 * @param disabled What is known of each image that exists: true if it is disabled.
 * @param shown The images that the product shows already: these it may keep.
 */
export function refusalsOf(
  imageIDs: Iterable<string>,
  disabled: ReadonlyMap<string, boolean>,
  shown: ReadonlySet<string> = new Set(),
): AssignmentRefusals {
  const refusals = new Map<string, AssignmentRefusal>();
  for (const imageID of imageIDs) {
    const state = disabled.get(imageID);
    if (state === undefined) refusals.set(imageID, 'unknown');
    else if (state && !shown.has(imageID)) refusals.set(imageID, 'disabled');
  }
  return refusals;
}

/** Notes each refused image at the place where the request names it. */
export function addRefusals(
  references: readonly ImageReference[],
  refusals: AssignmentRefusals,
  violations: Violations,
): void {
  for (const { imageID, path } of references) {
    const refusal = refusals.get(imageID);
    if (refusal !== undefined) violations.add(path, REASONS[refusal]);
  }
}

// The same for an image that never was, one of another account, and what is no imageID at all.
const UNKNOWN = 'the account has no such image';

const REASONS: Readonly<Record<AssignmentRefusal, string>> = {
  unknown: UNKNOWN,
  disabled: 'the image is disabled and cannot be assigned',
};

/** The canonical form of an imageID in a request; what is none is noted at its place, and undefined. */
export function parseImageID(value: unknown, path: Path, violations: Violations): string | undefined {
  if (value === undefined || value === null) violations.add(path, 'imageID is required');
  else if (typeof value !== 'string') violations.add(path, 'imageID must be a string');
  else {
    const imageID = parseUUID(value);
    if (imageID === undefined) violations.add(path, UNKNOWN);
    return imageID;
  }
  return undefined;
}
