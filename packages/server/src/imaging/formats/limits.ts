/**
 * The limits on uploaded pictures of every format, and the messages of their refusals. Clients read these
 * messages in the 422 answer.
 */
import type { ImageFormat } from '../../image.ts';

/** Pixels of all frames together. */
export const MAX_PIXELS = 100_000_000;

/** Pixels on one side. */
const MAX_PICTURE_SIDE = 30_000;

/** Frames of an animation. The time that libvips takes before the first pixel grows with their square. */
export const MAX_FRAMES = 1_000;

/** Bytes that one decode may hold at once, computed from the header. */
const DECODE_BUDGET_BYTES = 400 * 1024 * 1024;

/** Bytes of a colour profile, inflated. A larger one is dropped: displays and printers have smaller ones. */
export const MAX_PROFILE_BYTES = 2 * 1024 * 1024;

/** The result of the header walk. Every value is within the limits. */
export interface PictureFacts {
  /** Width of one frame in pixels, as stored: before the orientation is applied. */
  readonly width: number;
  /** Height of one frame in pixels, as stored: before the orientation is applied. */
  readonly height: number;
  readonly frames: number;
  /** EXIF orientation, 1..8. Always 1 for an animation, because libvips cannot turn streamed frames. */
  readonly orientation: number;
  /** Whether the file can hold transparency. Only the pixels show whether it does. */
  readonly alpha: boolean;
  /** Whether the pixels are CMYK inks. Only a JPEG can have them. */
  readonly cmyk: boolean;
  /** Whether the pixels have a profile that sharp converts wrongly: they are grey or have 16 bits. */
  readonly ownColour: boolean;
}

/** A picture that passed the header walk. */
export interface CheckedPicture {
  readonly format: ImageFormat;
  /** A complete file of the same format and the same pixels. Metadata and unknown parts are removed. */
  readonly bytes: Buffer;
  readonly facts: PictureFacts;
}

/** The reason why a picture is refused. The message is written for the client. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** @throws Refusal if the sides, the frames or the pixels are outside the limits. */
export function checkSize(width: number, height: number, frames: number): void {
  if (!isSide(width) || !isSide(height)) {
    throw new Refusal(
      `the picture is ${width} x ${height} pixels: each side must be from 1 to ${MAX_PICTURE_SIDE} pixels`,
    );
  }
  if (frames > MAX_FRAMES) throw new Refusal(`the picture has ${frames} frames: the limit is ${MAX_FRAMES}`);
  const pixels = width * height * frames;
  if (pixels > MAX_PIXELS) {
    const layout = `${frames === 1 ? '' : `${frames} frames of `}${width} x ${height} pixels`;
    throw new Refusal(
      `the picture has ${megapixels(pixels)} megapixels (${layout}): the limit is ${megapixels(MAX_PIXELS)}`,
    );
  }
}

/**
 * @param bytes that the decode holds at once
 * @param reason the property of the file that needs them, to complete "because it is …"
 * @throws Refusal if they are more than the budget.
 */
export function checkBudget(bytes: number, reason: string): void {
  if (bytes <= DECODE_BUDGET_BYTES) return;
  throw new Refusal(
    `the picture needs ${mebibytes(bytes)} MiB of memory to decode, because it is ${reason}: the limit is ${mebibytes(DECODE_BUDGET_BYTES)} MiB`,
  );
}

function isSide(pixels: number): boolean {
  return pixels >= 1 && pixels <= MAX_PICTURE_SIDE;
}

function megapixels(pixels: number): string {
  const rounded = Math.ceil(pixels / 100_000) / 10;
  return String(rounded);
}

function mebibytes(bytes: number): string {
  return String(Math.ceil(bytes / (1024 * 1024)));
}
