/**
 * The header walk: it recognizes the format by the content, and copies only the parts that the pixels need.
 * It must run before any decoder, because the limits of decoders do not cover compressed text, scans and
 * frames.
 */
import type { ImageFormat } from '../../image.ts';
import { walkJpeg } from './jpeg.ts';
import { type CheckedPicture, Refusal } from './limits.ts';
import { walkPng } from './png.ts';
import { PNG_SIGNATURE } from './png-chunk.ts';
import { describeUnsupported } from './unsupported.ts';
import { walkWebp } from './webp.ts';

const WALKS: Readonly<Record<ImageFormat, (file: Buffer) => Omit<CheckedPicture, 'format'>>> = {
  png: walkPng,
  jpeg: walkJpeg,
  webp: walkWebp,
};

/** The format that the first bytes show; undefined for a file of any other format. */
export function sniffFormat(file: Buffer): ImageFormat | undefined {
  if (file.length >= 8 && file.compare(PNG_SIGNATURE, 0, 8, 0, 8) === 0) return 'png';
  if (file.length >= 3 && file.readUIntBE(0, 3) === 0xffd8ff) return 'jpeg';
  if (
    file.length >= 12 &&
    file.toString('latin1', 0, 4) === 'RIFF' &&
    file.toString('latin1', 8, 12) === 'WEBP'
  ) {
    return 'webp';
  }
  return undefined;
}

/**
 * Checks an untrusted file against all limits of limits.ts, and removes everything that its pixels do not
 * need. Does not decode pixels, so they may still be damaged.
 * @throws Refusal with the reason. It throws nothing else, for any content.
 */
export function walkPicture(file: Buffer): CheckedPicture {
  const format = sniffFormat(file);
  if (format === undefined) throw new Refusal(describeUnsupported(file));
  return { format, ...WALKS[format](file) };
}
