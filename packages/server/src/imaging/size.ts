/**
 * The sizes of renditions: the default, the limits and the grammar `WxH`. The HTTP schemas, the plan, the
 * ladder and the command line take these numbers and texts from here.
 */

/** Pixels. 0 stands for a side that follows from the other one. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size of a public link without `size`. The official SDKs ask for exactly this size. */
export const DEFAULT_SIZE = { width: 400, height: 400 } as const satisfies Size;

/** The longest side of a rendition, in pixels. */
export const MAX_SIDE = 2_048;

/** The longest side that a request may name, in pixels. The rendition is then capped at `MAX_SIDE`. */
export const MAX_REQUESTED_SIDE = 99_999;

/** Device pixels for one requested pixel. A request beyond these gets the nearest. */
export const MIN_DPR = 1;
export const MAX_DPR = 3;

/** The form of a size, as the source of a regular expression. */
export const SIZE_PATTERN = '^(0|[1-9][0-9]{0,4})x(0|[1-9][0-9]{0,4})$';

/** The form of a size, in texts for people. */
export const SIZE_FORM = `of the form WxH, each a whole number from 0 to ${MAX_REQUESTED_SIDE}`;

const SIZE = new RegExp(SIZE_PATTERN);

/** The size that the text states; undefined for a text that has not the form `WxH`. */
export function parseSize(text: string): Size | undefined {
  const match = SIZE.exec(text);
  return match === null ? undefined : { width: Number(match[1]), height: Number(match[2]) };
}

/** The size in the form `WxH`. */
export function writeSize({ width, height }: Size): string {
  return `${width}x${height}`;
}
