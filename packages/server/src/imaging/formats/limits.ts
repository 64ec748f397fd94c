/**
 * Owns the limits on pictures and the words in which a picture is refused, for all formats alike.
 * Refuses to know how any format is laid out, and sharp.
 */
import type { ImageFormat } from '../../image.ts';

/** Pixels of all frames together. */
export const MAX_PIXELS = 100_000_000;

/** Pixels on one side. */
export const MAX_PICTURE_SIDE = 30_000;

/** Frames of an animation: libvips takes time quadratic in them before the first pixel. */
export const MAX_FRAMES = 1_000;

/** Bytes that one decode may have to hold at once, computed from the header. */
export const DECODE_BUDGET_BYTES = 400 * 1024 * 1024;

/** Bytes of a colour profile, inflated. A larger one is dropped: no display's or printer's is. */
export const MAX_PROFILE_BYTES = 2 * 1024 * 1024;

/** What the header walk found out; everything about it was checked against the limits. */
export interface PictureFacts {
  /** As stored, before orientation. One frame's. */
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  /** EXIF orientation, 1..8. Always 1 for animations: their frames cannot be turned while they stream. */
  readonly orientation: number;
  /** Whether the file can hold transparency at all; only the pixels tell whether it does. */
  readonly alpha: boolean;
  /** Four inks instead of light; only ever a JPEG. */
  readonly cmyk: boolean;
}

/** A picture that passed the walk: only what its pixels need is left of the file. */
export interface Walked {
  readonly format: ImageFormat;
  /** A complete file of the same format and the same pixels, without anything else. */
  readonly bytes: Buffer;
  readonly facts: PictureFacts;
}

/** Why a picture is not accepted. The message is written for the client. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** Throws a Refusal unless the sizes are within the limits. */
export function checkSize(width: number, height: number, frames: number): void {
  if (width === 0 || height === 0) throw new Refusal(`it is ${width} x ${height} pixels: a side is empty`);
  if (width > MAX_PICTURE_SIDE || height > MAX_PICTURE_SIDE) {
    throw new Refusal(`it is ${width} x ${height} pixels: a side may have at most ${MAX_PICTURE_SIDE}`);
  }
  if (frames > MAX_FRAMES) throw new Refusal(`it has ${frames} frames: at most ${MAX_FRAMES} are accepted`);
  const pixels = width * height * frames;
  if (pixels > MAX_PIXELS) {
    const all = frames === 1 ? '' : `${frames} frames of `;
    throw new Refusal(
      `it is ${all}${width} x ${height} pixels: ${megapixels(pixels)} megapixels, at most ${megapixels(MAX_PIXELS)} are accepted`,
    );
  }
}

/** Throws a Refusal if decoding holds more than the budget; `why` names what about the file makes it so. */
export function checkBudget(bytes: number, why: string): void {
  if (bytes <= DECODE_BUDGET_BYTES) return;
  throw new Refusal(
    `it needs ${mebibytes(bytes)} MiB to decode, because it is ${why}: at most ${mebibytes(DECODE_BUDGET_BYTES)} are accepted`,
  );
}

function megapixels(pixels: number): string {
  const rounded = Math.ceil(pixels / 100_000) / 10;
  return String(rounded);
}

function mebibytes(bytes: number): string {
  return String(Math.ceil(bytes / (1024 * 1024)));
}
