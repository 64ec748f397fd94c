/**
 * The rule for assigning images to products and line items: only enabled images of the same account. A
 * product may keep a disabled image that it already shows.
 */
import { parseUUID } from '../validation/uuid.ts';
import type { Path, Violations } from '../validation/violations.ts';

/** The most images in one list of images. */
export const MAX_IMAGES_PER_LIST = 20;

/** An image ID in a request, with the place for its error message. */
export interface ImageReference {
  readonly imageID: string;
  readonly path: Path;
}

/** Why an image cannot be assigned. An image of another account is `unknown`. */
export type AssignmentRefusal = 'unknown' | 'disabled';

/** The images of a request that cannot be assigned, by image ID. */
export type AssignmentRefusals = ReadonlyMap<string, AssignmentRefusal>;

/**
 * Finds the images that cannot be assigned.
 * @param disabled every existing image of the account among `imageIDs`, with true if it is disabled.
 * @param shown the images that the product already shows. It may keep them.
 */
export function refusalsOf(
  imageIDs: Iterable<string>,
  disabled: ReadonlyMap<string, boolean>,
  shown: ReadonlySet<string> = new Set(),
): AssignmentRefusals {
  const refusals = new Map<string, AssignmentRefusal>();
  for (const imageID of imageIDs) {
    const isDisabled = disabled.get(imageID);
    if (isDisabled === undefined) refusals.set(imageID, 'unknown');
    else if (isDisabled && !shown.has(imageID)) refusals.set(imageID, 'disabled');
  }
  return refusals;
}

/** Adds a violation for each refused image at its place in the request. */
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

// One text for unknown IDs, malformed IDs and images of another account. So clients learn nothing about other
// accounts.
const UNKNOWN = 'the account has no such image';

const REASONS: Readonly<Record<AssignmentRefusal, string>> = {
  unknown: UNKNOWN,
  disabled: 'the image is disabled and cannot be assigned',
};

/**
 * Reads an image ID and returns it in lower case. For any other value, adds a violation and returns
 * undefined.
 */
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
